// What a RawNode promises beyond the published scripts: reads, limits, and calm in the face of any message.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AssertionFailure, type Random, seededRandom } from '../../base/index.ts'
import { decodeConfChange, encodeConfChange } from './confchange-codec.ts'
import { createMemoryStorage, type MemoryStorage } from './memory-storage.ts'
import { createRawNode } from './raw-node.ts'
import type { CoreConfig, Entry, Message, MessageType, RawNode, Ready } from './types.ts'

const noBytes = new Uint8Array(0)
const blank: Message = {
  type: 'append',
  to: 1,
  from: 2,
  term: 0,
  logTerm: 0,
  index: 0,
  commit: 0,
  vote: 0,
  entries: [],
  snapshot: undefined,
  isRejected: false,
  rejectHint: 0,
  context: noBytes,
  responses: [],
}

type Fixture = { readonly node: RawNode; readonly storage: MemoryStorage }

function start(voters: readonly number[], options: Partial<CoreConfig> = {}): Fixture {
  const storage = createMemoryStorage()
  const confState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
  storage.applySnapshot({ metadata: { index: 1, term: 1, confState }, payload: noBytes })
  storage.setHardState({ term: 1, vote: 0, commit: 1 })
  const node = createRawNode({
    id: 1,
    electionTicks: 5,
    heartbeatTicks: 1,
    storage,
    applied: 1,
    asyncStorageWrites: false,
    maxSizePerMessage: 1 << 20,
    maxCommittedSizePerReady: 0,
    maxUncommittedSize: 0,
    maxInflightMessages: 8,
    maxInflightBytes: 0,
    checkQuorum: true,
    preVote: false,
    readOnly: 'safe',
    disableProposalForwarding: false,
    disableConfChangeValidation: false,
    stepDownOnRemoval: true,
    random: { integer: () => 0 },
    trace: () => undefined,
    ...options,
  })
  return { node, storage }
}

/** Persists and applies one Ready. */
function runReady({ node, storage }: Fixture): Ready {
  const ready = node.ready()
  if (ready.hardState !== undefined) storage.setHardState(ready.hardState)
  if (ready.snapshot !== undefined) storage.applySnapshot(ready.snapshot)
  storage.append(ready.entries)
  applyChanges(node, ready.committedEntries)
  node.advance()
  return ready
}

function applyChanges(node: RawNode, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const change = decodeConfChange(entry)
    if (change !== undefined) node.applyConfChange(change)
  }
}

function runAll(fixture: Fixture): readonly Ready[] {
  const readies: Ready[] = []
  while (fixture.node.hasReady()) readies.push(runReady(fixture))
  return readies
}

/** Makes node 1 of 1, 2, 3 leader of term 2 with its first entry, 2, committed. */
function lead(options: Partial<CoreConfig> = {}): Fixture {
  const fixture = start([1, 2, 3], options)
  fixture.node.campaign()
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'vote-response', term: 2 })
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'append-response', term: 2, index: 2 })
  fixture.node.step({ ...blank, type: 'append-response', from: 3, term: 2, index: 2 })
  runAll(fixture)
  assert.equal(fixture.node.status().hardState.commit, 2)
  return fixture
}

function messagesOf(readies: readonly Ready[], type: MessageType): readonly Message[] {
  return readies.flatMap((ready) => ready.messages).filter((message) => message.type === type)
}

test('the votes of others do not make a leader whose own vote is not on disk', () => {
  const { node, storage } = start([1, 2, 3], { asyncStorageWrites: true })
  node.campaign()
  const { messages, hardState } = node.ready()
  for (const from of [2, 3]) node.step({ ...blank, type: 'vote-response', from, term: 2 })
  assert.equal(node.status().softState.role, 'candidate')
  if (hardState !== undefined) storage.setHardState(hardState)
  const work = messages.find(({ type }) => type === 'storage-append')
  for (const response of work?.responses ?? []) node.step(response)
  assert.equal(node.status().softState.role, 'leader')
})

test('a read is confirmed by a quorum of heartbeats, one round for all', () => {
  const fixture = lead()
  const first = Uint8Array.of(1)
  const second = Uint8Array.of(2)
  fixture.node.readIndex(first)
  fixture.node.readIndex(second)
  const readies = runAll(fixture)
  assert.ok(readies.every((ready) => ready.readStates.length === 0))
  const last = messagesOf(readies, 'heartbeat')
    .filter((message) => message.to === 2)
    .at(-1)
  const context = last?.context ?? noBytes
  fixture.node.step({ ...blank, type: 'heartbeat-response', term: 2, context: Uint8Array.of(9, 9) })
  assert.ok(runAll(fixture).every((ready) => ready.readStates.length === 0))
  fixture.node.step({ ...blank, type: 'heartbeat-response', term: 2, context })
  const states = runAll(fixture).flatMap((ready) => ready.readStates)
  assert.deepEqual(states, [
    { index: 2, context: first },
    { index: 2, context: second },
  ])
})

test('the only voter answers a read once it has committed in its term', () => {
  const fixture = start([1])
  fixture.node.campaign()
  runReady(fixture)
  fixture.node.readIndex(Uint8Array.of(1))
  const states = runAll(fixture).flatMap((ready) => ready.readStates)
  assert.deepEqual(states, [{ index: 2, context: Uint8Array.of(1) }])
})

test('a lease answers reads at once, and needs the check of the quorum', () => {
  const fixture = lead({ readOnly: 'lease-based' })
  fixture.node.readIndex(Uint8Array.of(1))
  const [ready] = runAll(fixture)
  assert.deepEqual(ready?.readStates, [{ index: 2, context: Uint8Array.of(1) }])
  assert.throws(() => start([1], { readOnly: 'lease-based', checkQuorum: false }), AssertionFailure)
})

test('proposals drop beyond the limit of uncommitted bytes, and are taken again after', () => {
  const fixture = lead({ maxUncommittedSize: 100 })
  const payload = new Uint8Array(60)
  assert.equal(fixture.node.propose(payload), 'ok')
  assert.equal(fixture.node.propose(payload), 'dropped')
  assert.equal(fixture.node.propose(noBytes), 'ok')
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'append-response', term: 2, index: 4 })
  runAll(fixture)
  assert.equal(fixture.node.propose(payload), 'ok')
})

test('appends stop at the window of bytes and go on with the acknowledgements', () => {
  const fixture = lead({ maxInflightBytes: 100, maxSizePerMessage: 50 })
  const payloads = Array.from({ length: 10 }, () => new Uint8Array(40))
  assert.equal(fixture.node.proposeMany(payloads), 'ok')
  const sent = (readies: readonly Ready[]): number[] =>
    messagesOf(readies, 'append')
      .filter((message) => message.to === 2)
      .flatMap((message) => message.entries.map((entry) => entry.index))
  const before = sent(runAll(fixture))
  fixture.node.step({ ...blank, type: 'append-response', term: 2, index: 3 })
  const after = sent(runAll(fixture))
  assert.deepEqual(before, [3])
  assert.deepEqual(after, [4, 5, 6])
})

test('committed entries come in pages', () => {
  const fixture = lead({ maxCommittedSizePerReady: 100 })
  fixture.node.proposeMany(Array.from({ length: 10 }, () => new Uint8Array(40)))
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'append-response', term: 2, index: 12 })
  const pages = runAll(fixture).map((ready) => ready.committedEntries.length)
  assert.deepEqual(
    pages.filter((count) => count > 0),
    [2, 2, 2, 2, 2],
  )
})

test('entries of earlier terms are committed only by one of the current term', () => {
  const { storage } = start([1, 2, 3])
  storage.append([entryAt(2, 1), entryAt(3, 1)])
  const fixture = { ...start([1, 2, 3], { storage }), storage }
  fixture.node.campaign()
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'vote-response', term: 2 })
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'append-response', term: 2, index: 3 })
  runAll(fixture)
  assert.equal(fixture.node.status().hardState.commit, 1)
  fixture.node.step({ ...blank, type: 'append-response', term: 2, index: 4 })
  runAll(fixture)
  assert.equal(fixture.node.status().hardState.commit, 4)
})

test('a removal that leaves no voter is refused, and void when it is committed all the same', () => {
  const fixture = lead()
  const remove = (nodeId: number) => ({ kind: 'remove', nodeId }) as const
  const change = {
    transition: 'joint-explicit',
    changes: [remove(1), remove(2), remove(3)],
    context: noBytes,
  } as const
  assert.equal(fixture.node.proposeConfChange(change), 'ok')
  const entries = runAll(fixture).flatMap((ready) => ready.entries)
  assert.deepEqual(
    entries.map((entry) => entry.kind),
    ['normal'],
  )
  const before = fixture.node.status().confState
  assert.deepEqual(fixture.node.applyConfChange(change), before)
})

test('a joint configuration is left though a transfer had dropped it and nobody writes', () => {
  const fixture = lead()
  const { node } = fixture
  const changes = [
    { kind: 'add-voter', nodeId: 4 },
    { kind: 'remove', nodeId: 3 },
  ] as const
  assert.equal(
    node.proposeConfChange({ transition: 'joint-implicit', changes, context: noBytes }),
    'ok',
  )
  node.transferLeader(3)
  runAll(fixture)
  node.step({ ...blank, type: 'append-response', from: 2, term: 2, index: 3 })
  runAll(fixture)
  assert.deepEqual(node.status().confState.votersOutgoing, [1, 2, 3])
  assert.equal(fixture.storage.lastIndex(), 3, 'dropped: leadership is on its way')
  for (let tick = 0; tick < 6; tick++) {
    node.tick()
    for (const from of [2, 4]) node.step({ ...blank, type: 'heartbeat-response', from, term: 2 })
    runAll(fixture)
  }
  assert.equal(fixture.storage.lastIndex(), 4, 'the transfer was given up')
  for (const from of [2, 4]) {
    node.step({ ...blank, type: 'append-response', from, term: 2, index: 4 })
  }
  runAll(fixture)
  assert.deepEqual(node.status().confState.votersOutgoing, [])
})

test('a leader about to be removed holds proposals and has an heir stand', () => {
  const fixture = lead({ handOverOnRemoval: true })
  const changes = [{ kind: 'remove', nodeId: 1 }] as const
  const change = { transition: 'auto', changes, context: noBytes } as const
  assert.equal(fixture.node.proposeConfChange(change), 'ok')
  assert.equal(fixture.node.propose(Uint8Array.of(1)), 'dropped')
  runAll(fixture)
  fixture.node.step({ ...blank, type: 'append-response', from: 3, term: 2, index: 3 })
  const readies = runAll(fixture)
  assert.deepEqual(
    messagesOf(readies, 'timeout-now').map((message) => message.to),
    [3],
  )
  assert.equal(fixture.node.status().softState.role, 'follower')
})

test('a restart takes the larger of what is stored as committed and as applied', () => {
  const { storage } = start([1])
  storage.append([entryAt(2, 1), entryAt(3, 1)])
  const confState = storage.initialState().confState
  storage.createSnapshot(3, confState, noBytes)
  storage.compact(2)
  const { node } = start([1], { storage, applied: 3 })
  assert.equal(node.status().hardState.commit, 3)
  assert.throws(() => start([1], { storage, applied: 4 }), AssertionFailure)
})

test('no message of a peer breaks an invariant', () => {
  const seen = { leader: 0, committed: 0, restored: 0 }
  for (let seed = 1; seed <= 150; seed++) {
    const random = seededRandom(seed)
    const isAsync = random.chance(0.5)
    const fixture = start([1, 2, 3], { asyncStorageWrites: isAsync, preVote: random.chance(0.5) })
    for (let step = 0; step < 120; step++) {
      if (random.chance(0.1)) fixture.node.tick()
      if (random.chance(0.1)) fixture.node.propose(random.bytes(3))
      if (random.chance(0.05)) fixture.node.readIndex(random.bytes(2))
      fixture.node.step(hostileMessage(random, fixture.node.status().hardState))
      if (isAsync) runAsync(fixture)
      else runAll(fixture)
      const { softState, hardState } = fixture.node.status()
      if (softState.role === 'leader') seen.leader++
      if (hardState.commit > 1) seen.committed++
      if (fixture.storage.firstIndex() > 2) seen.restored++
    }
  }
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 100, `hardly seen: ${what}`)
})

function runAsync({ node, storage }: Fixture): void {
  while (node.hasReady()) {
    for (const work of node.ready().messages) {
      if (work.type === 'storage-append') {
        const { term, vote, commit } = work
        if (term + vote + commit > 0) storage.setHardState({ term, vote, commit })
        if (work.snapshot !== undefined) storage.applySnapshot(work.snapshot)
        storage.append(work.entries)
      }
      if (work.type === 'storage-apply') applyChanges(node, work.entries)
      for (const response of work.responses) if (response.to === 1) node.step(response)
    }
  }
}

const types: readonly MessageType[] = [
  'hup',
  'beat',
  'propose',
  'append',
  'append-response',
  'vote',
  'vote-response',
  'snapshot',
  'heartbeat',
  'heartbeat-response',
  'unreachable',
  'snapshot-status',
  'check-quorum',
  'transfer-leader',
  'timeout-now',
  'read-index',
  'read-index-response',
  'prevote',
  'prevote-response',
  'storage-append',
  'storage-append-response',
  'storage-apply',
  'storage-apply-response',
  'forget-leader',
]

function hostileMessage(random: Random, own: { term: number; commit: number }): Message {
  const near = (value: number): number => {
    if (random.chance(0.02))
      return [2 ** 53 - 1, 2 ** 52, -1, 0.5, Number.NaN][random.integer(5)] ?? 0
    return Math.max(0, value + random.integer(5) - 2)
  }
  const index = near(own.commit)
  const logTerm = near(own.term)
  const entries = Array.from({ length: random.integer(4) }, (_, i): Entry => {
    const kind =
      (['normal', 'conf-change', 'conf-change-v2'] as const)[random.integer(3)] ?? 'normal'
    const isValid = random.chance(0.3)
    const changes = [{ kind: 'remove', nodeId: 1 + random.integer(3) }] as const
    return {
      index: random.chance(0.8) ? index + 1 + i : near(index),
      term: random.chance(0.8) ? own.term : near(own.term),
      kind,
      payload: isValid
        ? encodeConfChange({ transition: 'auto', changes, context: noBytes })
        : random.bytes(random.integer(4)),
    }
  })
  const confState = {
    voters: Array.from({ length: random.integer(4) }, () => random.integer(5)),
    learners: Array.from({ length: random.integer(2) }, () => random.integer(5)),
    votersOutgoing: Array.from({ length: random.integer(2) }, () => random.integer(5)),
    learnersNext: Array.from({ length: random.integer(2) }, () => random.integer(5)),
    autoLeave: random.chance(0.3),
  }
  const metadata = { index: near(own.commit + 2), term: near(own.term), confState }
  return {
    type: types[random.integer(types.length)] ?? 'append',
    to: 1,
    from: random.integer(6),
    term: random.chance(0.7) ? own.term : near(own.term),
    logTerm,
    index,
    commit: near(own.commit + 2),
    vote: near(1),
    entries,
    snapshot: random.chance(0.5) ? { metadata, payload: noBytes } : undefined,
    isRejected: random.chance(0.4),
    rejectHint: near(index),
    context: random.bytes([0, 8, 16][random.integer(3)] ?? 0),
    responses: [],
  }
}

function entryAt(index: number, term: number): Entry {
  return { index, term, kind: 'normal', payload: noBytes }
}
