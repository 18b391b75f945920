// A place in a libp2p mesh for one namespace: what `atoll/raft` needs to open it there.
//
//   const place = await openPlace({ directory, namespace: '/raft/cron', listen: ['/ip4/0.0.0.0/tcp/4001'], entrances })
//   const cluster = await open('/raft/cron', { ...place.options, directory, founders: { kind: 'size', size: 3 } })
//   ...
//   await cluster.close()
//   await place.stop()

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clusterId, Fault } from '../../src/base/index.ts'
import type { Transport } from '../../src/host/index.ts'
import { createRealHost } from '../../src/host/real/index.ts'
import type { Discovery } from '../../src/mesh/index.ts'
import { parseSharedKey } from '../../src/rpc/index.ts'
import { addressOfPeer, createDiscovery } from './discovery.ts'
import { loadLibp2p } from './libp2p.ts'
import { createLibp2pTransport } from './libp2p-transport.ts'
import { PeerIds } from './peer-ids.ts'

export type PlaceOptions = {
  /** Where the peer's key is kept: the peer id is who this server is. Made when missing. */
  readonly directory: string
  readonly namespace: string
  /** For example `/ip4/0.0.0.0/tcp/4001`. */
  readonly listen: readonly string[]
  /** Addresses of any peers of the mesh; none for the first. */
  readonly entrances?: readonly string[]
  /** All servers share it: 32 random bytes or more. Absent: libp2p's own encryption alone. */
  readonly key?: Uint8Array
  /** 32 hexadecimal digits, the same on all servers: two meshes that meet do not mix. */
  readonly meshId?: string
  /** Between two searches. Default 1 s. */
  readonly everyMs?: number
}

export type Place = {
  readonly peer: string
  /** What others may use as an entrance. */
  readonly entrances: readonly string[]
  /** For open() and openMesh() of `atoll/raft`. */
  readonly options: {
    readonly transport: Transport
    readonly listen: string
    readonly discovery: Discovery
  }
  stop(): Promise<void>
}

const defaultMeshId = '00000000000000000000000061746f6c'

export async function openPlace(options: PlaceOptions): Promise<Place> {
  const { directory, namespace, listen, entrances = [], key, everyMs } = options
  const host = createRealHost({
    rootPath: directory,
    journal: { format: 'text', level: 'warning' },
  })
  const libp2p = await loadLibp2p()
  const privateKeySeed = keptSeed(join(directory, 'peer-key'), () => host.random.bytes(32))
  const node = await libp2p.createNode({ listen, privateKeySeed })
  const peer = node.peerId.toString()
  const transport = createLibp2pTransport(host, {
    libp2p,
    node,
    namespace,
    clusterId: clusterId(options.meshId ?? defaultMeshId),
    peerIds: new PeerIds(),
    ...(key === undefined ? {} : { key: parseSharedKey(key) }),
  })
  const discovery = createDiscovery({
    libp2p,
    node,
    clock: host.clock,
    entrances,
    ...(everyMs === undefined ? {} : { everyMs }),
  })
  return {
    peer,
    entrances: node.getMultiaddrs().map(String),
    options: { transport, listen: addressOfPeer(peer), discovery },
    async stop() {
      await discovery.stop()
      await node.stop()
    },
  }
}

/** Drawn once: another key is another server. Readable by its owner only. */
function keptSeed(path: string, draw: () => Uint8Array): Uint8Array {
  try {
    writeFileSync(path, draw(), { flag: 'wx', mode: 0o600, flush: true })
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    if (!isThere) throw error
  }
  const seed = new Uint8Array(readFileSync(path))
  if (seed.length === 32) return seed
  throw new Fault('corrupt', `${path} has ${seed.length} bytes instead of 32`, {
    next: 'restore it from a copy; without it this is another server',
  })
}
