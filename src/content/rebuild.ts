// Makes one shard of a chunk again, from any k others, on a given node: for a write that lost a holder and for
// repair. Stripe by stripe: k slots and one more.

import { crc32c, Fault, type NodeId } from '../base/index.ts'
import { ChunkReader, type GatheredStripe, type ReadableChunk } from './chunk-reader.ts'
import type { Context } from './context.ts'
import { shardBytes, stripeCount } from './core/layout.ts'
import { namespaceTag, shardKey } from './core/records.ts'
import { caught } from './faults.ts'
import type { Slot } from './kernel/kernel.ts'
import type { Pace } from './pace.ts'
import { openSink, type ShardSink } from './shard-sink.ts'
import type { StoredShards } from './stored-shards.ts'

export type RebuildRequest = {
  readonly chunk: ReadableChunk
  readonly shard: number
  readonly holder: NodeId
  readonly stamp: number
  /** The throttle of background work. Absent: somebody waits for it. */
  readonly pace?: Pace
}

/** Undefined once the shard is durable on its holder, otherwise why it is not. */
export async function rebuildShard(
  context: Context,
  stored: StoredShards,
  request: RebuildRequest,
): Promise<Fault | undefined> {
  let sink: ShardSink | undefined
  const { clock } = context.host
  const startMs = clock.monotonicMs()
  const isMeasured = request.pace?.isMeasuring() === true
  const progress = { stripes: 0, seen: -1 }
  const watch = clock.every(context.limits.stallMs, () => {
    const isStalled = progress.stripes === progress.seen
    progress.seen = progress.stripes
    if (isStalled) sink?.abort(new Fault('deadline', `node ${request.holder} takes no shard`))
  })
  try {
    sink = await openRebuildSink(context, stored, request)
    await copyStripes(context, stored, request, { sink, progress })
    const bytes = shardBytes(request.chunk.record)
    if (isMeasured) request.pace?.measured(bytes, clock.monotonicMs() - startMs)
    return undefined
  } catch (error) {
    const fault = caught(error)
    sink?.abort(fault)
    return fault
  } finally {
    watch.cancel()
  }
}

function openRebuildSink(
  context: Context,
  stored: StoredShards,
  { chunk, shard, holder, stamp }: RebuildRequest,
): Promise<ShardSink> {
  const key = shardKey({ tag: namespaceTag(chunk.keyspace.name), id: chunk.id, shard })
  const { unitBytes } = chunk.record
  return openSink(context, stored, { holder, key, stamp, unitBytes })
}

async function copyStripes(
  context: Context,
  stored: StoredShards,
  { chunk, shard, pace }: RebuildRequest,
  { sink, progress }: { readonly sink: ShardSink; readonly progress: { stripes: number } },
): Promise<void> {
  const reader = new ChunkReader(context, stored, chunk)
  reader.avoid(shard)
  const last = stripeCount(chunk.record) - 1
  const { clock } = context.host
  let sinceMs = clock.monotonicMs()
  const take = async ({ stripe, length, slots }: GatheredStripe): Promise<number> => {
    const slot = slots.get(shard) as Slot
    await sink.send({ slot, stripe, length, sum: crc32c(context.kernel.view(slot, length)) })
    return length
  }
  for await (const length of reader.gather([shard], { first: 0, last }, { take })) {
    progress.stripes++
    await pace?.take(length, clock.monotonicMs() - sinceMs)
    progress.stripes++
    sinceMs = clock.monotonicMs()
  }
  await sink.seal(chunk.record)
}
