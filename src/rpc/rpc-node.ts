// The Rpc of one port of one thread: handlers, members, and the listener. See rpc.ts for the contract.

import { assert, BufferPool, Fault, type NodeId } from '../base/index.ts'
import type { Address, Connection, Host, Listener, Timer } from '../host/index.ts'
import { createHello, type Hello, instanceBytes } from './core/hello.ts'
import type { Handlers } from './handlers.ts'
import { Link } from './link.ts'
import { type LinkEvents, Peer } from './peer.ts'
import type {
  CallOptions,
  IncomingCall,
  MethodNumber,
  Rpc,
  RpcLimits,
  RpcOptions,
  RpcStream,
} from './rpc.ts'

/** Memory of stream messages kept for the next ones. */
const keptBytesMax = 12 * 1024 * 1024

export const defaultLimits: RpcLimits = {
  callBytesMax: 1024 * 1024,
  messageBytesMax: 8 * 1024 * 1024,
  // A unit of 256 KiB and its header.
  streamMessageBytesMax: 256 * 1024 + 64,
  streamWindowBytes: 1024 * 1024,
  callsInFlightMax: 1024,
  queuedBytesMax: 16 * 1024 * 1024,
}
const heartbeatMsDefault = 1_000
/** Where anybody is expected, as in a mesh, anybody may claim many numbers. */
const guestsMax = 1_024

export function createRpc(host: Host, options: RpcOptions): Rpc {
  return new RpcNode(host, options)
}

class RpcNode implements Rpc {
  readonly #host: Host
  readonly #options: RpcOptions
  readonly #limits: RpcLimits
  readonly #instance: Uint8Array
  readonly #pool = new BufferPool(keptBytesMax)
  readonly #handlers: Handlers = { calls: new Map(), streams: new Map(), messages: new Map() }
  readonly #peers = new Map<NodeId, Peer>()
  readonly #watchers: ((peer: NodeId, isReachable: boolean) => void)[] = []
  readonly #heartbeat: Timer
  #listener: Listener | undefined
  #isClosed = false

  constructor(host: Host, options: RpcOptions) {
    this.#host = host
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#instance = host.random.bytes(instanceBytes)
    this.#heartbeat = host.clock.every(options.heartbeatMs ?? heartbeatMsDefault, () =>
      this.#tick(),
    )
  }

  serve(method: MethodNumber, handler: (call: IncomingCall) => Promise<Uint8Array>): void {
    this.#checkListed(method)
    assert(!this.#handlers.calls.has(method), `method ${method} is served once`)
    this.#handlers.calls.set(method, handler)
  }

  serveStream(
    method: MethodNumber,
    handler: (stream: RpcStream, call: IncomingCall) => Promise<void>,
  ): void {
    this.#checkListed(method)
    assert(!this.#handlers.streams.has(method), `method ${method} is served once`)
    this.#handlers.streams.set(method, handler)
  }

  onMessage(method: MethodNumber, receive: (from: NodeId, message: Uint8Array) => void): void {
    this.#checkListed(method)
    assert(!this.#handlers.messages.has(method), `method ${method} is received once`)
    this.#handlers.messages.set(method, receive)
  }

  call(
    to: NodeId,
    method: MethodNumber,
    request: Uint8Array,
    options: CallOptions,
  ): Promise<Uint8Array> {
    const link = this.#peers.get(to)?.link()
    if (link === undefined) return Promise.reject(unreachable(to))
    return link.call(method, request, options)
  }

  async openStream(
    to: NodeId,
    method: MethodNumber,
    request: Uint8Array,
    options: CallOptions & { readonly bulkTowards?: 'me' | 'peer' },
  ): Promise<RpcStream> {
    const peer = this.#peers.get(to)
    const towards = options.bulkTowards
    const link = towards === undefined ? peer?.link() : peer?.bulkLink(towards)
    if (link === undefined) throw unreachable(to)
    return link.openStream(method, request, options)
  }

  send(to: NodeId, method: MethodNumber, message: Uint8Array): boolean {
    return this.#peers.get(to)?.link()?.send(method, message) ?? false
  }

  setPeers(peers: ReadonlyMap<NodeId, Address>): void {
    if (this.#isClosed) return
    for (const [id, peer] of [...this.#peers]) {
      if (peers.has(id) || (peer.isGuest && this.#isExpected(id))) continue
      this.#peers.delete(id)
      peer.remove(new Fault('denied', `node ${id} is no member`))
    }
    for (const [id, address] of peers) {
      if (id === this.#options.transport.self.nodeId) continue
      const peer = this.#peers.get(id)
      if (peer === undefined) this.#peers.set(id, this.#createPeer(id, address))
      else peer.move(address)
    }
  }

  isReachable(peer: NodeId): boolean {
    return this.#peers.get(peer)?.isReachable ?? false
  }

  onReachability(changed: (peer: NodeId, isReachable: boolean) => void): void {
    this.#watchers.push(changed)
  }

  async listen(): Promise<void> {
    const { transport, listen, sharesPort } = this.#options
    this.#listener = await transport.listen(listen, {
      onConnection: (connection) => this.#accept(connection),
      ...(sharesPort === undefined ? {} : { sharesPort }),
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#heartbeat.cancel()
    for (const peer of this.#peers.values()) {
      peer.remove(new Fault('unavailable', 'this node is closing', { outcome: 'unknown' }))
    }
    this.#peers.clear()
    await this.#listener?.close()
  }

  #hello(): Hello {
    const { transport, level } = this.#options
    return createHello({ ...transport.self, instance: this.#instance }, this.#limits, level)
  }

  #checkListed(method: MethodNumber): void {
    const { methods } = this.#options
    const isListed = methods === undefined || (methods.get(method) ?? 'nobody') !== 'nobody'
    assert(isListed, `the table says who may use method ${method}`)
  }

  #isExpected(id: NodeId): boolean {
    return this.#options.isExpected?.(id) === true
  }

  /** As a guest. A handshake may end after the close began: its requests would reach what is closed already. */
  #mayEnter(id: NodeId): boolean {
    return !this.#isClosed && this.#isExpected(id) && this.#guestCount() < guestsMax
  }

  #guestCount(): number {
    let count = 0
    for (const peer of this.#peers.values()) if (peer.isGuest) count++
    return count
  }

  #createPeer(id: NodeId, address?: Address): Peer {
    const { transport } = this.#options
    return new Peer(
      {
        host: this.#host,
        id,
        dial: (where, how) => transport.connect(where, how),
        createLink: (connection, events) => this.#createLink(connection, events),
        onReachability: (peer, isReachable) => {
          for (const changed of this.#watchers) changed(peer, isReachable)
        },
        onGuestGone: (peer) => {
          if (this.#peers.get(id) === peer) this.#peers.delete(id)
        },
      },
      address,
    )
  }

  #createLink(connection: Connection, events: LinkEvents): Link {
    return new Link(connection, {
      host: this.#host,
      handlers: this.#handlers,
      limits: this.#limits,
      pool: this.#pool,
      hello: this.#hello(),
      level: this.#options.level,
      mayGuestUse: (method) => this.#options.methods?.get(method) === 'replica',
      ...events,
    })
  }

  #accept(connection: Connection): void {
    const { nodeId } = connection.peer
    let peer = this.#peers.get(nodeId)
    if (peer === undefined && this.#mayEnter(nodeId)) {
      peer = this.#createPeer(nodeId)
      this.#peers.set(nodeId, peer)
    }
    if (peer !== undefined) {
      peer.accept(connection)
      return
    }
    this.#host.journal.event('debug', 'rpc.stranger_refused', { peer: nodeId })
    connection.onBytes = () => undefined
    connection.onClose = () => undefined
    connection.destroy()
  }

  #tick(): void {
    for (const peer of this.#peers.values()) for (const link of [...peer.links()]) link.tick()
  }
}

function unreachable(to: NodeId): Fault {
  return new Fault('unavailable', `node ${to} is not connected`)
}
