// Conditions of a statement: [quantifier:]operator[IfExists] -> key -> values. (IAM: "Condition operators",
// "Multivalued context keys".) All operators and keys of a statement must hold; of a key's values one is enough, and of
// a negated operator's none may match.
//
//   key missing        a positive operator: does not hold; a negated one: holds; with IfExists: holds
//   ForAllValues       every value of the request satisfies the operator: holds when there is none
//   ForAnyValue        at least one does: does not hold when there is none (with IfExists: holds)
//   Null               whether the key is missing; an empty set is missing
//
// The quantifier binds outside the negation: ForAnyValue:StringNotEquals is "some value is none of these", and not
// "it is not so that some value is one of these".
//
// Where AWS leaves the outcome open, a statement errs towards refusal, by its effect: a value that the operator cannot
// read, a variable without a value, and several values under an operator without quantifier that disagree, satisfy the
// conditions of a Deny and not those of an Allow.

import { unreachable } from '../../base/index.ts'
import { type AddressRange, isInRange, parseAddress, parseRange } from './address.ts'
import { type ArnPattern, parseArnPattern, splitArn } from './arn.ts'
import { type Json, malformed, shown } from './json.ts'
import { parseMoment } from './moments.ts'
import {
  type Context,
  isVariable,
  type Part,
  parseTemplate,
  resolveText,
  resolveTokens,
} from './template.ts'
import { type Token, Wildcard } from './wildcard.ts'

type Order = '=' | '<' | '<=' | '>' | '>='

/** How one value of the request is compared with one of the policy. */
type Comparison =
  | { readonly kind: 'equal'; readonly ignoresCase: boolean; readonly parts: readonly Part[] }
  | { readonly kind: 'like'; readonly fixed: Wildcard | undefined; readonly parts: readonly Part[] }
  | { readonly kind: 'number'; readonly order: Order; readonly operand: number }
  | { readonly kind: 'moment'; readonly order: Order; readonly operand: number }
  | { readonly kind: 'bool'; readonly operand: boolean }
  | { readonly kind: 'address'; readonly ranges: readonly AddressRange[] }
  | { readonly kind: 'arn'; readonly pattern: ArnPattern }

export type Condition = {
  /** In lower case. */
  readonly key: string
  readonly quantifier: 'none' | 'all' | 'any'
  readonly isNegated: boolean
  readonly ifExists: boolean
  /** Present: the operator Null; which answers to "is it missing" are accepted. */
  readonly missing: ReadonlySet<boolean> | undefined
  readonly comparisons: readonly Comparison[]
}

/** Undefined: cannot be told. */
type Answer = boolean | undefined

type Kind =
  | 'equal'
  | 'equal-ignoring-case'
  | 'like'
  | 'number'
  | 'moment'
  | 'bool'
  | 'address'
  | 'arn'
type Operator = { readonly kind: Kind; readonly isNegated: boolean; readonly order: Order }

const operator = (kind: Kind, isNegated = false, order: Order = '='): Operator => ({
  kind,
  isNegated,
  order,
})

function ordered(name: 'Numeric' | 'Date', kind: Kind): [string, Operator][] {
  return [
    [`${name}Equals`, operator(kind)],
    [`${name}NotEquals`, operator(kind, true)],
    [`${name}LessThan`, operator(kind, false, '<')],
    [`${name}LessThanEquals`, operator(kind, false, '<=')],
    [`${name}GreaterThan`, operator(kind, false, '>')],
    [`${name}GreaterThanEquals`, operator(kind, false, '>=')],
  ]
}

const operators: ReadonlyMap<string, Operator> = new Map([
  ['StringEquals', operator('equal')],
  ['StringNotEquals', operator('equal', true)],
  ['StringEqualsIgnoreCase', operator('equal-ignoring-case')],
  ['StringNotEqualsIgnoreCase', operator('equal-ignoring-case', true)],
  ['StringLike', operator('like')],
  ['StringNotLike', operator('like', true)],
  ...ordered('Numeric', 'number'),
  ...ordered('Date', 'moment'),
  ['Bool', operator('bool')],
  ['IpAddress', operator('address')],
  ['NotIpAddress', operator('address', true)],
  ['ArnEquals', operator('arn')],
  ['ArnNotEquals', operator('arn', true)],
  ['ArnLike', operator('arn')],
  ['ArnNotLike', operator('arn', true)],
])

const keyPattern = /^[A-Za-z0-9-]+:[A-Za-z0-9_.\-/=+@:]{1,256}$/

/** Of a Condition element. Fault 'invalid' with the place. */
export function parseConditions(
  element: Json,
  rules: { readonly place: string; readonly hasVariables: boolean },
): readonly Condition[] {
  if (!(element instanceof Map)) throw malformed('is not an object', rules.place)
  const conditions: Condition[] = []
  for (const [name, keys] of element) {
    const place = `${rules.place}.${name.slice(0, 64)}`
    const read = readOperator(name, place)
    if (!(keys instanceof Map)) throw malformed('is not an object', place)
    for (const [key, value] of keys) {
      const at = `${place}.${key.slice(0, 64)}`
      if (!keyPattern.test(key)) throw malformed(`${shown(key)} is no condition key`, place)
      const texts = textsOf(value, at)
      conditions.push(compile(read, { key, texts, place: at, hasVariables: rules.hasVariables }))
    }
  }
  return conditions
}

type Read = Pick<Condition, 'quantifier' | 'ifExists'> & { readonly operator: Operator | 'null' }

function readOperator(name: string, place: string): Read {
  const colon = name.indexOf(':')
  const set = colon < 0 ? '' : name.slice(0, colon)
  const rest = name.slice(colon + 1)
  if (set !== '' && set !== 'ForAllValues' && set !== 'ForAnyValue') {
    throw malformed(`${shown(set)} is no quantifier`, place)
  }
  const quantifier = set === '' ? 'none' : set === 'ForAllValues' ? 'all' : 'any'
  const ifExists = rest.endsWith('IfExists')
  const bare = ifExists ? rest.slice(0, -'IfExists'.length) : rest
  if (bare === 'Null' && set === '' && !ifExists) {
    return { operator: 'null', quantifier, ifExists }
  }
  const found = operators.get(bare)
  if (found === undefined || colon === 0) throw malformed('is no condition operator', place)
  return { operator: found, quantifier, ifExists }
}

/** One value or several; numbers and booleans as their texts. */
function textsOf(value: Json, place: string): readonly string[] {
  const list = Array.isArray(value) ? (value as readonly Json[]) : [value as Json]
  if (list.length === 0) throw malformed('has no value', place)
  return list.map((item) => {
    if (typeof item === 'string') return item
    if (typeof item === 'number' || typeof item === 'boolean') return String(item)
    throw malformed('a value is text, number or boolean', place)
  })
}

function compile(
  read: Read,
  given: { key: string; texts: readonly string[]; place: string; hasVariables: boolean },
): Condition {
  const { texts, place, hasVariables } = given
  const shape = { key: given.key.toLowerCase(), ...read }
  if (read.operator === 'null') {
    const missing = new Set(texts.map((text) => readBool(text, place)))
    return { ...shape, isNegated: false, missing, comparisons: [] }
  }
  const { operator: found } = read
  return {
    ...shape,
    isNegated: found.isNegated,
    missing: undefined,
    comparisons: compileValues(texts, found, { place, hasVariables }),
  }
}

type ValueRules = { readonly place: string; readonly hasVariables: boolean }

/** An address is read once, however many ranges it is held against. */
function compileValues(
  texts: readonly string[],
  found: Operator,
  rules: ValueRules,
): readonly Comparison[] {
  const { kind, order } = found
  if (kind !== 'address') return texts.map((text) => compileValue(text, { kind, order }, rules))
  const ranges = texts.map((text) => {
    const range = parseRange(text)
    if (range === undefined) throw malformed(`${shown(text)} is no address range`, rules.place)
    return range
  })
  return [{ kind: 'address', ranges }]
}

function compileValue(
  text: string,
  { kind, order }: { readonly kind: Exclude<Kind, 'address'>; readonly order: Order },
  rules: ValueRules,
): Comparison {
  const refuse = (what: string): Error => malformed(`${shown(text)} is no ${what}`, rules.place)
  switch (kind) {
    case 'equal':
    case 'equal-ignoring-case': {
      const parts = parseTemplate(text, { ...rules, hasWildcards: false })
      return { kind: 'equal', ignoresCase: kind !== 'equal', parts }
    }
    case 'like': {
      const parts = parseTemplate(text, { ...rules, hasWildcards: true })
      const isFixed = !parts.some(isVariable)
      return { kind, parts, fixed: isFixed ? new Wildcard(parts as readonly Token[]) : undefined }
    }
    case 'number': {
      const operand = parseNumber(text)
      if (operand === undefined) throw refuse('number')
      return { kind, order, operand }
    }
    case 'moment': {
      const operand = parseMoment(text)
      if (operand === undefined) throw refuse('date')
      return { kind, order, operand }
    }
    case 'bool':
      return { kind, operand: readBool(text, rules.place) }
    case 'arn':
      return { kind, pattern: parseArnPattern(text, rules) }
    default:
      return unreachable(kind)
  }
}

/** Whether a statement of this effect takes the condition as fulfilled. */
export function holds(condition: Condition, context: Context, isDeny: boolean): boolean {
  const values = context.values(condition.key)
  const isMissing = values === undefined || values.length === 0
  if (condition.missing !== undefined) return condition.missing.has(isMissing)
  if (isMissing) {
    if (condition.quantifier === 'all' || condition.ifExists) return true
    return condition.quantifier === 'none' && condition.isNegated
  }
  const needsAll = condition.quantifier === 'all' || (condition.quantifier === 'none' && !isDeny)
  for (const value of values) {
    const answer = satisfies(condition, value, { context, isDeny }) ?? isDeny
    if (answer !== needsAll) return answer
  }
  return needsAll
}

/** One value of the request. */
function satisfies(
  condition: Condition,
  value: string,
  given: { readonly context: Context; readonly isDeny: boolean },
): Answer {
  let isOpen = false
  for (const comparison of condition.comparisons) {
    const answer = matches(comparison, value, { ...given, isNegated: condition.isNegated })
    if (answer === true) return !condition.isNegated
    if (answer === undefined) isOpen = true
  }
  return isOpen ? undefined : condition.isNegated
}

function matches(
  comparison: Comparison,
  value: string,
  given: { readonly context: Context; readonly isDeny: boolean; readonly isNegated: boolean },
): Answer {
  switch (comparison.kind) {
    case 'equal': {
      const text = resolveText(comparison.parts, given.context)
      if (text === undefined) return undefined
      return comparison.ignoresCase ? text.toLowerCase() === value.toLowerCase() : text === value
    }
    case 'like': {
      if (comparison.fixed !== undefined) return comparison.fixed.matches(value)
      const tokens = resolveTokens(comparison.parts, given.context, undefined)
      return tokens === undefined ? undefined : new Wildcard(tokens).matches(value)
    }
    case 'number':
      return compare(parseNumber(value), comparison)
    case 'moment':
      return compare(parseMoment(value), comparison)
    case 'bool': {
      const lower = value.toLowerCase()
      if (lower !== 'true' && lower !== 'false') return undefined
      return (lower === 'true') === comparison.operand
    }
    case 'address': {
      const address = parseAddress(value)
      if (address === undefined) return undefined
      return comparison.ranges.some((range) => isInRange(address, range))
    }
    case 'arn': {
      if (splitArn(value) === undefined) return undefined
      const isWidened = given.isDeny !== given.isNegated
      return comparison.pattern.matches(value, given.context, isWidened ? 'anything' : 'nothing')
    }
    default:
      return unreachable(comparison)
  }
}

function compare(
  value: number | undefined,
  { order, operand }: { readonly order: Order; readonly operand: number },
): Answer {
  if (value === undefined) return undefined
  switch (order) {
    case '=':
      return value === operand
    case '<':
      return value < operand
    case '<=':
      return value <= operand
    case '>':
      return value > operand
    case '>=':
      return value >= operand
    default:
      return unreachable(order)
  }
}

function parseNumber(text: string): number | undefined {
  return /^[+-]?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,2})?$/.test(text) ? Number(text) : undefined
}

function readBool(text: string, place: string): boolean {
  const lower = text.toLowerCase()
  if (lower === 'true' || lower === 'false') return lower === 'true'
  throw malformed(`${shown(text)} is neither true nor false`, place)
}
