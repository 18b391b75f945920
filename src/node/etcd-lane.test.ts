import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, nodeId } from '../base/index.ts'
import { firstTenant } from '../access/index.ts'
import type { Host, HttpHandler, Timer } from '../host/index.ts'
import type { LaneMessage } from './lane-messages.ts'
import { EtcdLink, type EtcdParts, etcdGateway } from './etcd-lane.ts'

/** A link whose questions are answered at once, on a clock that counts the timers that run. */
function world() {
  const timers = new Set<Timer>()
  const group = { term: 1, leader: 1, commit: 1, applied: 1, leaderChanges: 0 }
  const configuration = { isLearner: false, voters: [1], learners: [] }
  const link: EtcdLink = new EtcdLink((message: LaneMessage) => {
    if (message.kind === 'group-wanted') {
      queueMicrotask(() => link.take({ kind: 'group', group: { ...group, ...configuration } }))
    }
  })
  const ports = { isTaken: true }
  const seen = { listeners: 0 }
  const host = {
    clock: {
      every: () => {
        const timer = { cancel: () => void timers.delete(timer) }
        timers.add(timer)
        return timer
      },
    },
    http: {
      serve: async () => {
        if (ports.isTaken) throw new Fault('exists', 'the port is taken')
        return { close: async () => undefined }
      },
    },
  } as unknown as Host
  const parts = {
    config: {
      self: nodeId(1),
      listen: { etcd: { host: 'h', port: 2379 }, control: { host: 'h', port: 6660 } },
      etcdTls: undefined,
    },
    keyspaces: {
      open: async () => ({
        onRevision: () => {
          seen.listeners++
          return () => seen.listeners--
        },
      }),
    },
    view: { settings: () => ({ clusterId: 'ab' }) },
    link,
  } as unknown as EtcdParts
  const gateway = etcdGateway(host, parts)
  const start = () => gateway.start(gateway.place?.() ?? '')
  return { host, link, start, gateway, ports, timers, seen }
}

test('a server that cannot listen leaves nothing behind, and is served when it can', async () => {
  const { start, ports, timers, seen } = world()
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(start(), (error) => isFault(error, 'exists'))
    assert.equal(timers.size, 0)
  }
  ports.isTaken = false
  const end = await start()
  assert.equal(timers.size, 1)
  await end()
  assert.equal(timers.size, 0)
  await (await start())()
  assert.equal(seen.listeners, 1)
})

test('a move of leadership ends with the server', async () => {
  const { host, link } = world()
  await link.begin(host)
  const moving = link.moveLeader(2)
  link.end()
  await assert.rejects(moving, (error) => isFault(error, 'unavailable'))
})

test('while its place changes, what the old one ends is not what the new one needs', async () => {
  const { gateway, ports, timers } = world()
  ports.isTaken = false
  const first = await gateway.start('h:2379')
  const second = await gateway.start('h:2380')
  await first()
  assert.equal(timers.size, 1)
  ports.isTaken = true
  await assert.rejects(gateway.start('h:2381'), (error) => isFault(error, 'exists'))
  assert.equal(timers.size, 1)
  await second()
  assert.equal(timers.size, 0)
})

test('a setting switches it on where the flags say nothing, for clients with a certificate of the operator', async () => {
  const known = { tenant: firstTenant, scopes: ['admin'] }
  const certificates = new Map<string, unknown>([
    ['good', known],
    ['reader', { ...known, scopes: ['metadata'] }],
    ['tenant', { ...known, tenant: '123456789012' }],
  ])
  let settings: Record<string, unknown> = { clusterId: 'ab', level: 4 }
  let serving: HttpHandler | undefined
  const { host, link } = world()
  const gateway = etcdGateway(
    {
      ...host,
      http: {
        serve: async (_at: unknown, options: { readonly handler: HttpHandler }) => {
          serving = options.handler
          return { close: async () => undefined }
        },
      },
    } as unknown as Host,
    {
      config: {
        self: nodeId(1),
        listen: { control: { host: 'h', port: 6660 } },
        identity: { authorityPem: 'PEM' },
        serverTls: {},
      },
      keyspaces: { open: async () => ({ onRevision: () => () => undefined }) },
      view: { settings: () => settings },
      access: { identifyCertificate: async (hash: string) => certificates.get(hash) },
      shown: { add: () => () => undefined },
      link,
    } as unknown as EtcdParts,
  )
  assert.equal(gateway.place?.(), undefined)
  settings = { ...settings, services: { etcd: { api_bind: ':2379' } } }
  assert.equal(gateway.place?.(), 'h:2379')
  settings = { ...settings, level: 3 }
  assert.equal(gateway.place?.(), undefined)
  settings = { ...settings, level: 4 }
  const end = await gateway.start('h:2379')
  const ask = async (hash: string | undefined): Promise<number | undefined> => {
    const response = await serving?.({
      method: 'GET',
      target: '/nowhere',
      headers: [],
      body: (async function* () {})(),
      remoteAddress: '10.0.0.7',
      isSecure: true,
      clientCertificate: hash === undefined ? undefined : { hash },
      signal: new AbortController().signal,
    })
    return response?.status
  }
  const refused = await Promise.all([undefined, 'unknown', 'reader', 'tenant'].map(ask))
  assert.deepEqual(refused, [403, 403, 403, 403])
  assert.equal(await ask('good'), 404)
  certificates.delete('good')
  assert.equal(await ask('good'), 403)
  settings = { ...settings, services: { etcd: { client_certificate: false } } }
  assert.equal(await ask(undefined), 404)
  await end()
})
