// A group from a snapshot file, when no member of it is left: the file was put into `<path>/restore` while the
// node was stopped. It is installed when the group is opened on a node that has no state of it, with this
// node as the only voter of a new generation (fence.ts), so that no former member can come back into it.
//
// A crash before the transaction leaves no state, and the file for the next try; one after it leaves the
// state as of the file, and a file that is not looked at again.

import { Fault, type NodeId } from '../base/index.ts'
import type { Disk, Host } from '../host/index.ts'
import type { Store } from '../storage/index.ts'
import { fenceOf, nextGeneration, relationOf } from './fence.ts'
import type { GroupOptions } from './group.ts'
import { headOf, type SnapshotHead, scanSnapshotFile } from './snapshot-file.ts'
import { listSnapshots } from './snapshot-shelf.ts'
import { emptyConfState, encodeStateRow, raftTable, stateRowKey } from './state-row.ts'

export type RestoringEnds = {
  readonly host: Host
  readonly disk: Disk
  readonly store: Store
  readonly self: NodeId
  /** Of all snapshot files. */
  readonly path: string
}

/** Where files to be restored are put. */
export function restorePath(path: string): string {
  return `${path}/restore`
}

/** True when a state was installed. For groups without state here only. */
export async function maybeRestore(ends: RestoringEnds, options: GroupOptions): Promise<boolean> {
  const { disk, host } = ends
  for (const file of await listSnapshots(disk, restorePath(ends.path))) {
    const head = await headOf(disk, file)
    if (head?.group !== options.group || head.name !== options.name) continue
    mustBeOfCluster(head, options)
    await install(ends, options, { file, head })
    await disk.remove(file)
    const fields = { group: options.group, name: options.name, index: head.metadata.index }
    host.journal.event('warning', 'raft.group_restored', fields)
    return true
  }
  return false
}

async function install(
  { disk, host, store, self }: RestoringEnds,
  options: GroupOptions,
  { file, head }: { readonly file: string; readonly head: SnapshotHead },
): Promise<void> {
  const { stateMachine } = options
  const sink = stateMachine.install()
  const opened = await disk.open(file)
  try {
    const { isWhole } = await scanSnapshotFile(opened, (chunk) => sink.write(chunk))
    if (!isWhole) {
      await sink.abort()
      const next = 'put another one into its place, or remove it to found the group anew'
      throw new Fault('corrupt', `${file} is damaged`, { next })
    }
  } finally {
    await opened.close()
  }
  const { index: applied, term } = head.metadata
  const generation = nextGeneration(head.fence.generation, host.random)
  const confState = { ...emptyConfState, voters: [self] }
  const fence = { ...head.fence, generation }
  store.transaction(() => {
    sink.finish()
    const digest = stateMachine.digest()
    const others = { name: head.name, supersededBy: 0, voidedTo: 0 }
    const row = encodeStateRow({ applied, term, confState, digest, fence, ...others })
    store.put(raftTable, stateRowKey(options.group), row)
  })
  await stateMachine.sync()
  await store.checkpoint()
}

function mustBeOfCluster(head: SnapshotHead, { clusterId, name }: GroupOptions): void {
  if (clusterId === undefined || head.fence.clusterId.length === 0) return
  const ours = fenceOf(clusterId, 0)
  if (relationOf(ours, { ...head.fence, generation: 0 }) === undefined) return
  throw new Fault('precondition', `the snapshot to restore ${name} from is of another cluster`)
}
