// Plants in the replicated keyspace: revisions, snapshots, requests that are applied once, what other threads are told.

import type { Plant } from './plant.ts'

export const keyspacePlants: readonly Plant[] = [
  {
    name: 'end-of-feed-not-told',
    does: 'another thread does not hear that its watches are served no more, because their replica hears no leader',
    workload: 'keyspace',
    seedsMax: 20,
    edits: [
      {
        file: 'src/keyspace/lane-server.ts',
        find: 'this.#send({ ...named, chunk: emptyBytes, fault: faultCodec.encode(fault) })',
        replace:
          'if (fault.message.length < 0) this.#send({ ...named, chunk: emptyBytes, fault: emptyBytes })',
      },
    ],
  },
]
