// The gateway over a namespace of four nodes in one process, whose consensus is a double.

import { World } from '../../../keyspace/testing/world.ts'
import { type TestDirectory, testDirectory } from '../../../keyspace/testing/doubles.ts'
import type { HttpHandler } from '../../../host/index.ts'
import type { EtcdCluster } from '../context.ts'
import { createEtcdHandler } from '../handler.ts'

export class EtcdWorld {
  readonly #directory: TestDirectory = testDirectory()
  readonly world = new World(this.#directory.host)
  readonly moves: number[] = []
  readonly down = new Set<number>()
  voters = [1, 2, 3]
  learners: number[] = []

  async start(): Promise<HttpHandler> {
    await this.world.start()
    return this.handlerAt(1)
  }

  get host() {
    return this.#directory.host
  }

  handlerAt(node: number, options: { readonly progressMs?: number } = {}): HttpHandler {
    const cluster: EtcdCluster = {
      clusterId: 77,
      self: node,
      members: () =>
        [1, 2, 3].map((id) => ({
          id,
          name: `node-${id}`,
          peerUrls: [`https://127.0.0.${id}:6660`],
          clientUrls: [`http://127.0.0.${id}:2379`],
        })),
      refresh: async () => undefined,
      isUp: (id) => !this.down.has(id),
      group: () => ({
        term: 5,
        leader: 1,
        commit: 9,
        applied: 8,
        isLearner: false,
        voters: this.voters,
        learners: this.learners,
        leaderChanges: 2,
      }),
      setRole: async (id, role) => {
        this.voters = this.voters.filter((voter) => voter !== id)
        this.learners = this.learners.filter((learner) => learner !== id)
        if (role === 'voter') this.voters.push(id)
        if (role === 'learner') this.learners.push(id)
      },
      moveLeader: async (to) => {
        this.moves.push(to)
      },
    }
    const { host } = this.#directory
    return createEtcdHandler({ host, keyspace: this.world.at(node), cluster, ...options })
  }

  async close(): Promise<void> {
    await this.world.close()
    this.#directory.remove()
  }
}
