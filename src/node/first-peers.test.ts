import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId } from '../base/index.ts'
import type { Topology } from '../cluster/index.ts'
import { firstPeers } from './first-peers.ts'

const control = (id: number) => ({ host: `127.0.0.${id}`, port: 6660 })

test('a starting node knows the members of its replica and newer ones of the file, never removed ones', () => {
  const entry = (id: number) => ({ id: nodeId(id), host: `127.0.0.${id}`, port: 6660, path: '' })
  const file = (ids: readonly number[]) => ({
    self: nodeId(2),
    topology: { db: ids.map((id) => ({ ...entry(id), leader: false })) } as unknown as Topology,
  })
  const member = (id: number, state: 'online' | 'removed') => {
    return { id: nodeId(id), state, control: control(id) }
  }
  const idsOf = (peers: ReturnType<typeof firstPeers>) => [...peers.keys()].sort((a, b) => a - b)
  assert.deepEqual(idsOf(firstPeers(file([1, 2, 3]), [])), [1, 3])
  const before = [member(1, 'online'), member(2, 'online'), member(3, 'online')]
  assert.deepEqual(idsOf(firstPeers(file([4, 2, 3]), before)), [1, 3, 4], 'a newer file')
  const later = [member(1, 'removed'), ...before.slice(1), member(4, 'online')]
  assert.deepEqual(idsOf(firstPeers(file([1, 2, 3]), later)), [3, 4], 'an older file')
})
