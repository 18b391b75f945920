// Refused peers in the journal: whoever reaches a port may dial it as often as it likes, so they are
// told at most once a second, with the number of those since the last line.

import type { Clock, Journal } from './host.ts'

const refusalJournalMs = 1_000

/** Journals `network.peer_refused`: where it dialled from and why it was refused. Never a secret. */
export type Refusals = (remote: string, why: string) => void

export function createRefusals(journal: Journal, clock: Pick<Clock, 'monotonicMs'>): Refusals {
  let lastMs = Number.NEGATIVE_INFINITY
  let unreported = 0
  return (remote, why) => {
    const nowMs = clock.monotonicMs()
    unreported++
    if (nowMs - lastMs < refusalJournalMs) return
    journal.event('warning', 'network.peer_refused', { remote, why, count: unreported })
    lastMs = nowMs
    unreported = 0
  }
}
