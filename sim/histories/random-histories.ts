// Random histories for tests: the execution of a correct object by concurrent clients, and small damages.

import type { Random } from '../../src/base/index.ts'
import type { History, Operation } from './history.ts'
import type { Known, Model } from './model.ts'
import { listModel, type ListInput, type ListOutput } from './models/list.ts'
import { lockModel, type LockInput, type LockOutput } from './models/lock.ts'
import { queueModel, type QueueInput, type QueueOutput } from './models/queue.ts'
import { registerModel, type RegisterInput, type RegisterOutput } from './models/register.ts'
import { elementModel, setModel, type SetInput, type SetOutput } from './models/set.ts'
import { textMapModel, type TextMapInput, type TextMapOutput } from './models/text-map.ts'

/** A model with what it takes to run it at random. `outputs`: all that could be answered, small. */
export type Subject<State extends Known, Input, Output> = {
  readonly model: Model<State, Input, Output>
  readonly drawInput: (random: Random) => Input
  readonly outputs: (input: Input, state: State) => readonly Output[]
}

const values = ['a', 'b', 'c'] as const
const keys = ['x', 'y'] as const

function pick<T>(from: readonly T[], random: Random): T {
  return from[random.integer(from.length)] as T
}

export type Shape = {
  readonly operations: number
  readonly clients: number
  /** Share of operations whose outcome is lost. */
  readonly lostRatio: number
}

/** Linearizable by construction: every operation takes effect at a moment between call and return. */
export function runAtRandom<State extends Known, Input, Output>(
  subject: Subject<State, Input, Output>,
  random: Random,
  shape: Shape,
): History<Input, Output> {
  const { model, drawInput } = subject
  const states = new Map<string, State>()
  const history: Operation<Input, Output>[] = []
  type Running = { input: Input; calledAt: number; output: Output | undefined; isDone: boolean }
  const running: (Running | undefined)[] = Array.from({ length: shape.clients }, () => undefined)
  let now = 0
  let called = 0
  const takeEffect = (one: Running): void => {
    const part = model.partition(one.input) ?? ''
    const state = states.get(part) ?? model.initial
    const output = pick(fitting(subject, state, one.input), random)
    one.output = output
    one.isDone = true
    states.set(part, model.apply(state, one.input, output) as State)
  }
  const finish = (one: Running, client: number): void => {
    const isLost = random.chance(shape.lostRatio)
    // Lost operations take effect now, earlier or never.
    if (!one.isDone && !isLost) takeEffect(one)
    const { input, calledAt } = one
    const output = isLost ? undefined : one.output
    const returnedAt = output === undefined ? Number.POSITIVE_INFINITY : now++
    history.push({ client, input, output, calledAt, returnedAt })
    running[client] = undefined
  }
  while (called < shape.operations || running.some((one) => one !== undefined)) {
    const client = random.integer(shape.clients)
    const one = running[client]
    if (one === undefined) {
      if (called++ >= shape.operations) continue
      const input = drawInput(random)
      running[client] = { input, calledAt: now++, output: undefined, isDone: false }
    } else if (!one.isDone && random.chance(0.5)) takeEffect(one)
    else finish(one, client)
  }
  return history
}

function fitting<State extends Known, Input, Output>(
  { model, outputs }: Subject<State, Input, Output>,
  state: State,
  input: Input,
): readonly Output[] {
  return outputs(input, state).filter((output) => model.apply(state, input, output) !== undefined)
}

/** One operation answers something else, or its interval moves. Perhaps still linearizable. */
export function damage<State extends Known, Input, Output>(
  history: History<Input, Output>,
  { model, outputs }: Subject<State, Input, Output>,
  random: Random,
): History<Input, Output> {
  const at = random.integer(history.length)
  return history.map((one, index) => {
    if (index !== at || one.output === undefined) return one
    if (random.chance(0.7)) {
      return { ...one, output: pick(outputs(one.input, model.initial), random) }
    }
    const calledAt = random.integer(history.length * 2)
    return { ...one, calledAt, returnedAt: calledAt + random.integer(4) }
  })
}

// ---- subjects ----

export const registerSubject: Subject<string | null, RegisterInput, RegisterOutput> = {
  model: registerModel,
  drawInput(random) {
    const key = pick(keys, random)
    const kind = pick(['read', 'write', 'compare-and-set'] as const, random)
    if (kind === 'read') return { kind, key }
    const value = pick(values, random)
    if (kind === 'write') return { kind, key, value }
    return { kind, key, expected: pick([...values, null], random), value }
  },
  outputs({ kind }) {
    if (kind === 'write') return [{ kind }]
    if (kind === 'read') return [...values, null].map((value) => ({ kind, value }))
    return [true, false].map((isDone) => ({ kind, isDone }))
  },
}

export const textMapSubject: Subject<string, TextMapInput, TextMapOutput> = {
  model: textMapModel,
  drawInput(random) {
    const key = pick(keys, random)
    const kind = pick(['get', 'put', 'append'] as const, random)
    return kind === 'get' ? { kind, key } : { kind, key, value: pick(values, random) }
  },
  outputs({ kind }, state) {
    if (kind !== 'get') return [{}]
    return [...new Set([state, '', ...values, 'ab', 'ba'])].map((value) => ({ value }))
  },
}

export const listSubject: Subject<readonly string[], ListInput, ListOutput> = {
  model: listModel,
  drawInput(random) {
    const key = pick(keys, random)
    return random.chance(0.5)
      ? { kind: 'read', key }
      : { kind: 'append', key, element: pick(values, random) }
  },
  outputs({ kind }, state) {
    if (kind === 'append') return [{}, { length: state.length + 1 }, { length: 2 }]
    return [state, [], ['a'], ['a', 'b'], ['b', 'a']].map((elements) => ({ elements }))
  },
}

export const queueSubject: Subject<readonly string[], QueueInput, QueueOutput> = {
  model: queueModel,
  drawInput(random) {
    const queue = pick(keys, random)
    return random.chance(0.5)
      ? { kind: 'dequeue', queue }
      : { kind: 'enqueue', queue, value: pick(values, random) }
  },
  outputs({ kind }, state) {
    const first = state[0] ?? null
    if (kind === 'enqueue') return [{}]
    return [...new Set([first, ...values, null])].map((value) => ({ value }))
  },
}

export const setSubject: Subject<readonly string[], SetInput, SetOutput> = {
  model: setModel,
  drawInput(random) {
    const kind = pick(['add', 'remove', 'contains', 'read'] as const, random)
    const set = pick(keys, random)
    return kind === 'read' ? { kind, set } : { kind, set, element: pick(values, random) }
  },
  outputs({ kind }, state) {
    if (kind === 'read') return [state, [], ['a'], ['b', 'a']].map((elements) => ({ elements }))
    return [{ wasIn: true }, { wasIn: false }, ...(kind === 'contains' ? [] : [{}])]
  },
}

export const elementSubject: typeof setSubject = {
  ...setSubject,
  model: elementModel,
  drawInput(random) {
    const kind = pick(['add', 'remove', 'contains'] as const, random)
    return { kind, set: pick(keys, random), element: pick(values, random) }
  },
}

type LockState = typeof lockModel.initial

export const lockSubject: Subject<LockState, LockInput, LockOutput> = {
  model: lockModel,
  drawInput(random) {
    const kind = pick(['acquire', 'release', 'guarded', 'lapse'] as const, random)
    if (kind === 'guarded') return { kind, lock: 'l', token: 1 + random.integer(4) }
    return { kind, lock: 'l', owner: pick(values, random) }
  },
  outputs({ kind }, { token }) {
    if (kind !== 'acquire') return [{ isDone: true }, { isDone: false }]
    return [{ token: null }, { token: token + 1 }, { token: token + 2 }, { token: 1 }]
  },
}
