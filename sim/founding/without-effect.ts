// Messages that can never change anything again, whatever else happens: the explorer leaves them out of its
// worlds. Each rule rests on what never goes back: a durable promise, a durable cluster, a ballot that was given up
// (a ballot is begun once), and, with the last ballot begun, the rounds seen, which only a new one asks for.

import { type BallotState, compareBallots, type FoundingRecord } from '../../src/founding/index.ts'
import { idOf, type NodeState, type Sent } from './interned.ts'

/** What a proposer gathers. */
export function isAnswer(message: Sent['message']): boolean {
  return message.kind === 'report' || message.kind === 'accepted'
}

/** By the state of the receiver alone. `isLast`: no ballot will begin any more. */
export function isWithoutEffect(
  sent: Sent,
  { live, durable }: NodeState,
  isLast: boolean,
): boolean {
  const { message } = sent
  if (hasCluster(live, durable)) return message.kind !== 'prepare' && message.kind !== 'accept'
  if (message.kind !== 'report' && message.kind !== 'accepted') return false
  const { proposal } = live
  const isPast =
    proposal === undefined ||
    compareBallots(proposal.ballot, message.ballot) !== 0 ||
    (message.kind === 'report' && proposal.genesis !== undefined) ||
    (message.kind === 'accepted' && proposal.acceptedBy.includes(idOf(sent.from)))
  if (message.kind === 'accepted') return isPast
  return isPast && (isLast || message.promised.round <= durable.promised.round)
}

/**
 * A question whose receiver can only answer it, to a proposer that ignores every answer: one that has a
 * cluster, or, when no rounds matter any more, one that has given the ballot up.
 */
export function isRepeatWithoutEffect(
  { message }: Sent,
  { live, durable }: NodeState,
  { from, isLast }: { readonly from: NodeState; readonly isLast: boolean },
): boolean {
  if (message.kind !== 'prepare' && message.kind !== 'accept') return false
  const isDone = hasCluster(from.live, from.durable)
  if (hasCluster(live, durable)) return isDone
  const { proposal } = from.live
  const isGivenUp = proposal === undefined || compareBallots(proposal.ballot, message.ballot) !== 0
  if (!isDone && !(isLast && isGivenUp)) return false
  const order = compareBallots(durable.promised, message.ballot)
  if (order !== 0) return order > 0
  if (message.kind === 'prepare') return true
  const { accepted } = durable
  return accepted !== undefined && compareBallots(accepted.ballot, message.ballot) === 0
}

function hasCluster(live: BallotState, durable: FoundingRecord): boolean {
  return durable.cluster !== undefined && live.record.cluster !== undefined
}
