// Texts of a policy with variables in them: '${aws:username}', '${aws:username, 'nobody'}', and '${*}', '${?}', '${$}'
// for the characters themselves. (IAM: "Policy elements: Variables and tags"; policies of 2012-10-17 only.)
//
// Escapes that this file closes: what a variable stands for is literal, also when it holds '*', '?', ':' or '${'; and a
// variable that the request has no value for is never silently empty: the caller says what it means then.

import { malformed, shown } from './json.ts'
import { one, run, type Token, tokensOf } from './wildcard.ts'

export type Variable = {
  /** In lower case: names of keys have no case. */
  readonly key: string
  readonly fallback: string | undefined
}
export type Part = Token | Variable

/** What is known of a request, by key. Asked for few keys of many, so it is a function. */
export type Context = {
  /** `key` is in lower case. Undefined or empty: the request has none. */
  values(key: string): readonly string[] | undefined
}

const charactersMax = 2_048
const variablePattern =
  /^\s*(?<key>[A-Za-z0-9-]+:[A-Za-z0-9_.\-/=+@:]+)\s*(?:,\s*'(?<fallback>[^'{}]*)'\s*)?$/

export type TemplateRules = {
  /** False: '*' and '?' are themselves. */
  readonly hasWildcards: boolean
  /** False: '${' is itself, as in policies of 2008-10-17. */
  readonly hasVariables: boolean
  /** Of the text within its document, for faults. */
  readonly place: string
}

/** Fault 'invalid' for a variable that is none. */
export function parseTemplate(text: string, rules: TemplateRules): readonly Part[] {
  if (text.length > charactersMax) {
    throw malformed(`longer than ${charactersMax} characters`, rules.place)
  }
  const literal = (piece: string): readonly Token[] =>
    rules.hasWildcards ? tokensOf(piece) : piece === '' ? [] : [piece]
  if (!rules.hasVariables) return literal(text)
  const parts: Part[] = []
  let at = 0
  for (;;) {
    const start = text.indexOf('${', at)
    if (start < 0) return [...parts, ...literal(text.slice(at))]
    parts.push(...literal(text.slice(at, start)))
    const end = text.indexOf('}', start)
    if (end < 0) throw malformed('a variable without "}"', rules.place)
    parts.push(parseVariable(text.slice(start + 2, end), rules.place))
    at = end + 1
  }
}

function parseVariable(inner: string, place: string): Part {
  if (inner === '*' || inner === '?' || inner === '$') return inner
  const { key, fallback } = variablePattern.exec(inner)?.groups ?? {}
  if (key === undefined) throw malformed(`${shown(inner)} is no variable`, place)
  return { key: key.toLowerCase(), fallback }
}

export function isVariable(part: Part): part is Variable {
  return typeof part === 'object'
}

/** The parts as tokens; a variable without a value is `missing`, or makes the whole undefined. */
export function resolveTokens(
  parts: readonly Part[],
  context: Context,
  missing: typeof run | undefined,
): readonly Token[] | undefined {
  const tokens: Token[] = []
  for (const part of parts) {
    if (!isVariable(part)) {
      tokens.push(part)
      continue
    }
    const value = lookUp(part, context) ?? missing
    if (value === undefined) return undefined
    tokens.push(value)
  }
  return tokens
}

/** Of parts without wildcards; undefined when a variable has no value. */
export function resolveText(parts: readonly Part[], context: Context): string | undefined {
  let text = ''
  for (const part of parts) {
    if (part === one || part === run) return undefined
    const piece = isVariable(part) ? lookUp(part, context) : (part as string)
    if (piece === undefined) return undefined
    text += piece
  }
  return text
}

/** A key with several values is no variable: which of them would it be? */
function lookUp(variable: Variable, context: Context): string | undefined {
  const values = context.values(variable.key)
  if (values === undefined || values.length === 0) return variable.fallback
  return values.length === 1 ? values[0] : undefined
}
