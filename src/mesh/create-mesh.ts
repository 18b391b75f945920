// Opens a mesh over one host: identity, log, store, connections, raft, keyspaces, and whatever namespaces its
// owner opens. The order of floors up, the opposite down.

import { checkNamespaceName, clusterId, Fault, isFault, type NodeId } from '../base/index.ts'
import { presets } from '../founding/index.ts'
import type { Host, Timer, Transport } from '../host/index.ts'
import { type CoreKeyspaces, createKeyspaces, keyspaceTables } from '../keyspace/index.ts'
import { createRaft, type Raft, type RaftOptions, raftTable } from '../raft/index.ts'
import { createRpc, meshCallers, type Rpc } from '../rpc/index.ts'
import {
  type Log,
  openLog,
  openSegments,
  openStore,
  type Segments,
  type Store,
} from '../storage/index.ts'
import { createClient } from './client.ts'
import { Commands } from './commands.ts'
import { formatAddress, parseAddress } from './core/address.ts'
import type { MeshIdentity } from './core/identity-record.ts'
import { groupOf } from './core/names.ts'
import { Directory } from './directory.ts'
import { FoundingPost } from './founding-post.ts'
import { openIdentity } from './identity.ts'
import { readPeers, writePeers } from './known-peers.ts'
import type {
  Client,
  ClientOptions,
  Cluster,
  Mesh,
  MeshOptions,
  MeshStatus,
  OpenOptions,
} from './mesh.ts'
import { OpenNamespace } from './open-namespace.ts'
import type { Replica } from './replica.ts'
import { meshTable } from './tables.ts'

/** A command carries at most a payload of 1 MiB, a forwarded request of the keyspace 1.5 MiB. */
const callBytesMax = 2 * 1024 * 1024
const namespacesMax = 4_096
/** From meeting somebody to remembering where; many are met at once. */
const keepPeersMs = 1_000
const reserveBytes = 64 * 1024 * 1024
const defaultMeshId = '00000000000000000000000061746f6c'

/**
 * Starts listening. Faults 'invalid' for bad options, 'exists' when the port is taken, 'corrupt' for a data
 * directory that cannot be trusted.
 */
export async function createMesh(host: Host, options: MeshOptions): Promise<Mesh> {
  const parts = await openParts(host, options)
  try {
    await parts.rpc.listen()
  } catch (error) {
    await closeInTurn(parts.opened)
    throw error
  }
  return new NodeMesh(host, options, parts)
}

type Closable = { close(): Promise<void> }
type Storage = { readonly log: Log; readonly store: Store; readonly values: Segments }
type Parts = Storage & {
  readonly identity: MeshIdentity
  readonly address: string
  readonly transport: Transport
  readonly rpc: Rpc
  readonly raft: Raft
  readonly keyspaces: CoreKeyspaces
  /** In the order of closing. */
  readonly opened: readonly Closable[]
}

async function openParts(host: Host, options: MeshOptions): Promise<Parts> {
  const listen = parseAddress(options.listen)
  const address = formatAddress(parseAddress(options.address ?? options.listen))
  for (const contact of options.contacts ?? []) parseAddress(contact)
  const opened: Closable[] = []
  const keep = <T extends Closable>(part: T): T => {
    opened.unshift(part)
    return part
  }
  try {
    const storage = await openStorage(host, options, keep)
    const { transport: given } = options
    const identity = await openIdentity(
      { host, store: storage.store },
      {
        path: `${directoryOf(options)}/identity`,
        meshId: checkMeshId(typeof given === 'function' ? options.meshId : given.self.clusterId),
        node: typeof given === 'function' ? undefined : given.self.nodeId,
      },
    )
    const self = { nodeId: identity.node, clusterId: clusterId(identity.meshId) }
    const transport = typeof given === 'function' ? await given(self) : given
    const ofRpc = { transport, listen, limits: { callBytesMax }, methods: meshCallers }
    const rpc = keep(createRpc(host, { ...ofRpc, isExpected: () => true }))
    const onFatal = (fault: Fault): void => host.journal.fatal('mesh.state_untrusted', fault)
    const snapshotDisk = options.snapshotDisk ?? host.disk
    const ends = { host, rpc, onFatal, snapshotDisk, ...storage }
    const raft = keep(createRaft(ends, raftOptionsOf(options, identity.node)))
    const session = { number: drawSession(host) }
    const keyspaces = keep(
      await createKeyspaces(
        { host, raft, rpc, self: identity.node, session, ...storage },
        { namespaces: [] },
      ),
    )
    return { identity, address, transport, rpc, raft, keyspaces, opened, ...storage }
  } catch (error) {
    // Why it could not be opened says more than why it could not be closed.
    await closeInTurn(opened).catch(() => undefined)
    throw error
  }
}

async function openStorage(
  host: Host,
  options: MeshOptions,
  keep: <T extends Closable>(part: T) => T,
): Promise<Storage> {
  const directory = directoryOf(options)
  const { ownLogThread: ownThread } = options
  const tables = [raftTable, ...keyspaceTables, meshTable]
  const path = `${directory}/log`
  const log = keep(await openLog(host, { path, ...(ownThread === undefined ? {} : { ownThread }) }))
  const store = keep(await openStore(host, { path: `${directory}/store.sqlite`, tables }))
  const values = keep(await openSegments(host, { path: `${directory}/values`, reserveBytes }))
  return { log, store, values }
}

function directoryOf(options: MeshOptions): string {
  return options.directory ?? 'mesh'
}

function checkMeshId(id = defaultMeshId): string {
  if (/^[0-9a-f]{32}$/.test(id)) return id
  throw new Fault('invalid', `a mesh id is 32 hexadecimal digits, unlike '${id.slice(0, 64)}'`)
}

/** Half a heartbeat per tick: late by a tick is no missed heartbeat. */
function raftOptionsOf(options: MeshOptions, self: NodeId): RaftOptions {
  const { heartbeatMs, electionMs } = presets[options.preset ?? 'regional'].parameters
  const tickMs = heartbeatMs / 2
  const { logBytesMax, readLease } = options
  return {
    self,
    tickMs,
    heartbeatTicks: 2,
    electionTicks: Math.round(electionMs / tickMs),
    snapshots: { path: `${directoryOf(options)}/snapshots` },
    ...(logBytesMax === undefined ? {} : { logBytesMax }),
    ...(readLease === undefined ? {} : { readLease }),
  }
}

/** One boot of one node: 52 random bits, so that two boots never share a request id. */
function drawSession(host: Host): number {
  return host.random.integer(2 ** 26) * 2 ** 26 + host.random.integer(2 ** 26) + 1
}

/** Also what comes behind one that fails; throws the first fault. */
async function closeInTurn(parts: readonly Closable[]): Promise<void> {
  const failures: unknown[] = []
  for (const part of parts) await part.close().catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

class NodeMesh implements Mesh {
  readonly node: NodeId
  readonly #host: Host
  readonly #options: MeshOptions
  readonly #parts: Parts
  readonly #directory: Directory
  readonly #post: FoundingPost
  readonly #commands: Commands
  readonly #replicas = new Map<string, Promise<Replica>>()
  readonly #open = new Map<string, OpenNamespace>()
  /** What has a group here, open or not. */
  readonly #groups = new Map<number, string>()
  readonly #announced = new Map<string, () => void>()
  readonly #watched = new Set<string>()
  /** Addresses of a former life. */
  readonly #remembered: readonly string[]
  #keeping: Timer | undefined
  #closing: Promise<void> | undefined

  constructor(host: Host, options: MeshOptions, parts: Parts) {
    this.#host = host
    this.#options = options
    this.#parts = parts
    this.node = parts.identity.node
    this.#remembered = readPeers(parts.store).map(({ address }) => address)
    const { rpc, transport, address } = parts
    this.#directory = new Directory({
      host,
      transport,
      rpc,
      address,
      contacts: () => this.#allContacts(),
      onMet: () => this.#met(),
    })
    this.#post = new FoundingPost({
      host,
      rpc,
      directory: this.#directory,
      contacts: (namespace) => this.#contacts(namespace),
    })
    this.#commands = new Commands({
      self: this.node,
      host,
      rpc,
      directory: this.#directory,
      find: (namespace) => this.#found(namespace),
    })
  }

  async open(namespace: string, options: OpenOptions): Promise<Cluster> {
    checkNamespaceName(namespace)
    this.#mustBeOpen()
    const group = groupOf(namespace)
    const other = this.#groups.get(group)
    if (other !== undefined && other !== namespace) {
      throw new Fault('conflict', `${namespace} and ${other} have the same group number ${group}`, {
        next: 'choose another name',
      })
    }
    if (this.#found(namespace) !== undefined) {
      throw new Fault('exists', `${namespace} is open already`)
    }
    if (this.#groups.size >= namespacesMax) {
      throw new Fault('overloaded', `a mesh has at most ${namespacesMax} namespaces`)
    }
    const opened = new OpenNamespace(this.#ends(), namespace, options)
    this.#open.set(namespace, opened)
    this.#groups.set(group, namespace)
    try {
      await opened.start()
    } catch (error) {
      this.#open.delete(namespace)
      opened.stop()
      throw error
    }
    const { discovery } = this.#options
    if (discovery !== undefined && !this.#announced.has(namespace)) {
      this.#announced.set(namespace, discovery.announce(namespace, this.#parts.address))
    }
    return opened
  }

  client(namespace: string, options: ClientOptions = {}): Client {
    checkNamespaceName(namespace)
    this.#mustBeOpen()
    this.#watched.add(namespace)
    const isHosted = (): boolean => this.#found(namespace) !== undefined
    return createClient(
      {
        host: this.#host,
        rpc: this.#parts.rpc,
        directory: this.#directory,
        commands: this.#commands,
        self: this.node,
        isHosted,
      },
      namespace,
      options,
    )
  }

  status(): MeshStatus {
    const { identity, address, rpc } = this.#parts
    return {
      node: this.node,
      incarnation: identity.incarnation,
      meshId: identity.meshId,
      address,
      peers: this.#directory
        .known()
        .map((peer) => ({ ...peer, isReachable: rpc.isReachable(peer.node) })),
      namespaces: [...this.#open.values()]
        .filter((one) => !one.isClosed)
        .sort((a, b) => (a.namespace < b.namespace ? -1 : 1))
        .map((one) => one.status()),
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #maybeClose(): Promise<void> {
    if (this.#options.closesWithLast !== true) return
    if ([...this.#open.values()].every((one) => one.isClosed)) await this.close()
  }

  #met(): void {
    for (const opened of this.#open.values()) opened.greet()
    if (this.#closing !== undefined || this.#keeping !== undefined) return
    this.#keeping = this.#host.clock.after(keepPeersMs, () => {
      this.#keeping = undefined
      this.#keepPeers()
    })
  }

  /** On a full disk they are kept the next time that somebody is met. */
  #keepPeers(): void {
    try {
      writePeers(this.#parts.store, this.#directory.known())
    } catch (error) {
      if (!isFault(error, 'no-space')) throw error
      this.#host.journal.event('warning', 'mesh.peers_not_kept', { why: error.message })
    }
  }

  async #close(): Promise<void> {
    this.#keeping?.cancel()
    for (const withdraw of this.#announced.values()) withdraw()
    this.#directory.close()
    for (const opened of this.#open.values()) opened.stop()
    try {
      await closeInTurn(this.#parts.opened)
    } finally {
      this.#options.onClosed?.()
    }
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new Fault('cancelled', 'the mesh was closed')
  }

  #found(namespace: string): OpenNamespace | undefined {
    const opened = this.#open.get(namespace)
    return opened?.isClosed === false ? opened : undefined
  }

  #contacts(namespace: string): readonly string[] {
    const found = this.#options.discovery?.contacts(namespace) ?? []
    const connected = this.#directory.known().map(({ address }) => address)
    return [...(this.#options.contacts ?? []), ...found, ...connected]
  }

  #allContacts(): readonly string[] {
    const { discovery } = this.#options
    const contacts = [...(this.#options.contacts ?? []), ...this.#remembered]
    if (discovery === undefined) return contacts
    const names = new Set([...this.#open.keys(), ...this.#watched])
    const found = [...names].flatMap((name) => discovery.contacts(name))
    return [...new Set([...contacts, ...found])]
  }

  #ends() {
    const { raft, rpc, store, keyspaces, address } = this.#parts
    return {
      host: this.#host,
      self: this.node,
      raft,
      rpc,
      store,
      keyspaces,
      address,
      directory: this.#directory,
      post: this.#post,
      commands: this.#commands,
      replicas: this.#replicas,
      preset: presets[this.#options.preset ?? 'regional'],
      foundingDirectory: `${directoryOf(this.#options)}/founding`,
      onClosed: () => this.#maybeClose(),
    }
  }
}
