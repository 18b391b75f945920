// How the nodes of a cluster secure their connections: by their certificates, or by the key they share.

import { assert, fromHex } from '../base/index.ts'
import type { CertifiedTransport, Host, Transport } from '../host/index.ts'
import { createKeyTransport } from '../rpc/index.ts'
import type { NodeConfig } from './config.ts'

/** With certificates, they can be replaced; a shared key stays. */
export type NodeTransport = Transport & Partial<Pick<CertifiedTransport, 'replace'>>

/** For every port between nodes: consensus and bulk, on each thread's own host. */
export function transportOf(
  config: Pick<NodeConfig, 'identity' | 'sharedKeyHex'>,
  host: Host,
): NodeTransport {
  const { identity, sharedKeyHex } = config
  if (sharedKeyHex === undefined) return host.network.secured(identity)
  const key = fromHex(sharedKeyHex)
  assert(key !== undefined, 'the shared key is hexadecimal')
  return createKeyTransport(host, { self: identity, key })
}
