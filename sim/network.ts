// The network between nodes: ordered byte connections with delay. A direction of a link can be blocked
// (one-way partition): its bytes wait, as under a transport that retransmits, and arrive after the heal
// if the connection still lives. Connections break at random when the faults say so; a plain one may have
// a bit flipped instead. After kill -9 the peers see the end of their connections; after loss of power they
// see nothing at all.

import { clusterId, Fault, type NodeId, nodeId, type Random } from '../src/base/index.ts'
import type {
  Address,
  ByteConnection,
  CertifiedTransport,
  Connection,
  Listener,
  Network,
  PeerIdentity,
  PlainNetwork,
  TransportConnectOptions,
} from '../src/host/index.ts'
import type { SimHost } from './sim-host.ts'
import type { World } from './world.ts'

type Listening = {
  readonly host: SimHost
  readonly identity: PeerIdentity | undefined
  readonly onConnection: (connection: SimEnd) => void
}

/** How an end was opened; a plain one has no identities. */
type ConnectOptions = TransportConnectOptions & { readonly identity: PeerIdentity | undefined }

const highWaterBytes = 1024 * 1024
const bytesPerMs = 100_000

export class SimNetwork {
  readonly random: Random
  readonly #world: World
  readonly #listening = new Map<string, Listening>()
  readonly #blocked = new Set<string>()
  readonly #ends = new Set<SimEnd>()
  /** Added to the delay of every message. */
  extraDelayMs = 0
  /** Messages that nodes gave to connections so far, and their bytes. */
  sent = 0
  sentBytes = 0

  constructor(world: World) {
    this.#world = world
    this.random = world.drawRandom()
  }

  ofNode(host: SimHost): Network {
    const plain: PlainNetwork = {
      listen: (address, { onConnection }) => {
        return this.#listen(host, address, { identity: undefined, onConnection })
      },
      connect: (address, options): Promise<ByteConnection> => {
        return this.#connect(host, address, { ...options, identity: undefined })
      },
    }
    return { secured: (identity) => this.#securedBy(host, identity), plain }
  }

  #securedBy(host: SimHost, identity: PeerIdentity): CertifiedTransport {
    return {
      self: { nodeId: identity.nodeId, clusterId: identity.clusterId },
      listen: (address, { onConnection }) => {
        return this.#listen(host, address, { identity, onConnection })
      },
      connect: (address, options) => this.#connect(host, address, { ...options, identity }),
      replace() {},
    }
  }

  block(from: number, to: number): void {
    this.#blocked.add(`${from} ${to}`)
  }

  isBlocked(from: number, to: number): boolean {
    return this.#blocked.has(`${from} ${to}`)
  }

  /** Unblocks everything; what waited is delivered. */
  heal(): void {
    this.#blocked.clear()
    this.extraDelayMs = 0
    for (const end of this.#ends) end.pump()
  }

  unblock(from: number, to: number): void {
    this.#blocked.delete(`${from} ${to}`)
    for (const end of this.#ends) end.pump()
  }

  /** Breaks one connection; false when there is none. */
  breakOne(): boolean {
    const ends = [...this.#ends]
    const end = ends[this.random.integer(Math.max(1, ends.length))]
    if (end === undefined) return false
    // A plain connection's transport must notice, and break it itself.
    if (end.isPlain && this.random.chance(0.5)) {
      this.#world.count('bits flipped on the wire')
      end.flipsNext = true
      return true
    }
    end.breakDown(new Fault('unavailable', 'the connection was reset'))
    return true
  }

  crash(node: number, how: 'kill' | 'power'): void {
    for (const [key, listening] of [...this.#listening]) {
      if (listening.host.node === node) this.#listening.delete(key)
    }
    for (const end of [...this.#ends]) {
      if (end.host.node !== node) continue
      this.#ends.delete(end)
      if (how === 'kill') end.peerEnd?.hearEnd()
    }
  }

  delayMs(): number {
    return (
      0.2 + this.random.integer(100) / 200 + (this.extraDelayMs * this.random.integer(100)) / 100
    )
  }

  forget(end: SimEnd): void {
    this.#ends.delete(end)
  }

  async #listen(
    host: SimHost,
    address: Address,
    options: Pick<Listening, 'identity' | 'onConnection'>,
  ): Promise<Listener> {
    const key = keyOf(address)
    if (this.#listening.has(key)) {
      throw new Fault('exists', `port ${address.port} is taken`, {
        fields: { port: String(address.port) },
      })
    }
    this.#listening.set(key, { host, ...options })
    return {
      address,
      close: async () => {
        if (this.#listening.get(key)?.host === host) this.#listening.delete(key)
      },
    }
  }

  #connect(host: SimHost, address: Address, options: ConnectOptions): Promise<SimEnd> {
    const refused = (): Fault => new Fault('unavailable', `nobody answers at ${keyOf(address)}`)
    return new Promise((resolve, reject) => {
      host.schedule(2 * this.delayMs(), 'connect', () => {
        const listening = this.#listening.get(keyOf(address))
        const node = listening?.host.node ?? -1
        const isBlocked = this.isBlocked(host.node, node) || this.isBlocked(node, host.node)
        if (listening === undefined || !listening.host.isAlive || isBlocked) {
          const waitMs = isBlocked ? options.timeoutMs : 0
          host.schedule(waitMs, 'connect failed', () => reject(refused()))
          return
        }
        const wrong = wrongIdentity(listening.identity, options.identity, options.expected)
        if (wrong !== undefined) {
          reject(wrong)
          return
        }
        resolve(this.#open(host, listening, { address, ...options }))
      })
    })
  }

  #open(
    host: SimHost,
    listening: Listening,
    options: ConnectOptions & { readonly address: Address },
  ): SimEnd {
    const near = new SimEnd(this, host, {
      identity: listening.identity,
      remoteAddress: options.address.host,
      receiveBuffer: options.receiveBuffer,
    })
    const far = new SimEnd(this, listening.host, {
      identity: options.identity,
      remoteAddress: `node-${host.node}`,
      receiveBuffer: undefined,
    })
    near.peerEnd = far
    far.peerEnd = near
    this.#ends.add(near)
    this.#ends.add(far)
    listening.host.schedule(this.delayMs(), 'accept', () => listening.onConnection(far))
    return near
  }
}

/** The peer of a plain connection, which its type does not show. */
const nobody: PeerIdentity = { nodeId: nodeId(0), clusterId: clusterId('') }

class SimEnd implements Connection {
  readonly host: SimHost
  readonly peer: Connection['peer']
  readonly remoteAddress: string
  peerEnd: SimEnd | undefined
  readonly isPlain: boolean
  /** The next bytes from here arrive with one bit changed. */
  flipsNext = false
  readonly #network: SimNetwork
  readonly #receiveBuffer: Uint8Array | undefined
  /** Bytes on the way from here to the peer, in order. */
  #onTheWay: Uint8Array[] = []
  #onTheWayBytes = 0
  #isPumping = false
  #drained: (() => void)[] = []
  /** Bytes that arrived while nobody listened or receiving was paused. */
  #arrived: Uint8Array[] = []
  #isPaused = false
  #receive: ((bytes: Uint8Array) => void) | undefined
  #close: ((reason: Fault | undefined) => void) | undefined
  #ended: { readonly reason: Fault | undefined } | undefined
  #isDestroyed = false

  constructor(
    network: SimNetwork,
    host: SimHost,
    options: {
      readonly identity: PeerIdentity | undefined
      readonly remoteAddress: string
      readonly receiveBuffer: Uint8Array | undefined
    },
  ) {
    this.#network = network
    this.host = host
    const { nodeId, clusterId } = options.identity ?? nobody
    this.isPlain = options.identity === undefined
    this.peer = { nodeId, clusterId }
    this.remoteAddress = options.remoteAddress
    this.#receiveBuffer = options.receiveBuffer
  }

  get onBytes(): (bytes: Uint8Array) => void {
    return this.#receive ?? (() => {})
  }

  set onBytes(receive: (bytes: Uint8Array) => void) {
    this.#receive = receive
    this.#deliverSoon()
  }

  get onClose(): (reason: Fault | undefined) => void {
    return this.#close ?? (() => {})
  }

  set onClose(close: (reason: Fault | undefined) => void) {
    this.#close = close
    if (this.#ended !== undefined) this.#announceEnd(this.#ended.reason)
  }

  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean {
    if (this.#isDestroyed) return false
    this.#network.sent++
    for (const part of parts) {
      if (part.length === 0) continue
      this.#onTheWay.push(part.slice())
      this.#onTheWayBytes += part.length
      this.#network.sentBytes += part.length
    }
    onLeft?.()
    this.pump()
    return this.#onTheWayBytes <= highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#onTheWayBytes === 0 || this.#isDestroyed) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#deliverSoon()
    this.peerEnd?.pump()
  }

  destroy(): void {
    if (this.#isDestroyed) return
    const peer = this.peerEnd
    this.#end(undefined)
    peer?.hearEnd()
  }

  /** Both sides see the fault. */
  breakDown(reason: Fault): void {
    const peer = this.peerEnd
    this.#end(reason)
    peer?.hearEnd()
  }

  /** The peer is gone; bytes that it sent before still arrive. */
  hearEnd(): void {
    this.host.schedule(this.#network.delayMs(), 'connection ended', () => {
      this.#end(new Fault('unavailable', 'the peer ended the connection'))
    })
  }

  /** Moves the next bytes towards the peer, unless the direction is blocked. */
  pump(): void {
    const peer = this.peerEnd
    if (this.#isPumping || this.#onTheWay.length === 0 || peer === undefined || this.#isDestroyed) {
      return
    }
    if (this.#network.isBlocked(this.host.node, peer.host.node)) return
    if (peer.#arrivedBytes() > highWaterBytes) return
    this.#isPumping = true
    const bytes = this.#takeSome()
    if (this.flipsNext) this.#flipBit(bytes)
    const delayMs = this.#network.delayMs() + bytes.length / bytesPerMs
    peer.host.schedule(delayMs, 'bytes', () => {
      this.#isPumping = false
      this.#onTheWayBytes -= bytes.length
      peer.#accept(bytes)
      this.#maybeDrained()
      this.pump()
    })
  }

  /** Everything queued, or, now and then, a part, so that frames meet every kind of split. */
  #takeSome(): Uint8Array {
    const parts = this.#onTheWay
    this.#onTheWay = []
    const all = parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts)
    const { random } = this.#network
    const limit = random.chance(0.1) ? 1 + random.integer(all.length) : all.length
    if (limit === all.length) return all
    this.#onTheWay.unshift(all.subarray(limit))
    return all.subarray(0, limit)
  }

  #flipBit(bytes: Uint8Array): void {
    this.flipsNext = false
    const { random } = this.#network
    const at = random.integer(bytes.length)
    bytes[at] = (bytes[at] as number) ^ (1 << random.integer(8))
  }

  #maybeDrained(): void {
    if (this.#onTheWayBytes > 0 && !this.#isDestroyed) return
    const waiting = this.#drained
    this.#drained = []
    for (const resolve of waiting) this.host.schedule(0, 'drained', resolve)
  }

  #accept(bytes: Uint8Array): void {
    if (this.#isDestroyed) return
    this.#arrived.push(bytes)
    this.#deliver()
  }

  #arrivedBytes(): number {
    let bytes = 0
    for (const part of this.#arrived) bytes += part.length
    return bytes
  }

  #deliverSoon(): void {
    if (this.#arrived.length > 0) this.host.schedule(0, 'bytes that waited', () => this.#deliver())
  }

  #deliver(): void {
    while (this.#receive !== undefined && !this.#isPaused && !this.#isDestroyed) {
      const bytes = this.#arrived.shift()
      if (bytes === undefined) return
      this.#deliverOne(bytes, this.#receive)
    }
  }

  #deliverOne(bytes: Uint8Array, receive: (bytes: Uint8Array) => void): void {
    const into = this.#receiveBuffer
    if (into === undefined) {
      receive(bytes)
      return
    }
    for (let at = 0; at < bytes.length && !this.#isDestroyed; at += into.length) {
      const slice = bytes.subarray(at, at + into.length)
      into.set(slice)
      receive(into.subarray(0, slice.length))
    }
  }

  #end(reason: Fault | undefined): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    this.#network.forget(this)
    this.#maybeDrained()
    if (this.#close === undefined) this.#ended = { reason }
    else this.#announceEnd(reason)
  }

  #announceEnd(reason: Fault | undefined): void {
    this.#ended = undefined
    this.host.schedule(0, 'connection closed', () => this.#close?.(reason))
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function wrongIdentity(
  theirs: PeerIdentity | undefined,
  ours: PeerIdentity | undefined,
  expected: NodeId | undefined,
): Fault | undefined {
  if (theirs === undefined && ours === undefined) return undefined
  if (theirs === undefined || ours === undefined) {
    return new Fault('unavailable', 'one side is secured, the other is not')
  }
  const isOther = expected !== undefined && theirs.nodeId !== expected
  if (!isOther && theirs.clusterId === ours.clusterId) return undefined
  return new Fault('unauthenticated', `node ${theirs.nodeId} answers, another was expected`)
}

function keyOf(address: Address): string {
  return `${address.host}:${address.port}`
}
