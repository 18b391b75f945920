// Locks by name with fencing tokens (Kleppmann 2016; Chubby's sequencers, Burrows 2006), and the resource
// that they guard.
//
// A lock that is held is free only after its owner released it or its lease ran out. The lease may run out
// at any time after the lock was granted, or never: the workload records a 'lapse' with every grant and
// leaves it open. Tokens only ever rise; the resource refuses a token below the highest that it has seen.
// So two owners at once are found out if no lapse explains them, and a late owner whose write
// passed the fence is found out always.

import type { Model } from '../model.ts'

export type LockInput =
  | {
      readonly kind: 'acquire' | 'release' | 'lapse'
      readonly lock: string
      readonly owner: string
    }
  /** A write to the resource under this token. */
  | { readonly kind: 'guarded'; readonly lock: string; readonly token: number }

/** `token`: of a grant; null: somebody has it. `isDone`: released; accepted by the resource. */
export type LockOutput = { readonly token?: number | null; readonly isDone?: boolean }

type Lock = {
  /** '' : free. */
  readonly owner: string
  /** The highest that is known to be granted. */
  readonly token: number
  /** The highest that the resource has seen. */
  readonly fence: number
}

export const lockModel: Model<Lock, LockInput, LockOutput> = {
  name: 'lock',
  initial: { owner: '', token: 0, fence: 0 },
  apply(state, input, output) {
    if (input.kind === 'acquire') return acquire(state, input.owner, output)
    if (input.kind === 'guarded') {
      const isDone = input.token >= state.fence
      if (output !== undefined && output.isDone !== isDone) return undefined
      return isDone ? { ...state, fence: input.token } : state
    }
    const isOwner = state.owner === input.owner
    if (output !== undefined && output.isDone !== isOwner) return undefined
    return isOwner ? { ...state, owner: '' } : state
  },
  isPassive(input, output) {
    return input.kind === 'acquire' ? output.token === null : output.isDone === false
  },
  stateKey: ({ owner, token, fence }) => JSON.stringify([owner, token, fence]),
  partition: (input) => input.lock,
}

function acquire(state: Lock, owner: string, output: LockOutput | undefined): Lock | undefined {
  const isFree = state.owner === ''
  if (output === undefined) return isFree ? { ...state, owner } : state
  const token = output.token ?? null
  if (token === null) return isFree ? undefined : state
  return isFree && token > state.token ? { ...state, owner, token } : undefined
}
