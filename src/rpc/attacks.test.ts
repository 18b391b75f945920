// Every method of both ports, asked for by everybody who must not have it, over real TLS: what comes back is the end of the
// connection (or, to a guest, a fault), and no handler sees a byte. The methods are those of the tables, so that a
// new one is attacked as soon as it has a number.

import assert from 'node:assert/strict'
import { connect as connectPlain, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { type NodeId, nodeId, utf8Encode } from '../base/index.ts'
import type { Address, CertificateLeaf, NodeIdentity, PemPair } from '../host/index.ts'
import { realPki } from '../host/real/index.ts'
import { createTestAuthority } from '../host/testing/index.ts'
import {
  bulkCallers,
  bulkMethod,
  controlCallers,
  controlMethod,
  meshCallers,
  type MethodTable,
} from './methods.ts'
import { createRpc } from './rpc-node.ts'
import { type Answer, askAll, callId, streamId } from './testing/attack.ts'
import { createWorld, type World } from './testing/world.ts'

const dayMs = 86_400_000
const victim = nodeId(1)
const member = nodeId(2)
const removed = nodeId(3)
const replica = nodeId(4)
const answerBytes = utf8Encode('an answer')

type Port = {
  readonly name: string
  readonly methods: MethodTable
  readonly address: Address
  /** What handlers were called with, as '<kind> <method> from <node>'. */
  readonly seen: string[]
}
type Attack = { readonly id: NodeId; readonly open: (at: Address) => Socket }

let world: World
let ours: PemPair
let cluster: string
const ports: Port[] = []

before(async () => {
  world = await createWorld(undefined)
  cluster = world.authority.clusterId
  ours = await makeAuthority()
  const listens = [...world.addresses.values()]
  const tables = [controlCallers, bulkCallers]
  for (const [at, methods] of tables.entries()) {
    const address = listens[at] ?? assert.fail()
    ports.push(await openPort(['control', 'bulk'][at] ?? '', { methods, address }))
  }
})
after(() => world.close())

function makeAuthority(): Promise<PemPair> {
  const nowMs = Date.now()
  const validity = { notBeforeMs: nowMs - 9 * dayMs, notAfterMs: nowMs + 9 * dayMs }
  return realPki.makeAuthority({ subjectName: 'Atoll cluster ours', ...validity })
}

/** A node whose every method is there in all three ways of asking. */
async function openPort(
  name: string,
  { methods, address }: Pick<Port, 'methods' | 'address'>,
): Promise<Port> {
  const seen: string[] = []
  const identity = await identityOf(victim)
  const rpc = createRpc(world.host, {
    transport: world.host.network.secured(identity),
    listen: address,
    methods,
    ...(name === 'control' ? { isExpected: (id: NodeId) => id === replica } : {}),
  })
  world.rpcs.push(rpc)
  for (const [method, callers] of methods) {
    if (callers === 'nobody') continue
    rpc.serve(method, async ({ from }) => {
      seen.push(`call ${method} from ${from}`)
      return answerBytes
    })
    rpc.serveStream(method, async (_stream, { from }) => {
      seen.push(`stream ${method} from ${from}`)
    })
    rpc.onMessage(method, (from) => seen.push(`message ${method} from ${from}`))
  }
  await rpc.listen()
  // Nobody listens there: the member only comes in.
  rpc.setPeers(new Map([[member, { host: '127.0.0.1', port: 1 }]]))
  return { name, methods, address, seen }
}

async function identityOf(
  id: NodeId,
  change: Partial<CertificateLeaf> & { readonly authority?: PemPair } = {},
): Promise<NodeIdentity> {
  const { authority = ours, ...leaf } = change
  const { requestPem, privateKeyPem } = await realPki.makeRequest(`node-${id}`)
  const certificatePem = await realPki.issue(authority, {
    subjectName: `node-${id}`,
    uris: [`atoll://${cluster}/node/${id}`],
    hosts: ['127.0.0.1'],
    usage: 'node',
    notBeforeMs: Date.now() - dayMs,
    notAfterMs: Date.now() + dayMs,
    ...leaf,
    requestPem,
  })
  const authorityPem = authority.certificatePem
  return {
    nodeId: id,
    clusterId: world.authority.clusterId,
    authorityPem,
    certificatePem,
    privateKeyPem,
  }
}

function secured(identity: NodeIdentity): Attack {
  const { certificatePem: cert, privateKeyPem: key, nodeId: id } = identity
  return {
    id,
    // What the victim shows is no matter to who attacks it.
    open: ({ host, port }) => connectTls({ host, port, cert, key, rejectUnauthorized: false }),
  }
}

/** Who must not get past the handshake, or the first look at the member list. */
async function strangers(): Promise<Readonly<Record<string, Attack>>> {
  const other = await makeAuthority()
  const foreign = await createTestAuthority('theirs')
  const nowMs = Date.now()
  const past = { notBeforeMs: nowMs - 2 * dayMs, notAfterMs: nowMs - 1_000 }
  const future = { notBeforeMs: nowMs + 3_600_000, notAfterMs: nowMs + 2 * dayMs }
  const twice = [2, 3].map((id) => `atoll://${cluster}/node/${id}`)
  return {
    'no TLS': { id: member, open: ({ host, port }) => connectPlain({ host, port }) },
    'no certificate': {
      id: member,
      open: ({ host, port }) => connectTls({ host, port, rejectUnauthorized: false }),
    },
    "another authority's certificate": secured(await identityOf(member, { authority: other })),
    "another cluster's member": secured(await foreign.identity(member)),
    'an expired certificate': secured(await identityOf(member, past)),
    'a certificate that is not valid yet': secured(await identityOf(member, future)),
    'a removed member': secured(await identityOf(removed)),
    'another cluster under our authority': secured(
      await identityOf(member, { uris: [`atoll://${'0'.repeat(32)}/node/${member}`] }),
    ),
    "a client's certificate": secured(
      await identityOf(member, { uris: ['atoll://client/2'], subjectName: 'client 2' }),
    ),
    "a server's certificate of the member": secured(
      await identityOf(member, { uris: [], usage: 'server' }),
    ),
    "a server's certificate that names the member": secured(
      await identityOf(member, { usage: 'server' }),
    ),
    'a certificate of two nodes': secured(await identityOf(member, { uris: twice })),
    'a leaf that signs certificates': secured(
      await identityOf(member, { authority: await leafAsAuthority() }),
    ),
  }
}

async function leafAsAuthority(): Promise<PemPair> {
  const { certificatePem, privateKeyPem } = await identityOf(member)
  return { certificatePem, privateKeyPem }
}

function askAt(port: Port, attack: Attack): Promise<Answer> {
  const claim = { nodeId: attack.id, clusterId: world.authority.clusterId }
  return askAll(attack.open(port.address), claim, { methods: [...port.methods.keys()] })
}

test('every method has a number and a rule, on each port', () => {
  const both = [controlMethod, bulkMethod].map((numbers) => Object.values(numbers).sort())
  const tables = [controlCallers, bulkCallers].map((table) => [...table.keys()].sort())
  assert.deepEqual(tables, both)
  assert.deepEqual([...meshCallers.keys()].sort(), both[0])
})

test('who is no member gets no method: the connection ends, and nothing is looked at', async () => {
  for (const [who, attack] of Object.entries(await strangers())) {
    for (const port of ports) {
      const { bytes } = await askAt(port, attack)
      assert.equal(bytes, 0, `${who} got an answer on the port ${port.name}`)
      assert.deepEqual(port.seen, [], `${who} on the port ${port.name}`)
    }
  }
})

test('a member gets what the table gives to members, in each way of asking', async () => {
  const attack = secured(await identityOf(member))
  for (const port of ports) {
    const { faults } = await askAt(port, attack)
    const served = [...port.methods].filter(([, callers]) => callers !== 'nobody')
    const seen = served.flatMap(([method]) => seenOf(method, member))
    assert.deepEqual(port.seen.splice(0), seen)
    for (const [method, callers] of port.methods) {
      for (const id of [callId(method), streamId(method)]) {
        if (callers !== 'nobody') assert.equal(faults.get(id), undefined, `method ${method}`)
        else assert.match(faults.get(id) ?? '', /is not served here/)
      }
    }
  }
})

test("a guest gets the methods of its group's consensus, and a clear fault for others", async () => {
  const attack = secured(await identityOf(replica))
  const [control, bulk] = ports
  assert.ok(control !== undefined && bulk !== undefined)
  const { faults } = await askAt(control, attack)
  const forIt = [...controlCallers].filter(([, callers]) => callers === 'replica')
  assert.ok(forIt.length > 0 && forIt.length < controlCallers.size)
  assert.deepEqual(
    control.seen.splice(0),
    forIt.flatMap(([method]) => seenOf(method, replica)),
  )
  for (const [method, callers] of controlCallers) {
    if (callers !== 'member') continue
    for (const id of [callId(method), streamId(method)]) {
      assert.match(faults.get(id) ?? '', /node 4 is not in the member list/)
    }
  }
  assert.equal((await askAt(bulk, attack)).bytes, 0)
  assert.deepEqual(bulk.seen, [])
})

function seenOf(method: number, from: NodeId): readonly string[] {
  return ['message', 'call', 'stream'].map((kind) => `${kind} ${method} from ${from}`)
}

test('a number without a rule cannot be served', () => {
  const [address = assert.fail()] = world.addresses.values()
  const self = { nodeId: victim, clusterId: world.authority.clusterId }
  const transport = { ...world.host.network.secured({} as NodeIdentity), self }
  const rpc = createRpc(world.host, { transport, listen: address, methods: bulkCallers })
  world.rpcs.push(rpc)
  const answer = async (): Promise<Uint8Array> => answerBytes
  assert.throws(() => rpc.serve(4711, answer), /the table says who may use method 4711/)
  assert.throws(() => rpc.serve(bulkMethod.shardList, answer), /the table says/)
  rpc.serve(bulkMethod.shardTouch, answer)
})
