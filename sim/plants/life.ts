// Plants in how members come and go: bytes that are let go too early, votes that are given up too early, a word that is
// taken for another.

import type { Plant } from './plant.ts'

export const lifePlants: readonly Plant[] = [
  {
    name: 'released-before-the-switch',
    does: 'the holder of a shard that moves deletes it as soon as it is fetched, before the chunk table names the copy',
    workload: 'life',
    seedsMax: 10,
    edits: [
      {
        file: 'src/content/relocate.ts',
        find: "import { equalBytes, Fault, type NodeId } from '../base/index.ts'\n",
        replace: `import { equalBytes, Fault, type NodeId } from '../base/index.ts'
import { bulkMethod } from '../rpc/index.ts'
import { namespaceTag, shardKey } from './core/records.ts'
import { shardKeysCodec } from './core/shard-requests.ts'
`,
      },
      {
        file: 'src/content/relocate.ts',
        find: '  const fault = await move.bring(sweep.number)\n',
        replace: `  const key0 = shardKey({ tag: namespaceTag(keyspace.name), id, shard })
  const request = shardKeysCodec.encode({ keys: [key0], stamp: 0 })
  if (context.holders.isUp(move.previous)) {
    const call = { deadlineMs: 2_000 }
    await context.rpc
      .call(move.previous, bulkMethod.shardDelete, request, call)
      .catch(() => undefined)
  }
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
