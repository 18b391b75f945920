// What the search has done so far (which operations, in which state) and every such configuration that it
// has been in: Lowe's memory ("Testing for linearizability", 2017, section 4), so that no configuration
// is searched twice.
//
// Done operations are bits in order of their calls. All words before the first one with a gap are full, so a
// configuration is remembered by that word's number and the words from there to the last one in use: its
// size follows the concurrency, not the length of the history.

/** A word of bits is one character of a key. */
const bitsPerWord = 16
const fullWord = 0xffff
/** What an entry of a Set costs beside its characters, about. */
const entryBytes = 64
/** A Set of this engine holds no more than 2^24. */
const entriesMax = 16_000_000

export class Configurations<State> {
  readonly #stateKey: (state: State) => string
  readonly #states = new Map<string, number>()
  readonly #seen = new Set<string>()
  readonly #done: Uint16Array
  readonly #pending: Uint16Array
  readonly #memoryBytesMax: number
  #memoryBytes = 0
  #firstGap = 0
  #lastUsed = 0

  constructor(
    counts: { readonly done: number; readonly pending: number },
    { stateKey, memoryBytesMax }: { stateKey: (state: State) => string; memoryBytesMax: number },
  ) {
    this.#stateKey = stateKey
    this.#memoryBytesMax = memoryBytesMax
    this.#done = new Uint16Array(Math.ceil(counts.done / bitsPerWord) + 1)
    this.#pending = new Uint16Array(Math.ceil(counts.pending / bitsPerWord))
  }

  get count(): number {
    return this.#seen.size
  }

  /** No room to remember more. */
  get isFull(): boolean {
    return this.#memoryBytes > this.#memoryBytesMax || this.#seen.size >= entriesMax
  }

  /** A small number, equal exactly for equal states. */
  stateNumber(state: State): number {
    const key = this.#stateKey(state)
    const known = this.#states.get(key)
    if (known !== undefined) return known
    const number = this.#states.size
    this.#states.set(key, number)
    this.#memoryBytes += entryBytes + key.length * 2
    return number
  }

  setDone(number: number, isDone: boolean): void {
    const word = Math.floor(number / bitsPerWord)
    setBit(this.#done, number, isDone)
    if (!isDone) this.#firstGap = Math.min(this.#firstGap, word)
    else this.#lastUsed = Math.max(this.#lastUsed, word)
  }

  setPending(number: number, isDone: boolean): void {
    setBit(this.#pending, number, isDone)
  }

  isPendingDone(number: number): boolean {
    const word = this.#pending[Math.floor(number / bitsPerWord)] ?? 0
    return (word & (1 << (number % bitsPerWord))) !== 0
  }

  /** False when this configuration was entered before. */
  enter(state: number): boolean {
    const key = this.#key(state)
    if (this.#seen.has(key)) return false
    this.#seen.add(key)
    this.#memoryBytes += entryBytes + key.length * 2
    return true
  }

  #key(state: number): string {
    while (this.#done[this.#firstGap] === fullWord) this.#firstGap++
    while (this.#lastUsed > this.#firstGap && this.#done[this.#lastUsed] === 0) this.#lastUsed--
    let key = String.fromCharCode(
      state & fullWord,
      state >>> bitsPerWord,
      this.#firstGap & fullWord,
      this.#firstGap >>> bitsPerWord,
    )
    for (const word of this.#pending) key += String.fromCharCode(word)
    for (let word = this.#firstGap; word <= this.#lastUsed; word++) {
      key += String.fromCharCode(this.#done[word] as number)
    }
    return key
  }
}

function setBit(words: Uint16Array, number: number, isSet: boolean): void {
  const word = Math.floor(number / bitsPerWord)
  const mask = 1 << (number % bitsPerWord)
  const before = words[word] as number
  words[word] = isSet ? before | mask : before & ~mask
}
