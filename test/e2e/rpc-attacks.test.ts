// The ports between nodes of a real cluster, with certificates as its authority gave them: a stolen one of a member opens
// everything until the member is removed and nothing afterwards; a certificate for servers, or none, opens nothing.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import { clusterId, nodeId } from '../../src/base/index.ts'
import { bulkMethod, controlMethod } from '../../src/rpc/index.ts'
import { askAll, callId } from '../../src/rpc/testing/attack.ts'
import { Machines, until } from './machines.ts'

const machines = new Machines(14_600)
after(() => machines.stopAll())
const one = machines.add('own1', '127.0.0.51')
const two = machines.add('own2', '127.0.0.52')
const ports = [
  { name: 'control', port: machines.port(6660), methods: Object.values(controlMethod) },
  { name: 'bulk', port: machines.port(9991), methods: Object.values(bulkMethod) },
]

type Shown = { readonly cert?: string; readonly key?: string }

function dial(port: number, shown: Shown): Socket {
  return connect({ host: one.host, port, ...shown, rejectUnauthorized: false })
}

test('a stolen certificate is worth nothing once its member is removed; others never are', async () => {
  const init = machines.start(one, [
    ...['admin', 'init', ...machines.flags(one)],
    ...['--nodes', '2', '--rs', '1+0'],
  ])
  const { token } = await init.line('started')
  await machines.must(two, [
    ...['admin', 'join', ...machines.flags(two)],
    ...['--host', `${one.host}:${machines.port(7777)}`, '--token', String(token)],
  ])
  assert.equal((await init.ended).status, 0)
  const read = (name: string): string =>
    readFileSync(join(two.dataDir, 'identity', name), 'utf8').trim()
  const claim = { nodeId: nodeId(2), clusterId: clusterId(read('cluster-id')) }
  const stolen = { cert: read('node.pem'), key: read('node-key.pem') }
  const ofServer = { cert: read('server.pem'), key: read('server-key.pem') }

  // What is stolen is good: it is asked for what a member may have, and gets it.
  const status = { methods: [controlMethod.nodeStatus], ways: ['call'] } as const
  const asMember = await askAll(dial(ports[0]?.port ?? 0, stolen), claim, status)
  const id = callId(controlMethod.nodeStatus)
  assert.deepEqual([[...asMember.settled], asMember.faults.get(id)], [[id], undefined])
  for (const { port, methods, name } of ports) {
    for (const shown of [ofServer, {}]) {
      assert.equal((await askAll(dial(port, shown), claim, { methods })).bytes, 0, name)
    }
  }

  await machines.must(one, ['admin', 'drain', '2', '--data-dir', one.dataDir])
  await until('the second is out', async () => {
    const removal = ['admin', 'remove', '2', '--data-dir', one.dataDir]
    return (await machines.run(one, removal)).status === 0
  })
  await until('it is refused', async () => {
    const answers = ports.map(({ port, methods }) => askAll(dial(port, stolen), claim, { methods }))
    return (await Promise.all(answers)).every(({ bytes }) => bytes === 0)
  })
  for (const { port, methods, name } of ports) {
    for (const method of methods) {
      const { bytes } = await askAll(dial(port, stolen), claim, { methods: [method] })
      assert.equal(bytes, 0, `method ${method} of ${name}`)
    }
  }
  const { members } = (await machines.ask(one, 'admin', 'nodes')) as unknown as {
    readonly members: readonly { readonly id: number; readonly state: string }[]
  }
  assert.deepEqual(
    members.map((member) => [member.id, member.state]),
    [[1, 'online']],
  )
})
