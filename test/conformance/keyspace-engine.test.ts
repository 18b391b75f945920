// The keyspace contract on Debian's etcd-server, through the engine: the suite that our own keyspace passes in
// src/keyspace/contract.test.ts. That both pass it says that our semantics are etcd's.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createRealHost } from '../../src/host/real/index.ts'
import { createEtcdKeyspaces } from '../../src/keyspace/etcd/index.ts'
import { keyspaceContract } from '../../src/keyspace/testing/contract.ts'
import { type EtcdServer, missing, startEtcd } from './etcd-server.ts'

const port = 19_379
const noServer = missing('etcd', 'etcd-server')

let server: EtcdServer
let spaces = 0
const directory = mkdtempSync(join(tmpdir(), 'atoll-engine-'))
const host = createRealHost({
  rootPath: directory,
  journal: { format: 'text', level: 'error' },
})

before(async () => {
  if (noServer === false) server = await startEtcd(port)
})
after(async () => {
  await server?.stop()
  rmSync(directory, { recursive: true, force: true })
})

const contract = () =>
  keyspaceContract({
    name: "Debian's etcd-server",
    differences: [
      'sharedRevisions',
      'clusterLeases',
      'operationsMax',
      'unboundedAnswers',
      'hashOfCluster',
    ],
    async make() {
      const endpoints = [{ host: '127.0.0.1', port, isSecure: false }]
      const options = { endpoints, root: '/contract' }
      const name = `/raft/space/${++spaces}`
      const engines = [createEtcdKeyspaces(host, options), createEtcdKeyspaces(host, options)]
      return {
        ways: await Promise.all(engines.map((engine) => engine.open(name))),
        async close() {
          for (const engine of engines) await engine.close()
        },
      }
    },
  })

if (noServer === false) contract()
else test("the keyspace contract on Debian's etcd-server", { skip: noServer })
