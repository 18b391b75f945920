// Plants in how members come and go: bytes that are let go too early, votes that are given up too early, a word that is
// taken for another.

import type { Plant } from './plant.ts'

export const lifePlants: readonly Plant[] = [
  {
    name: 'released-before-the-switch',
    does: 'a shard that moves is released by its holder before its copy is durable and named',
    workload: 'life',
    seedsMax: 10,
    edits: [
      {
        file: 'src/content/relocate.ts',
        find: '  const fault = await move.bring(sweep.number)\n',
        replace: `  const early = leavingOperations(context, id, move)
  if (early.length > 0) await keyspace.txn({ compares: [], success: early, failure: [] })
  const fault = await move.bring(sweep.number)
`,
      },
    ],
  },
  {
    name: 'vote-given-up-before-the-successor-has-caught-up',
    does: 'a draining voter is demoted although the learner that shall vote instead is still behind',
    workload: 'life',
    seedsMax: 20,
    edits: [
      {
        file: 'src/cluster/core/membership-plan.ts',
        find: 'if (staying.length < soundVoters || spares.some(isUp)) return undefined',
        replace: 'if (staying.length < 1) return undefined',
      },
    ],
  },
  {
    name: 'empty-although-named',
    does: 'a draining node that has released what it held says that it is empty without asking what is named at it',
    workload: 'life',
    seedsMax: 20,
    edits: [
      {
        file: 'src/content/emptying.ts',
        find: 'if (await this.#isNamed(keyspaces)) return false',
        replace: 'if (keyspaces.length === 0) return false',
      },
      {
        file: 'src/content/emptying.ts',
        find: 'if (!this.#stored.isEmpty && !this.#isFenced) {',
        replace: 'if (keyspaces.length === 0) {',
      },
      {
        file: 'src/content/emptying.ts',
        find: 'return !(await this.#isNamed(keyspaces)) && this.isLeaving',
        replace: 'return this.isLeaving',
      },
    ],
  },
]
