// Segments in memory, with checksums per 64 KiB as the real ones have, that a test can damage or fill up.
// Only verified bytes leave.

import { concatBytes, crc32c, Fault, fromHex, toHex } from '../../base/index.ts'
import type { SegmentObject, Segments } from '../../storage/index.ts'
import type { Turn } from './fake-clock.ts'

type Stored = { bytes: Uint8Array; sums: number[]; stamp: number }
const segmentUnit = 65_536

export class FakeSegments implements Segments {
  readonly objects = new Map<string, Stored>()
  isFull = false
  /** False: damage passes, as damage between this node and a reader would. */
  checksUnits = true
  readonly #turn: Turn

  constructor(turn: Turn) {
    this.#turn = turn
  }

  write(key: Uint8Array, options: { readonly stamp?: number } = {}) {
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
        for (let at = 0; at < bytes.length; at += segmentUnit) {
          sums.push(crc32c(bytes.subarray(at, at + segmentUnit)))
        }
        this.objects.set(toHex(key), { bytes, sums, stamp: options.stamp ?? 0 })
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
    const { at, count } = range ?? { at: 0, count: this.#find(key).bytes.length }
    for (let from = at; from < at + count; ) {
      const to = Math.min(at + count, (Math.floor(from / segmentUnit) + 1) * segmentUnit)
      await this.#turn()
      yield this.#verified(key, { at: from, count: to - from }).slice()
      from = to
    }
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
    const { bytes, sums } = this.#find(key)
    const { at, count } = range ?? { at: 0, count: bytes.length }
    for (let unit = Math.floor(at / segmentUnit); unit * segmentUnit < at + count; unit++) {
      const slice = bytes.subarray(unit * segmentUnit, (unit + 1) * segmentUnit)
      if (this.checksUnits && crc32c(slice) !== sums[unit])
        throw new Fault('corrupt', `unit ${unit} is damaged`)
    }
    return bytes.subarray(at, at + count)
  }
}
