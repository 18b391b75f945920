// The product under faults: real nodes (startNode, zero data threads) on simulated hosts; clients put,
// get and delete objects through the S3 gateways of all of them.
//
// Checked: every key is a linearizable register whose value is the hash of the body, so an acknowledged
// object is never lost, never half-visible and never other bytes; after the heal every node starts,
// every key reads alike from every node, and redundancy is whole again.

import {
  clusterId,
  digestHex,
  type Fault,
  isFault,
  nodeId,
  type Random,
  utf8Decode,
} from '../../src/base/index.ts'
import type { Topology } from '../../src/cluster/index.ts'
import type { Address, NodeIdentity } from '../../src/host/index.ts'
import { type NodeConfig, type RunningNode, startNode } from '../../src/node/index.ts'
import { isLinearizable, type RegisterOperation } from '../checkers/linearizability.ts'
import { WorldFailure } from '../failures.ts'
import { Faults, type FaultKind } from '../faults.ts'
import type { SimResponse } from '../http.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { basicTimestamp, signedHeaders } from './s3-signing.ts'

type Recorded = RegisterOperation & { readonly key: string; readonly node: number }
type Living = { readonly host: SimHost; running: RunningNode | undefined }

const s3FaultKinds: readonly FaultKind[] = [
  'kill',
  'power loss',
  'power loss of all',
  'partition',
  'one-way partition',
  'delay',
  'broken connection',
  'slow disk',
  'full disk',
  'clock jump',
  'pause',
  'flipped bit',
]
const countedEvents = [
  ['raft.leader_elected', 'elections'],
  ['raft.snapshot_installed', 'snapshots installed'],
  ['raft.members_changed', 'configuration changes'],
] as const

/** What a batch of seeds must have seen at least once. */
export const s3Promises: readonly string[] = [
  ...s3FaultKinds.map((kind) => `fault ${kind}`),
  'disk write lost',
  'disk write torn',
  'elections',
  'objects put',
  'objects read',
  'objects deleted',
  'outcomes unknown',
  'repaired shards',
  'snapshots installed',
]

const bucket = 'simulated'
const key = { accessKeyId: 'AKIASIMULATED', secretAccessKey: 'simulated-secret' }
const region = 'sim-1'
const clientCount = 4
const objectKeys = Array.from({ length: 16 }, (_, i) => `object-${i}`)
const requestTimeoutMs = 8_000
const startedWithinMs = 60_000
const wholeWithinMs = 180_000
const cluster = clusterId('00000000000000000000000000000002')

export async function runS3Workload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new S3Workload(world, options).run()
}

class S3Workload {
  readonly #world: World
  readonly #durationMs: number
  readonly #nodes: readonly number[]
  readonly #topology: Topology
  readonly #living = new Map<number, Living>()
  readonly #history: Recorded[] = []
  #isOver = false
  #missingShards = 0

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#durationMs = options.durationMs
    this.#nodes = Array.from({ length: options.nodes }, (_, i) => i + 1)
    this.#topology = topologyOf(this.#nodes)
  }

  async run(): Promise<void> {
    this.#world.onStopped = (node, event, fault) => this.#stopped(node, event, fault)
    for (const node of this.#nodes) this.#start(node)
    await this.#until('every node serves', startedWithinMs, () => this.#allServe())
    const faults = new Faults(this.#world, {
      nodes: this.#nodes,
      kinds: s3FaultKinds,
      restart: (node) => this.#start(node),
      mayFlip: isShardSegment,
      everyMs: 1_500,
    })
    const monitor = this.#monitor()
    const clients = Array.from({ length: clientCount }, () => this.#client())
    await faults.run(this.#durationMs)
    this.#isOver = true
    await Promise.all([...clients, monitor])
    await this.#until('every node serves after the heal', startedWithinMs, () => this.#allServe())
    for (const objectKey of objectKeys) await this.#readEverywhere(objectKey)
    await this.#redundancyReturns()
    this.#check()
  }

  #start(node: number): void {
    const host = this.#world.startHost(node)
    const living: Living = { host, running: undefined }
    this.#living.set(node, living)
    startNode(this.#configOf(node), host).then(
      (running) => {
        living.running = running
        this.#world.trace(`serving ${node}`)
      },
      (error: unknown) => {
        if (host.isAlive) this.#stopped(node, 'start', error)
      },
    )
  }

  /** A node may stop itself while its disk is full; anything else is a failure. */
  #stopped(node: number, event: string, error: Fault | unknown): void {
    const mayStop = isFault(error, 'no-space') || isFault(error, 'unavailable')
    if (!mayStop) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#world.fail(new WorldFailure(`node ${node} stopped: ${event}: ${what}`))
      return
    }
    this.#world.count(`node stopped itself: ${event} ${error.code}`)
    this.#world.crash(node, 'kill')
    this.#world.schedule(1_000, 'start again', () => {
      if (this.#world.host(node) === undefined) this.#start(node)
    })
  }

  async #client(): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(200))
      const objectKey = pick(objectKeys, random)
      const node = pick(this.#nodes, random)
      const choice = random.integer(10)
      if (choice < 5) await this.#get(node, objectKey)
      else if (choice < 9) await this.#put(node, objectKey, random.bytes(drawLength(random)))
      else await this.#delete(node, objectKey)
    }
  }

  async #put(node: number, objectKey: string, body: Uint8Array): Promise<void> {
    const startMs = this.#world.nowMs
    const status = await this.#status(node, { method: 'PUT', objectKey, body })
    const value = digestHex('sha256', body)
    this.#wrote({ node, key: objectKey, value, startMs }, { status, counted: 'objects put' })
  }

  async #delete(node: number, objectKey: string): Promise<void> {
    const startMs = this.#world.nowMs
    const body = new Uint8Array(0)
    const status = await this.#status(node, { method: 'DELETE', objectKey, body })
    const write = { node, key: objectKey, value: undefined, startMs }
    this.#wrote(write, { status, counted: 'objects deleted' })
  }

  #wrote(
    write: Pick<Recorded, 'node' | 'key' | 'value' | 'startMs'>,
    outcome: { readonly status: number | undefined; readonly counted: string },
  ): void {
    const { status, counted } = outcome
    if (status !== undefined && status >= 200 && status < 300) {
      this.#world.count(counted)
      this.#history.push({ kind: 'write', ...write, endMs: this.#world.nowMs })
      return
    }
    if (status === -1) return
    // Between signing and checking the node's clock may have jumped: refused, with no effect.
    if (status === 403) return
    if (status !== undefined && status >= 400 && status < 500) {
      this.#world.fail(new WorldFailure(`a write of ${write.key} was refused with ${status}`))
      return
    }
    this.#world.count('outcomes unknown')
    this.#history.push({ kind: 'write', ...write, endMs: Number.POSITIVE_INFINITY })
  }

  /** True when the object was read, or read as absent. */
  async #get(node: number, objectKey: string): Promise<boolean> {
    const startMs = this.#world.nowMs
    const response = await this.#request(node, {
      method: 'GET',
      objectKey,
      body: new Uint8Array(0),
    }).catch(asUndefined)
    if (response === undefined || (response.status !== 200 && response.status !== 404)) return false
    const value = response.status === 200 ? digestHex('sha256', response.body) : undefined
    this.#world.count('objects read')
    const endMs = this.#world.nowMs
    this.#history.push({ kind: 'read', node, key: objectKey, value, startMs, endMs })
    return true
  }

  /** Undefined: no answer. -1: nobody was asked. */
  async #status(
    node: number,
    request: { readonly method: string; readonly objectKey: string; readonly body: Uint8Array },
  ): Promise<number | undefined> {
    if (!this.#world.http.isServing(s3AddressOf(node))) return -1
    const response = await this.#request(node, request).catch(asUndefined)
    if (response === undefined) return undefined
    const code = /<Code>(\w+)<\/Code>/.exec(utf8Decode(response.body))?.[1] ?? ''
    this.#world.count(`status ${response.status} ${code}`)
    // The node paused while the body came: S3's 400 for that may be repeated, like no answer at all.
    return code === 'RequestTimeout' ? undefined : response.status
  }

  #request(
    node: number,
    request: { readonly method: string; readonly objectKey: string; readonly body: Uint8Array },
  ): Promise<SimResponse> {
    const address = s3AddressOf(node)
    const { method, objectKey, body } = request
    const path = `/${bucket}/${objectKey}`
    const wallMs = this.#world.host(node)?.clock.wallMs() ?? 0
    const signer = { key, region, timestamp: basicTimestamp(wallMs) }
    const headers = signedHeaders({ method, path, host: address.host, body }, signer)
    return this.#world.http.request(this.#world, address, {
      method,
      target: path,
      headers,
      body,
      timeoutMs: requestTimeoutMs,
    })
  }

  #allServe(): boolean {
    return this.#nodes.every((node) => {
      const living = this.#living.get(node)
      return living?.host.isAlive === true && living.running !== undefined
    })
  }

  async #readEverywhere(objectKey: string): Promise<void> {
    for (const node of this.#nodes) {
      const what = `node ${node} reads ${objectKey} after the heal`
      await this.#until(what, startedWithinMs, () => this.#get(node, objectKey))
    }
  }

  async #redundancyReturns(): Promise<void> {
    let seen = ''
    await this.#until(
      'redundancy is whole again',
      wholeWithinMs,
      async () => {
        const first = this.#living.get(this.#nodes[0] as number)
        if (first?.running === undefined || !first.host.isAlive) return false
        const status = await this.#ask(first.host, first.running)
        const { underReplicatedShards, damagedShards } = status
        this.#noteMissing(underReplicatedShards)
        seen = `under-replicated ${underReplicatedShards}, damaged ${damagedShards}`
        return underReplicatedShards === 0
      },
      () => seen,
    )
  }

  /** Watches redundancy while faults run; repairs show as fewer missing shards. */
  async #monitor(): Promise<void> {
    while (!this.#isOver) {
      await this.#world.sleep(1_000)
      const living = [...this.#living.values()].find(({ host, running }) => {
        return host.isAlive && running !== undefined
      })
      if (living?.running === undefined) continue
      const answer = this.#ask(living.host, living.running).catch(asUndefined)
      const status = await Promise.race([answer, this.#world.sleep(5_000)])
      if (status !== undefined) this.#noteMissing(status.underReplicatedShards)
    }
  }

  #noteMissing(shards: number): void {
    if (shards < this.#missingShards) {
      this.#world.count('repaired shards', this.#missingShards - shards)
    }
    this.#missingShards = Math.max(0, shards)
  }

  #ask(host: SimHost, running: RunningNode): ReturnType<RunningNode['status']> {
    return new Promise((resolve, reject) => {
      host.schedule(0, 'status', () => {
        running.status().then(resolve, reject)
      })
    })
  }

  async #until(
    what: string,
    withinMs: number,
    isDone: () => boolean | Promise<boolean>,
    detail: () => string = () => '',
  ): Promise<void> {
    const endMs = this.#world.nowMs + withinMs
    while (!(await isDone())) {
      if (this.#world.nowMs > endMs) {
        throw new WorldFailure(`not within ${withinMs} ms: ${what} ${detail()}`)
      }
      await this.#world.sleep(100)
    }
  }

  #check(): void {
    for (const [event, kind] of countedEvents) {
      this.#world.count(kind, this.#world.counts.get(`journal ${event}`) ?? 0)
    }
    for (const objectKey of objectKeys) {
      const history = this.#history.filter((one) => one.key === objectKey)
      if (isLinearizable(history)) continue
      const lines = history.map((one) => JSON.stringify({ ...one, value: one.value?.slice(0, 12) }))
      throw new WorldFailure(`object ${objectKey} is not linearizable:\n${lines.join('\n')}`)
    }
  }

  #configOf(node: number): NodeConfig {
    return {
      self: nodeId(node),
      identity: identityOf(node),
      topology: this.#topology,
      founders: this.#nodes.map(nodeId),
      listen: {
        control: { host: hostOf(node), port: 6660 },
        bulk: { host: hostOf(node), port: 9991 },
        s3: s3AddressOf(node),
      },
      serverTls: { certificatePem: '', privateKeyPem: '' },
      adminToken: 'simulated',
      dataThreads: 0,
      ownLogThread: false,
      reserveBytes: 1024 * 1024,
      raft: { logBytesMax: 256 * 1024 },
      content: { auditEveryMs: 5_000, scrubBytesPerSecond: 16 * 1024 * 1024 },
    }
  }
}

function topologyOf(nodes: readonly number[]): Topology {
  return {
    version: '1.0',
    region,
    host: '0.0.0.0',
    port: 8443,
    rs: nodes.length === 1 ? { data: 1, parity: 0 } : { data: nodes.length - 1, parity: 1 },
    db: nodes.map((node) => ({
      id: nodeId(node),
      host: hostOf(node),
      port: 6660,
      path: `distributed/db/node-${node}/`,
      leader: node === 1,
    })),
    nodes: nodes.map((node) => ({
      id: nodeId(node),
      host: hostOf(node),
      port: 9991,
      path: `distributed/nodes/node-${node}/`,
    })),
    buckets: [{ name: bucket, region, type: 'distributed' }],
    auth: [key],
  }
}

/** Mostly small (riding in an entry), sometimes several units of a segment. */
function drawLength(random: Random): number {
  const limits = [100, 3_000, 40_000, 300_000]
  return random.integer(pick(limits, random))
}

function identityOf(node: number): NodeIdentity {
  const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }
  return { nodeId: nodeId(node), clusterId: cluster, ...pem }
}

/** Shards may rot on one node: the code of every object survives it, and the scrub finds it. */
function isShardSegment(path: string): boolean {
  return path.startsWith('distributed/nodes/')
}

function hostOf(node: number): string {
  return `127.0.0.${node}`
}

function s3AddressOf(node: number): Address {
  return { host: hostOf(node), port: 9000 }
}

function asUndefined(error: unknown): undefined {
  if (!isFault(error)) throw error
  return undefined
}

function pick<T>(from: readonly T[], random: Random): T {
  return from[random.integer(from.length)] as T
}
