// A namespace on four nodes of one process, over the doubles of consensus and network.

import assert from 'node:assert/strict'
import { nodeId } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { Store } from '../../storage/index.ts'
import type { FullKeyspace } from '../keyspace.ts'
import { type CoreKeyspaces, createKeyspaces, type NamespaceOptions } from '../keyspaces.ts'
import type { KeyspaceMachine } from '../machine.ts'
import {
  TestConsensus,
  TestNetwork,
  TestSegments,
  testGroup,
  testRaft,
  testStore,
} from './doubles.ts'

export const name = '/raft/test'
let worlds = 0

export type WorldOptions = {
  readonly namespace?: Partial<NamespaceOptions>
  readonly hostOf?: (id: number) => Host
}

/** Nodes 1 to 3 have replicas, 4 has none; 1 leads. */
export class World {
  readonly consensus = new TestConsensus()
  readonly network = new TestNetwork()
  readonly host: Host
  readonly #options: WorldOptions
  readonly #nodes: {
    readonly keyspaces: CoreKeyspaces
    readonly keyspace: FullKeyspace
    readonly store: Store
    readonly values: TestSegments
  }[] = []

  constructor(host: Host, options: WorldOptions = {}) {
    this.host = host
    this.#options = options
    worlds++
  }

  async start(): Promise<void> {
    for (const id of [1, 2, 3, 4]) await this.#startNode(id)
    this.consensus.elect(1)
  }

  at(id: number): FullKeyspace {
    return this.#node(id).keyspace
  }

  keyspacesAt(id: number): CoreKeyspaces {
    return this.#node(id).keyspaces
  }

  machineAt(id: number): KeyspaceMachine {
    return this.consensus.replicas.get(nodeId(id))?.machine as KeyspaceMachine
  }

  storeAt(id: number): Store {
    return this.#node(id).store
  }

  segmentsAt(id: number): TestSegments {
    return this.#node(id).values
  }

  async close(): Promise<void> {
    for (const { keyspaces } of this.#nodes) await keyspaces.close()
  }

  #node(id: number) {
    const node = this.#nodes[id - 1]
    assert.ok(node)
    return node
  }

  async #startNode(id: number): Promise<void> {
    const self = nodeId(id)
    const host = this.#options.hostOf?.(id) ?? this.host
    const store = await testStore(host, `store-${id}-${worlds}`)
    const raft = testRaft(host, this.consensus, { self, store })
    const rpc = this.network.rpc(self)
    const founders = { voters: [1, 2, 3].map(nodeId) }
    const values = new TestSegments()
    const keyspaces = await createKeyspaces(
      {
        host,
        raft,
        rpc,
        store,
        values,
        self,
        session: { number: 1000 + id },
      },
      { namespaces: [{ name, group: testGroup, founders, ...this.#options.namespace }] },
    )
    this.#nodes.push({ keyspaces, keyspace: await keyspaces.open(name), store, values })
  }
}
