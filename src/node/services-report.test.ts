import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, type Fault, isFault } from '../base/index.ts'
import type { Settings } from '../cluster/index.ts'
import { whileServed } from '../gateways/admin/index.ts'
import { reportServices } from './services-report.ts'
import type { Heard } from './status.ts'

const settings: Settings = {
  clusterId: clusterId('c'.repeat(32)),
  region: 'eu',
  dataShards: 2,
  parityShards: 1,
  services: { s3: { api_bind: ':9443' }, nats: { quorum: 3 }, later: { x: 1 } },
}

function heard(id: number, caps: readonly string[], told: object | undefined): Heard {
  return {
    member: { id, name: `n${id}`, caps },
    status: told,
    isReachable: true,
  } as unknown as Heard
}

test('what runs is what nodes say; what this version has not runs nowhere, whoever asks for it', () => {
  const rows = reportServices(settings, 3, [
    heard(1, [], { level: 4, services: ['console', 'control', 's3', 'sql'] }),
    heard(2, ['control', 's3', 'ebs'], { level: 4, services: ['ebs', 'console'] }),
    heard(3, ['s3'], { level: 3, services: [] }),
    heard(4, ['old-thing'], undefined),
  ])
  const row = (name: string) => rows.find((one) => one.name === name)
  const runs = (name: string) => row(name)?.nodes.map((node) => node.runs)
  const wanted = (name: string) => row(name)?.nodes.map((node) => node.isWanted)
  assert.deepEqual(runs('s3'), [true, false, undefined, undefined])
  assert.deepEqual(wanted('s3'), [true, true, true, false])
  assert.deepEqual(wanted('console'), [true, true, true, true])
  // A node may say what it likes: there is no program for it.
  assert.deepEqual(runs('ebs'), [false, false, false, false])
  assert.deepEqual([row('ebs')?.isHere, wanted('ebs')], [false, [false, true, false, false]])
  assert.deepEqual(
    [row('old-thing')?.isHere, wanted('old-thing')],
    [false, [false, false, false, true]],
  )
  assert.equal(row('later')?.about, 'not known to this version')
  assert.deepEqual(row('s3')?.settings, { api_bind: ':9443', replicas: 2 })
  assert.deepEqual(row('nats')?.settings, { cluster: settings.clusterId, quorum: 3 })
  assert.deepEqual(row('etcd')?.settings, { api_bind: '', client_certificate: true })
})

test('routes of a service are answered while it runs here', async () => {
  let isServed = false
  const answer = { status: 200, headers: [] }
  const [route] = whileServed(
    [{ method: 'GET', path: '/sql', needs: 'admin:ListSql', answer: async () => answer }],
    'sql',
    () => isServed,
  )
  const ask = async () => await route?.answer({} as Parameters<typeof route.answer>[0])
  await assert.rejects(ask(), (error: Fault) => isFault(error, 'unavailable'))
  isServed = true
  assert.equal(await ask(), answer)
})
