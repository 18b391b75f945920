// The engine on an etcd cluster under failures: lost answers, broken connections, endpoints that are gone or hang,
// compactions meanwhile, TLS and users. Etcd is Debian's; a proxy before it loses what a network may lose.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { clusterId, isFault, nodeId, utf8Decode, utf8Encode } from '../../src/base/index.ts'
import { issueNodeCertificate, makeAuthority } from '../../src/cli/authority.ts'
import { createRealHost } from '../../src/host/real/index.ts'
import { createEtcdKeyspaces } from '../../src/keyspace/etcd/index.ts'
import type { FullKeyspace, Operation } from '../../src/keyspace/index.ts'
import { Taker } from '../../src/keyspace/testing/taker.ts'
import { type EtcdServer, missing, startEtcd } from './etcd-server.ts'
import { LossyProxy } from './lossy-proxy.ts'

const port = 19_479
const proxyPort = 19_482
const noServer = missing('etcd', 'etcd-server')
const text = utf8Encode
const key = text('k')
const directory = mkdtempSync(join(tmpdir(), 'atoll-engine-'))
const host = createRealHost({
  rootPath: directory,
  journal: { format: 'text', level: 'error' },
})
const proxied = { host: '127.0.0.1', port: proxyPort, isSecure: false }
const direct = { host: '127.0.0.1', port, isSecure: false }
let spaces = 0

async function within(
  endpoints: readonly (typeof proxied)[],
  run: (keyspace: FullKeyspace) => Promise<void>,
): Promise<void> {
  const engine = createEtcdKeyspaces(host, { endpoints, root: '/failures' })
  try {
    await run(await engine.open(`/raft/space/${++spaces}`))
  } finally {
    await engine.close()
  }
}

after(() => rmSync(directory, { recursive: true, force: true }))

describe('the engine etcd under failures', { skip: noServer }, () => {
  const proxy = new LossyProxy(port)
  let server: EtcdServer

  before(async () => {
    server = await startEtcd(port)
    await proxy.listen(proxyPort)
  })
  after(async () => {
    await proxy.close()
    await server.stop()
  })

  it('runs a mutation once though its answer is lost, and tells its answer', () =>
    within([proxied], async (keyspace) => {
      await keyspace.put(key, text('0'))
      for (let i = 1; i <= 40; i++) {
        if (i % 2 === 0) proxy.loseNext()
        const put = { kind: 'put', key, value: text(`${i}`), previous: true } as const
        const answer = await keyspace.txn({ compares: [], success: [put], failure: [] })
        const [result] = answer.results
        assert.ok(answer.succeeded && result?.kind === 'put')
        assert.equal(utf8Decode(result.previous?.value ?? text('')), `${i - 1}`)
        const [now] = (await keyspace.range({ key })).kvs
        assert.deepEqual([now?.version, now?.modRevision], [i + 1, answer.revision])
      }
      assert.equal(proxy.losses, 20)
    }))

  it('tells lost answers of every kind as they were', () =>
    within([proxied], async (keyspace) => {
      const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
      const reset = async (): Promise<void> => {
        await keyspace.delete(all.key, { rangeEnd: all.rangeEnd })
        await keyspace.put(text('a'), text('1'))
        await keyspace.put(text('b'), text('2'))
      }
      const missing = { key: text('c'), target: 'version', result: 'equal', operand: 0 } as const
      const nested: Operation = {
        kind: 'txn',
        request: {
          compares: [{ ...missing, operand: 7 }],
          success: [],
          failure: [{ kind: 'range', request: { ...all, isReverse: true } }],
        },
      }
      const success: readonly Operation[] = [
        { kind: 'range', request: { ...all, keysOnly: true } },
        { kind: 'put', key: text('c'), value: text('3'), previous: true },
        { kind: 'delete', key: text('a'), rangeEnd: text('b'), previous: true },
        nested,
      ]
      const request = { compares: [missing], success, failure: [] }
      const shapes: unknown[] = []
      for (const isLost of [false, true, false, true]) {
        await reset()
        if (isLost) proxy.loseNext()
        const { succeeded, results } = await keyspace.txn(request)
        shapes.push(
          JSON.parse(
            JSON.stringify({ succeeded, results }, (name, value: unknown) =>
              name.endsWith('evision') ? 0 : value,
            ),
          ),
        )
      }
      assert.deepEqual(shapes.slice(1), [shapes[0], shapes[0], shapes[0]])
      await reset()
      proxy.loseNext()
      assert.equal(await keyspace.delete(all.key, { rangeEnd: all.rangeEnd }), 2)
      proxy.loseNext()
      const { id } = await keyspace.leases.grant({ ttlSeconds: 100 })
      proxy.loseNext()
      await keyspace.leases.revoke(id)
      assert.equal((await keyspace.leases.timeToLive(id)).ttlSeconds, -1)
    }))

  it('loses nothing of many writers while connections break', () =>
    within([proxied], async (keyspace) => {
      let isOver = false
      const breaking = (async () => {
        while (!isOver) {
          proxy.loseNext()
          await new Promise((resolve) => setTimeout(resolve, 40))
        }
      })()
      const taker = new Taker(keyspace, { key: text('n'), rangeEnd: text('o') })
      await taker.until(() => taker.opened !== undefined)
      const count = async (name: string): Promise<void> => {
        for (let i = 0; i < 12; i++) {
          const [now] = (await keyspace.range({ key: text(name) })).kvs
          const operand = now?.version ?? 0
          const compare = { key: text(name), target: 'version', result: 'equal', operand } as const
          const success = [{ kind: 'put', key: text(name), value: text(`${i}`) } as const]
          const { succeeded } = await keyspace.txn({ compares: [compare], success, failure: [] })
          assert.ok(succeeded, 'nobody else writes this key, and nothing runs twice')
        }
      }
      await Promise.all(['n1', 'n2', 'n3', 'n4'].map(count))
      isOver = true
      await breaking
      proxy.forward()
      await taker.until(() => taker.events.length === 48)
      for (const name of ['n1', 'n2', 'n3', 'n4']) {
        const own = taker.events.filter(({ kv }) => utf8Decode(kv.key) === name)
        assert.deepEqual(
          own.map(({ kv }) => kv.version),
          Array.from({ length: 12 }, (_, i) => i + 1),
        )
      }
      taker.watch.close()
    }))

  it('says what became of a mutation that got no answer', () =>
    within([proxied], async (keyspace) => {
      await keyspace.put(key, text('x'))
      proxy.swallow()
      const doubtful = keyspace.put(key, text('y'), { deadlineMs: 400 })
      await assert.rejects(
        doubtful,
        (error) => isFault(error, 'deadline') && error.outcome === 'unknown',
      )
      proxy.refuse()
      await assert.rejects(keyspace.range({ key }, { deadlineMs: 400 }), { outcome: 'failed' })
      const never = keyspace.put(key, text('z'), { deadlineMs: 400 })
      await assert.rejects(never, (error) => isFault(error) && error.outcome === 'failed')
      proxy.forward()
      assert.equal(await keyspace.delete(key), 1)
    }))

  it('goes to the next endpoint when one is gone or hangs', async () => {
    const gone = { host: '127.0.0.1', port: 19_499, isSecure: false }
    await within([gone, proxied, direct], async (keyspace) => {
      await keyspace.put(key, text('x'))
      const taker = new Taker(keyspace, { key })
      await taker.until(() => taker.opened !== undefined)
      proxy.swallow()
      await keyspace.put(key, text('y'))
      proxy.refuse()
      await taker.until(() => taker.events.length === 1)
      assert.equal((await keyspace.range({ key })).kvs[0]?.version, 2)
      taker.watch.close()
    })
    proxy.forward()
  })

  it('a watch whose history was compacted while it was cut off says so', () =>
    within([proxied], async (cutOff) => {
      const engine = createEtcdKeyspaces(host, { endpoints: [direct], root: '/failures' })
      const other = await engine.open(`/raft/space/${spaces}`)
      const taker = new Taker(cutOff, { key })
      await taker.until(() => taker.opened !== undefined)
      await other.put(key, text('seen'))
      await taker.until(() => taker.events.length === 1)
      proxy.refuse()
      for (let i = 0; i < 3; i++) await other.put(key, text(`${i}`))
      const last = await other.put(key, text('last'))
      await other.compact(last, { isPhysical: true })
      proxy.forward()
      await taker.until(() => taker.fault !== undefined)
      assert.deepEqual([taker.fault?.code, taker.fault?.fields.compacted], ['compacted', `${last}`])
      await engine.close()
    }))

  it('refuses what etcd has no room for in one transaction', () =>
    within([direct], async (keyspace) => {
      const success = Array.from(
        { length: 200 },
        (_, i) => ({ kind: 'put', key: text(`${i}`), value: key }) as const,
      )
      await assert.rejects(
        keyspace.txn({ compares: [], success, failure: [] }),
        /too many operations/,
      )
    }))
})

describe('the engine etcd with TLS and a user', { skip: noServer }, () => {
  const securePort = 19_579
  let server: EtcdServer
  let tls: { authorityPem: string; certificatePem: string; privateKeyPem: string }
  const endpoint = { host: '127.0.0.1', port: securePort, isSecure: true }

  before(async () => {
    const cluster = clusterId('00112233445566778899aabbccddeeff')
    const authority = await makeAuthority(cluster)
    const subject = { clusterId: cluster, id: nodeId(1), host: '127.0.0.1' }
    const pair = await issueNodeCertificate(authority, subject)
    const files = {
      ca: authority.certificatePem,
      cert: pair.certificatePem,
      key: pair.privateKeyPem,
    }
    const at = (name: string): string => join(directory, `${name}.pem`)
    for (const [name, pem] of Object.entries(files)) writeFileSync(at(name), pem)
    tls = { authorityPem: files.ca, certificatePem: files.cert, privateKeyPem: files.key }
    const args = ['--cert-file', at('cert'), '--key-file', at('key'), '--trusted-ca-file', at('ca')]
    server = await startEtcd(securePort, { scheme: 'https', args: [...args, '--client-cert-auth'] })
    const paths = ['--cacert', at('ca'), '--cert', at('cert'), '--key', at('key')]
    const etcdctl = (...words: string[]) => {
      const all = [`--endpoints=https://127.0.0.1:${securePort}`, ...paths, ...words]
      const ran = spawnSync('etcdctl', all, { env: { ...process.env, ETCDCTL_API: '3' } })
      assert.equal(ran.status, 0, String(ran.stderr))
    }
    etcdctl('user', 'add', 'root:secret')
    etcdctl('user', 'grant-role', 'root', 'root')
    etcdctl('auth', 'enable')
  })
  after(() => server.stop())

  it('stores for the user, and refuses a wrong password and a stranger', async () => {
    const options = { endpoints: [endpoint], tls, root: '/secure' }
    const open = (name: string, password: string) =>
      createEtcdKeyspaces(host, { ...options, user: { name, password } })
    const engine = open('root', 'secret')
    const keyspace = await engine.open('/raft/space/1')
    await keyspace.put(key, text('x'))
    const taker = new Taker(keyspace, { key, startRevision: 1 })
    await taker.until(() => taker.events.length === 1)
    taker.watch.close()
    await engine.close()
    const wrong = open('root', 'wrong')
    const refused = (await wrong.open('/raft/space/1')).put(key, text('y'), { deadlineMs: 2000 })
    await assert.rejects(refused, { code: 'unauthenticated', outcome: 'failed' })
    await wrong.close()
    const { certificatePem: _, privateKeyPem: __, ...without } = tls
    const stranger = createEtcdKeyspaces(host, { ...options, tls: without })
    const turned = (await stranger.open('/raft/space/1')).put(key, text('y'), { deadlineMs: 1000 })
    await assert.rejects(turned, (error) => isFault(error) && error.outcome === 'failed')
    await stranger.close()
  })
})
