// Segments in memory, with checksums per unit as the real ones have, that a test can damage or fill up. Memory
// of a unit that was given back is overwritten, so that a reader that still looks at it sees.

import { concatBytes, crc32c, Fault, fromHex, toHex } from '../../base/index.ts'
import {
  type SegmentObject,
  type Segments,
  type StoredUnit,
  unitHeadRoomBytes,
} from '../../storage/index.ts'
import type { Turn } from './fake-clock.ts'

type Stored = { bytes: Uint8Array; unitBytes: number; sums: number[]; stamp: number }
const defaultUnitBytes = 65_536

export class FakeSegments implements Segments {
  readonly objects = new Map<string, Stored>()
  isFull = false
  readonly #turn: Turn

  constructor(turn: Turn) {
    this.#turn = turn
  }

  write(key: Uint8Array, options: { readonly stamp?: number; readonly unitBytes?: number } = {}) {
    const { stamp = 0, unitBytes = defaultUnitBytes } = options
    const parts: Uint8Array[] = []
    return {
      append: async (slice: Uint8Array) => {
        if (this.isFull) throw new Fault('no-space', 'the disk is full')
        await this.#turn()
        parts.push(slice.slice())
      },
      seal: async () => {
        await this.#turn()
        const bytes = concatBytes(parts)
        const sums: number[] = []
        for (let at = 0; at < bytes.length; at += unitBytes) {
          sums.push(crc32c(bytes.subarray(at, at + unitBytes)))
        }
        this.objects.set(toHex(key), { bytes, unitBytes, sums, stamp })
      },
      abort: async () => undefined,
    }
  }
  async put(key: Uint8Array, bytes: Uint8Array, options: { readonly stamp?: number } = {}) {
    const write = this.write(key, options)
    await write.append(bytes)
    await write.seal()
  }
  putUnsynced(key: Uint8Array, bytes: Uint8Array) {
    return this.put(key, bytes)
  }
  async sync() {}
  async read(key: Uint8Array, range?: { readonly at: number; readonly count: number }) {
    await this.#turn()
    return this.#verified(key, range)
  }
  async *stream(key: Uint8Array, range?: { readonly at: number; readonly count: number }) {
    const { bytes, unitBytes } = this.#find(key)
    const { at, count } = range ?? { at: 0, count: bytes.length }
    for (let from = at; from < at + count; ) {
      const to = Math.min(at + count, (Math.floor(from / unitBytes) + 1) * unitBytes)
      await this.#turn()
      yield this.#verified(key, { at: from, count: to - from }).slice()
      from = to
    }
  }
  async *units(key: Uint8Array, range: { readonly first: number; readonly last: number }) {
    const { bytes, unitBytes, sums } = this.#find(key)
    for (let unit = range.first; unit <= range.last; unit++) {
      await this.#turn()
      const payload = bytes.subarray(unit * unitBytes, (unit + 1) * unitBytes)
      const memory = new Uint8Array(unitHeadRoomBytes + payload.length)
      memory.set(payload, unitHeadRoomBytes)
      yield { bytes: memory.subarray(unitHeadRoomBytes), sum: sums[unit] as number }
    }
  }
  recycle({ bytes }: StoredUnit) {
    new Uint8Array(bytes.buffer).fill(0xdb)
  }
  find(key: Uint8Array): SegmentObject | undefined {
    const found = this.objects.get(toHex(key))
    return found === undefined
      ? undefined
      : { key: key.slice(), bytes: found.bytes.length, stamp: found.stamp }
  }
  async touch(keys: readonly Uint8Array[], stamp: number) {
    await this.#turn()
    for (const key of keys) this.#find(key).stamp = stamp
  }
  async delete(keys: readonly Uint8Array[]) {
    await this.#turn()
    for (const key of keys) this.objects.delete(toHex(key))
  }
  list(after: Uint8Array | undefined, limit: number): readonly SegmentObject[] {
    const names = [...this.objects.keys()].sort()
    const from = after === undefined ? '' : toHex(after)
    return names
      .filter((name) => name > from)
      .slice(0, limit)
      .map((name) => this.find(fromHex(name) as Uint8Array) as SegmentObject)
  }
  async verify(key: Uint8Array) {
    await this.#turn()
    if (!this.objects.has(toHex(key))) return 'missing'
    try {
      this.#verified(key, undefined)
      return 'intact'
    } catch {
      return 'damaged'
    }
  }
  async compact() {
    return 0
  }
  statistics() {
    let liveBytes = 0
    for (const { bytes } of this.objects.values()) liveBytes += bytes.length
    return { files: 1, liveBytes, garbageBytes: 0, objects: this.objects.size }
  }
  async close() {}

  /** Flips a bit; the checksums stay. */
  damage(name: string, at: number): void {
    const { bytes } = this.objects.get(name) as Stored
    bytes[at] = (bytes[at] as number) ^ 1
  }

  #find(key: Uint8Array): Stored {
    const found = this.objects.get(toHex(key))
    if (found === undefined) throw new Fault('not-found', 'no such object')
    return found
  }
  #verified(key: Uint8Array, range?: { readonly at: number; readonly count: number }): Uint8Array {
    const { bytes, unitBytes, sums } = this.#find(key)
    const { at, count } = range ?? { at: 0, count: bytes.length }
    for (let unit = Math.floor(at / unitBytes); unit * unitBytes < at + count; unit++) {
      const slice = bytes.subarray(unit * unitBytes, (unit + 1) * unitBytes)
      if (crc32c(slice) !== sums[unit]) throw new Fault('corrupt', `unit ${unit} is damaged`)
    }
    return bytes.subarray(at, at + count)
  }
}
