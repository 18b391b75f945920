import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Random, seededRandom } from '../../src/base/index.ts'
import { isLinearizableByForce } from './brute-force.ts'
import { check, formatViolation } from './check.ts'
import { type History, HistoryRecorder, type Operation } from './history.ts'
import type { Known } from './model.ts'
import type { LockInput, LockOutput } from './models/lock.ts'
import type { QueueInput } from './models/queue.ts'
import { type RegisterInput, type RegisterOutput, registerModel } from './models/register.ts'
import {
  damage,
  elementSubject,
  listSubject,
  lockSubject,
  queueSubject,
  registerSubject,
  runAtRandom,
  type Subject,
  setSubject,
  textMapSubject,
} from './random-histories.ts'

/** Histories of each model that are compared with brute force, sound and damaged. */
const tinyHistories = 1_500

function compareWithForce<State extends Known, Input, Output>(
  subject: Subject<State, Input, Output>,
  seed: number,
): void {
  const { model } = subject
  const random = seededRandom(seed)
  let refused = 0
  for (let round = 0; round < tinyHistories; round++) {
    const shape = { operations: 2 + random.integer(6), clients: 2 + random.integer(3) }
    const sound = runAtRandom(subject, random, { ...shape, lostRatio: 0.2 })
    const shown = (): string => `${model.name}, seed ${seed}, round ${round}`
    assert.equal(check(sound, model).kind, 'ok', shown())
    let damaged = sound
    for (let i = random.integer(3); i >= 0; i--) damaged = damage(damaged, subject, random)
    const expected = isLinearizableByForce(damaged, wholeOf(subject).model)
    assert.equal(check(damaged, model).kind, expected ? 'ok' : 'violated', shown())
    if (!expected) refused++
  }
  assert.ok(refused > tinyHistories / 20, `${model.name}: only ${refused} were damaged for good`)
}

/** Brute force knows no partitions: it holds the history against a map of states. */
function wholeOf<State extends Known, Input, Output>({ model }: Subject<State, Input, Output>) {
  type States = Readonly<Record<string, State>>
  return {
    model: {
      ...model,
      initial: {} as States,
      apply(states: States, input: Input, output: Output | undefined): States | undefined {
        const part = model.partition(input) ?? ''
        const before = part in states ? (states[part] as State) : model.initial
        const after = model.apply(before, input, output)
        return after === undefined ? undefined : { ...states, [part]: after }
      },
      stateKey: (states: States) => JSON.stringify(states),
    },
  }
}

test('tiny histories: the verdict is that of brute force', () => {
  compareWithForce(registerSubject, 1)
  compareWithForce(textMapSubject, 2)
  compareWithForce(listSubject, 3)
  compareWithForce(queueSubject, 4)
  compareWithForce(setSubject, 5)
  compareWithForce(elementSubject, 6)
  compareWithForce(lockSubject, 7)
})

function passAll<State extends Known, Input, Output>(
  subject: Subject<State, Input, Output>,
  seed: number,
): void {
  const random = seededRandom(seed)
  for (const operations of [50, 400, 1_500]) {
    const shape = { operations, clients: 6, lostRatio: 0.01 }
    const verdict = check(runAtRandom(subject, random, shape), subject.model)
    assert.equal(verdict.kind, 'ok', `${subject.model.name}, ${operations} operations`)
  }
}

/** As a workload does it: values tell which call wrote them, and the queue stays short. */
function drawDistinct(random: Random): QueueInput {
  const queue = random.chance(0.5) ? 'x' : 'y'
  const value = String(random.integer(1_000_000_000))
  return random.chance(0.65) ? { kind: 'dequeue', queue } : { kind: 'enqueue', queue, value }
}

test('long executions of correct objects pass', () => {
  passAll(registerSubject, 11)
  passAll(textMapSubject, 12)
  passAll(listSubject, 13)
  passAll({ ...queueSubject, drawInput: drawDistinct }, 14)
  passAll(elementSubject, 15)
  passAll(lockSubject, 16)
})

type Registers = HistoryRecorder<RegisterInput, RegisterOutput>

function write(recorder: Registers, key: string, value: string): void {
  recorder.returned(recorder.called(1, { kind: 'write', key, value }), { kind: 'write' })
}

function read(recorder: Registers, key: string, value: string | null): void {
  recorder.returned(recorder.called(2, { kind: 'read', key }), { kind: 'read', value })
}

test('the smallest partition that fails is shown, with the return that no order gets past', () => {
  const recorder: Registers = new HistoryRecorder()
  for (const value of ['1', '2', '3', '4']) write(recorder, 'large', value)
  read(recorder, 'large', '1')
  write(recorder, 'small', '7')
  const open = recorder.called(3, { kind: 'write', key: 'small', value: '8' })
  read(recorder, 'small', null)
  read(recorder, 'small', '7')
  recorder.lost(open)
  const verdict = check(recorder.history(), registerModel)
  assert.ok(verdict.kind === 'violated')
  assert.equal(verdict.partition, 'small')
  assert.equal(verdict.partitions, 2)
  const { blocked, order, state } = verdict.deadEnd
  assert.deepEqual(blocked.input, { kind: 'read', key: 'small' })
  assert.deepEqual(blocked.output, { kind: 'read', value: null })
  assert.deepEqual([order.length, state], [2, '8'])
  assert.equal(
    formatViolation(verdict, registerModel),
    [
      'register of small: 4 operations, not linearizable',
      'the longest order explains 2:',
      '  [10, 11] client 1: {"kind":"write","key":"small","value":"7"} -> {"kind":"write"}',
      '  [12, Infinity] client 3: {"kind":"write","key":"small","value":"8"} -> unknown',
      'the state is then "8", and no order gets past the return of',
      '  [13, 14] client 2: {"kind":"read","key":"small"} -> {"kind":"read","value":null}',
    ].join('\n'),
  )
})

test('a write of what is there may be needed later: it is not taken early', () => {
  const written = { kind: 'write' } as const
  const history: History<RegisterInput, RegisterOutput> = [
    {
      client: 1,
      input: { kind: 'write', key: 'x', value: '3' },
      output: written,
      calledAt: 0,
      returnedAt: 1,
    },
    {
      client: 1,
      input: { kind: 'write', key: 'x', value: '3' },
      output: written,
      calledAt: 2,
      returnedAt: 5,
    },
    {
      client: 2,
      input: { kind: 'write', key: 'x', value: '4' },
      output: written,
      calledAt: 3,
      returnedAt: 6,
    },
    {
      client: 3,
      input: { kind: 'read', key: 'x' },
      output: { kind: 'read', value: '3' },
      calledAt: 7,
      returnedAt: 8,
    },
  ]
  assert.equal(check(history, registerModel).kind, 'ok')
})

test('an operation that is lost takes effect once, late or never', () => {
  const lost: Registers = new HistoryRecorder()
  lost.lost(lost.called(1, { kind: 'write', key: 'x', value: '1' }))
  read(lost, 'x', null)
  read(lost, 'x', '1')
  assert.equal(check(lost.history(), registerModel).kind, 'ok')
  read(lost, 'x', null)
  assert.equal(check(lost.history(), registerModel).kind, 'violated')
})

test('a limit that is reached is unknown, not ok; a violation elsewhere is still found', () => {
  const shape = { operations: 400, clients: 8, lostRatio: 0.05 }
  const history = runAtRandom(registerSubject, seededRandom(21), shape)
  const kinds = [{ stepsMax: 10 }, { memoryBytesMax: 100 }, { isExpired: () => true }].map(
    (limits) => {
      const verdict = check(history, registerModel, limits)
      return verdict.kind === 'unknown' ? verdict.reason : verdict.kind
    },
  )
  assert.deepEqual(kinds, ['steps', 'memory', 'time'])
  const recorder: Registers = new HistoryRecorder()
  read(recorder, 'broken', 'never written')
  const all = [...history, ...recorder.history()]
  assert.equal(check(all, registerModel, { stepsMax: 10 }).kind, 'violated')
})

test('a lock with two owners needs a lapse; a late owner is stopped by the fence', () => {
  const { model } = lockSubject
  const lock = 'l'
  type LockOperation = Operation<LockInput, LockOutput>
  const grant = (owner: string, token: number, at: number): LockOperation => {
    const input = { kind: 'acquire', lock, owner } as const
    return { client: 1, input, output: { token }, calledAt: at, returnedAt: at + 1 }
  }
  const guarded = (token: number, isDone: boolean, at: number): LockOperation => {
    const input = { kind: 'guarded', lock, token } as const
    return { client: 1, input, output: { isDone }, calledAt: at, returnedAt: at + 1 }
  }
  const lapse = { kind: 'lapse', lock, owner: 'p' } as const
  const never = Number.POSITIVE_INFINITY
  const open = { client: 1, input: lapse, output: undefined, calledAt: 1, returnedAt: never }
  const twoOwners = [grant('p', 1, 0), grant('q', 2, 4)]
  assert.equal(check(twoOwners, model).kind, 'violated', 'two owners')
  assert.equal(check([...twoOwners, open], model).kind, 'ok', 'the lease of the first ran out')
  assert.equal(
    check([grant('p', 2, 0), open, grant('q', 2, 4)], model).kind,
    'violated',
    'a token twice',
  )
  const late = [...twoOwners, open, guarded(2, true, 6)]
  assert.equal(check([...late, guarded(1, false, 8)], model).kind, 'ok')
  assert.equal(check([...late, guarded(1, true, 8)], model).kind, 'violated', 'no fence')
})
