// Members over real TLS on loopback, with a namespace in memory: certificates that end soon, keys that travel, an
// authority that is rotated while connections live, and a member that is removed.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { type NodeId, nodeId, toHex, utf8Decode } from '../base/index.ts'
import type { Address, CertifiedTransport, Host } from '../host/index.ts'
import { createRealHost, realPki } from '../host/real/index.ts'
import { controlMethod, createRpc, type Rpc } from '../rpc/index.ts'
import type { Member } from './cluster.ts'
import { authorityName } from './core/identity-names.ts'
import {
  clusterCodec,
  clusterKey,
  counterCodec,
  memberCodec,
  memberKey,
  nodeCounterKey,
} from './core/records.ts'
import type { Credentials } from './credentials.ts'
import { issueCertificates } from './issuing.ts'
import { MemberTrust } from './member-trust.ts'
import { type Cluster, openCluster } from './open-cluster.ts'
import { askToRenew } from './trust-calls.ts'
import { memberAt, ownCluster } from './testing/enrolment-world.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

const dayMs = 86_400_000
const root = mkdtempSync(`${tmpdir()}/atoll-trust-`)
after(() => rmSync(root, { recursive: true, force: true }))
let portNext = 23_000 + (process.pid % 8_000)

type Node = {
  readonly host: Host
  readonly rpc: Rpc
  readonly trust: MemberTrust
  readonly transport: CertifiedTransport
  readonly shown: Credentials[]
  readonly cluster: Cluster
}

class TestCluster {
  readonly system = new MemoryKeyspace()
  readonly nodes: Node[] = []
  readonly addresses = new Map<NodeId, Address>()
  /** Added to what every clock says. */
  skewMs = 0
  readonly sealKey = new Uint8Array(32).fill(5)
  readonly #awake = setInterval(() => undefined, 1_000)
  authority = { certificatePem: '', privateKeyPem: '' }

  async found(): Promise<void> {
    const nowMs = Date.now()
    this.authority = await realPki.makeAuthority({
      subjectName: authorityName(ownCluster),
      notBeforeMs: nowMs - dayMs,
      notAfterMs: nowMs + 3650 * dayMs,
    })
    const record = {
      clusterId: ownCluster,
      region: 'r',
      dataShards: 2,
      parityShards: 1,
      founders: [1],
    }
    await this.system.put(clusterKey, clusterCodec.encode(record))
    await this.system.put(nodeCounterKey, counterCodec.encode({ value: 3 }))
  }

  /** `held`: what its directory holds already. */
  async add(id: number, change: Partial<Member> = {}, held?: Credentials): Promise<Node> {
    const own = nodeId(id)
    const address = { host: `127.0.0.${id}`, port: portNext++ }
    this.addresses.set(own, address)
    await this.system.put(
      memberKey(id),
      memberCodec.encode(memberAt(id, { control: address, ...change })),
    )
    const real = createRealHost({
      rootPath: `${root}/${this.nodes.length}-${portNext}`,
      journal: { format: 'text', level: 'error' },
      onFatal: (_event, error) => {
        throw error
      },
    })
    const clock = { ...real.clock, wallMs: () => Date.now() + this.skewMs }
    const host: Host = { ...real, clock }
    const credentials = held ?? (await this.credentialsOf(host, id))
    const transport = host.network.secured(credentials.identity)
    const rpc = createRpc(host, { transport, listen: address })
    const shown: Credentials[] = []
    const isFounder = id === 1
    const trust = new MemberTrust(
      { host, system: this.system, rpc, isLeader: () => isFounder },
      {
        self: own,
        credentials,
        settings: {
          topologyText: '',
          ...(isFounder ? { sealKeyHex: toHex(this.sealKey), authority: this.authority } : {}),
        },
        version: '0.1.0',
        topology: { db: [] },
        topologyText: () => '',
        onCredentials(renewed) {
          shown.push(renewed)
          transport.replace(renewed.identity)
        },
      },
    )
    await trust.prepare()
    await rpc.listen()
    trust.begin()
    await trust.seal()
    const isReachable = (to: NodeId): boolean => rpc.isReachable(to)
    const cluster = await openCluster(
      { host, system: this.system, isReachable },
      { self: own, reloadAfterMs: 1 },
    )
    const tellPeers = (): void => {
      const others = cluster.view.members().filter((one) => one.id !== own)
      rpc.setPeers(new Map(others.map((one) => [one.id, one.control])))
    }
    cluster.view.onChange(tellPeers)
    tellPeers()
    trust.keepSettings(cluster)
    const node = { host, rpc, trust, transport, shown, cluster }
    this.nodes.push(node)
    return node
  }

  async credentialsOf(host: Host, id: number): Promise<Credentials> {
    const node = await host.pki.makeRequest('node')
    const server = await host.pki.makeRequest('server')
    const { keyHash, notAfterMs } = await host.pki.readCertificate(this.authority.certificatePem)
    const entry = {
      ...this.authority,
      sealedKey: new Uint8Array(0),
      state: 'signing',
      keyHash,
      notAfterMs,
    } as const
    const control = this.addresses.get(nodeId(id)) ?? memberAt(id).control
    const issued = await issueCertificates(host, memberAt(id, { control }), {
      clusterId: ownCluster,
      authority: this.authority,
      entry,
      requests: { nodeRequestPem: node.requestPem, serverRequestPem: server.requestPem },
      certificateMs: 7 * dayMs,
    })
    return {
      identity: {
        nodeId: nodeId(id),
        clusterId: ownCluster,
        authorityPem: this.authority.certificatePem,
        certificatePem: issued.nodeCertificatePem,
        privateKeyPem: node.privateKeyPem,
      },
      serverTls: {
        certificatePem: issued.serverCertificatePem,
        privateKeyPem: server.privateKeyPem,
      },
    }
  }

  async remove(id: number): Promise<void> {
    await this.system.put(memberKey(id), memberCodec.encode(memberAt(id, { state: 'removed' })))
  }

  async close(): Promise<void> {
    clearInterval(this.#awake)
    for (const { trust, cluster } of this.nodes) {
      trust.close()
      cluster.close()
    }
    await Promise.all(this.nodes.map(({ rpc }) => rpc.close()))
  }
}

/** Settles once it holds; the test's own limit of time ends it otherwise. */
async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 5))
}

async function withCluster(run: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const cluster = new TestCluster()
  await cluster.found()
  try {
    await run(cluster)
  } finally {
    await cluster.close()
  }
}

test('a member with control gets the seal key, one without does not, nor does a removed one', async () => {
  await withCluster(async (cluster) => {
    const first = await cluster.add(1)
    const second = await cluster.add(2)
    const third = await cluster.add(3, { caps: ['s3'] })
    const path = 'identity/seal-key'
    await until(() => second.host.disk.exists(path))
    assert.equal(utf8Decode(await second.host.disk.read(path, 100)).trim(), toHex(cluster.sealKey))
    await until(() => third.rpc.isReachable(nodeId(1)))
    const ask = third.rpc.call(nodeId(1), controlMethod.trustSealKey, new Uint8Array(0), {
      deadlineMs: 3_000,
    })
    await assert.rejects(ask, /node 3 has not the capability 'control'/)
    assert.equal(await third.host.disk.exists(path), false)
    assert.ok(await first.trust.desk.createToken({ createdBy: 'x' }))
    await assert.rejects(third.trust.desk.createToken({ createdBy: 'x' }), /no seal key/)
  })
})

test('certificates are renewed at half of their life, under connections that stay', async () => {
  await withCluster(async (cluster) => {
    const first = await cluster.add(1)
    const second = await cluster.add(2, { caps: ['s3'] })
    let closed = 0
    first.rpc.onReachability((_peer, isReachable) => {
      if (!isReachable) closed++
    })
    await until(() => first.rpc.isReachable(nodeId(2)) && second.rpc.isReachable(nodeId(1)))
    const before = second.trust.report()
    await first.trust.desk.changeConfig((config) => ({ ...config, certificateSeconds: 120 }), 'me')
    await until(() => second.shown.length > 0 && first.shown.length > 0)
    const renewed = second.trust.report()
    assert.notEqual(renewed.serial, before.serial)
    assert.ok(renewed.notAfterMs < Date.now() + 121_000)
    cluster.skewMs += 61_000
    await until(() => second.shown.length > 1 && first.shown.length > 1)
    assert.equal(closed, 0)
    // A new handshake shows the new certificate, and the keys on disk fit it.
    const address = cluster.addresses.get(nodeId(1)) ?? assert.fail()
    const connection = await second.transport.connect(address, { timeoutMs: 3_000 })
    assert.equal(connection.peer.nodeId, 1)
    connection.destroy()
    const { disk, pki } = second.host
    const [certificate, key] = await Promise.all(
      ['identity/node.pem', 'identity/node-key.pem'].map(async (path) =>
        utf8Decode(await disk.read(path, 65_536)),
      ),
    )
    const newest = second.shown.at(-1)?.identity
    assert.deepEqual([certificate, key], [newest?.certificatePem, newest?.privateKeyPem])
    const { serial } = await pki.readCertificate(certificate ?? '')
    assert.equal(serial, second.trust.report().serial)
    assert.equal(await disk.exists('identity/node-key.next.pem'), false)
  })
})

test('a removed member is cut off, refused renewal, and refused with the certificate that it still has', async () => {
  await withCluster(async (cluster) => {
    const first = await cluster.add(1)
    const second = await cluster.add(2, { caps: ['s3'] })
    await until(() => first.rpc.isReachable(nodeId(2)) && second.rpc.isReachable(nodeId(1)))
    const keys = await second.host.pki.makeRequest('again')
    const request = { nodeRequestPem: keys.requestPem, serverRequestPem: keys.requestPem }
    assert.ok(await askToRenew(second.rpc, [nodeId(1)], request))
    await cluster.remove(2)
    await until(() => !first.rpc.isReachable(nodeId(2)))
    await assert.rejects(askToRenew(second.rpc, [nodeId(1)], request))
    await assert.rejects(first.trust.desk.renew(nodeId(2), request), /no member any more/)
    // Its certificate is still good, so the handshake succeeds, and the connection is ended at once.
    const address = cluster.addresses.get(nodeId(1)) ?? assert.fail()
    const connection = await second.transport.connect(address, { timeoutMs: 3_000 })
    await new Promise<void>((resolve) => {
      connection.onBytes = () => undefined
      connection.onClose = () => resolve()
    })
    const { desk } = first.trust
    await until(async () => !((await desk.bundle())?.text ?? '').includes('"id":2'))
    const gone = (await desk.certificates()).find(({ member }) => member === 2)
    assert.ok((await desk.bundle())?.text.includes(`"${gone?.serial}"`))
  })
})

test('a member that was given another address gets a certificate that names it, once', async () => {
  await withCluster(async (cluster) => {
    const first = await cluster.add(1)
    const second = await cluster.add(2)
    await until(() => second.trust.report().authorities.length === 1)
    assert.equal(second.shown.length, 0)
    const moved = memberAt(2, {
      control: { host: '127.0.0.77', port: 1 },
      bulk: { host: 'FD00:0::7', port: 2 },
    })
    await cluster.system.put(memberKey(2), memberCodec.encode(moved))
    await until(() => second.shown.length > 0)
    const shown = second.shown[0] ?? assert.fail()
    const { hosts } = await realPki.readCertificate(shown.identity.certificatePem)
    assert.equal(hosts[0], '127.0.0.77')
    // The same record again, and whatever else changes, is no reason for another.
    await cluster.system.put(memberKey(2), memberCodec.encode({ ...moved, labels: { rack: 'r' } }))
    await first.trust.desk.changeConfig((now) => ({ ...now, targetSize: 4 }), 'x')
    const epoch = (await first.trust.desk.bundle())?.epoch
    await until(() => second.trust.report().epoch === epoch)
    assert.equal(second.shown.length, 1)
  })
})

test('an authority is rotated under connections: trusted, signing, dropped', async () => {
  await withCluster(async (cluster) => {
    const first = await cluster.add(1)
    const second = await cluster.add(2)
    const { desk } = first.trust
    const both = [first, second]
    await until(() => both.every(({ trust }) => trust.report().authorities.length === 1))
    const [old] = await desk.authorities()
    await desk.rotateAuthority('add')
    await until(() => both.every(({ trust }) => trust.report().authorities.length === 2))
    const epoch = (await desk.bundle())?.epoch
    await until(() => both.every(({ trust }) => trust.report().epoch === epoch))
    await desk.rotateAuthority('issue')
    await until(() => both.every(({ trust }) => trust.report().issuer !== old?.pin))
    const address = cluster.addresses.get(nodeId(1)) ?? assert.fail()
    const dial = async (from: Node): Promise<void> => {
      const connection = await from.transport.connect(address, { timeoutMs: 3_000 })
      connection.destroy()
    }
    await dial(second)
    await desk.rotateAuthority('drop')
    await until(() => both.every(({ trust }) => trust.report().authorities.length === 1))
    await dial(second)
    // Who has a certificate of the old one only is a stranger now.
    const stranger = await cluster.add(3)
    await assert.rejects(async () => {
      const connection = await stranger.host.network
        .secured(await strangerIdentity(cluster, stranger.host))
        .connect(address, { timeoutMs: 3_000 })
      await new Promise<void>((_resolve, reject) => {
        connection.onBytes = () => undefined
        connection.onClose = (reason) => reject(reason ?? new Error('closed'))
      })
    })
  })
})

async function strangerIdentity(cluster: TestCluster, host: Host) {
  const { requestPem, privateKeyPem } = await host.pki.makeRequest('node')
  const certificatePem = await host.pki.issue(cluster.authority, {
    subjectName: 'node-3',
    uris: [`atoll://${ownCluster}/node/3`],
    hosts: [],
    usage: 'node',
    requestPem,
    notBeforeMs: Date.now() - 1000,
    notAfterMs: Date.now() + dayMs,
  })
  return {
    nodeId: nodeId(3),
    clusterId: ownCluster,
    authorityPem: cluster.authority.certificatePem,
    certificatePem,
    privateKeyPem,
  }
}

test('a member that slept past its certificate certifies itself, if it has the seal key', async () => {
  await withCluster(async (cluster) => {
    const first = await cluster.add(1)
    const held = await cluster.credentialsOf(first.host, 1)
    cluster.skewMs = 30 * dayMs
    const again = await cluster.add(1, {}, held)
    assert.ok(again.trust.report().notAfterMs > Date.now() + 30 * dayMs)
    assert.equal(again.shown.length, 1)
    const other = await cluster.credentialsOf(first.host, 2)
    cluster.skewMs = 60 * dayMs
    await assert.rejects(cluster.add(2, {}, other), /certificate of this node has ended/)
  })
})
