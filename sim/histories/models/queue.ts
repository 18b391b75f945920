// FIFO queues by name: what was enqueued first is dequeued first, once. null: the queue was empty.

import type { Model } from '../model.ts'

export type QueueInput =
  | { readonly kind: 'enqueue'; readonly queue: string; readonly value: string }
  | { readonly kind: 'dequeue'; readonly queue: string }

/** Of a dequeue: what it took. */
export type QueueOutput = { readonly value?: string | null }

export const queueModel: Model<readonly string[], QueueInput, QueueOutput> = {
  name: 'queue',
  initial: [],
  apply(state, input, output) {
    if (input.kind === 'enqueue') return [...state, input.value]
    if (output !== undefined && output.value !== (state[0] ?? null)) return undefined
    return state.length === 0 ? state : state.slice(1)
  },
  isPassive: (input, output) => input.kind === 'dequeue' && output.value === null,
  stateKey: (state) => JSON.stringify(state),
  partition: (input) => input.queue,
}
