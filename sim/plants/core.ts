// Plants in the core of Raft that its own workload catches: the rules that everything else rests on.

import type { Edit, Plant } from './plant.ts'

/** What is addressed to others goes at once; what a node tells itself waits as it should. */
function earlySend(which: string): Edit {
  const find = '  if (isSentAfterAppend(message.type)) {'
  const isEarly = `${which} && message.to !== replica.id`
  const replace = `  if (isSentAfterAppend(message.type) && !(${isEarly})) {`
  return { file: 'src/raft/core/replica.ts', find, replace }
}

export const corePlants: readonly Plant[] = [
  {
    name: 'vote-not-synced',
    does: 'a vote leaves before it is on disk',
    workload: 'core',
    seedsMax: 500,
    edits: [earlySend("message.type === 'vote-response'")],
  },
  {
    name: 'acknowledgement-not-synced',
    does: 'a follower acknowledges entries before they are on disk',
    workload: 'core',
    seedsMax: 20,
    edits: [earlySend("message.type === 'append-response'")],
  },
  {
    name: 'own-entry-not-synced',
    does: 'a leader counts itself before its own entry is on disk',
    workload: 'core',
    seedsMax: 50,
    edits: [
      {
        file: 'src/raft/core/replica.ts',
        find: '  if (isSentAfterAppend(message.type)) {',
        replace: `  if (message.type === 'append-response' && message.to === replica.id) {
    replica.tracker.get(replica.id)?.maybeUpdate(message.index)
  }
  if (isSentAfterAppend(message.type)) {`,
      },
    ],
  },
  {
    name: 'own-vote-not-awaited',
    does: 'a candidate leads on the votes of others before its own is on disk',
    workload: 'core',
    seedsMax: 200,
    edits: [
      {
        file: 'src/raft/core/election.ts',
        find: "} else if (result === 'won' && isOwnVoteDurable(replica)) {",
        replace: "} else if (result === 'won') {",
      },
    ],
  },
  {
    name: 'older-term-committed',
    seconds: 30,
    does: 'an entry of an older term is committed by counting',
    workload: 'core',
    seedsMax: 1_000,
    edits: [
      {
        file: 'src/raft/core/log.ts',
        find: 'if (term === 0 || index <= this.committed || !this.isMatching(index, term)) return false',
        replace: 'if (term === 0 || index <= this.committed) return false',
      },
    ],
  },
  {
    name: 'one-majority-in-joint-mode',
    does: 'only the incoming majority counts while a configuration is joint',
    workload: 'core',
    seedsMax: 500,
    edits: [
      {
        file: 'src/raft/core/quorum.ts',
        find: 'return outgoing.length === 0 ? incoming : Math.min(incoming, majorityCommitted(outgoing, acked))',
        replace: 'return outgoing.length > count ? majorityCommitted(outgoing, acked) : incoming',
      },
      {
        file: 'src/raft/core/quorum.ts',
        find: 'export function jointCommitted(',
        replace: 'const count = Number.POSITIVE_INFINITY\nexport function jointCommitted(',
      },
    ],
  },
  {
    name: 'read-before-first-entry',
    does: 'a leader answers reads before an entry of its term is committed',
    workload: 'core',
    seedsMax: 200,
    edits: [
      {
        file: 'src/raft/core/reads.ts',
        find: 'if (hasCommittedInTerm(replica)) confirmRead(replica, request)',
        replace: 'if (replica.term > 0) confirmRead(replica, request)',
      },
    ],
  },
  {
    name: 'stale-log-elected',
    does: 'a vote is given whatever the candidate lacks',
    workload: 'core',
    seedsMax: 50,
    edits: [
      {
        file: 'src/raft/core/election.ts',
        find: 'const isGranted = canVote && log.isUpToDate(request.logTerm, request.index)',
        replace: 'const isGranted = canVote && log.lastIndex > 0',
      },
    ],
  },
]
