// Counting semaphores by name: a permit is had by one owner at a time, and at most so many are had. As with locks
// (lock.ts), a permit may be lost by a lapse that the workload records; tokens only ever rise.

import type { Model } from '../model.ts'

export type SemaphoreInput = {
  readonly kind: 'acquire' | 'release' | 'lapse'
  readonly semaphore: string
  readonly owner: string
  readonly permits: number
}

/** `token`: of a grant. `isDone`: it had the permit. */
export type SemaphoreOutput = { readonly token?: number; readonly isDone?: boolean }

type Semaphore = {
  /** In order. */
  readonly owners: readonly string[]
  /** The highest that is known to be granted. */
  readonly token: number
}

export const semaphoreModel: Model<Semaphore, SemaphoreInput, SemaphoreOutput> = {
  name: 'semaphore',
  initial: { owners: [], token: 0 },
  apply(state, { kind, owner, permits }, output) {
    const isOwner = state.owners.includes(owner)
    if (kind === 'acquire') {
      const isFree = state.owners.length < permits && !isOwner
      const owners = [...state.owners, owner].sort()
      if (output === undefined) return isFree ? { ...state, owners } : state
      const token = output.token ?? 0
      return isFree && token > state.token ? { owners, token } : undefined
    }
    if (output?.isDone !== undefined && output.isDone !== isOwner) return undefined
    return isOwner ? { ...state, owners: state.owners.filter((one) => one !== owner) } : state
  },
  isPassive: ({ kind }, { isDone }) => kind !== 'acquire' && isDone === false,
  stateKey: (state) => JSON.stringify([state.owners, state.token]),
  partition: ({ semaphore }) => semaphore,
}
