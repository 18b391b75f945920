// What every workload of whole nodes promises to have seen, and how events of nodes become counts.

import type { FaultKind } from '../faults.ts'
import type { World } from '../world.ts'

/** Faults that any cluster survives, whatever it stores. */
export const nodeFaultKinds: readonly FaultKind[] = [
  'kill',
  'power loss',
  'power loss of all',
  'partition',
  'one-way partition',
  'delay',
  'broken connection',
  'slow disk',
  'stalled disk',
  'full disk',
  'clock jump',
  'clock skew',
  'pause',
]

/** Promised by every workload. */
export const nodePromises: readonly string[] = [
  ...nodeFaultKinds.map((kind) => `fault ${kind}`),
  'disk write lost',
  'disk write torn',
  'elections',
  'snapshots installed',
  'configuration changes',
]

const countedEvents = [
  ['raft.leader_elected', 'elections'],
  ['raft.snapshot_sent', 'snapshots sent'],
  ['raft.snapshot_installed', 'snapshots installed'],
  ['raft.members_changed', 'configuration changes'],
  ['raft.log_full', 'nodes with a full log'],
] as const

/** Counts what the journals of all nodes told, under the names that promises use. */
export function countJournals(world: World): void {
  for (const [event, kind] of countedEvents) {
    world.count(kind, world.counts.get(`journal ${event}`) ?? 0)
  }
}
