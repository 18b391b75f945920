// Shards of this node: writing one unit by unit, reading one verified, and the one order between touching a
// shard and sweeping it.
//
// Touch and sweep take turns (exclusive): a sweep that has looked at a stamp deletes before any touch of the
// same shard begins, or looks again after it. Otherwise: 1. the sweep sees an old stamp and no name; 2. a
// writer touches the shard and is told that it is there; 3. the sweep deletes it; 4. the writer names it.

import { Fault } from '../base/index.ts'
import type { Segments, StoredUnit } from '../storage/index.ts'
import { type Layout, shardBytes, stripeCount } from './core/layout.ts'
import { checkUnitLength } from './core/shard-format.ts'

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
  #depositCount = 0
  #refusesTouches = false

  constructor(segments: Segments) {
    this.segments = segments
  }

  deposit(
    key: Uint8Array,
    { stamp, unitBytes }: { readonly stamp: number; readonly unitBytes: number },
  ): ShardDeposit {
    const write = this.segments.write(key, { stamp, unitBytes })
    this.#depositCount++
    let isOpen = true
    const ended = (): void => {
      if (isOpen) this.#depositCount--
      isOpen = false
    }
    let taken = 0
    let bytes = 0
    return {
      get taken() {
        return taken
      },
      append(unit, sum) {
        taken++
        bytes += unit.length
        return write.append(unit, sum)
      },
      async seal(layout) {
        const isWhole = taken === stripeCount(layout) && bytes === shardBytes(layout)
        if (!isWhole || layout.unitBytes !== unitBytes) {
          throw new Fault('corrupt', 'the units of a shard are not those of its chunk')
        }
        await write.seal()
        ended()
      },
      abort: async () => {
        ended()
        await write.abort()
      },
    }
  }

  /** Nothing is stored here, nor is being stored. */
  get isEmpty(): boolean {
    return this.#depositCount === 0 && this.segments.list(undefined, 1).length === 0
  }

  /** Settles once no touch succeeds any more (or again). */
  refuseTouches(refuses: boolean): Promise<void> {
    return this.exclusive(async () => {
      this.#refusesTouches = refuses
    })
  }

  /**
   * Units of stripes [first, last] with their writer's checksums; the caller checks the bytes and gives each
   * unit back with recycle(). Fault 'not-found' or 'corrupt'.
   */
  async *units(
    key: Uint8Array,
    layout: Layout,
    stripes: { readonly first: number; readonly last: number },
  ): AsyncGenerator<StoredUnit, void, void> {
    const found = this.segments.find(key)
    if (found === undefined) throw new Fault('not-found', 'the shard is not on this node')
    if (found.bytes !== shardBytes(layout)) throw new Fault('corrupt', 'a shard has a wrong length')
    let stripe = stripes.first
    for await (const unit of this.segments.units(key, stripes)) {
      checkUnitLength(layout, stripe, unit.bytes)
      yield unit
      stripe++
    }
    if (stripe <= stripes.last) throw new Fault('corrupt', 'a shard ends before its last unit')
  }

  /** Nobody looks at a unit of units() any more. */
  recycle(unit: StoredUnit): void {
    this.segments.recycle(unit)
  }

  /** Reads the whole shard and checks each unit against its writer's checksum. */
  verify(key: Uint8Array): Promise<'intact' | 'damaged' | 'missing'> {
    return this.segments.verify(key)
  }

  /**
   * Deletes a shard that no chunk names, if it is damaged: nobody makes it again, and every scrub would report it until
   * the sweep comes to it. A writer that names it yet has named a missing shard, which the audit makes good.
   */
  deleteDamaged(key: Uint8Array): Promise<void> {
    return this.exclusive(async () => {
      if ((await this.verify(key)) === 'damaged') await this.segments.delete([key])
    })
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
      if (this.#refusesTouches) return keys.map(() => false)
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
