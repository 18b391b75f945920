// Amazon Resource Names, 'arn:partition:service:region:account:resource', and patterns of them.
//
// A wildcard stays within its part between two colons, but for the last part, which may hold colons itself: so
// 'arn:aws:s3:*' is no pattern, and nothing that a client names (a key with colons) can reach another part.

import { assert } from '../../base/index.ts'
import { malformed, shown } from './json.ts'
import {
  type Context,
  isVariable,
  type Part,
  parseTemplate,
  resolveTokens,
  type TemplateRules,
} from './template.ts'
import { run, type Token, Wildcard } from './wildcard.ts'

const partsCount = 6

/** What a pattern with a variable matches when the request has no value for it: any text, or nothing at all. */
export type WhenMissing = 'anything' | 'nothing'

/** A compiled pattern; '*' alone is every name. */
export class ArnPattern {
  /** As the policy has it. */
  readonly text: string
  readonly #isAny: boolean
  /** The first five parts with their colons, where nothing in them varies. */
  readonly #head: string | undefined
  /** Every name of the pattern begins with it. */
  readonly #start: string
  /** Of the five parts (unless `#head`), then of the last; undefined where it has variables. */
  readonly #fixed: readonly (Wildcard | undefined)[]
  readonly #parts: readonly (readonly Part[])[]

  constructor(text: string, parts: readonly (readonly Part[])[]) {
    this.text = text
    this.#isAny = parts.length === 0
    this.#parts = parts
    const texts = parts.slice(0, -1).map(plainText)
    const isPlain = texts.every((text) => text !== undefined)
    this.#head = isPlain ? texts.map((text) => `${text}:`).join('') : undefined
    this.#fixed = parts.map((part) => (part.some(isVariable) ? undefined : fixedWildcard(part)))
    this.#start = (this.#head ?? '') + (isPlain ? (this.#fixed.at(-1)?.prefix ?? '') : '')
  }

  matches(name: string, context: Context, missing: WhenMissing): boolean {
    if (this.#isAny) return true
    if (!name.startsWith(this.#start)) return false
    const last = partsCount - 1
    if (this.#head !== undefined) {
      return this.#matchesPart(last, { text: name, from: this.#head.length, context, missing })
    }
    const given = splitArn(name)
    if (given === undefined) return false
    for (let at = 0; at <= last; at++) {
      const text = given[at]
      assert(text !== undefined, 'six parts')
      if (!this.#matchesPart(at, { text, from: 0, context, missing })) return false
    }
    return true
  }

  #matchesPart(
    at: number,
    given: { text: string; from: number; context: Context; missing: WhenMissing },
  ): boolean {
    const fixed = this.#fixed[at]
    if (fixed !== undefined) return fixed.matches(given.text, given.from)
    const parts = this.#parts[at] ?? []
    const whole = given.missing === 'anything' ? run : undefined
    const tokens = resolveTokens(parts, given.context, whole)
    return tokens !== undefined && new Wildcard(tokens).matches(given.text, given.from)
  }
}

/** '*' or six parts, all of the first five optional but for the service. Fault 'invalid'. */
export function parseArnPattern(
  text: string,
  rules: Omit<TemplateRules, 'hasWildcards'>,
): ArnPattern {
  const parts = parseTemplate(text, { ...rules, hasWildcards: true })
  if (text === '*') return new ArnPattern(text, [])
  const split = splitParts(parts)
  const refuse = (what: string): Error => malformed(`${shown(text)} ${what}`, rules.place)
  const [prefix, , service, , , resource] = split.map(plainText)
  if (split.length !== partsCount || prefix !== 'arn') {
    throw refuse('is neither "*" nor arn:partition:service:region:account:resource')
  }
  if (service === undefined || !/^[a-z0-9-]+$/.test(service)) throw refuse('names no service')
  if (resource === '') throw refuse('names no resource')
  return new ArnPattern(text, split)
}

/** At the first five colons; undefined when there are fewer. */
export function splitArn(name: string): readonly string[] | undefined {
  const parts: string[] = []
  let at = 0
  for (let count = 1; count < partsCount; count++) {
    const colon = name.indexOf(':', at)
    if (colon < 0) return undefined
    parts.push(name.slice(at, colon))
    at = colon + 1
  }
  parts.push(name.slice(at))
  return parts
}

/** Colons of variables are part of their value, and separate nothing. */
function splitParts(parts: readonly Part[]): readonly (readonly Part[])[] {
  const split: Part[][] = [[]]
  for (const part of parts) {
    if (typeof part !== 'string') {
      split.at(-1)?.push(part)
      continue
    }
    let rest = part
    while (split.length < partsCount) {
      const colon = rest.indexOf(':')
      if (colon < 0) break
      if (colon > 0) split.at(-1)?.push(rest.slice(0, colon))
      split.push([])
      rest = rest.slice(colon + 1)
    }
    if (rest !== '') split.at(-1)?.push(rest)
  }
  return split
}

/** Undefined when anything in it varies. */
function plainText(parts: readonly Part[]): string | undefined {
  let text = ''
  for (const part of parts) {
    if (typeof part !== 'string') return undefined
    text += part
  }
  return text
}

function fixedWildcard(parts: readonly Part[]): Wildcard {
  return new Wildcard(parts.filter((part): part is Token => !isVariable(part)))
}
