import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Random, seededRandom } from '../../base/index.ts'
import type { Entry, Snapshot } from './types.ts'
import { UnstableLog } from './unstable.ts'

/** The same in the plainest way: a map of terms, and marks. */
type Model = { terms: Map<number, number>; first: number; next: number; inProgress: number }

test('the unstable log behaves as a plain map does', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed)
    const start = 1 + random.integer(5)
    const log = new UnstableLog(start, () => undefined)
    const model: Model = { terms: new Map(), first: start, next: start, inProgress: start }
    let term = 1
    for (let step = 0; step < 300; step++) {
      if (random.chance(0.1)) term++
      change(random, log, model, term)
      compare(log, model)
    }
  }
})

function change(random: Random, log: UnstableLog, model: Model, term: number): void {
  const dice = random.integer(100)
  if (dice < 55) {
    const lowest = Math.max(1, model.first - 2)
    const from = random.chance(0.7) ? model.next : lowest + random.integer(model.next - lowest + 1)
    append(random, log, model, from, term)
  } else if (dice < 75) {
    log.acceptInProgress()
    model.inProgress = model.next
  } else if (dice < 97) {
    const index = model.first + random.integer(Math.max(1, model.next - model.first + 1))
    const known = model.terms.get(index)
    const claimed = random.chance(0.8) ? (known ?? term) : term + 1
    log.stableTo(index, claimed)
    if (known !== claimed) return
    for (let i = model.first; i <= index; i++) model.terms.delete(i)
    model.first = index + 1
    model.inProgress = Math.max(model.inProgress, model.first)
  } else {
    const index = model.next + random.integer(5)
    log.restore(snapshotAt(index, term))
    assert.equal(log.lastIndex(), index)
    assert.equal(log.firstIndex(), index + 1)
    assert.equal(log.term(index), term)
    log.stableSnapshotTo(index)
    model.terms.clear()
    model.first = index + 1
    model.next = index + 1
    model.inProgress = index + 1
  }
}

function append(random: Random, log: UnstableLog, model: Model, from: number, term: number): void {
  const entries: Entry[] = []
  const count = 1 + random.integer(90)
  const skip = random.integer(Math.min(3, from))
  for (let i = -skip; i < count; i++) entries.push(entryAt(from + i, term))
  log.truncateAndAppend(entries, skip)
  if (from < model.first) {
    model.terms.clear()
    model.first = from
    model.inProgress = from
  }
  for (let i = from; model.terms.delete(i); i++);
  for (let i = 0; i < count; i++) model.terms.set(from + i, term)
  model.next = from + count
  // What replaces entries handed out for writing has itself not been handed out.
  model.inProgress = Math.min(model.inProgress, from)
}

function compare(log: UnstableLog, model: Model): void {
  const { first, next, inProgress, terms } = model
  assert.equal(log.offset, first)
  assert.equal(log.offsetInProgress, inProgress)
  assert.equal(log.count, next - first)
  assert.equal(log.lastIndex(), next > first ? next - 1 : undefined)
  assert.equal(log.hasNextEntries, inProgress < next)
  const fresh = log.nextEntries()
  assert.deepEqual(
    fresh.map((entry) => entry.index),
    Array.from({ length: next - inProgress }, (_, i) => inProgress + i),
  )
  for (const entry of fresh) assert.equal(entry.term, terms.get(entry.index))
  for (let index = first - 1; index <= next; index++) {
    assert.equal(log.term(index), terms.get(index))
  }
  const slice = log.slice(first, next, 30)
  assert.ok(next === first ? slice.length === 0 : slice.length > 0)
}

function entryAt(index: number, term: number): Entry {
  return { index, term, kind: 'normal', payload: new Uint8Array(1) }
}

function snapshotAt(index: number, term: number): Snapshot {
  const confState = {
    voters: [1],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  }
  return { metadata: { index, term, confState }, payload: new Uint8Array(0) }
}
