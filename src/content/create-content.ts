// Puts the content room of one thread together: kernel, slots, table, handlers, background work.

import type { Operation } from '../keyspace/index.ts'
import { Background } from './background.ts'
import { ChunkTable } from './chunk-table.ts'
import type { Content, ContentDependencies, ContentOptions, ContentReports } from './content.ts'
import type { Context, Limits } from './context.ts'
import { HedgeClock } from './hedge-clock.ts'
import { Holders } from './holders.ts'
import { unitBytesMax } from './core/layout.ts'
import { createKernel } from './kernel/kernel.ts'
import { Pace } from './pace.ts'
import { readContent } from './reader.ts'
import { releaseChunks } from './release.ts'
import { serveShards } from './shard-server.ts'
import { SlotPool } from './slots.ts'
import { StoredShards } from './stored-shards.ts'
import { writeContent } from './writer.ts'

const mebibyte = 1024 * 1024

/** Registers the shard handlers at the rpc: call before its listen(). */
export function createContent(
  dependencies: ContentDependencies,
  options: ContentOptions,
): Content & ContentReports {
  const { host, rpc, segments, view, keyspaces } = dependencies
  const { dataShards, parityShards } = view.settings()
  const limits: Limits = {
    chunkBytesMax: options.chunkBytesMax ?? 16 * mebibyte,
    unitBytes: options.unitBytes ?? unitBytesFor(dataShards + parityShards),
    stallMs: options.stallMs ?? 5_000,
    lingerMs: 1_000,
    uploadBytesMax: options.uploadBytesMax ?? 8 * mebibyte,
  }
  const memoryBytes = options.memoryBytesMax ?? 48 * mebibyte
  const kernel = createKernel({ unitBytes: limits.unitBytes, memoryBytes })
  const stored = new StoredShards(segments)
  const context: Context = {
    self: options.self,
    host,
    rpc,
    segments,
    view,
    kernel,
    slots: new SlotPool(kernel.slots, host.clock),
    table: new ChunkTable(keyspaces),
    holders: new Holders({ ...dependencies, self: options.self, clock: host.clock }),
    pace: new Pace(host.clock, () => view.settings().movesShare),
    hedge: new HedgeClock(options.hedgeMsMin ?? 50, limits.stallMs),
    limits,
    onDamage: (report) => background.reportDamage(report),
    onIncomplete: () => background.auditSoon(),
  }
  const background = new Background(context, stored, options)
  serveShards(rpc, stored, {
    onDamaged: (key) => background.reportOwnDamage(key),
    pace: context.pace,
    isLeaving: () => background.isLeaving,
  })
  rpc.onReachability((peer, isReachable) => {
    if (isReachable) context.holders.forget(peer)
    background.auditSoon()
  })
  background.start()
  return {
    write: (body, writeOptions) => writeContent(context, stored, body, writeOptions),
    read: (manifest, readOptions) => readContent(context, stored, manifest, readOptions),
    release: (manifest, keyspace): Promise<readonly Operation[]> =>
      releaseChunks(context.table, keyspace, manifest, host.clock.wallMs()),
    status: () => background.status(),
    runScrub: () => background.runScrub(),
    runRepair: () => background.runRepair(),
    planReplication: (request) => background.planReplication(request),
    async holdersOf(chunk, keyspace) {
      return (await context.table.find(keyspace, chunk))?.record.holders
    },
    runSweep: () => background.runSweep(),
    runMoves: () => background.runMoves(),
    runEmptying: () => background.runEmptying(),
    close: () => background.close(),
  }
}

/** Large units cost fewer steps per byte; a stripe of them should not fill the slots. */
function unitBytesFor(shards: number): number {
  if (shards <= 6) return unitBytesMax
  return shards <= 12 ? unitBytesMax / 2 : unitBytesMax / 4
}
