// The identity of a data directory: read, or drawn when there is none.
//
// The row of the store is durable before the file is written. So: neither, a new directory; the row alone,
// a crash in between; both, and equal, the usual; the file alone, a lost store.
//
// Without that check: 1. the store of a voter is deleted, the rest stays; 2. its record of the founding says
// that it is a founder, so it opens its group as on the first day; 3. it votes a second time in a term.

import { equalBytes, Fault, type NodeId, nodeId, toHex } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Store } from '../storage/index.ts'
import {
  decodeIdentity,
  encodeIdentity,
  identityBytesMax,
  type MeshIdentity,
} from './core/identity-record.ts'
import { identityKey, meshTable } from './tables.ts'

/** Numbers have 32 bits in the transports' handshakes; the first million are for those given by people. */
const drawnFirst = 2 ** 20
const half = 2 ** 16

/** `node` absent: drawn. Fault 'corrupt' for a directory that is damaged, incomplete or another node's. */
export async function openIdentity(
  { host, store }: { readonly host: Host; readonly store: Store },
  options: { readonly path: string; readonly meshId: string; readonly node: NodeId | undefined },
): Promise<MeshIdentity> {
  const { path, meshId, node } = options
  const row = store.get(meshTable, identityKey)
  const hasFile = await host.disk.exists(path)
  if (hasFile) mustBeWhole(await host.disk.read(path, identityBytesMax), row)
  const identity = row === undefined ? drawIdentity(host, options) : decodeIdentity(row)
  if (identity.meshId !== meshId || (node !== undefined && identity.node !== node)) {
    throw new Fault(
      'corrupt',
      `this data directory is of node ${identity.node} in mesh ${identity.meshId}, not of node ${node ?? identity.node} in mesh ${meshId}`,
      { next: 'start this node with its own data directory' },
    )
  }
  const bytes = encodeIdentity(identity)
  if (row === undefined) {
    store.transaction(() => store.put(meshTable, identityKey, bytes))
    await store.checkpoint()
  }
  if (!hasFile) await host.disk.replace(path, bytes)
  return identity
}

function drawIdentity(
  { random }: Host,
  { meshId, node }: { readonly meshId: string; readonly node: NodeId | undefined },
): MeshIdentity {
  return { node: node ?? drawNode(random), incarnation: toHex(random.bytes(16)), meshId }
}

function drawNode(random: Host['random']): NodeId {
  const high = drawnFirst / half + random.integer(half - drawnFirst / half)
  return nodeId(high * half + random.integer(half))
}

function mustBeWhole(file: Uint8Array, row: Uint8Array | undefined): void {
  if (row !== undefined && equalBytes(file, row)) return
  const { node } = decodeIdentity(file)
  throw new Fault('corrupt', `the store of node ${node} is gone or another node's`, {
    next: 'delete the whole data directory: this node joins under a new identity, as a learner first',
  })
}
