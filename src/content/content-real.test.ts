// Content over what it runs on: TLS between three nodes of one process, segments on a disk, only the keyspace is
// a double. Counts bytes on disk, breaks nodes for good, and reads everything back.

import { deepEqual, equal, ok } from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { type NodeId, nodeId, seededRandom, sha256, utf8Encode } from '../base/index.ts'
import { chooseHolders, type Member } from '../cluster/index.ts'
import { createRealHost } from '../host/real/index.ts'
import { createTestAuthority, settled } from '../host/testing/index.ts'
import { createRpc, type Rpc } from '../rpc/index.ts'
import { openSegments, type Segments } from '../storage/index.ts'
import type { Content, Draft, Manifest } from './content.ts'
import { createContent } from './create-content.ts'
import { FakeKeyspace } from './testing/fake-keyspace.ts'

const mebibyte = 1024 * 1024
const ids = [nodeId(1), nodeId(2), nodeId(3)]
const root = mkdtempSync(`${tmpdir()}/atoll-content-`)
const keyspace = new FakeKeyspace(() => new Promise((turned) => setImmediate(turned)), 'objects')
const bytes = seededRandom(1).bytes(24 * mebibyte + 777)

type Node = {
  readonly id: NodeId
  readonly rpc: Rpc
  readonly segments: Segments
  readonly content: Content
}
const nodes = new Map<NodeId, Node>()
const members: Member[] = []
let authority: Awaited<ReturnType<typeof createTestAuthority>>
const awake = setInterval(() => undefined, 1_000)

async function start(id: NodeId): Promise<Node> {
  const host = createRealHost({
    rootPath: `${root}/${id}`,
    journal: { format: 'text', level: 'error' },
    onFatal: (_event, error) => {
      throw error
    },
  })
  const identity = await authority.identity(id)
  const listen = (members.find((member) => member.id === id) as Member).bulk
  const rpc = createRpc(host, { transport: host.network.secured(identity), listen })
  const segments = await openSegments(host, { path: 'shards' })
  const view = {
    members: () => members,
    settings: () => ({
      clusterId: identity.clusterId,
      region: 'r',
      dataShards: 2,
      parityShards: 1,
    }),
    isUp: (other: NodeId) => other === id || rpc.isReachable(other),
    credential: async () => undefined,
    bucket: async () => undefined,
    onChange: () => () => undefined,
  }
  const keyspaces = { open: async () => keyspace, close: async () => undefined }
  const content = createContent(
    { host, rpc, segments, view, keyspaces, chooseHolders },
    { self: id, namespaces: [keyspace.name], runsBackground: false },
  )
  await rpc.listen()
  rpc.setPeers(new Map(members.filter((one) => one.id !== id).map((one) => [one.id, one.bulk])))
  const node = { id, rpc, segments, content }
  nodes.set(id, node)
  return node
}

async function stop({ rpc, segments, content, id }: Node): Promise<void> {
  nodes.delete(id)
  await content.close()
  await rpc.close()
  await segments.close()
}

const node = (id: number): Node => nodes.get(nodeId(id)) as Node

function allLinked(): Promise<void> {
  const all = [...nodes.values()]
  return settled(() => all.every((a) => all.every((b) => a === b || a.rpc.isReachable(b.id))))
}

async function name(draft: Draft): Promise<Manifest> {
  const { compares, operations: success } = draft
  ok((await keyspace.txn({ compares, success, failure: [] })).succeeded)
  return draft.manifest
}

async function* slices(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_000) yield bytes.subarray(at, at + 65_000)
}

async function digestFrom(id: number, manifest: Manifest): Promise<Uint8Array> {
  const range = { keyspace, at: 0, count: manifest.length }
  const whole = new Uint8Array(manifest.length)
  let at = 0
  for await (const slice of node(id).content.read(manifest, range)) {
    whole.set(slice, at)
    at += slice.length
  }
  return sha256(whole)
}

function bytesOnDisk(): number {
  let sum = 0
  for (const id of ids) {
    for (const file of readdirSync(`${root}/${id}/shards`)) {
      sum += statSync(`${root}/${id}/shards/${file}`).size
    }
  }
  return sum
}

describe('content over TLS and segments', () => {
  let manifest: Manifest
  const digest = sha256(bytes)

  before(async () => {
    authority = await createTestAuthority('content')
    const portFirst = 20_000 + (process.pid % 20_000)
    for (const id of ids) {
      const address = { host: `127.0.0.${id}`, port: portFirst }
      members.push({
        ...{
          id,
          name: `node-${id}`,
          state: 'online',
          labels: {},
          caps: [],
          version: '',
          capacityBytes: 0,
          replaces: undefined,
        },
        ...{ control: address, bulk: address, admin: address, s3: address },
      })
    }
    for (const id of ids) await start(id)
    await allLinked()
  })

  after(async () => {
    clearInterval(awake)
    for (const one of [...nodes.values()]) await stop(one)
    rmSync(root, { recursive: true, force: true })
  })

  it('stores 24 MiB at half as much again, and reads it from every node', async () => {
    const draft = await node(1).content.write(slices(), { keyspace, allowsBareQuorum: false })
    manifest = await name(draft)
    equal(manifest.chunks.length, 2)
    for (const id of ids) deepEqual(await digestFrom(id, manifest), digest)
    const ratio = bytesOnDisk() / bytes.length
    ok(ratio < 1.51, `${ratio} times the payload on disk`)
  })

  it('reads on without a node, and has it again after a restart', async () => {
    await stop(node(2))
    await settled(() => !node(1).rpc.isReachable(nodeId(2)))
    deepEqual(await digestFrom(3, manifest), digest)
    await start(nodeId(2))
    await allLinked()
    equal((await node(2).content.runRepair()).missing, 0)
    deepEqual(await digestFrom(2, manifest), digest)
  })

  it('makes a lost disk again, and finds a flipped byte', async () => {
    await stop(node(3))
    rmSync(`${root}/3`, { recursive: true })
    await start(nodeId(3))
    await allLinked()
    equal((await node(3).content.runRepair()).repaired, 2)
    equal((await node(3).content.runScrub()).damaged, 0)
    // Proves what was written before to have been durable: else a flipped byte is a torn end, which is cut off.
    await node(3).segments.put(utf8Encode('proof'), new Uint8Array(8))
    await stop(node(3))
    const [file = ''] = readdirSync(`${root}/3/shards`)
    const segment = readFileSync(`${root}/3/shards/${file}`)
    segment[3_000_000] = (segment[3_000_000] ?? 0) ^ 0x40
    writeFileSync(`${root}/3/shards/${file}`, segment)
    await start(nodeId(3))
    await allLinked()
    deepEqual(await digestFrom(1, manifest), digest)
    deepEqual(await node(3).content.runScrub(), { verified: 3, damaged: 1 })
    deepEqual(await node(3).content.runScrub(), { verified: 3, damaged: 0 })
    await stop(node(1))
    await settled(() => !node(3).rpc.isReachable(nodeId(1)))
    deepEqual(await digestFrom(2, manifest), digest)
  })
})
