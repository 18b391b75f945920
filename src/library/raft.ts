// `atoll/raft`: a replicated cluster inside a program of one's own. The sources run as they are on Node 24;
// import them from a checkout or a link to one (Node strips no types below node_modules).
//
//   import { open } from 'atoll/raft'
//   const cluster = await open('/raft/cron', {
//     directory: '/var/lib/cron', listen: '10.0.0.1:6660', contacts: ['10.0.0.2:6660', '10.0.0.3:6660'],
//     key: process.env.CRON_KEY, founders: { kind: 'size', size: 3 },
//   })
//   await cluster.waitForLeader(30_000)
//   if (cluster.isLeader()) await cluster.set('next-run', new TextEncoder().encode('10:00'))
//
// open() makes a mesh with one namespace, and closes it with it; openMesh() one with as many namespaces and
// clients as wanted. Everything that can be expected to fail is a Fault: `code` says what, `outcome` whether it
// happened ('failed': no; 'unknown': perhaps), `next` what to do.

import { Fault, utf8Encode } from '../base/index.ts'
import { createRealHost, type JournalLevel } from '../host/real/index.ts'
import { acquireLock, type Lock } from '../host/real/lock.ts'
import type { Host, NodeIdentity, PeerIdentity, Transport } from '../host/index.ts'
import {
  type Cluster,
  createMesh,
  type Mesh,
  type MeshOptions,
  type OpenOptions,
} from '../mesh/index.ts'
import { createKeyTransport, parseSharedKey } from '../rpc/index.ts'

export { Fault, type FaultCode, isFault, type NodeId, nodeId, type Outcome } from '../base/index.ts'
export type { NodeIdentity, PeerIdentity, Transport } from '../host/index.ts'
export {
  apiName,
  type CallOptions,
  type Client,
  type ClientCallOptions,
  type ClientOptions,
  type Cluster,
  type ClusterMachine,
  type ClusterState,
  type ClusterStatus,
  type Discovery,
  type KnownPeer,
  type Member,
  type Mesh,
  type MeshAlarm,
  type MeshStatus,
  type OpenOptions,
  transportName,
} from '../mesh/index.ts'

export type OpenMeshOptions = Omit<
  MeshOptions,
  'transport' | 'directory' | 'ownLogThread' | 'closesWithLast' | 'onClosed' | 'snapshotDisk'
> &
  Security & {
    /** Everything of this node; made when missing. Losing it makes another node of this one. */
    readonly directory: string
    /** Where snapshot files are kept, three of each namespace; another disk, say. Default: in the directory. */
    readonly snapshotDirectory?: string
    /** Events of at least this level go to standard error. Default 'warning'. */
    readonly journal?: JournalLevel
  }

/** How nodes prove that they belong together: exactly one of the three. */
export type Security = {
  /** All nodes share it: 32 random bytes or more. Everything between nodes is encrypted under it (AES-256-GCM). */
  readonly key?: Uint8Array | string
  /** TLS 1.3 with certificates on both sides; a function issues the certificate of a drawn node number. */
  readonly identity?: NodeIdentity | ((self: PeerIdentity) => Promise<NodeIdentity>)
  /** Anything else that authenticates and encrypts. */
  readonly transport?: MeshOptions['transport']
}

/**
 * Opens one namespace. `close()` ends everything that was opened for it; after that it may be opened again. Fault
 * 'exists' while the directory is open, here or in another process: openMesh() holds several namespaces.
 */
export async function open(
  namespace: string,
  options: OpenMeshOptions & OpenOptions,
): Promise<Cluster> {
  const mesh = await openOn(options, { closesWithLast: true })
  try {
    return await mesh.open(namespace, options)
  } catch (error) {
    await mesh.close()
    throw error
  }
}

/**
 * Opens a mesh without namespaces: `mesh.open()` and `mesh.client()` follow. Faults of createMesh, and 'exists' while
 * the directory is open, here or in another process.
 */
export async function openMesh(options: OpenMeshOptions): Promise<Mesh> {
  return await openOn(options, { closesWithLast: false })
}

/** Two processes on one log would destroy it, so the directory is held before a byte of it is read. */
async function openOn(
  options: OpenMeshOptions,
  { closesWithLast }: { readonly closesWithLast: boolean },
): Promise<Mesh> {
  const { directory } = options
  const lock = acquireLock(`${directory}/lock`, `the directory ${directory}`)
  try {
    return await openHeld(options, { closesWithLast, lock })
  } catch (error) {
    lock.release()
    throw error
  }
}

function openHeld(
  options: OpenMeshOptions,
  { closesWithLast, lock }: { readonly closesWithLast: boolean; readonly lock: Lock },
): Promise<Mesh> {
  const host = createRealHost({
    rootPath: options.directory,
    journal: { format: 'text', level: options.journal ?? 'warning' },
  })
  const {
    directory: _,
    journal: __,
    key: ___,
    identity: ____,
    snapshotDirectory,
    ...mesh
  } = options
  const transport = transportOf(host, options)
  return createMesh(host, {
    ...mesh,
    ...snapshotDiskOf(snapshotDirectory),
    transport,
    closesWithLast,
    onClosed: () => lock.release(),
  })
}

/** Faults of a directory that cannot be made. */
function snapshotDiskOf(directory: string | undefined): Pick<MeshOptions, 'snapshotDisk'> {
  if (directory === undefined) return {}
  const journal = { format: 'text', level: 'warning', name: 'snapshots' } as const
  return { snapshotDisk: createRealHost({ rootPath: directory, journal }).disk }
}

function transportOf(host: Host, options: Security): MeshOptions['transport'] {
  const { key, identity, transport } = options
  const given = [key, identity, transport].filter((one) => one !== undefined)
  if (given.length !== 1) {
    throw new Fault('invalid', `${given.length} of key, identity and transport were given`, {
      next: 'give exactly one of them',
    })
  }
  if (transport !== undefined) return transport
  if (key !== undefined) {
    const shared = parseSharedKey(typeof key === 'string' ? utf8Encode(key) : key)
    return (self): Transport => createKeyTransport(host, { self, key: shared })
  }
  if (typeof identity === 'function') {
    return async (self) => host.network.secured(await identity(self))
  }
  if (identity === undefined) throw new Fault('internal', 'one of three was given')
  return host.network.secured(identity)
}
