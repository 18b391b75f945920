import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { Fault, type GroupId, groupId, type NodeId, nodeId } from '../base/index.ts'
import type { Group, GroupStatus } from '../raft/index.ts'
import type { Rpc } from '../rpc/index.ts'
import type { Store } from '../storage/index.ts'
import { encodeHistory, valueTail } from './core/records.ts'
import { spaceOf, userKey, versionKey } from './core/rows.ts'
import { type TestDirectory, testDirectory, testStore } from './testing/doubles.ts'
import { recoverFrom } from './value-recovery.ts'

const group = groupId(7)
const at = { modRevision: 9, sub: 0 }
const key = versionKey(spaceOf(group, 1), at)
const value = new Uint8Array(3000).fill(5)
const self = nodeId(1)

let directory: TestDirectory
let store: Store
before(async () => {
  directory = testDirectory()
  store = await testStore(directory.host)
  const record = {
    kind: 'long' as const,
    key: Uint8Array.of(1),
    createRevision: 9,
    version: 1,
    lease: 0,
    valueBytes: value.length,
    tail: valueTail(value, at),
    previousRevision: 0,
    previousSub: 0,
  }
  store.transaction(() => store.put('history', key, encodeHistory(userKey(key), record, { value })))
})
after(async () => {
  await store.close()
  directory.remove()
})

type Members = Pick<GroupStatus, 'voters' | 'votersOutgoing' | 'learners'>

/** Who was asked, and what came of it. */
async function recover(members: Members, answers: ReadonlyMap<NodeId, Uint8Array>) {
  const asked: NodeId[] = []
  const rpc = {
    async call(to: NodeId) {
      asked.push(to)
      const answer = answers.get(to)
      if (answer === undefined) throw new Fault('unavailable', `node ${to} has nothing`)
      return answer
    },
  } as unknown as Rpc
  const groupOf = (id: GroupId): Group | undefined =>
    id === group ? ({ status: () => members } as unknown as Group) : undefined
  const found = await recoverFrom({ store, rpc, self, groupOf })(key)
  return { asked, found }
}

const ids = (...numbers: readonly number[]): readonly NodeId[] => numbers.map(nodeId)

it('asks voters that are leaving: in a joint configuration they may be the only ones with the value', async () => {
  const members = { voters: ids(1, 2, 3), votersOutgoing: ids(1, 2, 5), learners: ids(4) }
  const { asked, found } = await recover(members, new Map([[nodeId(5), value]]))
  assert.deepEqual(asked, ids(2, 3, 5))
  assert.deepEqual(found, value)
})

it('takes nothing that has another digest, and asks nobody twice', async () => {
  const members = { voters: ids(1, 2, 3), votersOutgoing: ids(1, 2, 3), learners: ids(4) }
  const other = new Uint8Array(3000)
  const { asked, found } = await recover(members, new Map([[nodeId(2), other]]))
  assert.deepEqual(asked, ids(2, 3, 4))
  assert.equal(found, undefined)
})
