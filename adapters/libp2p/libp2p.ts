// The part of libp2p that the adapter speaks to, as types of its own, and how it is loaded: the packages are
// not dependencies of Atoll, so nothing here is imported before somebody asks for a node.

import { Fault } from '../../src/base/index.ts'

/** Of PeerId. */
export type PeerName = { toString(): string }
/** Of Multiaddr. */
export type MultiAddress = { toString(): string }

/** Of Stream: bytes both ways, multiplexed over the one connection that two peers have. */
export type PeerStream = {
  readonly writableNeedsDrain: boolean
  maxReadBufferLength: number
  maxWriteBufferLength?: number
  inactivityTimeout: number
  send(bytes: Uint8Array): boolean
  onDrain(): Promise<void>
  abort(error: Error): void
  pause(): void
  resume(): void
  addEventListener(
    name: 'message',
    listener: (event: { readonly data: { subarray(): Uint8Array } }) => void,
  ): void
  addEventListener(
    name: 'close' | 'remoteCloseWrite',
    listener: (event: { readonly error?: Error }) => void,
  ): void
}

export type PeerLink = { readonly remotePeer: PeerName; readonly remoteAddr: MultiAddress }

/** Of Libp2p. */
export type PeerNode = {
  readonly peerId: PeerName
  readonly peerStore: {
    get(peer: PeerName): Promise<{ readonly protocols: readonly string[] }>
    merge(peer: PeerName, more: { readonly multiaddrs: readonly MultiAddress[] }): Promise<unknown>
  }
  readonly contentRouting: {
    provide(key: unknown, options: { readonly signal: AbortSignal }): Promise<void>
    findProviders(
      key: unknown,
      options: { readonly signal: AbortSignal },
    ): AsyncIterable<{ readonly id: PeerName; readonly multiaddrs: readonly MultiAddress[] }>
  }
  getMultiaddrs(): readonly MultiAddress[]
  getPeers(): readonly PeerName[]
  getConnections(peer?: PeerName): readonly PeerLink[]
  dial(target: unknown, options: { readonly signal: AbortSignal }): Promise<PeerLink>
  dialProtocol(
    target: unknown,
    protocol: string,
    options: { readonly signal: AbortSignal; readonly runOnLimitedConnection?: boolean },
  ): Promise<PeerStream>
  handle(
    protocol: string,
    handler: (stream: PeerStream, link: PeerLink) => void,
    options: { readonly maxInboundStreams: number; readonly maxOutboundStreams: number },
  ): Promise<void>
  unhandle(protocol: string): Promise<void>
  addEventListener(name: 'peer:connect' | 'peer:identify', listener: () => void): void
  removeEventListener(name: 'peer:connect' | 'peer:identify', listener: () => void): void
  stop(): Promise<void>
}

/** Constructors of libp2p that the adapter needs at run time. */
export type Libp2p = {
  readonly createNode: (options: NodeOptions) => Promise<PeerNode>
  readonly peerOf: (text: string) => PeerName
  readonly addressOf: (text: string) => MultiAddress
  /** The key under which the peers of a namespace find each other. */
  readonly rendezvousKey: (namespace: string) => Promise<unknown>
}

export type NodeOptions = {
  /** For example `/ip4/0.0.0.0/tcp/4001`. */
  readonly listen: readonly string[]
  /** The seed of the peer's Ed25519 key: 32 bytes. Absent: a new peer each time. */
  readonly privateKeySeed?: Uint8Array
  readonly handshakeMsMax?: number
}

type Make = (options?: unknown) => unknown
type Modules = {
  readonly libp2p: { createLibp2p(options: unknown): Promise<PeerNode> }
  readonly tcp: { tcp: Make }
  readonly noise: { noise: Make }
  readonly yamux: { yamux: Make }
  readonly identify: { identify: Make }
  readonly ping: { ping: Make }
  readonly dht: { kadDHT: Make; passthroughMapper: unknown }
  readonly keys: { generateKeyPairFromSeed(type: 'Ed25519', seed: Uint8Array): Promise<unknown> }
  readonly peers: { peerIdFromString(text: string): PeerName }
  readonly multiaddr: { multiaddr(text: string): MultiAddress }
  readonly cid: { CID: { createV1(codec: number, digest: unknown): unknown } }
  readonly raw: { code: number }
  readonly sha2: { sha256: { digest(bytes: Uint8Array): Promise<unknown> } }
}

const packages: Readonly<Record<keyof Modules, string>> = {
  libp2p: 'libp2p',
  tcp: '@libp2p/tcp',
  noise: '@chainsafe/libp2p-noise',
  yamux: '@chainsafe/libp2p-yamux',
  identify: '@libp2p/identify',
  ping: '@libp2p/ping',
  dht: '@libp2p/kad-dht',
  keys: '@libp2p/crypto/keys',
  peers: '@libp2p/peer-id',
  multiaddr: '@multiformats/multiaddr',
  cid: 'multiformats/cid',
  raw: 'multiformats/codecs/raw',
  sha2: 'multiformats/hashes/sha2',
}

/** Fault 'unsupported' that says how to install them, when the packages are absent. */
export async function loadLibp2p(): Promise<Libp2p> {
  const loaded = await Promise.all(
    Object.entries(packages).map(async ([name, from]) => [name, await load(from)] as const),
  )
  const modules = Object.fromEntries(loaded) as Modules
  const { peers, multiaddr, cid, raw, sha2 } = modules
  return {
    createNode: (options) => createNode(modules, options),
    peerOf: (text) => peers.peerIdFromString(text),
    addressOf: (text) => multiaddr.multiaddr(text),
    rendezvousKey: async (namespace) => {
      const digest = await sha2.sha256.digest(new TextEncoder().encode(namespace))
      return cid.CID.createV1(raw.code, digest)
    },
  }
}

async function load(name: string): Promise<unknown> {
  try {
    return await import(name)
  } catch (error) {
    const isAbsent =
      error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
    if (!isAbsent) throw error
    throw new Fault('unsupported', `the libp2p adapter needs the package ${name}`, {
      cause: error,
      next: 'npm ci --prefix adapters/libp2p',
    })
  }
}

/** TCP with libp2p's own Noise and yamux; a DHT of Atoll's own, in which every peer takes part. */
async function createNode(modules: Modules, options: NodeOptions): Promise<PeerNode> {
  const { libp2p, tcp, noise, yamux, identify, ping, dht, keys } = modules
  const { listen, privateKeySeed, handshakeMsMax = 10_000 } = options
  const privateKey =
    privateKeySeed === undefined
      ? {}
      : { privateKey: await keys.generateKeyPairFromSeed('Ed25519', privateKeySeed) }
  return await libp2p.createLibp2p({
    ...privateKey,
    addresses: { listen },
    transports: [tcp.tcp()],
    connectionEncrypters: [noise.noise()],
    streamMuxers: [yamux.yamux()],
    connectionManager: { inboundUpgradeTimeout: handshakeMsMax, inboundConnectionThreshold: 1_000 },
    services: {
      identify: identify.identify(),
      ping: ping.ping(),
      dht: dht.kadDHT({
        protocol: '/atoll/kad/1.0.0',
        clientMode: false,
        allowQueryWithZeroPeers: true,
        // Private and loopback addresses are addresses like others here.
        peerInfoMapper: dht.passthroughMapper,
      }),
    },
  })
}
