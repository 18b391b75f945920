// The model checker itself over traces of ours, where it can be had: ATOLL_TLC names its jars, separated by colons, and
// ATOLL_RAFT_SPEC the folder tla of etcd-io/raft (`npm run raft:trace -- --help` tells where both are found).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTrace, parseTrace } from './format.ts'
import { playTrace } from './play.ts'
import { withoutSnapshots } from './snapshots.ts'
import { checkWithTlc } from './tlc.ts'

const { ATOLL_TLC: tlc, ATOLL_RAFT_SPEC: spec } = process.env
const skip =
  tlc === undefined || spec === undefined
    ? 'the model checker is not here: ATOLL_TLC and ATOLL_RAFT_SPEC name its jars and the specification'
    : false
/** Java starts slowly on a busy machine. */
const options = { skip, timeout: 300_000 }
const model = { jars: tlc?.split(':') ?? [], spec: spec ?? '' }

/** Crashes, a change of members, a snapshot and two leaders in about 200 events. */
const seed = 41

function traceText(): string {
  const { events, terms } = playTrace({ seed, events: 200 })
  return formatTrace(withoutSnapshots(events, terms))
}

test('TLC finds that a trace is a behaviour of the specification', options, () => {
  const { isAccepted, output } = checkWithTlc(traceText(), model)
  assert.ok(isAccepted, output)
})

test('TLC refuses a trace in which a leader commits too early', options, () => {
  const lines = traceText().split('\n')
  const at = parseTrace(lines.join('\n')).findIndex(
    ({ name, log, state }) => name === 'Commit' && log > state.commit,
  )
  assert.ok(at >= 0)
  const raised = (lines[at] ?? '').replace(/"commit":(\d+)/, (_, n) => `"commit":${Number(n) + 1}`)
  const { isAccepted, output } = checkWithTlc(lines.with(at, raised).join('\n'), model)
  assert.equal(isAccepted, false)
  assert.match(output, /Progress %/, 'it was read')
})
