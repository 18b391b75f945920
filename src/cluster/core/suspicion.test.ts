import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId, type Random, seededRandom } from '../../base/index.ts'
import { type Health, Suspicion } from './suspicion.ts'

const id = nodeId(2)
const lookMs = 250

/** Beats at the times given, looks every quarter of a second; answers the changes of state with their times. */
function watch(
  beats: readonly number[],
  untilMs: number,
  suspicion = new Suspicion(0),
): readonly (readonly [number, Health])[] {
  let state: Health = 'online'
  let next = 0
  const changes: (readonly [number, Health])[] = []
  for (let nowMs = 0; nowMs <= untilMs; nowMs += lookMs) {
    while ((beats[next] ?? Number.POSITIVE_INFINITY) <= nowMs)
      suspicion.beat(id, beats[next++] ?? 0)
    const judged = suspicion.judge(id, state, nowMs)
    if (judged === state) continue
    if (state === 'online') suspicion.noteFall(id)
    state = judged
    changes.push([nowMs, state])
  }
  return changes
}

/** Sent every second, on the way for a time drawn anew for each; some are lost. */
function jittered(
  random: Random,
  shape: { readonly count: number; readonly jitterMs: number; readonly loss: number },
): number[] {
  const beats: number[] = []
  for (let i = 1; i <= shape.count; i++) {
    if (!random.chance(shape.loss)) beats.push(i * 1_000 + random.integer(shape.jitterMs))
  }
  return beats.sort((a, b) => a - b)
}

test('an hour of 100 ms jitter raises no alarm, with lost beats neither', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed)
    const beats = jittered(random, { count: 3_600, jitterMs: 100, loss: 0 })
    assert.deepEqual(watch(beats, 3_600_000), [], `seed ${seed}`)
    // One in a hundred is lost, never two in a row.
    const lossy = beats.filter((_, i) => i % 100 !== seed)
    assert.deepEqual(watch(lossy, 3_600_000), [], `seed ${seed} with losses`)
  }
})

test('one missed beat is never enough, at whatever moment', () => {
  for (let missed = 0; missed < 60; missed++) {
    const beats = Array.from({ length: 60 }, (_, i) => (i + 1) * 1_000).filter(
      (_, i) => i !== missed,
    )
    assert.deepEqual(watch(beats, 60_000), [], `beat ${missed}`)
  }
})

test('a death is noticed within five seconds, whenever it comes', () => {
  const random = seededRandom(9)
  for (let round = 0; round < 200; round++) {
    const count = 5 + random.integer(100)
    const beats = jittered(random, { count, jitterMs: 100, loss: 0 })
    const diedMs = count * 1_000 + 100 + random.integer(900)
    const changes = watch(beats, diedMs + 10_000)
    assert.deepEqual(
      changes.map(([, state]) => state),
      ['suspect', 'offline'],
    )
    const [suspectMs = 0, offlineMs = 0] = changes.map(([atMs]) => atMs - diedMs)
    assert.ok(suspectMs < 3_400 && offlineMs < 4_600, `${suspectMs} ${offlineMs}`)
  }
})

test('irregular members get more patience, up to the cap', () => {
  const random = seededRandom(4)
  const suspicion = new Suspicion(0)
  let nowMs = 0
  for (let i = 0; i < 200; i++) {
    nowMs += 200 + random.integer(2_600)
    suspicion.beat(id, nowMs)
  }
  const afterMs = suspicion.suspectAfterMs(id)
  assert.ok(afterMs > 4_000 && afterMs <= 12_000, `${afterMs}`)
  assert.equal(suspicion.judge(id, 'online', nowMs + 3_900), 'online')
  assert.equal(suspicion.judge(id, 'online', nowMs + 13_300), 'offline')
  assert.ok(suspicion.phi(id, nowMs + 500) < 1 && suspicion.phi(id, nowMs + 30_000) > 8)
})

test('a new watcher is patient, and brings nobody back whom it has not heard', () => {
  const suspicion = new Suspicion(1_000_000)
  assert.equal(suspicion.judge(id, 'online', 1_002_900), 'online')
  assert.equal(suspicion.judge(id, 'offline', 1_002_900), 'offline')
  assert.equal(suspicion.judge(id, 'suspect', 1_002_900), 'suspect')
  assert.equal(suspicion.judge(id, 'online', 1_003_000), 'suspect')
  suspicion.beat(id, 1_003_100)
  assert.equal(suspicion.judge(id, 'suspect', 1_003_100), 'online')
  assert.equal(suspicion.judge(id, 'offline', 1_003_100), 'offline')
  suspicion.beat(id, 1_004_100)
  assert.equal(suspicion.judge(id, 'offline', 1_004_100), 'online')
})

test('time in which the watcher stood still is nobody’s silence', () => {
  const suspicion = new Suspicion(0)
  for (let i = 1; i < 10; i++) suspicion.beat(id, i * 1_000)
  suspicion.excuse(60_000)
  assert.equal(suspicion.judge(id, 'online', 71_500), 'online')
  assert.equal(suspicion.judge(id, 'online', 72_500), 'suspect')
})

test('a link that flaps is written down ever more seldom', () => {
  const beats: number[] = []
  for (let atMs = 0; atMs < 600_000; atMs += 10_000) {
    for (let i = 0; i < 5; i++) beats.push(atMs + i * 1_000)
  }
  const changes = watch(beats, 600_000)
  const back = changes.filter(([, state]) => state === 'online').length
  assert.ok(back >= 1 && back <= 6, `${back} returns of 59`)
})

test('members that are gone are forgotten', () => {
  const suspicion = new Suspicion(0)
  for (let i = 0; i < 50; i++) suspicion.beat(id, i * 100)
  suspicion.retain(new Set())
  assert.equal(suspicion.silentMs(id, 10_000), 10_000)
})
