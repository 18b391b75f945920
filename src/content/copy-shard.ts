// Fetches one shard of a chunk, as it is, from the node that holds it to this one: a move costs one shard's bytes where
// making the shard again would read k of them. Every unit is checked against its writer's checksum on the way.

import { crc32c, type Fault, type NodeId } from '../base/index.ts'
import type { ReadableChunk } from './chunk-reader.ts'
import type { Context } from './context.ts'
import { shardBytes, stripeCount } from './core/layout.ts'
import { namespaceTag, shardKey } from './core/records.ts'
import { caught } from './faults.ts'
import type { Pace } from './pace.ts'
import { ShardSource } from './shard-source.ts'
import type { ShardDeposit, StoredShards } from './stored-shards.ts'

/** Ticks without a unit after which the holder counts as stalled; its own throttle may hold a unit back. */
const stalledTicksMax = 4

export type CopyRequest = {
  readonly chunk: ReadableChunk
  readonly shard: number
  readonly from: NodeId
  readonly stamp: number
  readonly pace: Pace
}

/** Undefined once the shard is durable here, otherwise why it is not. */
export async function copyShard(
  context: Context,
  stored: StoredShards,
  request: CopyRequest,
): Promise<Fault | undefined> {
  const { chunk, shard, from, stamp, pace } = request
  const { record } = chunk
  const key = shardKey({ tag: namespaceTag(chunk.keyspace.name), id: chunk.id, shard })
  const isMeasured = pace.isMeasuring()
  const last = stripeCount(record) - 1
  const moveBytesPerSecond = isMeasured ? 1 : Math.max(2, pace.idleBytesPerSecond)
  const source = new ShardSource(context, stored, {
    shard,
    holder: from,
    key,
    layout: record,
    first: 0,
    last,
    moveBytesPerSecond,
  })
  const watch = watchProgress(context, source)
  let deposit: ShardDeposit | undefined
  try {
    const { clock } = context.host
    const startMs = clock.monotonicMs()
    await pace.takeShard()
    deposit = stored.deposit(key, { stamp, unitBytes: record.unitBytes })
    for (let stripe = 0; stripe <= last; stripe++) {
      const askedMs = clock.monotonicMs()
      const unit = await source.next()
      if (!(unit instanceof Uint8Array)) throw unit.fault
      await deposit.append(unit, crc32c(unit))
      watch.progressed()
      await pace.take(unit.length, clock.monotonicMs() - askedMs)
      watch.progressed()
    }
    await deposit.seal(record)
    if (isMeasured) pace.measured(shardBytes(record), clock.monotonicMs() - startMs)
    return undefined
  } catch (error) {
    await deposit?.abort().catch(caught)
    return caught(error)
  } finally {
    watch.cancel()
    source.close()
  }
}

function watchProgress(
  context: Context,
  source: ShardSource,
): { progressed(): void; cancel(): void } {
  let ticks = 0
  const timer = context.host.clock.every(context.limits.stallMs, () => {
    ticks++
    if (ticks >= stalledTicksMax) source.giveUp()
  })
  return {
    progressed: () => {
      ticks = 0
    },
    cancel: () => timer.cancel(),
  }
}
