// Policies: documents in AWS's policy language, parsed and compiled at once. (IAM: "JSON policy element reference",
// "Grammar of the IAM JSON policy language".) A document that parses means everything it says: unknown elements, operators
// and forms are refused with their place, so that nothing is ever ignored.
//
// Bounds: 20 KiB, 10 levels, 4,096 values; patterns of 2,048 characters.

import { type ArnPattern, parseArnPattern } from './arn.ts'
import { type Condition, parseConditions } from './conditions.ts'
import { type Json, type JsonObject, malformed, readJson, shown } from './json.ts'
import { tokensOf, Wildcard } from './wildcard.ts'

/** identity: attached to users and groups; resource: of a bucket, names whom it is for. */
export type PolicyKind = 'identity' | 'resource'

export const policyBytesMax = 20 * 1024
const bounds = { bytesMax: policyBytesMax, depthMax: 10, valuesMax: 4_096 }

/** Whom a statement of a resource policy is for. */
export type Principals = {
  /** '*': everybody, also who is nobody. */
  readonly hasEverybody: boolean
  /** Account ids: the account as a whole, whose own policies then decide. */
  readonly accounts: ReadonlySet<string>
  /** 'arn:aws:iam::<account>:user/<name>'. */
  readonly users: ReadonlySet<string>
}

export type Statement = {
  readonly sid: string
  readonly isDeny: boolean
  /** Undefined in identity policies. */
  readonly principals: Principals | undefined
  readonly isNotPrincipal: boolean
  /** In lower case. */
  readonly actions: readonly Wildcard[]
  readonly isNotAction: boolean
  readonly resources: readonly ArnPattern[]
  readonly isNotResource: boolean
  readonly conditions: readonly Condition[]
}

/** Statements that an action concerns. */
export type Concerned = {
  readonly denies: readonly Statement[]
  readonly allows: readonly Statement[]
}

const rememberedMax = 256

/** A compiled policy. Which statements speak of an action is remembered per action. */
export class Policy {
  readonly statements: readonly Statement[]
  readonly #byAction = new Map<string, Concerned>()

  constructor(statements: readonly Statement[]) {
    this.statements = statements
  }

  /** `action` is spelled as its table spells it ('s3:GetObject'). */
  concerning(action: string): Concerned {
    const known = this.#byAction.get(action)
    if (known !== undefined) return known
    const lower = action.toLowerCase()
    const found = this.statements.filter(
      ({ actions, isNotAction }) => actions.some((one) => one.matches(lower)) !== isNotAction,
    )
    const concerned: Concerned = {
      denies: found.filter(({ isDeny }) => isDeny),
      allows: found.filter(({ isDeny }) => !isDeny),
    }
    if (this.#byAction.size >= rememberedMax) this.#byAction.clear()
    this.#byAction.set(action, concerned)
    return concerned
  }
}

/** Fault 'invalid' (S3: MalformedPolicy) whose message and field `place` say where. */
export function parsePolicy(text: string, kind: PolicyKind): Policy {
  const document = readJson(text, bounds)
  if (!isObject(document)) throw malformed('a policy is an object')
  checkMembers(document, ['Version', 'Id', 'Statement'], '')
  const version = document.get('Version') ?? '2008-10-17'
  if (version !== '2012-10-17' && version !== '2008-10-17') {
    throw malformed('is neither "2012-10-17" nor "2008-10-17"', 'Version')
  }
  readText(document, 'Id', '')
  const given = document.get('Statement')
  if (given === undefined) throw malformed('the element Statement is missing')
  const list = Array.isArray(given) ? (given as readonly Json[]) : undefined
  if (list?.length === 0) throw malformed('is empty', 'Statement')
  const statements = (list ?? [given]).map((item, at) => {
    const place = list === undefined ? 'Statement' : `Statement[${at}]`
    return parseStatement(item, { kind, place, hasVariables: version === '2012-10-17' })
  })
  return new Policy(statements)
}

type StatementRules = {
  readonly kind: PolicyKind
  readonly place: string
  readonly hasVariables: boolean
}

const elements = ['Sid', 'Effect', 'Action', 'NotAction', 'Resource', 'NotResource', 'Condition']

function parseStatement(item: Json, rules: StatementRules): Statement {
  const { kind, place, hasVariables } = rules
  if (!isObject(item)) throw malformed('is not an object', place)
  const isResource = kind === 'resource'
  checkMembers(item, isResource ? [...elements, 'Principal', 'NotPrincipal'] : elements, place)
  const effect = item.get('Effect')
  if (effect !== 'Allow' && effect !== 'Deny') {
    throw malformed('is neither "Allow" nor "Deny"', `${place}.Effect`)
  }
  const isDeny = effect === 'Deny'
  const action = readOneOf(item, ['Action', 'NotAction'], place)
  const resource = readOneOf(item, ['Resource', 'NotResource'], place)
  const principal = isResource ? readOneOf(item, ['Principal', 'NotPrincipal'], place) : undefined
  if (principal?.isNot === true && !isDeny) {
    throw malformed('an Allow with NotPrincipal would be for everybody else', principal.place)
  }
  const condition = item.get('Condition')
  return {
    sid: readText(item, 'Sid', place),
    isDeny,
    principals:
      principal === undefined ? undefined : parsePrincipals(principal.value, principal.place),
    isNotPrincipal: principal?.isNot ?? false,
    actions: textList(action.value, action.place).map((text) => parseAction(text, action.place)),
    isNotAction: action.isNot,
    resources: textList(resource.value, resource.place).map((text) =>
      parseArnPattern(text, { place: resource.place, hasVariables }),
    ),
    isNotResource: resource.isNot,
    conditions:
      condition === undefined
        ? []
        : parseConditions(condition, { place: `${place}.Condition`, hasVariables }),
  }
}

/**
 * Fault 'invalid' (MalformedPolicy) for a bucket policy that speaks of something else than the bucket and its objects:
 * its author would believe that it does.
 */
export function checkBucketResources(policy: Policy, bucketArn: string): void {
  for (const [at, { resources }] of policy.statements.entries()) {
    for (const { text } of resources) {
      if (text === bucketArn || text.startsWith(`${bucketArn}/`)) continue
      throw malformed(
        `${shown(text)} is neither ${bucketArn} nor below it`,
        `Statement[${at}].Resource`,
      )
    }
  }
}

/** Characters beyond ASCII are refused: some become an ASCII letter in lower case. */
function parseAction(text: string, place: string): Wildcard {
  if (!/^(?:\*|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?-]{1,128})$/.test(text)) {
    throw malformed(`${shown(text)} is no action: "service:Name" or "*"`, place)
  }
  return new Wildcard(tokensOf(text.toLowerCase()))
}

const accountPattern = /^\d{12}$/
const principalPattern =
  /^arn:aws:iam::(?<account>\d{12}):(?<who>root|user\/[A-Za-z0-9_+=,.@-]{1,64})$/

function parsePrincipals(value: Json, place: string): Principals {
  let hasEverybody = false
  const accounts = new Set<string>()
  const users = new Set<string>()
  if (value !== '*' && !isObject(value)) {
    throw malformed('is neither "*" nor an object with AWS', place)
  }
  if (isObject(value)) checkMembers(value, ['AWS'], place)
  const names = isObject(value) ? textList(value.get('AWS') ?? [], `${place}.AWS`) : ['*']
  for (const name of names) {
    const { account, who } = principalPattern.exec(name)?.groups ?? {}
    if (name === '*') hasEverybody = true
    else if (accountPattern.test(name)) accounts.add(name)
    else if (account !== undefined && who === 'root') accounts.add(account)
    else if (account !== undefined) users.add(name)
    else {
      throw malformed(`${shown(name)} is neither an account nor a user's name`, `${place}.AWS`)
    }
  }
  return { hasEverybody, accounts, users }
}

function readOneOf(
  item: JsonObject,
  names: readonly [string, string],
  place: string,
): { readonly value: Json; readonly isNot: boolean; readonly place: string } {
  const [plain, not] = names
  const isNot = item.has(not)
  const value = item.get(isNot ? not : plain)
  if (value === undefined || (isNot && item.has(plain))) {
    throw malformed(`exactly one of ${plain} and ${not} is needed`, place)
  }
  return { value, isNot, place: `${place}.${isNot ? not : plain}` }
}

function textList(value: Json, place: string): readonly string[] {
  if (typeof value === 'string') return [value]
  const list = Array.isArray(value) ? (value as readonly Json[]) : []
  if (list.length === 0) throw malformed('is neither a text nor a list of texts', place)
  return list.map((text) => {
    if (typeof text === 'string') return text
    throw malformed('holds something that is no text', place)
  })
}

function readText(item: JsonObject, name: string, place: string): string {
  const value = item.get(name) ?? ''
  if (typeof value === 'string' && value.length <= 256) return value
  throw malformed('is no text of 256 characters at most', place === '' ? name : `${place}.${name}`)
}

function checkMembers(item: JsonObject, known: readonly string[], place: string): void {
  for (const name of item.keys()) {
    if (!known.includes(name)) throw malformed(`the element ${shown(name)} is not known`, place)
  }
}

function isObject(value: Json): value is JsonObject {
  return value instanceof Map
}
