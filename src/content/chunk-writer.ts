// One chunk on its way to its holders: stripes come in full, parity is computed in place, and each unit goes
// to the lane of its shard. settle() waits for the lanes and answers which shards are durable and where.
//
// How many must be durable: k+1 (k when there is no parity). k only while fewer than k+1 members are up and
// the bucket allows it. When fewer are and other members are up, the missing shards are rebuilt onto them
// from the durable ones; the rest is recorded as missing and left to repair.

import { assert, crc32c, Fault, type NodeId } from '../base/index.ts'
import type { Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Context } from './context.ts'
import { type Layout, shardCount, unitLengthFor } from './core/layout.ts'
import { type ChunkRecord, chunkIdBytes, namespaceTag, noHolder, shardKey } from './core/records.ts'
import type { Slot } from './kernel/kernel.ts'
import { rebuildShard } from './rebuild.ts'
import { ShardLane } from './shard-lane.ts'
import { openSink } from './shard-sink.ts'
import type { StoredShards } from './stored-shards.ts'

/** Stripe layout of an upload: the chunk's length comes at its end. */
export type Code = Omit<Layout, 'length'>

export type ChunkUpload = {
  readonly keyspace: Keyspace
  readonly code: Code
  readonly stamp: number
  readonly allowsBareQuorum: boolean
  /** Gives a slot back to the upload. */
  readonly free: (slot: Slot) => void
}

/** A chunk whose shards are durable on the holders of the record. */
export type StoredChunk = {
  readonly id: Uint8Array
  readonly record: ChunkRecord
  readonly stamp: number
}

export class ChunkWriter {
  readonly id: Uint8Array
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #upload: ChunkUpload
  readonly #lanes: (ShardLane | undefined)[]
  readonly #watch: Timer
  #stripes = 0
  #length = 0

  /** Chooses the holders and opens a lane to each that is up. */
  constructor(context: Context, stored: StoredShards, upload: ChunkUpload) {
    this.#context = context
    this.#stored = stored
    this.#upload = upload
    this.id = context.host.random.bytes(chunkIdBytes)
    const count = upload.code.dataShards + upload.code.parityShards
    const holders = this.#chooseHolders(count)
    this.#lanes = Array.from({ length: count }, (_, shard) => this.#openLane(shard, holders[shard]))
    const { stallMs } = context.limits
    this.#watch = context.host.clock.every(stallMs / 4, () => {
      for (const lane of this.#lanes) lane?.checkStall(stallMs)
    })
  }

  get length(): number {
    return this.#length
  }

  /**
   * Takes over the slots of a stripe: k filled with `payload` bytes, m to be computed. Faults as settle() when
   * too few lanes are left for the chunk to become durable.
   */
  addStripe(slots: readonly Slot[], payload: number): void {
    const { kernel } = this.#context
    const { dataShards } = this.#upload.code
    const length = unitLengthFor(payload, dataShards)
    kernel.encode(slots.slice(0, dataShards), slots.slice(dataShards), length)
    for (const [shard, slot] of slots.entries()) {
      const lane = this.#lanes[shard]
      if (lane === undefined || lane.fault !== undefined) {
        this.#upload.free(slot)
        continue
      }
      const sum = crc32c(kernel.view(slot, length))
      lane.push({ slot, stripe: this.#stripes, length, sum })
    }
    this.#stripes++
    this.#length += payload
    const live = this.#opened().filter((lane) => lane.fault === undefined)
    if (live.length < dataShards) throw this.#tooFew(live.length, dataShards)
  }

  abort(fault: Fault): void {
    this.#watch.cancel()
    for (const lane of this.#lanes) lane?.fail(fault)
  }

  /** Shards that may exist somewhere, for discarding. */
  get places(): readonly { readonly shard: number; readonly holder: NodeId }[] {
    return this.#opened().map(({ shard, holder }) => ({ shard, holder }))
  }

  /** No more stripes. Fault 'unavailable' or 'no-space' when too few shards became durable. */
  async settle(): Promise<StoredChunk> {
    assert(this.#length > 0, 'a chunk has bytes')
    const layout: Layout = { ...this.#upload.code, length: this.#length }
    const lanes = this.#opened()
    for (const lane of lanes) lane.finish(layout)
    const wanted = Math.min(layout.dataShards + 1, shardCount(layout))
    await this.#waitFor(lanes, wanted)
    this.#watch.cancel()
    for (const lane of lanes) {
      if (lane.fault !== undefined) this.#context.holders.note(lane.holder, lane.fault)
    }
    let record: ChunkRecord = {
      ...layout,
      holders: this.#lanes.map((lane) => (lane?.isSealed === true ? lane.holder : noHolder)),
    }
    if (durableCount(record) < wanted) record = await this.#rebuildMissing(record, wanted)
    this.#checkDurable(record, wanted)
    return { id: this.id, record, stamp: this.#upload.stamp }
  }

  /** All lanes ended, or enough are sealed and the others have had lingerMs more. */
  async #waitFor(lanes: readonly ShardLane[], enough: number): Promise<void> {
    const { host, limits } = this.#context
    await new Promise<void>((resolve) => {
      let open = lanes.length
      let linger: Timer | undefined
      if (open === 0) resolve()
      const ended = (): void => {
        open--
        if (open === 0) {
          linger?.cancel()
          resolve()
        } else if (lanes.filter((lane) => lane.isSealed).length >= enough) {
          linger ??= host.clock.after(limits.lingerMs, () => {
            for (const lane of lanes) lane.fail(new Fault('conflict', 'the others are done'))
          })
        }
      }
      for (const lane of lanes) void lane.ended.then(ended)
    })
  }

  /** Onto members that are up and had no part in this chunk, until enough shards are durable. */
  async #rebuildMissing(record: ChunkRecord, wanted: number): Promise<ChunkRecord> {
    const { holders } = this.#context
    const used = new Set(this.#opened().map((lane) => lane.holder))
    const spare = holders
      .choose(this.id, holders.eligible().length)
      .filter((id) => !used.has(id) && holders.canTake(id))
    let current = record
    for (const holder of spare) {
      const durable = durableCount(current)
      if (durable >= wanted || durable < record.dataShards) break
      const shard = current.holders.indexOf(noHolder)
      const isRebuilt = await this.#rebuild(current, shard, holder)
      if (isRebuilt) current = { ...current, holders: current.holders.with(shard, holder) }
    }
    return current
  }

  async #rebuild(record: ChunkRecord, shard: number, holder: NodeId): Promise<boolean> {
    const { keyspace, stamp } = this.#upload
    const chunk = { keyspace, id: this.id, record }
    const fault = await rebuildShard(this.#context, this.#stored, { chunk, shard, holder, stamp })
    if (fault !== undefined) this.#context.holders.note(holder, fault)
    return fault === undefined
  }

  #checkDurable(record: ChunkRecord, wanted: number): void {
    const durable = durableCount(record)
    if (durable >= wanted) return
    const isBareEnough = this.#upload.allowsBareQuorum && this.#context.holders.upCount() < wanted
    if (isBareEnough && durable >= record.dataShards) return
    throw this.#tooFew(durable, wanted)
  }

  #tooFew(durable: number, wanted: number): Fault {
    const faults = this.#opened().flatMap((lane) => lane.fault ?? [])
    const { holders } = this.#context
    const isFull =
      faults.some((fault) => fault.code === 'no-space') ||
      holders.eligible().some((member) => holders.isFull(member.id))
    const up = holders.upCount()
    const what = `only ${durable} of ${wanted} shards of a chunk can be stored, ${up} nodes are up`
    const first = faults.find((fault) => fault.code === 'no-space') ?? faults[0]
    return new Fault(isFull ? 'no-space' : 'unavailable', what, {
      next: isFull ? 'Free disk space.' : 'Repeat the upload when more nodes are up.',
      ...(first === undefined ? {} : { cause: first }),
    })
  }

  /** In shard order; undefined where no lane is worth opening. */
  #chooseHolders(count: number): readonly (NodeId | undefined)[] {
    const { holders } = this.#context
    const chosen = holders.choose(this.id, count)
    const live = chosen.filter((id) => holders.canTake(id))
    return live.length >= this.#upload.code.dataShards ? live : chosen
  }

  #openLane(shard: number, holder: NodeId | undefined): ShardLane | undefined {
    if (holder === undefined) return undefined
    const { keyspace, stamp, code, free } = this.#upload
    const key = shardKey({ tag: namespaceTag(keyspace.name), id: this.id, shard })
    const { unitBytes } = code
    return new ShardLane({
      shard,
      holder,
      free,
      nowMs: () => this.#context.host.clock.monotonicMs(),
      open: (onTaken) =>
        openSink(this.#context, this.#stored, { holder, key, stamp, unitBytes, onTaken }),
    })
  }

  #opened(): readonly ShardLane[] {
    return this.#lanes.filter((lane) => lane !== undefined)
  }
}

export function durableCount(record: ChunkRecord): number {
  return record.holders.filter((holder) => holder !== noHolder).length
}
