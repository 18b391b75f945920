// Learners that become voters by themselves: the leader promotes one that has caught up, one at a time, as long
// as there are fewer voters than wanted.
//
// Who is promoted was heard within the last election timeout and lacks no more than a moment's work: (1) a
// learner that is down is promoted into a group of one; (2) the new quorum is two of two, and nothing commits.

import type { NodeId } from '../base/index.ts'
import type { ConfState, Progress } from './core/index.ts'

/** Entries that a learner may lack: a fraction of a second of work. */
const lagMax = 64

export function planPromotion(
  { voters, learners, votersOutgoing }: ConfState,
  leader: { readonly commit: number; readonly progress: ReadonlyMap<number, Progress> },
  votersMax: number,
): NodeId | undefined {
  if (votersOutgoing.length > 0 || voters.length >= votersMax) return undefined
  const ready = learners.find((id) => {
    const progress = leader.progress.get(id)
    if (progress?.state !== 'replicate' || !progress.isRecentActive) return false
    return progress.match > 0 && progress.match + lagMax >= leader.commit
  })
  return ready as NodeId | undefined
}
