// Shards of this node: writing one unit by unit, reading one verified, and the one order between touching a
// shard and sweeping it.
//
// Touch and sweep take turns (exclusive): a sweep that has looked at a stamp deletes before any touch of the
// same shard begins, or looks again after it. Otherwise: 1. the sweep sees an old stamp and no name; 2. a
// writer touches the shard and is told that it is there; 3. the sweep deletes it; 4. the writer names it.

import { assert, Fault, isFault } from '../base/index.ts'
import type { Segments } from '../storage/index.ts'
import { type Layout, shardBytes, stripeCount, unitLength } from './core/layout.ts'
import { parseShardKey } from './core/records.ts'
import {
  checkUnit,
  encodeTrailer,
  findTrailer,
  parseTrailer,
  storedBytes,
  trailerBytes,
  trailerBytesMax,
} from './core/shard-format.ts'

/** A shard that is being written. */
export type ShardDeposit = {
  readonly taken: number
  /** `unit` has been checked against `sum`; it is free again when the promise settles. */
  append(unit: Uint8Array, sum: number): Promise<void>
  /** Durable when it settles. Fault 'corrupt' when the units are not those of the layout. */
  seal(layout: Layout): Promise<void>
  abort(): Promise<void>
}

export class StoredShards {
  readonly segments: Segments
  #turn: Promise<unknown> = Promise.resolve()

  constructor(segments: Segments) {
    this.segments = segments
  }

  deposit(key: Uint8Array, stamp: number): ShardDeposit {
    const write = this.segments.write(key, { stamp })
    const sums: number[] = []
    let bytes = 0
    return {
      get taken() {
        return sums.length
      },
      append(unit, sum) {
        sums.push(sum)
        bytes += unit.length
        return write.append(unit, sum)
      },
      async seal(layout) {
        if (sums.length !== stripeCount(layout) || bytes !== shardBytes(layout)) {
          throw new Fault('corrupt', 'the units of a shard are not those of its chunk')
        }
        await write.append(encodeTrailer(layout, parseShardKey(key).shard, sums))
        await write.seal()
      },
      abort: () => write.abort(),
    }
  }

  /** The writer's checksums of all units. Fault 'not-found' or 'corrupt'. */
  async sums(key: Uint8Array, layout: Layout): Promise<Uint32Array> {
    const found = this.segments.find(key)
    if (found === undefined) throw new Fault('not-found', 'the shard is not on this node')
    if (found.bytes !== storedBytes(layout))
      throw new Fault('corrupt', 'a shard has a wrong length')
    const range = { at: shardBytes(layout), count: trailerBytes(layout) }
    return parseTrailer(await this.segments.read(key, range), layout, parseShardKey(key).shard)
  }

  /**
   * Units of stripes [first, last], as the segments have verified them; with `sums` each is also checked against
   * its writer's checksum. A unit stays as it is: rpc may send it later.
   */
  async *units(
    key: Uint8Array,
    layout: Layout,
    stripes: { readonly first: number; readonly last: number; readonly sums?: Uint32Array },
  ): AsyncGenerator<Uint8Array, void, void> {
    const at = stripes.first * layout.unitBytes
    const end = stripes.last * layout.unitBytes + unitLength(layout, stripes.last)
    let stripe = stripes.first
    let partial: Uint8Array | undefined
    let filled = 0
    for await (let slice of this.segments.stream(key, { at, count: end - at })) {
      while (slice.length > 0) {
        assert(stripe <= stripes.last, 'a stream ends at the end of its range')
        const length = unitLength(layout, stripe)
        let unit: Uint8Array | undefined
        if (filled === 0 && slice.length >= length) {
          unit = slice.subarray(0, length)
          slice = slice.subarray(length)
        } else {
          partial ??= new Uint8Array(length)
          const count = Math.min(length - filled, slice.length)
          partial.set(slice.subarray(0, count), filled)
          filled += count
          slice = slice.subarray(count)
          if (filled === length) unit = partial
        }
        if (unit === undefined) continue
        const sum = stripes.sums?.[stripe]
        if (sum !== undefined) checkUnit(layout, stripe, sum, unit)
        yield unit
        partial = undefined
        filled = 0
        stripe++
      }
    }
    if (stripe <= stripes.last) throw new Fault('corrupt', 'a shard ends before its last unit')
  }

  /** Reads the whole shard and checks each unit against its writer's checksum. */
  async verify(key: Uint8Array): Promise<'intact' | 'damaged' | 'missing'> {
    const found = this.segments.find(key)
    if (found === undefined) return 'missing'
    try {
      const count = Math.min(found.bytes, trailerBytesMax)
      const tail = await this.segments.read(key, { at: found.bytes - count, count })
      const { layout, sums } = findTrailer(tail, parseShardKey(key).shard)
      if (found.bytes !== storedBytes(layout)) return 'damaged'
      const stripes = { first: 0, last: stripeCount(layout) - 1, sums }
      for await (const unit of this.units(key, layout, stripes)) void unit
      return 'intact'
    } catch (error) {
      if (isFault(error, 'corrupt')) return 'damaged'
      if (isFault(error, 'not-found')) return 'missing'
      throw error
    }
  }

  /** Runs alone among touches and sweeps of this node. */
  exclusive<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run, run)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** Sets the stamp of those that are here; answers for each whether it is. */
  touch(keys: readonly Uint8Array[], stamp: number): Promise<readonly boolean[]> {
    return this.exclusive(async () => {
      const isHere = keys.map((key) => this.segments.find(key) !== undefined)
      const older = keys.filter((key) => {
        const found = this.segments.find(key)
        return found !== undefined && found.stamp < stamp
      })
      if (older.length > 0) await this.segments.touch(older, stamp)
      return isHere
    })
  }
}
