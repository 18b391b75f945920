import { equal, rejects } from 'node:assert/strict'
import { it } from 'node:test'
import { nodeId, utf8Encode } from '../../base/index.ts'
import type { TxnResponse } from '../../keyspace/index.ts'
import { FakeCluster } from './fake-cluster.ts'

it('the fake keyspace compares revisions and ranges in order', async () => {
  const { keyspace } = new FakeCluster({ nodes: 1, rs: [1, 0] })
  const key = utf8Encode('a')
  await keyspace.put(key, key)
  const [row] = (await keyspace.range({ key })).kvs
  const compare = (operand: number): Promise<TxnResponse> =>
    keyspace.txn({
      compares: [{ key, target: 'mod', result: 'equal', operand }],
      success: [{ kind: 'delete', key }],
      failure: [],
    })
  equal((await compare(0)).succeeded, false)
  equal((await compare(row?.modRevision ?? 0)).succeeded, true)
  equal(keyspace.keys('a').length, 0)
})

it('the fake rpc refuses nodes that are down', async () => {
  const cluster = new FakeCluster({ nodes: 2, rs: [1, 1] })
  cluster.stop(2)
  await rejects(cluster.node(1).rpc.call(nodeId(2), 1, new Uint8Array(0)), { code: 'unavailable' })
})
