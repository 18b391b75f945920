import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId } from '../../base/index.ts'
import {
  extendTopology,
  planTopology,
  readdressInTopology,
  renderTopology,
  shrinkTopology,
} from './topology.ts'
import { parseTopology } from './topology-file.ts'

const three = planTopology({
  region: 'here-1',
  rs: { data: 2, parity: 1 },
  s3Tls: { host: '0.0.0.0', port: 8443 },
  addresses: ['a', 'b', 'c'].map((host) => ({ host, controlPort: 6660, bulkPort: 9991 })),
  buckets: [],
  auth: [],
})
const fourth = { id: nodeId(7), host: 'd', controlPort: 6661, bulkPort: 9992 }

test('a node more, and the same file again without it', () => {
  const four = extendTopology(three, fourth)
  assert.deepEqual(parseTopology(renderTopology(four), 'cluster.toml'), four)
  assert.deepEqual(four.nodes.at(-1), {
    id: 7,
    host: 'd',
    port: 9992,
    path: 'distributed/nodes/node-7/',
  })
  assert.equal(renderTopology(shrinkTopology(four, fourth.id)), renderTopology(three))
})

test('without the first node nobody is marked as the first leader', () => {
  const left = shrinkTopology(extendTopology(three, fourth), nodeId(1))
  assert.deepEqual(
    left.db.map(({ id, leader }) => [id, leader]),
    [
      [2, false],
      [3, false],
      [7, false],
    ],
  )
  assert.deepEqual(parseTopology(renderTopology(left), 'cluster.toml'), left)
})

test('a node at another host keeps its ports and its place', () => {
  const moved = readdressInTopology(three, nodeId(2), 'z')
  assert.deepEqual(
    moved.db.map(({ host, port }) => [host, port]),
    [
      ['a', 6660],
      ['z', 6660],
      ['c', 6660],
    ],
  )
  assert.equal(moved.nodes[1]?.host, 'z')
})
