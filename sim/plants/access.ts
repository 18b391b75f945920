// Plants in access: how long a right that was taken away is honoured, and what is in the audit log.

import type { Plant } from './plant.ts'

export const accessPlants: readonly Plant[] = [
  {
    name: 'rights-of-a-stale-replica',
    does: 'answers who may what from a replica that has not heard of the leader for long',
    workload: 'rights',
    seedsMax: 20,
    edits: [
      {
        file: 'src/access/sight.ts',
        find: 'const isFresh = fresh.heardMsAgo <= this.#options.staleMsMax',
        replace: 'const isFresh = fresh.heardMsAgo <= this.#options.staleMsMax + 1e9',
      },
    ],
  },
  {
    name: 'rights-never-forgotten',
    does: 'keeps principals in its cache when rights change',
    workload: 'rights',
    seedsMax: 3,
    edits: [
      {
        file: 'src/access/sight.ts',
        find: 'if (counter !== this.#counter) this.#forget(counter)',
        replace: 'this.#counter = counter',
      },
    ],
  },
  {
    name: 'acts-without-entries',
    does: 'enters every second act only',
    workload: 'rights',
    seedsMax: 3,
    edits: [
      {
        file: 'src/access/acts.ts',
        find: "{ kind: 'put', key: auditKey(sequence), value: this.#entry(act, sequence) },",
        replace:
          "{ kind: 'put', key: auditKey(sequence - (sequence % 2)), value: this.#entry(act, sequence) },",
      },
    ],
  },
]
