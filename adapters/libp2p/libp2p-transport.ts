// rpc over libp2p: the same calls, messages and streams, between peers that find and prove each other the
// way libp2p does. One transport serves one namespace on the protocol `/raft/v1<namespace>/transport`.
//
// libp2p proves the peer id, and the peer id gives the node's number. It knows nothing of clusters: each side says
// first which one it is of, and ends the stream of another's. With a key, the greeting and everything after it
// run through the shared-key transport instead, and the number it claims must be the peer's.

import {
  concatBytes,
  equalBytes,
  Fault,
  fromHex,
  isFault,
  type NodeId,
  utf8Encode,
} from '../../src/base/index.ts'
import {
  type Address,
  type ByteConnection,
  type Connection,
  createRefusals,
  type Host,
  type Listener,
  type PeerIdentity,
  type PlainNetwork,
  type Transport,
  type TransportConnectOptions,
  type TransportListenOptions,
} from '../../src/host/index.ts'
import { createKeyTransport, type SharedKey } from '../../src/rpc/index.ts'
import type { Libp2p, PeerNode } from './libp2p.ts'
import type { PeerIds } from './peer-ids.ts'
import { StreamConnection } from './stream-connection.ts'

export type Libp2pTransportOptions = {
  readonly libp2p: Libp2p
  readonly node: PeerNode
  /** Begins with `/raft/`. */
  readonly namespace: string
  readonly clusterId: PeerIdentity['clusterId']
  readonly peerIds: PeerIds
  /** Present: streams are secured by it as well. */
  readonly key?: SharedKey
}

type Parts = Pick<Host, 'clock' | 'random' | 'journal' | 'network'>

const handshakeMsDefault = 10_000
const streamsMax = 64

/** Where commands of a namespace are served, and where its consensus runs. */
export function protocolsOf(namespace: string): {
  readonly api: string
  readonly transport: string
} {
  if (!/^\/raft\/[\x21-\x7e]{1,200}$/.test(namespace)) {
    throw new Fault('invalid', `${namespace}: a namespace begins with /raft/`)
  }
  return { api: `/raft/v1${namespace}`, transport: `/raft/v1${namespace}/transport` }
}

/**
 * Addresses are peer ids: `{host: '12D3Koo...', port: 0}`. A host that is an IPv4 address and a port are
 * dialled as such, and whoever answers there says who it is.
 */
export function createLibp2pTransport(host: Parts, options: Libp2pTransportOptions): Transport {
  const { node, peerIds, clusterId, key } = options
  const self = { nodeId: peerIds.idOf(node.peerId.toString()), clusterId }
  const streams = createStreamNetwork(options)
  if (key === undefined) return new GreetingTransport(host, { ...options, self, streams })
  const keyed = createKeyTransport(
    { ...host, network: { ...host.network, plain: streams } },
    { self, key },
  )
  return checkIds(keyed, peerIds)
}

/** Streams of the namespace's protocol as plain byte connections; remoteAddress is the peer id. */
function createStreamNetwork({ libp2p, node, namespace }: Libp2pTransportOptions): PlainNetwork {
  const { transport: protocol } = protocolsOf(namespace)
  return {
    async listen(_address, { onConnection }): Promise<Listener> {
      const accepted = new Set<StreamConnection>()
      const limits = { maxInboundStreams: streamsMax, maxOutboundStreams: streamsMax }
      try {
        await node.handle(
          protocol,
          (stream, { remotePeer }) => {
            const connection = new StreamConnection(stream, remotePeer.toString())
            accepted.add(connection)
            stream.addEventListener('close', () => accepted.delete(connection))
            onConnection(connection)
          },
          limits,
        )
      } catch (error) {
        throw new Fault('exists', `${protocol} is served already`, {
          cause: error,
          fields: { port: '0' },
        })
      }
      return {
        address: { host: node.peerId.toString(), port: 0 },
        async close() {
          await node.unhandle(protocol)
          for (const connection of accepted) connection.destroy()
        },
      }
    },
    async connect(address, { timeoutMs }) {
      const signal = AbortSignal.timeout(timeoutMs)
      const isPlace = /^[0-9.]+$/.test(address.host)
      try {
        if (!isPlace) {
          const stream = await node.dialProtocol(libp2p.peerOf(address.host), protocol, { signal })
          return new StreamConnection(stream, address.host)
        }
        const place = libp2p.addressOf(`/ip4/${address.host}/tcp/${address.port}`)
        const link = await node.dial(place, { signal })
        const stream = await node.dialProtocol(link.remotePeer, protocol, { signal })
        return new StreamConnection(stream, link.remotePeer.toString())
      } catch (error) {
        if (isFault(error)) throw error
        const what = error instanceof Error ? error.message : String(error)
        throw new Fault('unavailable', `cannot reach ${address.host}: ${what}`, { cause: error })
      }
    },
  }
}

/** Magic, and the cluster's id. */
function greetingOf(cluster: string): Uint8Array {
  return concatBytes([utf8Encode('ATL1'), fromHex(cluster) ?? new Uint8Array(16)])
}

class GreetingTransport implements Transport {
  readonly self: PeerIdentity
  readonly #host: Parts
  readonly #options: Libp2pTransportOptions & { readonly streams: PlainNetwork }
  readonly #refuse: (remote: string, why: string) => void

  constructor(
    host: Parts,
    options: Libp2pTransportOptions & {
      readonly self: PeerIdentity
      readonly streams: PlainNetwork
    },
  ) {
    this.self = options.self
    this.#host = host
    this.#options = options
    this.#refuse = createRefusals(host.journal, host.clock)
  }

  listen(address: Address, options: TransportListenOptions): Promise<Listener> {
    const { handshakeMsMax = handshakeMsDefault, onConnection } = options
    return this.#options.streams.listen(address, {
      onConnection: (stream) => {
        this.#greet(stream, handshakeMsMax).then(onConnection, (fault: unknown) => {
          this.#refuse(stream.remoteAddress, isFault(fault) ? fault.message : String(fault))
        })
      },
    })
  }

  async connect(address: Address, options: TransportConnectOptions): Promise<Connection> {
    const { expected, timeoutMs } = options
    const stream = await this.#options.streams.connect(address, options)
    const connection = await this.#greet(stream, timeoutMs)
    return requireExpected(connection, expected)
  }

  /** Both sides speak at once; settles when the peer is known to be of this cluster. */
  #greet(stream: ByteConnection, withinMs: number): Promise<GreetedConnection> {
    const { clusterId, peerIds } = this.#options
    const ours = greetingOf(clusterId)
    return new Promise((resolve, reject) => {
      const refuse = (fault: Fault): void => {
        timer.cancel()
        reject(fault)
        stream.drained().then(() => stream.destroy(), reject)
      }
      const timer = this.#host.clock.after(withinMs, () => {
        refuse(new Fault('unavailable', `${stream.remoteAddress} does not say who it is`))
      })
      let nodeId: NodeId
      try {
        nodeId = peerIds.idOf(stream.remoteAddress)
      } catch (error) {
        if (!isFault(error)) throw error
        refuse(error)
        return
      }
      new GreetedConnection(stream, {
        peer: { nodeId, clusterId },
        greeting: ours,
        onGreeted: (connection, theirs) => {
          if (!equalBytes(theirs, ours)) {
            refuse(new Fault('unauthenticated', `${stream.remoteAddress} is of another cluster`))
            return false
          }
          timer.cancel()
          resolve(connection)
          return true
        },
        onEnded: () => refuse(new Fault('unavailable', `${stream.remoteAddress} ended the stream`)),
      })
      stream.send([ours])
    })
  }
}

/** A stream after the greeting. */
class GreetedConnection implements Connection {
  readonly peer: PeerIdentity
  readonly #stream: ByteConnection
  #missing: number
  #isGreeted = false
  #greeting: Uint8Array
  #early: Uint8Array[] = []
  #receive: ((bytes: Uint8Array) => void) | undefined
  #closed: ((reason: Fault | undefined) => void) | undefined
  #end: { readonly reason: Fault | undefined } | undefined

  constructor(
    stream: ByteConnection,
    options: {
      readonly peer: PeerIdentity
      readonly greeting: Uint8Array
      /** False: the peer is refused. */
      readonly onGreeted: (connection: GreetedConnection, theirs: Uint8Array) => boolean
      readonly onEnded: () => void
    },
  ) {
    this.peer = options.peer
    this.#stream = stream
    this.#greeting = new Uint8Array(options.greeting.length)
    this.#missing = options.greeting.length
    stream.onClose = (reason) => {
      this.#end = { reason }
      if (!this.#isGreeted) options.onEnded()
      this.#closed?.(reason)
    }
    stream.onBytes = (bytes) => {
      const rest = this.#isGreeted ? bytes : this.#takeGreeting(bytes, options.onGreeted)
      if (rest.length > 0) this.#deliver(rest)
    }
  }

  get remoteAddress(): string {
    return this.#stream.remoteAddress
  }

  set onBytes(receive: (bytes: Uint8Array) => void) {
    this.#receive = receive
    for (const bytes of this.#early.splice(0)) receive(bytes)
    this.#stream.resume()
  }

  get onBytes(): (bytes: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  set onClose(closed: (reason: Fault | undefined) => void) {
    this.#closed = closed
    if (this.#end !== undefined) closed(this.#end.reason)
  }

  get onClose(): (reason: Fault | undefined) => void {
    return this.#closed ?? (() => undefined)
  }

  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean {
    return this.#stream.send(parts, onLeft)
  }

  drained(): Promise<void> {
    return this.#stream.drained()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  destroy(): void {
    this.#stream.destroy()
  }

  /** What comes after the greeting; nothing more of a peer that was refused. */
  #takeGreeting(
    bytes: Uint8Array,
    onGreeted: (connection: GreetedConnection, theirs: Uint8Array) => boolean,
  ): Uint8Array {
    const count = Math.min(this.#missing, bytes.length)
    this.#greeting.set(bytes.subarray(0, count), this.#greeting.length - this.#missing)
    this.#missing -= count
    const nothing = bytes.subarray(0, 0)
    if (this.#missing > 0) return nothing
    this.#isGreeted = true
    return onGreeted(this, this.#greeting) ? bytes.subarray(count) : nothing
  }

  #deliver(bytes: Uint8Array): void {
    if (this.#receive !== undefined) {
      this.#receive(bytes)
      return
    }
    this.#early.push(bytes.slice())
    this.#stream.pause()
  }
}

function requireExpected(connection: Connection, expected: NodeId | undefined): Connection {
  const { nodeId } = connection.peer
  if (expected === undefined || nodeId === expected) return connection
  connection.onBytes = () => undefined
  connection.onClose = () => undefined
  connection.destroy()
  const what = `${connection.remoteAddress} is node ${nodeId}, not node ${expected}`
  throw new Fault('unauthenticated', what)
}

/** Under a shared key ids are claims; here libp2p has proved whose peer id it is, so they are held together. */
function checkIds(keyed: Transport, peerIds: PeerIds): Transport {
  const check = (connection: Connection): boolean => {
    try {
      return peerIds.idOf(connection.remoteAddress) === connection.peer.nodeId
    } catch (error) {
      if (isFault(error)) return false
      throw error
    }
  }
  const cut = (connection: Connection): Fault => {
    connection.onBytes = () => undefined
    connection.onClose = () => undefined
    connection.destroy()
    return new Fault('unauthenticated', `${connection.remoteAddress} claims another's number`)
  }
  return {
    self: keyed.self,
    listen: (address, options) =>
      keyed.listen(address, {
        ...options,
        onConnection: (connection) => {
          if (check(connection)) options.onConnection(connection)
          else cut(connection)
        },
      }),
    async connect(address, options) {
      const connection = await keyed.connect(address, options)
      if (!check(connection)) throw cut(connection)
      return connection
    },
  }
}
