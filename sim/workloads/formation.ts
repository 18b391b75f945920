// Forming a cluster of any size as machines do it: one founds, all others ask at the same moment with one token, become
// nodes with what they are answered, and are members once they have caught up. No faults: what is measured is how much
// is said.
//
// Checked: every machine is let in by its first and only request; all end with the same settings, in which all are
// members; and how many messages went between the nodes from the first request until then.

import { type ClusterId, clusterId, nodeId, utf8Decode, utf8Encode } from '../../src/base/index.ts'
import {
  authorityName,
  extendTopology,
  identityFiles,
  type JoinAnswer,
  joinClient,
  nodeUri,
  parseJoinToken,
  programVersion,
  type Topology,
} from '../../src/cluster/index.ts'
import { createSignedPki, type PemPair } from '../../src/host/index.ts'
import { type NodeConfig, startNode } from '../../src/node/index.ts'
import { WorldFailure } from '../failures.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { adminAddressOf, hostOf, s3AddressOf } from './s3-cluster.ts'

export const formationPromises: readonly string[] = ['machines joined', 'messages']

const own: ClusterId = clusterId('00000000000000000000000000000003')
const adminToken = 'simulated'
const region = 'sim-1'
const farMs = 32_503_680_000_000
const servesWithinMs = 30_000
const formedWithinMs = 120_000
const lookEveryMs = 20
const bundleBytesMax = 1024 * 1024

type Pair = { readonly certificatePem: string; readonly privateKeyPem: string }

export async function runFormationWorkload(
  world: World,
  options: { readonly nodes: number },
): Promise<void> {
  await new FormationWorkload(world, options.nodes).run()
}

class FormationWorkload {
  readonly #world: World
  readonly #nodes: number
  #chain: readonly string[] = []
  #requests = 0
  #online = 0

  constructor(world: World, nodes: number) {
    this.#world = world
    this.#nodes = nodes
  }

  async run(): Promise<void> {
    const world = this.#world
    await this.#found()
    const token = await this.#openToken()
    const machines = Array.from({ length: this.#nodes - 1 }, (_, at) => at + 2)
    const [sentBefore, beganMs] = [world.network.sent, world.nowMs]
    await Promise.all(machines.map((place) => this.#join(place, token)))
    await this.#until('all hold the same settings and are online', formedWithinMs, () => {
      return this.#isFormed()
    })
    if (this.#requests !== machines.length) {
      throw new WorldFailure(`${machines.length} machines sent ${this.#requests} requests`)
    }
    world.count('machines joined', machines.length)
    world.count('messages', world.network.sent - sentBefore)
    world.count('formation ms', Math.round(world.nowMs - beganMs))
  }

  /** The founder's directory as `atoll admin init` leaves it. */
  async #found(): Promise<void> {
    const world = this.#world
    const pki = createSignedPki(world.drawRandom())
    const lasting = { notBeforeMs: 0, notAfterMs: farMs }
    const authority = await pki.makeAuthority({ subjectName: authorityName(own), ...lasting })
    const certify = async (usage: 'node' | 'server'): Promise<Pair> => {
      const { requestPem, privateKeyPem } = await pki.makeRequest(usage)
      const certificatePem = await pki.issue(authority, {
        subjectName: 'founder',
        uris: [nodeUri(own, nodeId(1))],
        hosts: [hostOf(1)],
        usage,
        requestPem,
        ...lasting,
      })
      return { certificatePem: `${certificatePem}${authority.certificatePem}`, privateKeyPem }
    }
    const [node, server] = [await certify('node'), await certify('server')]
    this.#chain = [server.certificatePem, authority.certificatePem]
    const host = this.#world.startHost(1)
    await this.#start(host, {
      place: 1,
      topology: emptyTopology(),
      pairs: { node, server },
      authority,
      authorityPem: authority.certificatePem,
    })
    await this.#until('the founder serves', servesWithinMs, () => {
      return world.http.isServing(adminAddressOf(1))
    })
  }

  async #openToken(): Promise<string> {
    const body = utf8Encode(JSON.stringify({ uses: Math.max(1, this.#nodes - 1) }))
    const given = await this.#ask('POST', '/v1/tokens', body)
    return (given as { readonly token: string }).token
  }

  async #join(place: number, tokenText: string): Promise<void> {
    const host = this.#world.startHost(place)
    const keys = await joinClient.makeJoinKeys(host, `node-${place}`)
    const token = parseJoinToken(tokenText)
    const server = await joinClient.checkPinnedChain(host, this.#chain, token.pin)
    const at = (port: number) => ({ host: hostOf(place), port })
    const request = await joinClient.buildJoinRequest(host, {
      keys,
      server,
      token,
      fields: {
        clusterId: server.clusterId,
        name: `node-${place}`,
        region,
        zone: 'a',
        admin: at(7777),
        control: at(6660),
        bulk: at(9991),
        s3: at(9000),
        caps: ['control'],
        labels: {},
        capacityBytes: 2 ** 40,
        version: programVersion,
        ts: Math.floor(host.clock.wallMs() / 1000),
      },
    })
    this.#requests++
    const answered = await this.#ask('POST', '/join', request)
    const answer = joinClient.parseJoinAnswer(utf8Encode(JSON.stringify(answered)))
    if (answer.kind !== 'joined') throw new WorldFailure(`machine ${place} has to wait`)
    await this.#become(host, { place, answer, keys })
  }

  async #become(
    host: SimHost,
    joined: {
      readonly place: number
      readonly answer: Extract<JoinAnswer, { kind: 'joined' }>
      readonly keys: Awaited<ReturnType<typeof joinClient.makeJoinKeys>>
    },
  ): Promise<void> {
    const { place, answer, keys } = joined
    await host.disk.replace(identityFiles.bundle, utf8Encode(answer.bundleText))
    let topology = emptyTopology()
    for (const { id, control, bulk } of answer.members) {
      if (id === 1) continue
      const ports = { controlPort: control.port, bulkPort: bulk.port }
      topology = extendTopology(topology, { id, host: control.host, ...ports })
    }
    const node = {
      certificatePem: answer.nodeCertificatePem,
      privateKeyPem: keys.node.privateKeyPem,
    }
    const server = {
      certificatePem: answer.serverCertificatePem,
      privateKeyPem: keys.server.privateKeyPem,
    }
    const { authorityPem, nodeId: id } = answer
    await this.#start(host, { place, id, topology, pairs: { node, server }, authorityPem })
  }

  async #start(
    host: SimHost,
    given: {
      readonly place: number
      readonly id?: number
      readonly topology: Topology
      readonly pairs: { readonly node: Pair; readonly server: Pair }
      readonly authority?: PemPair
      readonly authorityPem: string
    },
  ): Promise<void> {
    const { place, topology, pairs, authority, authorityPem } = given
    const self = nodeId(given.id ?? place)
    const secrets =
      authority === undefined
        ? {}
        : { authority, sealKeyHex: '11'.repeat(32), config: { targetSize: this.#nodes } }
    const config: NodeConfig = {
      self,
      identity: { nodeId: self, clusterId: own, authorityPem, ...pairs.node },
      topology,
      founders: [nodeId(1)],
      listen: {
        control: { host: hostOf(place), port: 6660 },
        bulk: { host: hostOf(place), port: 9991 },
        admin: adminAddressOf(place),
        s3: s3AddressOf(place),
      },
      serverTls: pairs.server,
      enrolment: { topologyText: '', ...secrets },
      adminToken,
      dataThreads: 0,
      ownLogThread: false,
      reserveBytes: 1024 * 1024,
    }
    await startNode(config, host)
    this.#online++
  }

  async #isFormed(): Promise<boolean> {
    const online = this.#world.counts.get('journal node.member_online') ?? 0
    if (this.#online < this.#nodes || online < this.#nodes - 1) return false
    const texts = new Set<string>()
    for (let place = 1; place <= this.#nodes; place++) {
      const disk = this.#world.host(place)?.disk
      if (disk === undefined || !(await disk.exists(identityFiles.bundle))) return false
      texts.add(utf8Decode(await disk.read(identityFiles.bundle, bundleBytesMax)))
    }
    const [text = '{}'] = texts
    const { members } = JSON.parse(text) as { readonly members?: readonly unknown[] }
    return texts.size === 1 && members?.length === this.#nodes
  }

  async #ask(method: string, target: string, body: Uint8Array): Promise<unknown> {
    const answer = await this.#world.http.request(this.#world, adminAddressOf(1), {
      method,
      target,
      body,
      headers: [['authorization', `Bearer ${adminToken}`]],
      timeoutMs: 60_000,
    })
    const text = utf8Decode(answer.body)
    if (answer.status !== 200) throw new WorldFailure(`${target}: ${answer.status} ${text}`)
    return JSON.parse(text)
  }

  async #until(
    what: string,
    withinMs: number,
    isDone: () => boolean | Promise<boolean>,
  ): Promise<void> {
    const endMs = this.#world.nowMs + withinMs
    while (!(await isDone())) {
      if (this.#world.nowMs > endMs) throw new WorldFailure(`not within ${withinMs} ms: ${what}`)
      await this.#world.sleep(lookEveryMs)
    }
  }
}

/** The founder alone. */
function emptyTopology(): Topology {
  return {
    version: '1.0',
    region,
    host: '0.0.0.0',
    port: 8443,
    rs: { data: 1, parity: 0 },
    db: [
      { id: nodeId(1), host: hostOf(1), port: 6660, path: 'distributed/db/node-1/', leader: true },
    ],
    nodes: [{ id: nodeId(1), host: hostOf(1), port: 9991, path: 'distributed/nodes/node-1/' }],
    buckets: [],
    auth: [],
  }
}
