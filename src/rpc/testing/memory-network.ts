// A Network of one test: listeners and connections in memory, bytes copied and delivered on a later turn
// in cuts of any size. A test can silence a connection (half open: nothing arrives any more, nobody is
// told) and look at what a receiver holds back.

import { clusterId, Fault, nodeId } from '../../base/index.ts'
import type {
  Address,
  Connection,
  Listener,
  Network,
  PeerIdentity,
  TransportConnectOptions,
} from '../../host/index.ts'

/** Without an identity: plain. */
type Identity = PeerIdentity | undefined
type Listening = {
  readonly identity: Identity
  readonly onConnection: (connection: MemoryConnection) => void
}

const highWaterBytes = 1024 * 1024

export type MemoryNetwork = Network & {
  /** Connections in order of dialling; [dialled end, accepted end]. */
  readonly connections: (readonly [MemoryConnection, MemoryConnection])[]
  /** Cuts deliveries into pieces of this many bytes; 0 delivers them whole. */
  pieceBytes: number
}

export function createMemoryNetwork(): MemoryNetwork {
  const listeners = new Map<string, Listening>()
  const listen = async (address: Address, listening: Listening): Promise<Listener> => {
    const key = keyOf(address)
    if (listeners.has(key)) throw new Fault('exists', `${key} is taken`)
    listeners.set(key, listening)
    return {
      address,
      async close() {
        listeners.delete(key)
      },
    }
  }
  const connect = async (
    address: Address,
    options: TransportConnectOptions,
    identity: Identity,
  ): Promise<MemoryConnection> => {
    const target = listeners.get(keyOf(address))
    if (target === undefined) throw new Fault('unavailable', 'nobody listens')
    if (target.identity?.clusterId !== identity?.clusterId) {
      throw new Fault('unauthenticated', 'another cluster')
    }
    if (options.expected !== undefined && options.expected !== target.identity?.nodeId) {
      throw new Fault('unauthenticated', 'another node')
    }
    const dialled = new MemoryConnection(network, target.identity)
    const accepted = new MemoryConnection(network, identity)
    dialled.other = accepted
    accepted.other = dialled
    network.connections.push([dialled, accepted])
    setImmediate(() => target.onConnection(accepted))
    return dialled
  }
  const network: MemoryNetwork = {
    connections: [],
    pieceBytes: 0,
    secured: (identity) => ({
      self: { nodeId: identity.nodeId, clusterId: identity.clusterId },
      listen: (address, { onConnection }) => listen(address, { identity, onConnection }),
      connect: (address, options) => connect(address, options, identity),
      replace() {},
    }),
    plain: {
      listen: (address, { onConnection }) => {
        return listen(address, { identity: undefined, onConnection })
      },
      connect: (address, options) => connect(address, options, undefined),
    },
  }
  return network
}

const nobody: PeerIdentity = { nodeId: nodeId(0), clusterId: clusterId('') }

function keyOf(address: Address): string {
  return `${address.host}:${address.port}`
}

export class MemoryConnection implements Connection {
  readonly peer: PeerIdentity
  readonly remoteAddress = 'memory'
  other: MemoryConnection | undefined
  /** Sent by this end and not yet delivered. */
  queuedBytes = 0
  queuedBytesMax = 0
  /** True: what this end sends is lost. */
  isSilent = false
  readonly #network: MemoryNetwork
  #receive: ((bytes: Uint8Array) => void) | undefined
  #closed: ((reason: Fault | undefined) => void) | undefined
  #early: Uint8Array[] = []
  #drainers: (() => void)[] = []
  #isClosed = false

  constructor(network: MemoryNetwork, peer: Identity) {
    const { nodeId, clusterId } = peer ?? nobody
    this.#network = network
    this.peer = { nodeId, clusterId }
  }

  set onBytes(receive: (bytes: Uint8Array) => void) {
    this.#receive = receive
    for (const bytes of this.#early.splice(0)) receive(bytes)
  }

  get onBytes(): (bytes: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  set onClose(closed: (reason: Fault | undefined) => void) {
    this.#closed = closed
  }

  get onClose(): (reason: Fault | undefined) => void {
    return this.#closed ?? (() => undefined)
  }

  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean {
    if (this.#isClosed) return false
    const bytes = new Uint8Array(Buffer.concat(parts))
    this.queuedBytes += bytes.length
    this.queuedBytesMax = Math.max(this.queuedBytesMax, this.queuedBytes)
    setImmediate(() => {
      this.queuedBytes -= bytes.length
      onLeft?.()
      if (!this.isSilent) this.other?.deliver(bytes)
      if (this.queuedBytes === 0) for (const resolve of this.#drainers.splice(0)) resolve()
    })
    return this.queuedBytes < highWaterBytes
  }

  drained(): Promise<void> {
    if (this.queuedBytes === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#drainers.push(resolve)
    })
  }

  pause(): void {}

  resume(): void {}

  destroy(): void {
    if (this.#isClosed) return
    this.end()
    if (!this.isSilent) setImmediate(() => this.other?.end())
  }

  deliver(bytes: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#receive === undefined) {
      this.#early.push(bytes)
      return
    }
    const pieceBytes = this.#network.pieceBytes === 0 ? bytes.length : this.#network.pieceBytes
    for (let at = 0; at < bytes.length && !this.#isClosed; at += pieceBytes) {
      const piece = bytes.slice(at, at + pieceBytes)
      this.#receive(piece)
      piece.fill(0xdd)
    }
  }

  end(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const resolve of this.#drainers.splice(0)) resolve()
    setImmediate(() => this.#closed?.(undefined))
  }
}
