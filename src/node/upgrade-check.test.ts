import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId } from '../base/index.ts'
import type { Member } from '../cluster/index.ts'
import type { Heard, NodeStatus } from './status.ts'
import { checkUpgrade, type UpgradeFacts } from './upgrade-check.ts'

const gibibyte = 2 ** 30
const dayMs = 86_400_000

const member = (id: number, change: Partial<Member> = {}): Member => ({
  id: nodeId(id),
  name: `node-${id}`,
  state: 'online',
  control: { host: 'a', port: 1 },
  bulk: { host: 'a', port: 2 },
  admin: { host: 'a', port: 3 },
  s3: { host: 'a', port: 4 },
  labels: {},
  caps: [],
  version: '0.1.0',
  capacityBytes: 0,
  replaces: undefined,
  ...change,
})

type Content = NonNullable<NonNullable<NodeStatus['lane']>['content']>
const content: Content = {
  chunks: 1,
  underReplicatedShards: 0,
  liveBytes: 0,
  garbageBytes: 0,
  freeBytes: 50 * gibibyte,
  totalBytes: 100 * gibibyte,
  repairedShards: 0,
  damagedShards: 0,
  auditedMsAgo: 5,
  isAuditCurrent: true,
  moves: undefined,
  holders: [],
}

function heard(
  id: number,
  change: { readonly content?: Partial<Content>; readonly member?: Partial<Member> } = {},
  voters: readonly number[] = [1, 2, 3],
): Heard {
  const role = id === 1 ? 'leader' : 'follower'
  const group = { group: 1, name: '/raft/system', role, isLearner: false, term: 1, leader: 1 }
  const groups = [{ ...group, commit: 9, applied: 9, voters, learners: [], isJoint: false }]
  const lane = { objects: 1, content: { ...content, ...change.content } }
  const status = { id, version: '0.2.0', level: 2, groups, lane } as unknown as NodeStatus
  return { member: member(id, change.member), status, isReachable: true }
}

const certificate = { issuedMs: 0, notAfterMs: 7 * dayMs }

function facts(change: Partial<UpgradeFacts> = {}): UpgradeFacts {
  return {
    heard: [1, 2, 3].map((id) => heard(id)),
    settings: { clusterId: 'c', region: 'r', dataShards: 2, parityShards: 1 },
    self: 1,
    nowMs: dayMs,
    certificates: new Map([1, 2, 3].map((id) => [id, certificate])),
    active: 1,
    isByOperator: false,
    newest: 2,
    plan: { to: 2, blockers: [] },
    ...change,
  }
}

function problemsOf(given: UpgradeFacts): readonly (readonly [string, string])[] {
  const { checks, isSafe } = checkUpgrade(given)
  const bad = checks.filter((check) => !check.isSafe)
  assert.equal(isSafe, bad.length === 0)
  return bad.map(({ name, text }) => [name, text])
}

test('a whole cluster may be upgraded, and is told what comes then', () => {
  const checked = checkUpgrade(facts())
  assert.deepEqual(problemsOf(facts()), [])
  assert.equal(checked.checks.length, 7)
  assert.deepEqual(
    checked.level.features.map(({ name }) => name),
    ['services-by-capability'],
  )
  assert.deepEqual(
    checked.nodes.map(({ id, version, level, state }) => [id, version, level, state]),
    [1, 2, 3].map((id) => [id, '0.2.0', 2, 'online']),
  )
  assert.deepEqual(checkUpgrade(facts({ active: 2 })).level.features, [])
})

test('whatever is not whole, or not known, is named', () => {
  const silent: Heard = { member: member(3), status: undefined, isReachable: false }
  const [one, two] = [heard(1), heard(2)]
  assert.deepEqual(problemsOf(facts({ heard: [one, two, silent] })), [
    ['nodes', 'node-3 is offline'],
    ['quorum', '/raft/system has 2 of 3 voters, and one less is no majority'],
    ['objects', 'code 2+1: objects cannot be read with 1 nodes'],
    ['disk', 'node-3 has not told'],
  ])
  assert.deepEqual(problemsOf(facts({ heard: [two, heard(3)] })).slice(0, 1), [
    ['quorum', '/raft/system has no leader'],
  ])
  const worse = (change: Partial<Content>) =>
    facts({ heard: [one, two, heard(3, { content: change })] })
  assert.deepEqual(problemsOf(worse({ underReplicatedShards: 4 })), [
    ['redundancy', '4 shards are missing'],
  ])
  assert.deepEqual(problemsOf(worse({ isAuditCurrent: false })), [
    ['redundancy', 'shards are being counted'],
  ])
  const moves = { shardsLeft: 5, bytesLeft: 1, movedShards: 0, movedBytes: 0 }
  const pace = { bytesPerSecond: 0, idleBytesPerSecond: 0 }
  assert.deepEqual(problemsOf(worse({ moves: { ...moves, ...pace } })), [
    ['moves', '5 shards are on their way'],
  ])
  assert.deepEqual(problemsOf(worse({ freeBytes: gibibyte / 2 })), [
    ['disk', 'node-3 has 512 MiB left'],
  ])
  const draining = heard(3, { member: { state: 'draining' } })
  assert.deepEqual(problemsOf(facts({ heard: [one, two, draining] })).slice(0, 1), [
    ['nodes', 'node-3 is draining'],
  ])
})

test('a certificate that was not renewed is named; members without certificates need none', () => {
  const ending = new Map([1, 2, 3].map((id) => [id, certificate]))
  ending.set(2, { issuedMs: 0, notAfterMs: dayMs + 600_000 })
  ending.delete(3)
  assert.deepEqual(problemsOf(facts({ certificates: ending })), [
    ['certificates', 'that of node-2 ends in 10 min; node-3 has none that is recorded'],
  ])
  assert.deepEqual(problemsOf(facts({ certificates: undefined })), [])
  const short = new Map(
    [1, 2, 3].map((id) => [id, { issuedMs: dayMs - 40_000, notAfterMs: dayMs + 80_000 }]),
  )
  assert.deepEqual(problemsOf(facts({ certificates: short })), [])
})

test('one node alone is never safe to stop', () => {
  const alone = facts({ heard: [heard(1, {}, [1])] })
  assert.deepEqual(
    problemsOf(alone).map(([name]) => name),
    ['quorum', 'objects'],
  )
})
