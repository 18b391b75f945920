// What a replica tells an observer at the transitions that etcd's TLA+ trace specification knows (tla/Traceetcdraft
// of etcd-io/raft): tools/raft-trace writes it down. Without an observer it costs one comparison.

import { formatMessageType } from './messages.ts'
import type { Replica } from './replica.ts'
import type { ConfChange, CoreEvent, CoreEventName, Message } from './types.ts'

type Details = Pick<CoreEvent, 'message' | 'change' | 'newVoters'>

export function observe(replica: Replica, name: CoreEventName, details: Details = {}): void {
  const { observe: observer } = replica.config
  if (observer === undefined) return
  const { id, term, vote, role, log, tracker } = replica
  const { voters, votersOutgoing } = tracker.membership
  const own = tracker.get(id)
  observer({
    name,
    id,
    term,
    vote,
    commit: log.committed,
    role,
    lastIndex: log.lastIndex,
    voters: [...voters],
    votersOutgoing: [...votersOutgoing],
    progress: own === undefined ? undefined : { match: own.match, next: own.next },
    ...details,
  })
}

const sent: Readonly<Record<string, CoreEventName>> = {
  append: 'SendAppendEntriesRequest',
  heartbeat: 'SendAppendEntriesRequest',
  snapshot: 'SendAppendEntriesRequest',
  'append-response': 'SendAppendEntriesResponse',
  'heartbeat-response': 'SendAppendEntriesResponse',
  vote: 'SendRequestVoteRequest',
  'vote-response': 'SendRequestVoteResponse',
}
const received: Readonly<Record<string, CoreEventName>> = {
  append: 'ReceiveAppendEntriesRequest',
  heartbeat: 'ReceiveAppendEntriesRequest',
  snapshot: 'ReceiveAppendEntriesRequest',
  'append-response': 'ReceiveAppendEntriesResponse',
  'heartbeat-response': 'ReceiveAppendEntriesResponse',
  vote: 'ReceiveRequestVoteRequest',
  'vote-response': 'ReceiveRequestVoteResponse',
}

export function observeSend(replica: Replica, message: Message): void {
  if (replica.config.observe === undefined) return
  const name = sent[message.type]
  if (name !== undefined) observe(replica, name, { message: eventMessage(message) })
}

export function observeReceive(replica: Replica, message: Message): void {
  if (replica.config.observe === undefined) return
  const name = received[message.type]
  if (name !== undefined) observe(replica, name, { message: eventMessage(message) })
}

/** A change that the leader appends. Leaving a joint configuration is not told. */
export function observeChange(replica: Replica, change: ConfChange): void {
  if (replica.config.observe === undefined || change.changes.length === 0) return
  observe(replica, 'ChangeConf', { change })
}

function eventMessage(message: Message): NonNullable<CoreEvent['message']> {
  const { type, term, from, to, entries, logTerm, index, commit, vote, snapshot } = message
  const isSnapshot = type === 'snapshot'
  return {
    type: formatMessageType(type),
    term,
    from,
    to,
    entries: isSnapshot ? (snapshot?.metadata.index ?? 0) : entries.length,
    logTerm: isSnapshot ? 0 : logTerm,
    index: isSnapshot ? 0 : index,
    commit,
    vote,
    reject: message.isRejected,
    rejectHint: message.rejectHint,
  }
}
