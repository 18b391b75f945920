// The nodes of the product's workload: places (a machine, its addresses, its disk) that each have a node, and
// the operator's part: start again what stopped, replace a node whose disk is lost, wait for what the
// healed cluster owes.
//
// A place keeps its number and addresses; the node in it gets a new identity when the disk is lost, as
// the launcher does it: a running member is asked through its admin API, and asked again with the old
// identity while the answer is not known.

import {
  clusterId,
  type Fault,
  isFault,
  nodeId,
  utf8Decode,
  utf8Encode,
} from '../../src/base/index.ts'
import type { NodeId } from '../../src/base/index.ts'
import {
  extendTopology,
  replaceInTopology,
  shrinkTopology,
  type Topology,
  votersMax,
} from '../../src/cluster/index.ts'
import type { Address, NodeIdentity } from '../../src/host/index.ts'
import {
  type ClusterStatus,
  type NodeConfig,
  type RunningNode,
  startNode,
} from '../../src/node/index.ts'
import { WorldFailure } from '../failures.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import type { S3Key } from './s3-signing.ts'
import { sharedKeyHexOf } from './shared-key.ts'

export const bucket = 'simulated'
export const region = 'sim-1'
export const credential: S3Key = {
  accessKeyId: 'AKIASIMULATED',
  secretAccessKey: 'simulated-secret',
}

type Living = { readonly host: SimHost; running: RunningNode | undefined }

const adminToken = 'simulated'
const adminTimeoutMs = 8_000
const statusWithinMs = 5_000
const wholeWithinMs = 180_000
/** An audit begins at least this often; two good ones in a row are trusted. */
const auditEveryMs = 2_500
const startAgainMs = 1_000
const cluster = clusterId('00000000000000000000000000000002')

export class S3Cluster {
  /** Changes in place: workloads of members that come and go add and drop some. */
  readonly places: number[]
  readonly #world: World
  readonly #living = new Map<number, Living>()
  readonly #identities = new Map<number, NodeId>()
  /** Places whose disk is lost and whose new identity is not known yet. */
  readonly #lost = new Set<number>()
  readonly #founders: readonly NodeId[]
  #topology: Topology
  /** The cluster's file at each place: as it was when the node there last served. */
  readonly #files = new Map<number, Topology>()
  #missingShards = 0

  constructor(world: World, nodes: number) {
    this.#world = world
    this.places = Array.from({ length: nodes }, (_, i) => i + 1)
    this.#founders = this.places.map(nodeId)
    for (const place of this.places) this.#identities.set(place, nodeId(place))
    this.#topology = topologyOf(this.places)
    world.onStopped = (place, event, fault) => this.#stopped(place, event, fault)
  }

  /** Does nothing where a disk is lost: replace() starts the node that takes the place. */
  start(place: number): void {
    if (this.#lost.has(place) || !this.places.includes(place)) return
    const host = this.#world.startHost(place)
    const living: Living = { host, running: undefined }
    this.#living.set(place, living)
    startNode(this.#configOf(place), host).then(
      (running) => {
        living.running = running
        this.#files.set(place, this.#topology)
        this.#world.trace(`serving ${place}`)
      },
      (error: unknown) => {
        if (host.isAlive) this.#stopped(place, 'start', error)
      },
    )
  }

  /** Nodes that serve write the change into their files; others still have the file of before when they start. */
  #change(topology: Topology): void {
    for (const place of this.places) {
      if (!this.#files.has(place)) this.#files.set(place, this.#topology)
      const { host, running } = this.#living.get(place) ?? {}
      if (host?.isAlive === true && running !== undefined) this.#files.set(place, topology)
    }
    this.#topology = topology
  }

  allServe(): boolean {
    return this.places.every((place) => {
      const living = this.#living.get(place)
      return living?.host.isAlive === true && living.running !== undefined
    })
  }

  idOf(place: number): NodeId | undefined {
    return this.#identities.get(place)
  }

  /** A member that was added gets a place of its own, and its node starts, be it after a while. */
  addPlace(place: number, id: NodeId, afterMs: number): void {
    const at = { id, host: hostOf(place), controlPort: 6660, bulkPort: 9991 }
    this.#change(extendTopology(this.#topology, at))
    this.#files.set(place, this.#topology)
    this.#identities.set(place, id)
    this.places.push(place)
    this.#world.schedule(afterMs, 'a new machine starts', () => {
      if (this.#world.host(place) === undefined) this.start(place)
    })
  }

  /** A member that was removed: its node is stopped and never starts again. */
  dropPlace(place: number): void {
    const id = this.#identities.get(place) as NodeId
    this.places.splice(this.places.indexOf(place), 1)
    this.#change(shrinkTopology(this.#topology, id))
    this.#files.delete(place)
    this.#identities.delete(place)
    this.#living.delete(place)
    this.#world.crash(place, 'kill')
  }

  /** The directory of a node is deleted while it runs or not. */
  loseDisk(place: number): void {
    this.#lost.add(place)
    this.#world.crash(place, 'kill')
    this.#world.loseDisk(place)
    this.#world.count('fault lost disk')
  }

  /** Gives the place of a lost node to a new identity and starts it; retries until a member answers. */
  async replace(place: number): Promise<void> {
    const old = this.#identities.get(place) as NodeId
    for (let turn = 0; ; turn++) {
      await this.#world.sleep(200)
      const other = this.places[turn % this.places.length] as number
      if (other === place) continue
      const given = await this.admin(other, 'POST', {
        target: '/v1/members/replace',
        body: utf8Encode(JSON.stringify({ old })),
      })
      if (given === undefined) continue
      const { id } = given as { readonly id: number }
      this.#change(replaceInTopology(this.#topology, old, nodeId(id)))
      this.#files.set(place, this.#topology)
      this.#identities.set(place, nodeId(id))
      this.#lost.delete(place)
      this.#world.trace(`place ${place} goes from node ${old} to node ${id}`)
      this.#world.count('nodes replaced')
      this.start(place)
      return
    }
  }

  /**
   * Every shard of every node is read; what is damaged and still wanted is made again from the others. (What
   * no object needs may stay damaged until it is swept.)
   */
  async scrub(): Promise<void> {
    const failures = (): number => this.#world.counts.get('journal content.repair_failed') ?? 0
    for (const place of this.places) {
      await this.until(`node ${place} repairs what a scrub finds`, wholeWithinMs, async () => {
        const before = failures()
        const found = await this.admin(place, 'POST', { target: '/v1/scrub' })
        if (found === undefined) return false
        const { damaged } = found as { readonly damaged: number }
        if (damaged > 0) this.#world.count('damaged shards found', damaged)
        return failures() === before
      })
    }
  }

  /** Every group has all present members as voters, and two audits in a row miss no shard. */
  async becomeWhole(): Promise<void> {
    let seen = ''
    let goodSinceMs: number | undefined
    const isWhole = async (): Promise<boolean> => {
      const status = await this.anyStatus()
      const problem = status === undefined ? 'no status' : this.#problemOf(status)
      seen = `${problem} ${JSON.stringify(status?.groups ?? [])}`
      if (problem !== '') goodSinceMs = undefined
      else goodSinceMs ??= this.#world.nowMs
      return goodSinceMs !== undefined && this.#world.nowMs - goodSinceMs > auditEveryMs + 1_500
    }
    await this.until('redundancy is whole again', wholeWithinMs, isWhole, () => seen)
  }

  /** Watches redundancy while faults run; repairs show as fewer missing shards. */
  async watch(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await this.#world.sleep(1_000)
      await this.anyStatus()
    }
  }

  async until(
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

  /** A node may stop itself while its disk is full; anything else is a failure. */
  #stopped(place: number, event: string, error: Fault | unknown): void {
    const mayStop = isFault(error, 'no-space') || isFault(error, 'unavailable')
    if (!mayStop) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#world.fail(new WorldFailure(`node ${place} stopped: ${event}: ${what}`))
      return
    }
    this.#world.count(`node stopped itself: ${event} ${error.code}`)
    this.#world.crash(place, 'kill')
    this.#world.schedule(startAgainMs, 'start again', () => {
      if (this.#world.host(place) === undefined) this.start(place)
    })
  }

  #problemOf(status: ClusterStatus): string {
    const { underReplicatedShards } = status
    if (underReplicatedShards !== 0) return `under-replicated ${underReplicatedShards}`
    if (!this.allServe()) return 'a node does not serve'
    const wanted = [...this.#identities.values()].sort((a, b) => a - b).join()
    const votersWanted = Math.min(votersMax, this.#identities.size)
    for (const { name, node, voters, learners } of status.groups) {
      const now = [...voters, ...learners].sort((a, b) => a - b).join()
      if (now !== wanted || voters.length !== votersWanted) {
        return `node ${node} sees voters ${voters} and learners ${learners} of ${name}, not ${wanted}`
      }
    }
    return status.nodes.every(({ state }) => state === 'online') ? '' : 'a member is not online'
  }

  async anyStatus(): Promise<ClusterStatus | undefined> {
    const living = [...this.#living.values()].find(({ host, running }) => {
      return host.isAlive && running !== undefined
    })
    if (living?.running === undefined) return undefined
    const { host, running } = living
    const asked = new Promise<ClusterStatus | undefined>((resolve, reject) => {
      host.schedule(0, 'status', () => {
        running.status().then(resolve, (error: unknown) => {
          if (isFault(error)) resolve(undefined)
          else reject(error)
        })
      })
    })
    const late = this.#world.sleep(statusWithinMs).then(() => undefined)
    const status = await Promise.race([asked, late])
    if (status !== undefined) this.#noteMissing(status.underReplicatedShards)
    return status
  }

  #noteMissing(shards: number): void {
    if (shards < 0) return
    const repaired = this.#missingShards - shards
    if (repaired > 0) this.#world.count('repaired shards', repaired)
    this.#missingShards = shards
  }

  /** Undefined: refused or no answer. */
  async admin(
    place: number,
    method: string,
    request: { readonly target: string; readonly body?: Uint8Array },
  ): Promise<unknown> {
    const address = adminAddressOf(place)
    if (!this.#world.http.isServing(address)) return undefined
    try {
      const answer = await this.#world.http.request(this.#world, address, {
        method,
        ...request,
        headers: [['authorization', `Bearer ${adminToken}`]],
        timeoutMs: adminTimeoutMs,
      })
      this.#world.count(`admin ${request.target} ${answer.status}`)
      return answer.status === 200 ? JSON.parse(utf8Decode(answer.body)) : undefined
    } catch (error) {
      if (!isFault(error)) throw error
      return undefined
    }
  }

  #configOf(place: number): NodeConfig {
    const self = this.#identities.get(place) as NodeId
    const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }
    const identity: NodeIdentity = { nodeId: self, clusterId: cluster, ...pem }
    const sharedKeyHex = sharedKeyHexOf(this.#world)
    return {
      self,
      identity,
      ...(sharedKeyHex === undefined ? {} : { sharedKeyHex }),
      topology: this.#files.get(place) ?? this.#topology,
      founders: this.#founders,
      listen: {
        control: { host: hostOf(place), port: 6660 },
        bulk: { host: hostOf(place), port: 9991 },
        admin: adminAddressOf(place),
        s3: s3AddressOf(place),
      },
      serverTls: { certificatePem: '', privateKeyPem: '' },
      adminToken,
      dataThreads: 0,
      ownLogThread: false,
      reserveBytes: 1024 * 1024,
      raft: { logBytesMax: 256 * 1024 },
      content: { auditEveryMs, scrubBytesPerSecond: 16 * 1024 * 1024 },
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
    auth: [credential],
  }
}

/** Shards may rot on one node: the code of every object survives it, and the scrub finds it. */
export function isShardSegment(path: string): boolean {
  return path.startsWith('distributed/nodes/')
}

export function s3AddressOf(place: number): Address {
  return { host: hostOf(place), port: 9000 }
}

export function adminAddressOf(place: number): Address {
  return { host: hostOf(place), port: 7777 }
}

export function hostOf(place: number): string {
  return `127.0.0.${place}`
}
