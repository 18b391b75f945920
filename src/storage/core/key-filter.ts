// Which keys a table may have: a Bloom filter (Bloom, "Space/time trade-offs in hash coding", 1970) that grows. It
// never says of a key that was added that it is absent; of others it does so for all but about one in 500.
//
// Bits are in layers: one that has as many keys as it is made for stays as it is, and one for twice as many takes
// what follows. So growing costs no second look at the keys, and a question costs one probe per layer that does not
// know the key. Keys are never taken out; who deletes many builds a new filter some day.
//
// Keys are texts with one character per byte (key-text.ts), or the bytes themselves: both have the same hash.

const firstCapacity = 65_536
const bitsPerKey = 16
const probes = 5
const hashBytes = 8

type Layer = {
  readonly words: Uint32Array
  readonly mask: number
  readonly capacity: number
  count: number
}

export class KeyFilter {
  readonly #layers: Layer[] = []
  #count = 0
  /** Of the key that was looked at last. */
  #a = 0
  #b = 0

  /** Keys that were added, one that came twice perhaps twice. */
  get count(): number {
    return this.#count
  }

  add(text: string): void {
    this.#hashText(text)
    this.#add()
  }

  /** Adds all keys of an encodeHashes(). */
  addHashes(hashes: Uint8Array): void {
    const view = new DataView(hashes.buffer, hashes.byteOffset, hashes.byteLength)
    for (let at = 0; at + hashBytes <= hashes.length; at += hashBytes) {
      this.#a = view.getUint32(at)
      this.#b = view.getUint32(at + 4)
      this.#add()
    }
  }

  /** False: it was never added. */
  mayHave(text: string): boolean {
    if (this.#count === 0) return false
    this.#hashText(text)
    for (const layer of this.#layers) if (this.#isIn(layer)) return true
    return false
  }

  #add(): void {
    let last = this.#layers.at(-1)
    if (last === undefined || last.count >= last.capacity) {
      last = emptyLayer(last === undefined ? firstCapacity : 2 * last.capacity)
      this.#layers.push(last)
    }
    for (const layer of this.#layers) if (this.#isIn(layer)) return
    const { words, mask } = last
    for (let i = 0, bit = this.#a; i < probes; i++, bit = (bit + this.#b) >>> 0) {
      const at = (bit & mask) >>> 5
      words[at] = (words[at] as number) | (1 << (bit & 31))
    }
    last.count++
    this.#count++
  }

  #isIn({ words, mask }: Layer): boolean {
    for (let i = 0, bit = this.#a; i < probes; i++, bit = (bit + this.#b) >>> 0) {
      if (((words[(bit & mask) >>> 5] as number) & (1 << (bit & 31))) === 0) return false
    }
    return true
  }

  #hashText(text: string): void {
    let a = startA
    let b = startB
    for (let i = 0; i < text.length; i++) {
      const byte = text.charCodeAt(i)
      a = Math.imul(a ^ byte, factorA)
      b = Math.imul(b ^ byte, factorB)
    }
    this.#a = mix(a)
    this.#b = (mix(b) | 1) >>> 0
  }
}

/** The hashes of keys, for a filter on another thread. */
export function encodeHashes(keys: readonly Uint8Array[]): Uint8Array {
  const hashes = new Uint8Array(keys.length * hashBytes)
  const view = new DataView(hashes.buffer)
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as Uint8Array
    let a = startA
    let b = startB
    for (let at = 0; at < key.length; at++) {
      a = Math.imul(a ^ (key[at] as number), factorA)
      b = Math.imul(b ^ (key[at] as number), factorB)
    }
    view.setUint32(i * hashBytes, mix(a))
    view.setUint32(i * hashBytes + 4, mix(b) | 1)
  }
  return hashes
}

function emptyLayer(capacity: number): Layer {
  const bits = capacity * bitsPerKey
  return { words: new Uint32Array(bits / 32), mask: bits - 1, capacity, count: 0 }
}

const startA = 0x811c9dc5
const factorA = 0x01000193
const startB = 0x9747b28c
const factorB = 0x5bd1e995

/** MurmurHash3's finalizer: every bit of the input moves half of the output's. */
function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
