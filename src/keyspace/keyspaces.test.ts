import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { isFault, nodeId, utf8Decode, utf8Encode } from '../base/index.ts'
import { createLoopPorts } from '../host/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace, Keyspaces } from './keyspace.ts'
import { type CoreKeyspaces, createKeyspaces, serveKeyspaces } from './keyspaces.ts'
import { createLaneKeyspaces } from './lane-client.ts'
import {
  type TestDirectory,
  TestConsensus,
  testDirectory,
  testGroup,
  TestNetwork,
  testRaft,
  TestSegments,
  testStore,
} from './testing/doubles.ts'

const name = '/raft/test'
const key = utf8Encode('k')
const text = (value: string): Uint8Array => utf8Encode(value)

class World {
  readonly consensus = new TestConsensus()
  readonly network = new TestNetwork()
  readonly nodes = new Map<number, { keyspaces: CoreKeyspaces; keyspace: Keyspace }>()
  readonly host: Host

  constructor(host: Host) {
    this.host = host
  }

  async start(id: number, options: { readonly hasReplica: boolean }): Promise<Keyspace> {
    const store = await testStore(this.host, `store-${id}-${worlds}`)
    const self = nodeId(id)
    const keyspaces = await createKeyspaces(
      {
        host: this.host,
        raft: testRaft(this.host, this.consensus, { self, store }),
        rpc: this.network.rpc(self),
        store,
        values: new TestSegments(),
        self,
        session: { number: 1000 + id },
      },
      {
        namespaces: [
          {
            name,
            group: testGroup,
            founders: { voters: [1, 2, 3].map(nodeId) },
            hasReplica: options.hasReplica,
          },
        ],
      },
    )
    const keyspace = await keyspaces.open(name)
    this.nodes.set(id, { keyspaces, keyspace })
    return keyspace
  }

  async close(): Promise<void> {
    for (const { keyspaces } of this.nodes.values()) await keyspaces.close()
  }
}

let directory: TestDirectory
let worlds = 0
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

async function inWorld(
  run: (world: World, at: (id: number) => Keyspace) => Promise<void>,
): Promise<void> {
  worlds++
  const world = new World(directory.host)
  for (const id of [1, 2, 3]) await world.start(id, { hasReplica: true })
  await world.start(4, { hasReplica: false })
  world.consensus.elect(1)
  try {
    await run(world, (id) => world.nodes.get(id)?.keyspace as Keyspace)
  } finally {
    await world.close()
  }
}

async function valueAt(keyspace: Keyspace): Promise<string> {
  return utf8Decode((await keyspace.range({ key })).kvs[0]?.value ?? text('(none)'))
}

describe('routing', () => {
  it('writes and reads at the leader, a follower and a node without a replica', () =>
    inWorld(async (_world, at) => {
      assert.equal(await at(1).put(key, text('a')), 2)
      assert.equal(await at(2).put(key, text('b')), 3)
      assert.equal(await at(4).put(key, text('c')), 4)
      for (const id of [1, 2, 3, 4]) assert.equal(await valueAt(at(id)), 'c')
      assert.equal(await at(4).delete(key), 1)
      assert.equal(await at(3).delete(key), 0)
      assert.equal(await valueAt(at(4)), '(none)')
    }))
})

void isFault
void createLoopPorts
void serveKeyspaces
void createLaneKeyspaces
type Unused = Keyspaces
void (undefined as Unused | undefined)
