import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeId, nodeId, seededRandom } from '../../base/index.ts'
import type { Member, MemberState } from '../cluster.ts'
import { chooseHolders } from './placement.ts'

function member(id: number, state: MemberState = 'online'): Member {
  const address = { host: `10.0.0.${id}`, port: 1 }
  return {
    id: nodeId(id),
    name: `node-${id}`,
    state,
    control: address,
    bulk: address,
    admin: address,
    s3: address,
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces: undefined,
  }
}
const membersTo = (count: number): Member[] =>
  Array.from({ length: count }, (_, at) => member(at + 1))
const allUp = (): boolean => true
const random = seededRandom(11)
const chunks = Array.from({ length: 4_000 }, () => random.bytes(16))

test('the choice depends on the set of members, not on their order', () => {
  const members = membersTo(7)
  const shuffled = [...members].sort((a, b) => ((a.id * 37) % 11) - ((b.id * 37) % 11))
  for (const chunk of chunks.slice(0, 500)) {
    const options = { count: 3, isUp: allUp }
    const chosen = chooseHolders(chunk, members, options)
    assert.deepEqual(chooseHolders(chunk, shuffled, options), chosen)
    assert.equal(new Set(chosen).size, 3)
  }
})

test('every member gets an even share', () => {
  for (const count of [3, 5, 9]) {
    const held = new Map<NodeId, number>()
    for (const chunk of chunks) {
      for (const id of chooseHolders(chunk, membersTo(count), { count: 2, isUp: allUp })) {
        held.set(id, (held.get(id) ?? 0) + 1)
      }
    }
    const even = (chunks.length * 2) / count
    for (const shards of held.values()) {
      assert.ok(Math.abs(shards - even) < even * 0.12, `${shards} of ${even} with ${count}`)
    }
  }
})

test('a member that leaves moves only what it held; one that comes takes its even share', () => {
  const eight = membersTo(8)
  const seven = eight.filter((one) => one.id !== 5)
  let moved = 0
  for (const chunk of chunks) {
    const before = chooseHolders(chunk, eight, { count: 3, isUp: allUp })
    const after = chooseHolders(chunk, seven, { count: 3, isUp: allUp })
    assert.deepEqual(
      before.filter((id) => id !== 5),
      after.filter((id) => before.includes(id)),
    )
    if (before.includes(nodeId(5))) moved++
  }
  const minimum = (chunks.length * 3) / 8
  assert.ok(Math.abs(moved - minimum) < minimum * 0.12, `${moved} moved, ${minimum} expected`)
})

test('members that are up come first; removed and pending ones never; draining ones last', () => {
  const members = [
    member(1),
    member(2),
    member(3, 'draining'),
    member(4, 'removed'),
    member(5, 'pending'),
  ]
  const isUp = (id: NodeId): boolean => id !== 1
  for (const chunk of chunks.slice(0, 300)) {
    const chosen = chooseHolders(chunk, members, { count: 5, isUp })
    assert.equal(chosen[0], 2)
    assert.deepEqual([...chosen].sort(), [1, 2, 3])
  }
})

test('the choice for known chunks never changes: shards are found where they were put', () => {
  const chosen = [0, 1, 2, 255].map((byte) =>
    chooseHolders(new Uint8Array(16).fill(byte), membersTo(9), { count: 4, isUp: allUp }).join(),
  )
  assert.deepEqual(chosen, ['9,2,5,6', '7,8,5,2', '9,4,5,3', '4,1,3,2'])
})
