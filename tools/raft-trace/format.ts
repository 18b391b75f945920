// A trace as etcd's TLA+ trace specification reads it: one JSON object per line, {"tag":"trace","event":{...}}, with
// the fields of etcd-io/raft's state_trace.go. Numbers of nodes are strings there. An append tells of no more commitment than
// it has entries for, as in the specification; to its receiver that is the same.

import type { ConfChange, CoreEvent } from '../../src/raft/core/index.ts'

export type TraceEvent = {
  readonly name: string
  readonly nid: string
  readonly state: { readonly term: number; readonly vote: string; readonly commit: number }
  readonly role: string
  readonly log: number
  readonly conf: readonly [readonly string[], readonly string[]]
  readonly msg?: {
    readonly type: string
    readonly term: number
    readonly from: string
    readonly to: string
    readonly entries: number
    readonly logTerm: number
    readonly index: number
    readonly commit: number
    readonly vote: string
    readonly reject: boolean
    readonly rejectHint: number
  }
  readonly prop?: {
    readonly match?: number
    readonly next?: number
    readonly cc?: {
      readonly changes?: readonly { readonly nid: string; readonly action: string }[]
      readonly newconf?: readonly string[]
    }
  }
}

const roles = {
  follower: 'StateFollower',
  precandidate: 'StatePreCandidate',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
} as const
const actions = {
  'add-voter': 'AddNewServer',
  'add-learner': 'AddLearner',
  remove: 'RemoveServer',
  update: undefined,
} as const

export function formatTrace(events: readonly CoreEvent[]): string {
  return events
    .map((event) => `${JSON.stringify({ tag: 'trace', event: lineOf(event) })}\n`)
    .join('')
}

/** The events of a trace; lines without the tag are left out, as the specification does. */
export function parseTrace(text: string): readonly TraceEvent[] {
  const events: TraceEvent[] = []
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const parsed = JSON.parse(line) as { readonly tag?: string; readonly event?: TraceEvent }
    if (parsed.tag === 'trace' && parsed.event !== undefined) events.push(parsed.event)
  }
  return events
}

function lineOf(event: CoreEvent): TraceEvent {
  const { name, id, term, vote, commit, role, lastIndex, voters, votersOutgoing, message } = event
  return {
    name,
    nid: String(id),
    state: { term, vote: String(vote), commit },
    role: roles[role],
    log: lastIndex,
    conf: [voters.map(String), votersOutgoing.map(String)],
    ...(message === undefined
      ? {}
      : {
          msg: {
            ...message,
            commit: commitOf(message),
            from: String(message.from),
            to: String(message.to),
            vote: String(message.vote),
          },
        }),
    ...propOf(event),
  }
}

function commitOf({ type, commit, index, entries }: NonNullable<CoreEvent['message']>): number {
  return type === 'MsgApp' ? Math.min(commit, index + entries) : commit
}

function propOf({ message, progress, change, newVoters }: CoreEvent): Pick<TraceEvent, 'prop'> {
  if (change !== undefined) return { prop: { cc: { changes: changesOf(change) } } }
  if (newVoters !== undefined) {
    return { prop: { cc: newVoters.length === 0 ? {} : { newconf: newVoters.map(String) } } }
  }
  if (message?.type === 'MsgApp' && progress !== undefined) return { prop: progress }
  return {}
}

function changesOf({ changes }: ConfChange): readonly { nid: string; action: string }[] {
  return changes.flatMap(({ kind, nodeId }) => {
    const action = actions[kind]
    return action === undefined ? [] : [{ nid: String(nodeId), action }]
  })
}
