// Wildcards: '*' is any run of characters, also none, '?' exactly one, where a character is one of Unicode (a code
// point), never half of one.
//
// The idea: a text is matched by simulating the pattern's automaton with one bit per place in the pattern
// (Baeza-Yates and Gonnet 1992, Navarro and Raffinot 2002 section 4.3). There is no backtracking: time is at most
// characters times places / 32, whatever pattern and text are. Memory is linear in the pattern: a character
// with few places is a list of them, one with many a row of bits. Patterns without '?' whose pieces are short need no
// automaton: each piece is taken where it is first found, which is never worse than a later place.

/** One element of a pattern: a text to be found literally, one character, or a run. */
export type Token = string | typeof one | typeof run
export const one = Symbol('one')
export const run = Symbol('run')

/** Tokens of a pattern in which nothing but '*' and '?' has a meaning. */
export function tokensOf(pattern: string): readonly Token[] {
  const tokens: Token[] = []
  let start = 0
  for (let at = 0; at <= pattern.length; at++) {
    const unit = pattern[at]
    if (at < pattern.length && unit !== '*' && unit !== '?') continue
    if (at > start) tokens.push(pattern.slice(start, at))
    if (unit === '*') tokens.push(run)
    if (unit === '?') tokens.push(one)
    start = at + 1
  }
  return tokens
}

/** Compares whole texts. Case counts. */
export class Wildcard {
  /** Every text of the pattern begins with it. */
  readonly prefix: string
  /** Texts in this order, with anything between them, the first at the beginning and the last at the end. */
  readonly #pieces: readonly string[] | undefined
  readonly #automaton: Automaton | undefined

  constructor(tokens: readonly Token[]) {
    this.#pieces = piecesOf(tokens)
    this.prefix = this.#pieces?.[0] ?? (typeof tokens[0] === 'string' ? tokens[0] : '')
    this.#automaton = this.#pieces === undefined ? new Automaton(tokens) : undefined
  }

  /** Whether the text from `from` on is of the pattern. */
  matches(text: string, from = 0): boolean {
    if (this.#automaton !== undefined) return this.#automaton.accepts(text, from)
    const pieces = this.#pieces as readonly string[]
    if (!text.startsWith(this.prefix, from)) return false
    const last = pieces.length - 1
    let at = from + this.prefix.length
    if (last === 0) return at === text.length
    for (let n = 1; n < last; n++) {
      const piece = pieces[n] as string
      const found = text.indexOf(piece, at)
      if (found < 0) return false
      at = found + piece.length
    }
    const end = pieces[last] as string
    return text.length - end.length >= at && text.endsWith(end)
  }
}

/** Inner pieces are searched, at a cost of up to their length per character: longer ones are the automaton's. */
const pieceMax = 32

/** Undefined when the pattern has single characters or long pieces between runs. */
function piecesOf(tokens: readonly Token[]): readonly string[] | undefined {
  const pieces = ['']
  for (const token of tokens) {
    if (token === one) return undefined
    if (token === run) pieces.push('')
    else pieces[pieces.length - 1] += token
  }
  const inner = pieces.slice(1, -1)
  if (inner.some((piece) => piece.length > pieceMax)) return undefined
  return pieces.length < 3
    ? pieces
    : [pieces[0] ?? '', ...inner.filter(Boolean), pieces.at(-1) ?? '']
}

/** Bit i of a state: the first i places of the pattern are matched. */
class Automaton {
  readonly #count: number
  readonly #loops: Uint32Array
  readonly #anyRow: Uint32Array
  readonly #rows = new Map<number, Uint32Array>()
  readonly #lists = new Map<number, readonly number[]>()
  /** Scratch of one match; matching never waits. */
  #state: Uint32Array
  #next: Uint32Array

  constructor(tokens: readonly Token[]) {
    const places: (number | undefined)[] = []
    const loopAt: number[] = []
    for (const token of tokens) {
      if (token === run) loopAt.push(places.length)
      else if (token === one) places.push(undefined)
      else for (const character of token) places.push(character.codePointAt(0))
    }
    this.#count = places.length
    const words = (places.length >> 5) + 1
    this.#loops = rowOf(loopAt, words)
    this.#state = new Uint32Array(words)
    this.#next = new Uint32Array(words)
    const anyAt: number[] = []
    const placesOf = new Map<number, number[]>()
    for (const [at, character] of places.entries()) {
      if (character === undefined) anyAt.push(at)
      else if (!placesOf.has(character)) placesOf.set(character, [at])
      else placesOf.get(character)?.push(at)
    }
    this.#anyRow = rowOf(anyAt, words)
    for (const [character, list] of placesOf) {
      if (list.length > words) this.#rows.set(character, rowOf(list, words))
      else this.#lists.set(character, list)
    }
  }

  accepts(text: string, from: number): boolean {
    this.#state.fill(0)
    this.#state[0] = 1
    for (let at = from; at < text.length; ) {
      const character = text.codePointAt(at) as number
      at += character > 0xffff ? 2 : 1
      if (!this.#step(character)) return false
    }
    const end = this.#count
    return ((this.#state[end >> 5] as number) & (1 << (end & 31))) !== 0
  }

  /** False when no match can come of it any more. */
  #step(character: number): boolean {
    const state = this.#state
    const next = this.#next
    const row = this.#rows.get(character)
    let carry = 0
    let living = 0
    for (let word = 0; word < state.length; word++) {
      const held = state[word] as number
      const accepted = held & ((this.#anyRow[word] as number) | (row?.[word] ?? 0))
      const moved = (accepted << 1) | carry | (held & (this.#loops[word] as number))
      carry = accepted >>> 31
      next[word] = moved
      living |= moved
    }
    for (const at of this.#lists.get(character) ?? noPlaces) {
      if (((state[at >> 5] as number) & (1 << (at & 31))) === 0) continue
      const to = at + 1
      next[to >> 5] = (next[to >> 5] as number) | (1 << (to & 31))
      living = 1
    }
    this.#state = next
    this.#next = state
    return living !== 0
  }
}

const noPlaces: readonly number[] = []

function rowOf(places: readonly number[], words: number): Uint32Array {
  const row = new Uint32Array(words)
  for (const at of places) row[at >> 5] = (row[at >> 5] as number) | (1 << (at & 31))
  return row
}
