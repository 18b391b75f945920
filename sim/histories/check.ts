// Is a history linearizable (Herlihy and Wing 1990)? Each independent object is judged alone, smallest
// first (Lowe 2017, P-compositionality), so the first that fails is the smallest that does.
//
// Three verdicts: a search that reaches a limit is 'unknown', which is never 'ok'.

import type { History, Operation } from './history.ts'
import type { Known, Model } from './model.ts'
import { type DeadEnd, Search, type SearchLimits } from './search.ts'

export type CheckLimits = Partial<SearchLimits>

export type Verdict<State, Input, Output> = {
  readonly operations: number
  readonly partitions: number
  /** Applications of an operation to a state: the work it took, on every machine the same. */
  readonly steps: number
} & (
  | { readonly kind: 'ok' }
  | {
      readonly kind: 'violated'
      /** Of the smallest partition that fails; '' when the history was judged whole. */
      readonly partition: string
      readonly history: History<Input, Output>
      readonly deadEnd: DeadEnd<State, Input, Output>
    }
  | {
      readonly kind: 'unknown'
      readonly partition: string
      readonly reason: 'steps' | 'memory' | 'time'
    }
)

const defaults: SearchLimits = {
  stepsMax: 50_000_000,
  memoryBytesMax: 512 * 1024 * 1024,
  isExpired: () => false,
}

/** Limits hold per partition; without isExpired the verdict is the same on every machine. */
export function check<State extends Known, Input, Output>(
  history: History<Input, Output>,
  model: Model<State, Input, Output>,
  limits: CheckLimits = {},
): Verdict<State, Input, Output> {
  const parts = partitionsOf(history, model)
  const counts = { operations: history.length, partitions: parts.length }
  let steps = 0
  let unknown: { partition: string; reason: 'steps' | 'memory' | 'time' } | undefined
  for (const [partition, part] of parts) {
    const result = new Search(part, model, { ...defaults, ...limits }).run()
    steps += result.steps
    if (result.kind === 'violated') {
      const { deadEnd } = result
      return { kind: 'violated', partition, history: part, deadEnd, steps, ...counts }
    }
    if (result.kind === 'unknown') unknown ??= { partition, reason: result.reason }
  }
  if (unknown !== undefined) return { kind: 'unknown', ...unknown, steps, ...counts }
  return { kind: 'ok', steps, ...counts }
}

/** Smallest first. */
function partitionsOf<State extends Known, Input, Output>(
  history: History<Input, Output>,
  model: Model<State, Input, Output>,
): readonly (readonly [string, History<Input, Output>])[] {
  const parts = new Map<string, Operation<Input, Output>[]>()
  for (const operation of history) {
    const name = model.partition(operation.input)
    if (name === undefined) return [['', history]]
    const part = parts.get(name)
    if (part === undefined) parts.set(name, [operation])
    else part.push(operation)
  }
  return [...parts].sort(([, a], [, b]) => a.length - b.length)
}

const orderShown = 8
const openShown = 24

/** For people: what was asked where, what was known there, and what no order can explain. */
export function formatViolation<State extends Known, Input, Output>(
  verdict: Verdict<State, Input, Output> & { readonly kind: 'violated' },
  model: Model<State, Input, Output>,
): string {
  const { blocked, order, open, state } = verdict.deadEnd
  const where = verdict.partition === '' ? '' : ` of ${verdict.partition}`
  const left = order.length - orderShown
  return [
    `${model.name}${where}: ${verdict.history.length} operations, not linearizable`,
    `the longest order explains ${order.length}${left > 0 ? `, of these the last ${orderShown}` : ''}:`,
    ...order.slice(-orderShown).map(formatOperation),
    `the state is then ${model.stateKey(state)}, and no order gets past the return of`,
    formatOperation(blocked),
    ...(open.length === 0 ? [] : ['other operations that were open or unexplained there:']),
    ...open.slice(0, openShown).map(formatOperation),
    ...(open.length > openShown ? [`  and ${open.length - openShown} more`] : []),
  ].join('\n')
}

function formatOperation<Input, Output>(operation: Operation<Input, Output>): string {
  const { client, input, output, calledAt, returnedAt } = operation
  const answer = output === undefined ? 'unknown' : JSON.stringify(output)
  return `  [${calledAt}, ${returnedAt}] client ${client}: ${JSON.stringify(input)} -> ${answer}`
}
