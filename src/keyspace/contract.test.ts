// Our own keyspace against the contract: two nodes, a thread, and a node without a replica.

import { after, before } from 'node:test'
import { createLoopPorts } from '../host/index.ts'
import { serveKeyspaces } from './keyspaces.ts'
import { createLaneKeyspaces } from './lane-client.ts'
import { keyspaceContract } from './testing/contract.ts'
import { type TestDirectory, testDirectory } from './testing/doubles.ts'
import { name, World } from './testing/world.ts'

let directory: TestDirectory
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

keyspaceContract({
  name: 'ours',
  differences: [],
  async make() {
    const world = new World(directory.host)
    await world.start()
    const [ours, theirs] = createLoopPorts((next) => world.host.clock.soon(next))
    serveKeyspaces(ours, world.keyspacesAt(2))
    const lane = createLaneKeyspaces(world.host, theirs)
    return {
      ways: [world.at(1), await lane.open(name), world.at(3)],
      async close() {
        await lane.close()
        await world.close()
      },
    }
  },
})
