// Before a group runs: what is on disk is restored, held together and repaired (recovery.ts tells the cases), and
// everything that the start rests on is durable.

import type { NodeId } from '../base/index.ts'
import type { Disk, Host } from '../host/index.ts'
import type { Log, Store } from '../storage/index.ts'
import type { AppendQueue } from './append-queue.ts'
import type { GroupOptions } from './group.ts'
import { type GroupStart, planStart } from './recovery.ts'
import { maybeRestore } from './restoring.ts'
import { encodeStateRow, raftTable, readStateRow, stateRowKey } from './state-row.ts'

export type OpeningEnds = {
  readonly host: Host
  readonly log: Log
  readonly store: Store
  readonly queue: AppendQueue
  readonly self: NodeId
  readonly snapshots: { readonly disk: Disk; readonly path: string }
}

/** Faults as planStart. */
export async function prepareStart(ends: OpeningEnds, options: GroupOptions): Promise<GroupStart> {
  const { host, log, store, queue, self, snapshots } = ends
  if (readStateRow(store, options.group) === undefined) {
    await maybeRestore({ host, store, self, ...snapshots }, options)
  }
  const row = readStateRow(store, options.group)
  const start = planStart(options, { self, row, recovered: log.recovered.get(options.group) })
  if (start.isNewRow) {
    const digest = options.stateMachine.digest()
    store.transaction(() => {
      store.put(raftTable, stateRowKey(options.group), encodeStateRow({ ...start.row, digest }))
    })
  }
  if (start.repair.length === 0) return start
  await store.checkpoint()
  for (const append of start.repair) queue.push({ append, isUrgent: true, onDurable: () => {} })
  await new Promise<void>((resolve) => {
    queue.push({ append: undefined, isUrgent: true, onDurable: resolve })
    queue.flush()
  })
  return start
}
