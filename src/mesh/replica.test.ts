import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, groupId, nodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { CoreKeyspaces } from '../keyspace/index.ts'
import type { Foreign, Group, GroupOptions, Raft } from '../raft/index.ts'
import { openMemoryStore } from '../storage/index.ts'
import { FaultyDisk, faultyHost } from '../storage/testing/faulty-host.ts'
import { openReplica } from './replica.ts'
import { meshTable } from './tables.ts'

const fence = { clusterId: new Uint8Array(32), generation: 0 }
const foreign = (from: number): Foreign => ({
  group: groupId(7),
  from: nodeId(from),
  theirs: fence,
  ours: fence,
  relation: 'other-cluster',
})

test('everybody who has a replica open hears who speaks for another cluster, also from before', async () => {
  const host: Host = faultyHost(new FaultyDisk())
  const store = await openMemoryStore(host, { path: 'node/store', tables: [meshTable] })
  let opened: GroupOptions | undefined
  const raft = {
    open: async (options: GroupOptions) => {
      opened = options
      return { onLeadership: () => () => undefined } as unknown as Group
    },
  } as unknown as Raft
  const machine = {
    apply: () => new Uint8Array(0),
    snapshot: () => new Uint8Array(0),
    restore: () => undefined,
  }
  const genesis = {
    namespace: '/raft/a',
    clusterId: clusterId('c'),
    founders: [{ id: 'x', node: nodeId(1) }],
    parameters: { heartbeatMs: 1, electionMs: 10 },
    born: { round: 1, proposer: 'x' },
  }
  const replica = await openReplica(
    { host, self: nodeId(1), raft, store, keyspaces: {} as CoreKeyspaces },
    {
      namespace: '/raft/a',
      group: groupId(7),
      genesis,
      isFounder: true,
      open: { founders: { kind: 'join' }, machine },
    },
  )
  const heard: string[] = []
  const endFirst = replica.onForeign(({ from }) => heard.push(`first ${from}`))
  opened?.onForeign?.(foreign(8))
  endFirst()
  // Opened again: the one from before is told, and who comes now; the first hears no more.
  replica.onForeign(({ from }) => heard.push(`second ${from}`))
  opened?.onForeign?.(foreign(8))
  opened?.onForeign?.(foreign(9))
  replica.onForeign(({ from }) => heard.push(`third ${from}`))
  assert.deepEqual(heard, ['first 8', 'second 8', 'second 8', 'second 9', 'third 8', 'third 9'])
  for (let from = 10; from < 60; from++) opened?.onForeign?.(foreign(from))
  let told = 0
  replica.onForeign(() => told++)
  assert.equal(told, 16)
})
