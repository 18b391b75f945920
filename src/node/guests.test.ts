import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId } from '../base/index.ts'
import type { Group } from '../raft/index.ts'
import { Guests } from './guests.ts'

test('a replica that the list does not name is expected; one that was removed never is again', () => {
  const [one, two, three, four] = [1, 2, 3, 4].map(nodeId)
  assert.ok(one && two && three && four)
  const status = () => ({ voters: [one, two], learners: [three], votersOutgoing: [] })
  const groups = [{ status } as unknown as Group]
  const guests = new Guests()
  const expected = () => [one, two, three, four].map((id) => guests.isExpected(id, groups))
  assert.deepEqual(expected(), [true, true, true, false])
  guests.note([
    { id: two, state: 'removed' },
    { id: three, state: 'draining' },
  ])
  assert.deepEqual(expected(), [true, false, true, false])
  guests.note([{ id: two, state: 'online' }])
  assert.deepEqual(expected(), [true, false, true, false], 'an old list brings nobody back')
})
