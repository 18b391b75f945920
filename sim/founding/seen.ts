// Which worlds were seen: their 128-bit fingerprints, in an open table without objects, so that hundreds of
// millions fit into memory. Two of n worlds share one with a chance of n * n / 2 ** 129: of a billion worlds
// less than one in 10 ** 20, and then one world would be left out.

/** Four lanes of 32 bits per world. */
const lanes = 4
const sizeFirst = 2 ** 12

export class Seen {
  #table = new Int32Array(sizeFirst * lanes)
  #slots = sizeFirst
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Whether the world that these numbers tell was not there; it is, afterwards. */
  add(numbers: ArrayLike<number>, count: number): boolean {
    let a = 0x243f6a88 ^ count
    let b = 0x85a308d3
    let c = 0x13198a2e
    let d = 0x03707344
    for (let at = 0; at < count; at++) {
      const number = (numbers[at] as number) + 1
      a = Math.imul(rotate(a ^ Math.imul(number, 0xcc9e2d51), 15) + b, 0x1b873593)
      b = Math.imul(rotate(b ^ Math.imul(number, 0x85ebca6b), 13) + c, 0xc2b2ae35)
      c = Math.imul(rotate(c ^ Math.imul(number, 0x9e3779b1), 17) + d, 0x27d4eb2f)
      d = Math.imul(rotate(d ^ Math.imul(number, 0x165667b1), 11) + a, 0x85ebca77)
    }
    // A slot of zeros is an empty one.
    return this.#insert(
      mix(a ^ rotate(d, 7)) || 1,
      mix(b ^ rotate(a, 3)),
      mix(c),
      mix(d ^ rotate(b, 19)),
    )
  }

  #insert(a: number, b: number, c: number, d: number): boolean {
    if (this.#size * 4 >= this.#slots * 3) this.#grow()
    const at = placeOf(this.#table, this.#slots, a, b, c, d)
    if (this.#table[at] !== 0) return false
    put(this.#table, at, a, b, c, d)
    this.#size++
    return true
  }

  #grow(): void {
    const before = this.#table
    this.#slots *= 2
    this.#table = new Int32Array(this.#slots * lanes)
    for (let at = 0; at < before.length; at += lanes) {
      const a = before[at] as number
      if (a === 0) continue
      const b = before[at + 1] as number
      const c = before[at + 2] as number
      const d = before[at + 3] as number
      put(this.#table, placeOf(this.#table, this.#slots, a, b, c, d), a, b, c, d)
    }
  }
}

/** Where this fingerprint is, or may be put. */
function placeOf(
  table: Int32Array,
  slots: number,
  a: number,
  b: number,
  c: number,
  d: number,
): number {
  let at = ((a >>> 0) % slots) * lanes
  for (;;) {
    if (table[at] === 0) return at
    if (table[at] === a && table[at + 1] === b && table[at + 2] === c && table[at + 3] === d) {
      return at
    }
    at += lanes
    if (at === table.length) at = 0
  }
}

function put(table: Int32Array, at: number, a: number, b: number, c: number, d: number): void {
  table[at] = a
  table[at + 1] = b
  table[at + 2] = c
  table[at + 3] = d
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by))
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
