import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, nodeId } from '../base/index.ts'
import type { GroupStatus } from '../raft/index.ts'
import { handOver } from './heir.ts'

type FakeGroup = {
  readonly role: string
  readonly voters: readonly number[]
  readonly match?: ReadonlyMap<number, number>
  readonly fails?: boolean
}

/** Groups of node 1, which reaches nodes 2 and 3 only; answers who was asked to lead which. */
async function stop(groups: readonly FakeGroup[]) {
  const asked: string[] = []
  const events: Record<string, unknown>[] = []
  const raft = {
    groups: () =>
      groups.map(({ role, voters, match = new Map(), fails = false }, at) => ({
        status: () => ({ role, voters, match }) as unknown as GroupStatus,
        transferLeadership: async (to: number) => {
          asked.push(`${at}: ${to}`)
          if (fails) throw new Fault('deadline', 'nobody took over')
        },
      })),
  }
  const host = {
    journal: { event: (_: string, __: string, fields: object) => events.push({ ...fields }) },
  }
  const rpc = { isReachable: (id: number) => id === 2 || id === 3 }
  const parts = { host, raft, rpc, self: nodeId(1) }
  await handOver(parts as unknown as Parameters<typeof handOver>[0])
  return { asked, events }
}

test('whoever has most of the log leads next; nobody is asked who cannot be reached', async () => {
  const { asked, events } = await stop([
    {
      role: 'leader',
      voters: [1, 2, 3],
      match: new Map([
        [2, 5],
        [3, 9],
      ]),
    },
    { role: 'leader', voters: [1, 2, 3] },
    {
      role: 'leader',
      voters: [1, 4, 3],
      match: new Map([
        [4, 90],
        [3, 1],
      ]),
    },
    { role: 'leader', voters: [1, 4, 5] },
    { role: 'leader', voters: [1] },
    { role: 'follower', voters: [1, 2, 3] },
  ])
  assert.deepEqual(asked, ['0: 3', '1: 2', '2: 3'])
  assert.deepEqual(events, [{ groups: 3 }])
})

test('a transfer that fails keeps nobody from stopping', async () => {
  const { asked, events } = await stop([
    { role: 'leader', voters: [1, 2, 3], fails: true },
    { role: 'leader', voters: [1, 2] },
  ])
  assert.deepEqual(asked, ['0: 2', '1: 2'])
  assert.deepEqual(events, [{ groups: 1 }])
})
