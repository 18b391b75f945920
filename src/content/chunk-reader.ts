// Reading one chunk from any k of its shards.
//
// Undisturbed, a read takes the data shards that its range touches and gives their units as they come: nothing
// is copied or computed. When all of them lie elsewhere and parity lies here, or when a shard is missing, damaged,
// unreachable or slow, (the rest of) the chunk is gathered: k shards in step, stripe by stripe, into slots of the
// kernel, which makes the units that are wanted. A shard in trouble is left out from then on (a damaged one for the stripes up to the damage), and
// gathering goes on at the same stripe with another. Repair gathers too, with the lost shard as the only one wanted.

import { assert, Fault, isFault, type NodeId, toHex } from '../base/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Context } from './context.ts'
import { shardCount, stripesTouched, unitLength, unitSpan } from './core/layout.ts'
import { type ChunkRecord, namespaceTag, noHolder, shardKey } from './core/records.ts'
import type { Slot } from './kernel/kernel.ts'
import { ShardSource, type Trouble } from './shard-source.ts'
import type { StoredShards } from './stored-shards.ts'

const watchMs = 20
/** Slow shards are tried again this often before a chunk counts as unreadable. */
const patienceMax = 2

export type ReadableChunk = {
  readonly keyspace: Keyspace
  readonly id: Uint8Array
  readonly record: ChunkRecord
}

/** A stripe with every wanted unit in a slot. */
export type GatheredStripe = {
  readonly stripe: number
  readonly length: number
  /** By shard, in the order in which they were wanted. */
  readonly slots: ReadonlyMap<number, Slot>
}

export type GatherOptions<T> = {
  readonly take: (gathered: GatheredStripe) => T | Promise<T>
  readonly signal?: AbortSignal | undefined
}

export type ChunkRange = {
  readonly from: number
  readonly to: number
  readonly signal: AbortSignal | undefined
}

export class ChunkReader {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #keyspace: Keyspace
  readonly #id: Uint8Array
  #record: ChunkRecord
  #isFresh = false
  /** A shard is not where the record, which may be old, says. */
  #isDoubtful = false
  /** One hedge per chunk: on a cluster that is slow everywhere, more would only add load. */
  #hasHedged = false
  #patience = 0
  #avoided: number | undefined
  /** Shards left out: up to which stripe, and why. */
  readonly #left = new Map<number, Trouble & { readonly untilStripe: number }>()

  constructor(context: Context, stored: StoredShards, chunk: ReadableChunk) {
    this.#context = context
    this.#stored = stored
    this.#keyspace = chunk.keyspace
    this.#id = chunk.id
    this.#record = chunk.record
  }

  /** Verified bytes of [from, to), in slices that are valid until the next is asked for. */
  async *read({ from, to, signal }: ChunkRange): AsyncGenerator<Uint8Array, void, void> {
    const layout = this.#record
    let position = from
    if (this.#areDataShardsUp(from, to) && !this.#isParityNearer(from, to)) {
      for await (const slice of this.#readDirectly({ from, to, signal })) {
        position += slice.length
        yield slice
      }
    }
    if (position >= to) return
    const dataShards = Array.from({ length: layout.dataShards }, (_, shard) => shard)
    const touched = dataShards.filter((shard) => {
      const { first, last } = stripesTouched(layout, shard, { from: position, to })
      return first <= last
    })
    const bytes = layout.dataShards * layout.unitBytes
    const stripes = { first: Math.floor(position / bytes), last: Math.floor((to - 1) / bytes) }
    const room = new Uint8Array(Math.min(bytes, to - position))
    const copy = ({ stripe, slots }: GatheredStripe): readonly Uint8Array[] => {
      const slices: Uint8Array[] = []
      let used = 0
      for (const [shard, slot] of slots) {
        const span = unitSpan(layout, stripe, shard)
        const start = Math.max(span.from, position)
        const end = Math.min(span.to, to)
        if (start >= end) continue
        const slice = room.subarray(used, used + end - start)
        slice.set(this.#context.kernel.view(slot + start - span.from, slice.length))
        slices.push(slice)
        used += slice.length
        position = end
      }
      return slices
    }
    for await (const slices of this.gather(touched, stripes, { take: copy, signal })) yield* slices
    assert(position === to, 'a read gives the whole range')
  }

  /**
   * What `take` makes of every wanted shard's units, stripe by stripe of [first, last]. It alone has the slots: who
   * asks for the next result may take hours. Fault 'corrupt' or 'unavailable' when fewer than k shards are left.
   */
  async *gather<T>(
    wanted: readonly number[],
    stripes: { readonly first: number; readonly last: number },
    options: GatherOptions<T>,
  ): AsyncGenerator<T, void, void> {
    let next = stripes.first
    while (next <= stripes.last) {
      const shards = await this.#choose(next, wanted)
      const sources = shards.map((shard) => this.#open(shard, next, stripes.last))
      const watch = this.#watch(sources)
      try {
        while (next <= stripes.last) {
          if (options.signal?.aborted === true) throw readerGone()
          const slots = await this.#takeStripe(sources, wanted, next)
          if (slots === undefined) break
          let taken: T
          try {
            const length = unitLength(this.#record, next)
            taken = await options.take({ stripe: next, length, slots: only(slots, wanted) })
          } finally {
            this.#context.slots.freeAll(slots.values())
          }
          next++
          yield taken
        }
      } finally {
        watch.cancel()
        for (const source of sources) source.close()
      }
    }
  }

  /** Never reads this shard: the one that is being rebuilt. */
  avoid(shard: number): void {
    this.#avoided = shard
  }

  /** Ends early, without fault, at the first trouble. */
  async *#readDirectly({ from, to, signal }: ChunkRange): AsyncGenerator<Uint8Array, void, void> {
    const layout = this.#record
    const sources: (ShardSource | undefined)[] = []
    for (let shard = 0; shard < layout.dataShards; shard++) {
      const { first, last } = stripesTouched(layout, shard, { from, to })
      sources.push(first <= last ? this.#open(shard, first, last) : undefined)
    }
    const opened = sources.filter((source) => source !== undefined)
    const watch = this.#watch(opened)
    try {
      const bytes = layout.dataShards * layout.unitBytes
      for (let stripe = Math.floor(from / bytes); stripe * bytes < to; stripe++) {
        for (const [shard, source] of sources.entries()) {
          const span = unitSpan(layout, stripe, shard)
          const start = Math.max(span.from, from)
          const end = Math.min(span.to, to)
          if (source === undefined || start >= end) continue
          if (signal?.aborted === true) throw readerGone()
          const unit = await source.next()
          if (!(unit instanceof Uint8Array)) {
            this.#leave(unit)
            return
          }
          yield unit.subarray(start - span.from, end - span.from)
        }
      }
    } finally {
      watch.cancel()
      for (const source of opened) source.close()
    }
  }

  /** Slots with k units and the wanted ones made from them; undefined after trouble. */
  async #takeStripe(
    sources: readonly ShardSource[],
    wanted: readonly number[],
    stripe: number,
  ): Promise<Map<number, Slot> | undefined> {
    const { kernel, slots: pool } = this.#context
    const length = unitLength(this.#record, stripe)
    assert(length <= kernel.unitBytes, 'units of the cluster fit the slots of its kernels')
    const units = await Promise.all(sources.map((source) => source.next()))
    const troubles = units.flatMap((unit) => (unit instanceof Uint8Array ? [] : [unit]))
    for (const trouble of troubles) this.#leave(trouble)
    if (troubles.length > 0) return undefined
    const computed = wanted.filter((shard) => !sources.some((source) => source.shard === shard))
    const taken = await pool.take(sources.length + computed.length)
    const slots = new Map<number, Slot>()
    for (const [i, source] of sources.entries()) {
      const slot = taken[i] as Slot
      kernel.view(slot, length).set(units[i] as Uint8Array)
      slots.set(source.shard, slot)
    }
    const targets = computed.map((shard, i) => ({ shard, slot: taken[sources.length + i] as Slot }))
    if (targets.length > 0) {
      const given = [...slots].map(([shard, slot]) => ({ shard, slot }))
      kernel.reconstruct(this.#record.dataShards, given, targets, length)
      for (const { shard, slot } of targets) slots.set(shard, slot)
    }
    return slots
  }

  /** k shards to read a stripe from: those of holders that are up, the one that is here, and wanted ones first. */
  async #choose(stripe: number, wanted: readonly number[]): Promise<readonly number[]> {
    if (this.#isDoubtful) await this.#lookAgain()
    for (;;) {
      const usable: number[] = []
      for (let shard = 0; shard < shardCount(this.#record); shard++) {
        const left = this.#left.get(shard)
        if (shard === this.#avoided || (left !== undefined && left.untilStripe >= stripe)) continue
        if (this.#holder(shard) !== noHolder) usable.push(shard)
      }
      const score = (shard: number): number =>
        (this.#context.holders.isUp(this.#holder(shard)) ? 0 : 1000) +
        (this.#isHere(shard) ? 0 : 500) +
        (wanted.includes(shard) ? 0 : 100) +
        shard
      usable.sort((a, b) => score(a) - score(b))
      if (usable.length >= this.#record.dataShards) return usable.slice(0, this.#record.dataShards)
      await this.#reconsider()
    }
  }

  /**
   * A holder that does not have its shard any more has given it away, unless the record, asked anew, still names it:
   * then it has lost it.
   */
  async #lookAgain(): Promise<void> {
    this.#isDoubtful = false
    this.#isFresh = true
    const before = this.#record.holders
    this.#record = await this.#freshRecord()
    for (const [shard, left] of this.#left) {
      if (left.why !== 'missing') continue
      if (before[shard] === this.#holder(shard)) this.#reportDamage(shard)
      else this.#left.delete(shard)
    }
  }

  /** Too few shards: the record may be stale, slow ones deserve another try; otherwise the chunk is unreadable. */
  async #reconsider(): Promise<void> {
    if (!this.#isFresh) {
      this.#isFresh = true
      this.#record = await this.#freshRecord()
      this.#forget((left) => left.why !== 'damaged')
      return
    }
    if (this.#patience < patienceMax && this.#forget((left) => left.why === 'slow')) {
      this.#patience++
      return
    }
    const isDamaged = [...this.#left.values()].some((left) => left.why === 'damaged')
    const why = [...this.#left.values()].map((left) => `shard ${left.shard}: ${left.fault.message}`)
    throw new Fault(
      isDamaged ? 'corrupt' : 'unavailable',
      `chunk ${toHex(this.#id)} has fewer than ${this.#record.dataShards} readable shards (${why.join('; ')})`,
      { next: 'Bring back the nodes that are down and repeat the request.' },
    )
  }

  async #freshRecord(): Promise<ChunkRecord> {
    try {
      return (await this.#context.table.fresh(this.#keyspace, this.#id)).record
    } catch (error) {
      if (isFault(error, 'not-found')) return this.#record
      throw error
    }
  }

  #forget(isForgotten: (left: Trouble & { readonly untilStripe: number }) => boolean): boolean {
    let forgot = false
    for (const [shard, left] of this.#left) {
      if (!isForgotten(left)) continue
      this.#left.delete(shard)
      forgot = true
    }
    return forgot
  }

  #leave(trouble: Trouble): void {
    const isDamaged = trouble.why === 'damaged'
    const untilStripe = isDamaged ? trouble.stripe : Number.POSITIVE_INFINITY
    this.#left.set(trouble.shard, { ...trouble, untilStripe })
    if (trouble.why === 'slow') {
      this.#hasHedged = true
      this.#context.hedge.record(this.#context.hedge.limitMs)
    }
    if (trouble.why === 'missing' && !this.#isFresh) this.#isDoubtful = true
    else if (isDamaged || trouble.why === 'missing') this.#reportDamage(trouble.shard)
  }

  #reportDamage(shard: number): void {
    const { name: namespace } = this.#keyspace
    const holder = this.#holder(shard)
    this.#context.onDamage({ namespace, id: this.#id, shard, holder })
  }

  #areDataShardsUp(from: number, to: number): boolean {
    for (let shard = 0; shard < this.#record.dataShards; shard++) {
      const { first, last } = stripesTouched(this.#record, shard, { from, to })
      if (first > last) continue
      if (this.#left.has(shard) || !this.#context.holders.isUp(this.#holder(shard))) return false
    }
    return true
  }

  /**
   * A range that takes all data shards from elsewhere costs less with the parity that lies here: computing is cheaper
   * than carrying.
   */
  #isParityNearer(from: number, to: number): boolean {
    for (let shard = 0; shard < this.#record.dataShards; shard++) {
      const { first, last } = stripesTouched(this.#record, shard, { from, to })
      if (first > last || this.#isHere(shard)) return false
    }
    for (let shard = this.#record.dataShards; shard < shardCount(this.#record); shard++) {
      if (this.#isHere(shard) && !this.#left.has(shard) && shard !== this.#avoided) return true
    }
    return false
  }

  #isHere(shard: number): boolean {
    return this.#holder(shard) === this.#context.self
  }

  #open(shard: number, first: number, last: number): ShardSource {
    const tag = namespaceTag(this.#keyspace.name)
    const key = shardKey({ tag, id: this.#id, shard })
    const holder = this.#holder(shard)
    return new ShardSource(this.#context, this.#stored, {
      shard,
      holder,
      key,
      layout: this.#record,
      first,
      last,
      moveBytesPerSecond: 0,
    })
  }

  #holder(shard: number): NodeId {
    return this.#record.holders[shard] ?? noHolder
  }

  #watch(sources: readonly ShardSource[]): { cancel(): void } {
    const { clock } = this.#context.host
    return clock.every(watchMs, () => {
      const limitMs = this.#hasHedged ? this.#context.limits.stallMs : this.#context.hedge.limitMs
      for (const source of sources) if (source.isSlow(limitMs)) source.giveUp()
    })
  }
}

function readerGone(): Fault {
  return new Fault('cancelled', 'the reader has gone')
}

/** The wanted shards in their order. */
function only(slots: ReadonlyMap<number, Slot>, wanted: readonly number[]): Map<number, Slot> {
  return new Map(wanted.map((shard) => [shard, slots.get(shard) as Slot]))
}
