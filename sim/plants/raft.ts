// Plants in the rules of Raft beyond those of core.ts: members, reads, what is committed, what is applied.

import type { Plant } from './plant.ts'

export const raftPlants: readonly Plant[] = [
  {
    name: 'learner-counted',
    does: "a learner's acknowledgement counts as that of a voter",
    workload: 'core',
    seedsMax: 100,
    edits: [
      {
        file: 'src/raft/core/tracker.ts',
        find: 'return jointCommitted(this.membership.voters, this.membership.votersOutgoing, this)',
        replace: `const { voters, learners, votersOutgoing } = this.membership
    const acked = (id: number): number => this.get(id)?.match ?? 0
    const best = [...voters, ...learners].sort((a, b) => acked(b) - acked(a))
    return jointCommitted(best.slice(0, voters.length), votersOutgoing, this)`,
      },
    ],
  },
  {
    name: 'late-acknowledgement-reused',
    does: 'acknowledgements that were asked for by earlier reads confirm newer ones',
    workload: 'core',
    seedsMax: 1_000,
    edits: [
      {
        file: 'src/raft/core/read-queue.ts',
        find: 'const confirmed = Math.min(jointCommitted(voters, outgoing, this), this.#lastNumber)',
        replace:
          'const confirmed = jointCommitted(voters, outgoing, this) > 0 ? this.#lastNumber : 0',
      },
    ],
  },
  {
    name: 'committed-truncated',
    does: 'an append that arrives late cuts off what a newer one brought, committed or not',
    workload: 'core',
    seedsMax: 100,
    edits: [
      {
        file: 'src/raft/core/log.ts',
        find: 'const fresh = this.#findConflict(entries)',
        replace: 'const fresh = this.#findConflict(entries) * 0',
      },
      {
        file: 'src/raft/core/log.ts',
        find: "if (prevIndex + 1 + fresh <= this.committed) return 'conflict-with-committed'",
        replace: '',
      },
    ],
  },
  {
    name: 'applied-twice',
    does: 'after a restart the last entry that was applied is applied again',
    workload: 'raft',
    seedsMax: 20,
    edits: [
      {
        file: 'src/raft/applier.ts',
        find: '      applied,\n      term,',
        replace: '      applied: Math.max(1, applied - 1),\n      term,',
      },
    ],
  },
]
