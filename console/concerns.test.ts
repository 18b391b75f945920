import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeRow, Status } from './answers.ts'
import { newestOf, worryAbout } from './certificates.ts'
import { duration, keyWords, listed, relative, words } from './format.ts'
import { concernsOf } from './parts/concerns.ts'

const day = 86_400_000
const week = { issuedMs: 1_000 * day, notAfterMs: 1_007 * day }

test('a certificate worries when it should long have been renewed', () => {
  assert.equal(worryAbout(week, 1_003 * day), 'none')
  assert.equal(worryAbout(week, 1_005 * day), 'none')
  assert.equal(worryAbout(week, 1_005.5 * day), 'late')
  assert.equal(worryAbout(week, 1_007 * day), 'ended')
  // One of two minutes is judged by its own life, one that is told without its begin by a week.
  const short = { issuedMs: 0, notAfterMs: 120_000 }
  assert.equal(worryAbout({ ...short, issuedMs: 1 }, 60_000), 'none')
  assert.equal(worryAbout({ ...short, issuedMs: 1 }, 100_000), 'late')
  assert.equal(worryAbout({ issuedMs: 0, notAfterMs: 10 * day }, 8 * day), 'none')
  assert.equal(worryAbout({ issuedMs: 0, notAfterMs: 10 * day }, 9 * day), 'late')
  // Five years are not renewed at the half of them by anybody.
  const long = { issuedMs: 1, notAfterMs: 1_826 * day }
  assert.equal(worryAbout(long, 1_800 * day), 'none')
  assert.equal(worryAbout(long, 1_815 * day), 'late')
})

const node: NodeRow = {
  id: 1,
  name: 'n1',
  state: 'online',
  control: '',
  admin: '',
  s3: '',
  uptimeMs: 1,
  residentBytes: 1,
  liveBytes: 1,
  garbageBytes: 0,
  freeBytes: 50,
  totalBytes: 100,
}
const group = {
  group: 1,
  name: '/raft/system',
  node: 1,
  role: 'leader',
  term: 1,
  leader: 1,
  commit: 1,
  applied: 1,
  voters: [1],
  learners: [],
}
const well: Status = {
  clusterId: 'c',
  region: 'eu',
  code: { data: 2, parity: 1 },
  askedNode: 1,
  nodes: [node, { ...node, id: 2, name: 'n2' }],
  groups: [group],
  objects: 1,
  underReplicatedShards: 0,
  damagedShards: 0,
  liveBytes: 1,
  freeBytes: 1,
  totalBytes: 1,
}
const certificates = [
  { member: 1, serial: 'a', ...week },
  { member: 1, serial: 'old', issuedMs: 0, notAfterMs: 5 * day },
]
const textsOf = (change: Partial<Status>, nowMs = 1_001 * day): readonly string[] =>
  concernsOf({ ...well, ...change }, certificates, nowMs).map(
    ({ kind, text }) => `${kind}: ${text}`,
  )

test('nothing is wrong, or what is, the worst first', () => {
  assert.deepEqual(textsOf({}), [])
  assert.deepEqual(textsOf({ underReplicatedShards: -1 }), [])
  assert.deepEqual(
    textsOf({
      nodes: [
        { ...node, state: 'suspect' },
        { ...node, id: 2, name: 'n2', state: 'offline', freeBytes: 5 },
      ],
      groups: [{ ...group, role: 'follower' }],
      underReplicatedShards: 1_200,
      damagedShards: 1,
    }),
    [
      'bad: No leader is seen of /raft/system.',
      'bad: n2 is offline.',
      'warn: n1 does not answer as usual.',
      'warn: 1\u2009200 shards missing: being made again from the others.',
      'warn: 1 shard found damaged since the nodes started, and made again.',
      'warn: The disk of n2 is almost full.',
    ],
  )
  assert.deepEqual(textsOf({}, 1_006 * day), ['warn: The certificate of n1 ends soon.'])
  assert.deepEqual(textsOf({}, 1_008 * day), ['bad: The certificate of n1 has ended.'])
  assert.equal(newestOf(certificates, 1)?.serial, 'a')
  assert.equal(newestOf(certificates, 2), undefined)
})

test('a key is told as the machine tells it', () => {
  // The two examples of the paper on proquints.
  assert.equal(keyWords('7f00 0001 3f54 dcc1'), 'lusab babad gutih tugad')
  assert.equal(keyWords(''), '')
})

test('names and times as people read them', () => {
  assert.equal(words('admin:CreateToken'), 'Create token')
  assert.equal(words('member-offline'), 'Member offline')
  assert.equal(listed(['a', 'b', 'c']), 'a, b and c')
  assert.equal(duration(3 * day + 4 * 3_600_000), '3 d 4 h')
  assert.equal(relative(1_000 * day, 1_000 * day + 61_000), '1 min 1 s ago')
  assert.equal(relative(Date.UTC(2031, 10, 20), Date.UTC(2026, 10, 21)), '2031-11-20')
})
