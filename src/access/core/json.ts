// A strict reader of JSON (RFC 8259) for documents that decide about rights. JSON.parse keeps the last of two members
// of one name without a word, so that a policy could mean one thing to its reviewer and another to its evaluator: here
// that is refused, as are lone surrogates, and every fault names the place.
//
// Hostile input: bytes, depth and number of values are bounded before anything is built; linear time.

import { Fault, utf8Encode } from '../../base/index.ts'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
/** In order of the document. A map, because '__proto__' is a name like any other. */
export type JsonObject = ReadonlyMap<string, Json>

export type JsonBounds = {
  readonly bytesMax: number
  readonly depthMax: number
  readonly valuesMax: number
}

/** Fault 'invalid' (S3: MalformedPolicy) that says where. */
export function readJson(text: string, bounds: JsonBounds): Json {
  const isLong = text.length > bounds.bytesMax
  if (isLong || (text.length * 3 > bounds.bytesMax && utf8Encode(text).length > bounds.bytesMax)) {
    throw malformed(`longer than ${bounds.bytesMax} bytes`)
  }
  return new JsonReader(text, bounds).document()
}

/** What a document of rights is refused with; `place` is '' for the document itself. */
export function malformed(what: string, place = ''): Fault {
  const at = place === '' ? '' : `${place}: `
  return new Fault('invalid', `${at}${what}`, {
    s3: { code: 'MalformedPolicy', status: 400 },
    fields: { place },
  })
}

const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const words: readonly (readonly [string, Json])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
]

class JsonReader {
  readonly #text: string
  readonly #bounds: JsonBounds
  #at = 0
  #values = 0

  constructor(text: string, bounds: JsonBounds) {
    this.#text = text
    this.#bounds = bounds
  }

  document(): Json {
    const value = this.#value(1)
    this.#space()
    if (this.#at < this.#text.length) throw this.#refuse('something follows the document')
    return value
  }

  #value(depth: number): Json {
    if (++this.#values > this.#bounds.valuesMax) {
      throw this.#refuse(`more than ${this.#bounds.valuesMax} values`)
    }
    this.#space()
    const first = this.#text[this.#at]
    if (first === '{' || first === '[') {
      if (depth > this.#bounds.depthMax) {
        throw this.#refuse(`nested deeper than ${this.#bounds.depthMax}`)
      }
      this.#at++
      return first === '{' ? this.#object(depth) : this.#array(depth)
    }
    if (first === '"') return this.#string()
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#at)) continue
      this.#at += word.length
      return value
    }
    return this.#number()
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, Json>()
    if (this.#takes('}')) return members
    for (;;) {
      this.#space()
      if (this.#text[this.#at] !== '"') throw this.#refuse('a member begins with its name')
      const name = this.#string()
      if (members.has(name)) throw this.#refuse(`two members are called ${shown(name)}`)
      if (!this.#takes(':')) throw this.#refuse('":" is missing')
      members.set(name, this.#value(depth + 1))
      if (this.#takes('}')) return members
      if (!this.#takes(',')) throw this.#refuse('"," or "}" is missing')
    }
  }

  #array(depth: number): readonly Json[] {
    const values: Json[] = []
    if (this.#takes(']')) return values
    for (;;) {
      values.push(this.#value(depth + 1))
      if (this.#takes(']')) return values
      if (!this.#takes(',')) throw this.#refuse('"," or "]" is missing')
    }
  }

  /** Ends are found here, escapes are read by JSON.parse. */
  #string(): string {
    const start = this.#at
    let hasEscapes = false
    for (this.#at++; ; this.#at++) {
      const unit = this.#text.charCodeAt(this.#at)
      if (Number.isNaN(unit)) throw this.#refuse('a text does not end')
      if (unit < 0x20) throw this.#refuse('a control character within a text')
      if (unit === 0x22) break
      if (unit !== 0x5c) continue
      hasEscapes = true
      this.#at++
    }
    this.#at++
    const text = hasEscapes
      ? this.#unescape(this.#text.slice(start, this.#at))
      : this.#text.slice(start + 1, this.#at - 1)
    if (!text.isWellFormed()) throw this.#refuse('half of a character')
    return text
  }

  #unescape(quoted: string): string {
    try {
      return JSON.parse(quoted) as string
    } catch {
      throw this.#refuse('a malformed escape')
    }
  }

  #number(): number {
    numberPattern.lastIndex = this.#at
    const found = numberPattern.exec(this.#text)
    if (found === null) throw this.#refuse('a value is missing')
    this.#at += found[0].length
    return Number(found[0])
  }

  #takes(mark: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== mark) return false
    this.#at++
    return true
  }

  #space(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at)
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return
      this.#at++
    }
  }

  #refuse(what: string): Fault {
    return malformed(`not JSON: ${what}`, `character ${this.#at + 1}`)
  }
}

/** A name or value of the document within a message. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 61)}...` : text)
}
