// ObjectIndex: key -> where its bytes are, and which records of each file still mean something.
// It is fed with the same facts live and at recovery (seals, deletes, touches, in any order of files),
// and gives the same result: order among facts of a key is their `sequence`, not their place.
//
// Garbage: a seal that a later seal or delete of its key overrules is dead but still on disk. As long
// as a key has dead seals, its tombstone must stay, or a restart would bring the object back. So dead
// seals are counted per key; when the last one has gone with its file, the tombstone is garbage too.
//
// Memory: one Entry per object with its extents as a flat list of small integers (file, offset, units):
// neighbouring units form one extent.

import { recordLength } from './segment-format.ts'
import { SortedMap } from './sorted-map.ts'

export type IndexedFile = { readonly number: number; live: number }

export type Entry<F extends IndexedFile> = {
  bytes: number
  unitBytes: number
  write: number
  readonly sequence: number
  stamp: number
  stampSequence: number
  /** Triples: file number, offset of the first unit's record, units. */
  extents: readonly number[]
  sealIn: F | undefined
  sealLength: number
  touchIn: F | undefined
  touchLength: number
  /** The object itself, while its bytes are on their way to the file. */
  pending: Uint8Array | undefined
}

/** An empty object that is nowhere yet. */
export function unplacedEntry<F extends IndexedFile>(sequence: number, stamp: number): Entry<F> {
  return {
    bytes: 0,
    unitBytes: 0,
    write: 0,
    sequence,
    stamp,
    stampSequence: sequence,
    extents: [],
    sealIn: undefined,
    sealLength: 0,
    touchIn: undefined,
    touchLength: 0,
    pending: undefined,
  }
}

type Tombstone<F> = { sequence: number; file: F; length: number }

export class ObjectIndex<F extends IndexedFile> {
  readonly #files: ReadonlyMap<number, F>
  readonly #entries = new SortedMap<Entry<F>>()
  readonly #dead = new Map<string, number>()
  readonly #tombstones = new Map<string, Tombstone<F>>()
  #liveBytes = 0

  constructor(files: ReadonlyMap<number, F>) {
    this.#files = files
  }

  get size(): number {
    return this.#entries.size
  }

  /** Bytes of live objects. */
  get liveBytes(): number {
    return this.#liveBytes
  }

  get(key: string): Entry<F> | undefined {
    return this.#entries.get(key)
  }

  scan(after: string | undefined, visit: (key: string, entry: Entry<F>) => boolean): void {
    this.#entries.scan({ start: after === undefined ? '' : `${after}\u0000` }, visit)
  }

  /** A seal is on disk (or on its way). False when something later overrules it: it is dead on arrival. */
  seal(key: string, entry: Entry<F>): boolean {
    const current = this.#entries.get(key)
    const tombstone = this.#tombstones.get(key)
    const isOverruled =
      (current !== undefined && current.sequence > entry.sequence) ||
      (tombstone !== undefined && tombstone.sequence > entry.sequence)
    if (isOverruled) {
      this.#addDead(key)
      return false
    }
    if (current !== undefined) {
      if (current.sequence === entry.sequence && current.stampSequence > entry.stampSequence) {
        this.#inheritTouch(current, entry)
      }
      this.#retire(key, current)
    }
    this.#entries.set(key, entry)
    this.#liveBytes += entry.bytes
    this.#countEntry(entry, 1)
    return true
  }

  delete(key: string, tombstone: Tombstone<F>): void {
    const current = this.#entries.get(key)
    if (current !== undefined && current.sequence < tombstone.sequence) {
      this.#entries.delete(key)
      this.#retire(key, current)
    }
    const known = this.#tombstones.get(key)
    if (known !== undefined && known.sequence > tombstone.sequence) return
    if (known !== undefined) known.file.live -= known.length
    this.#tombstones.set(key, tombstone)
    tombstone.file.live += tombstone.length
  }

  /** False when it does not apply: no object, or something later is known. */
  touch(
    key: string,
    touch: {
      readonly sequence: number
      readonly stamp: number
      readonly file: F
      readonly length: number
    },
  ): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined || touch.sequence <= entry.stampSequence) return false
    if (entry.touchIn !== undefined) entry.touchIn.live -= entry.touchLength
    entry.stamp = touch.stamp
    entry.stampSequence = touch.sequence
    entry.touchIn = touch.file
    entry.touchLength = touch.length
    touch.file.live += touch.length
    return true
  }

  /** Takes back a seal that could not be written; `before` is what it had replaced. */
  revoke(key: string, entry: Entry<F>, before: Entry<F> | undefined): void {
    if (this.#entries.get(key) !== entry) return
    this.#entries.delete(key)
    this.#liveBytes -= entry.bytes
    this.#countEntry(entry, -1)
    if (before === undefined) return
    this.#removeDead(key)
    this.#entries.set(key, before)
    this.#liveBytes += before.bytes
    this.#countEntry(before, 1)
  }

  /** The bytes of an entry have found their place (or, by compaction, a new one). */
  place(
    entry: Entry<F>,
    place: {
      readonly write: number
      readonly extents: readonly number[]
      readonly sealIn: F
      readonly sealLength: number
    },
  ): void {
    this.#countEntry(entry, -1)
    Object.assign(entry, place)
    entry.pending = undefined
    this.#countEntry(entry, 1)
  }

  /** Compaction has copied the object: its old seal is dead. */
  moved(key: string): void {
    this.#addDead(key)
  }

  /** A file with this dead seal of the key is gone for good. */
  buried(key: string): void {
    this.#removeDead(key)
    if (!this.#dead.has(key)) this.#dropTombstone(key)
  }

  tombstone(key: string): Tombstone<F> | undefined {
    return this.#tombstones.get(key)
  }

  deadSeals(key: string): number {
    return this.#dead.get(key) ?? 0
  }

  /** After recovery: tombstones that nothing needs. */
  dropUselessTombstones(): void {
    for (const key of [...this.#tombstones.keys()])
      if (!this.#dead.has(key)) this.#dropTombstone(key)
  }

  #dropTombstone(key: string): void {
    const tombstone = this.#tombstones.get(key)
    if (tombstone === undefined) return
    tombstone.file.live -= tombstone.length
    this.#tombstones.delete(key)
  }

  #retire(key: string, entry: Entry<F>): void {
    this.#liveBytes -= entry.bytes
    this.#countEntry(entry, -1)
    this.#addDead(key)
  }

  #inheritTouch(from: Entry<F>, to: Entry<F>): void {
    to.stamp = from.stamp
    to.stampSequence = from.stampSequence
    to.touchIn = from.touchIn
    to.touchLength = from.touchLength
  }

  #addDead(key: string): void {
    this.#dead.set(key, (this.#dead.get(key) ?? 0) + 1)
  }

  #removeDead(key: string): void {
    const count = this.#dead.get(key) ?? 0
    if (count > 1) this.#dead.set(key, count - 1)
    else this.#dead.delete(key)
  }

  #countEntry(entry: Entry<F>, sign: 1 | -1): void {
    let bytes = entry.bytes
    const { extents, unitBytes } = entry
    for (let i = 0; i < extents.length; i += 3) {
      const units = extents[i + 2] as number
      const held = Math.min(bytes, units * unitBytes)
      bytes -= held
      const last = held - (units - 1) * unitBytes
      const length = (units - 1) * recordLength(unitBytes) + recordLength(last)
      const file = this.#files.get(extents[i] as number)
      if (file !== undefined) file.live += sign * length
    }
    if (entry.sealIn !== undefined) entry.sealIn.live += sign * entry.sealLength
    if (entry.touchIn !== undefined) entry.touchIn.live += sign * entry.touchLength
  }
}
