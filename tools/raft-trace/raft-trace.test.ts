import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTrace, parseTrace, type TraceEvent } from './format.ts'
import { checkTrace } from './invariants.ts'
import { playTrace } from './play.ts'
import { withoutSnapshots } from './snapshots.ts'

const traceOf = (seed: number, events: number): readonly TraceEvent[] =>
  parseTrace(formatTrace(playTrace({ seed, events }).events))

/** As the tool writes it: snapshots are appends. */
function writtenTraceOf(seed: number, count: number): readonly TraceEvent[] {
  const { events, terms } = playTrace({ seed, events: count })
  return parseTrace(formatTrace(withoutSnapshots(events, terms)))
}

test('every invariant of the specification holds over traces of the core', () => {
  const seen = new Map<string, number>()
  const running = new Set<string>()
  for (let seed = 1; seed <= 20; seed++) {
    const events = traceOf(seed, 800)
    assert.equal(checkTrace(events), undefined, `seed ${seed}`)
    assert.equal(checkTrace(writtenTraceOf(seed, 800)), undefined, `seed ${seed}, as written`)
    for (const { name, msg, nid } of events) {
      const isAgain = name === 'InitState' && running.has(`${seed} ${nid}`)
      if (name !== 'InitState') running.add(`${seed} ${nid}`)
      const kind = isAgain ? 'InitState again' : msg === undefined ? name : `${name} ${msg.type}`
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
    }
  }
  for (const kind of [
    'BecomeLeader',
    'ChangeConf',
    'Commit',
    'InitState again',
    'ReceiveAppendEntriesRequest MsgSnap',
  ]) {
    assert.ok((seen.get(kind) ?? 0) > 10, `${kind}: ${seen.get(kind)}`)
  }
})

test('an event is written as the specification reads it', () => {
  const [line] = formatTrace(playTrace({ seed: 1, events: 10 }).events).split('\n')
  assert.equal(
    line,
    '{"tag":"trace","event":{"name":"InitState","nid":"1","state":{"term":1,"vote":"0","commit":1},"role":"StateFollower","log":1,"conf":[["1","2","3"],[]]}}',
  )
  const sent = traceOf(1, 800).find(({ name, msg }) => name.startsWith('Send') && msg !== undefined)
  assert.deepEqual(Object.keys(sent?.msg ?? {}), [
    'type',
    'term',
    'from',
    'to',
    'entries',
    'logTerm',
    'index',
    'commit',
    'vote',
    'reject',
    'rejectHint',
  ])
})

/** The first event that fits, changed. */
function broken(
  events: readonly TraceEvent[],
  fits: (event: TraceEvent) => boolean,
  change: (event: TraceEvent) => TraceEvent,
): readonly TraceEvent[] {
  const at = events.findIndex(fits)
  assert.ok(at >= 0)
  return events.map((event, i) => (i === at ? change(event) : event))
}

test('what breaks an invariant is found, by its name', () => {
  const events = traceOf(1, 800)
  const isCommit = ({ name, log, state }: TraceEvent): boolean =>
    name === 'Commit' && log > state.commit + 1
  const early = broken(events, isCommit, (event) => ({
    ...event,
    state: { ...event.state, commit: event.log },
  }))
  assert.match(checkTrace(early)?.what ?? '', /CommittedIsDurable|QuorumLog/)

  const leader = events.find(({ name }) => name === 'BecomeLeader') as TraceEvent
  const isOther = ({ name, nid }: TraceEvent): boolean => name === 'Ready' && nid !== leader.nid
  const two = broken(events.slice(events.indexOf(leader)), isOther, (event) => ({
    ...event,
    role: 'StateLeader',
    state: leader.state,
  }))
  const boot = events.slice(0, events.indexOf(leader))
  assert.match(checkTrace([...boot, ...two])?.what ?? '', /MoreThanOneLeader|ElectionSafety/)

  const taken = ({ name, msg }: TraceEvent): boolean =>
    name === 'ReceiveAppendEntriesRequest' && (msg?.entries ?? 0) > 0
  const dropped = events.filter((event, at) => at !== events.findIndex(taken) || !taken(event))
  assert.match(checkTrace(dropped)?.what ?? '', /built again/)
})

test('a beginning that its last Ready did not leave is found', () => {
  const events = traceOf(41, 800)
  const running = new Set<string>()
  const isAgain = ({ name, nid }: TraceEvent): boolean => {
    if (name !== 'InitState') running.add(nid)
    return name === 'InitState' && running.has(nid)
  }
  const forgetful = broken(events, isAgain, (event) => ({
    ...event,
    state: { ...event.state, term: event.state.term - 1 },
  }))
  assert.match(checkTrace(forgetful)?.what ?? '', /its last Ready/)
})

test('no snapshot is left in what is written, and a lost one begins where its leader knows', () => {
  const { events, terms } = playTrace({ seed: 41, events: 800 })
  const written = withoutSnapshots(events, terms)
  assert.ok(events.some(({ message }) => message?.type === 'MsgSnap'))
  assert.ok(written.every(({ message }) => message?.type !== 'MsgSnap'))
  for (const [at, { message }] of events.entries()) {
    if (message?.type !== 'MsgSnap') continue
    const append = written[at]?.message
    assert.equal(append?.type, 'MsgApp')
    assert.equal((append?.index ?? 0) + (append?.entries ?? 0), message.entries)
    assert.equal(append?.commit, message.entries)
  }
})
