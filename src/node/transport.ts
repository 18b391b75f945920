// How the nodes of a cluster secure their connections: by their certificates, or by the key they share.

import { assert, fromHex } from '../base/index.ts'
import type { Host, Transport } from '../host/index.ts'
import { createKeyTransport } from '../rpc/index.ts'
import type { NodeConfig } from './config.ts'

/** For every port between nodes: consensus and bulk, on each thread's own host. */
export function transportOf(
  config: Pick<NodeConfig, 'identity' | 'sharedKeyHex'>,
  host: Host,
): Transport {
  const { identity, sharedKeyHex } = config
  if (sharedKeyHex === undefined) return host.network.secured(identity)
  const key = fromHex(sharedKeyHex)
  assert(key !== undefined, 'the shared key is hexadecimal')
  return createKeyTransport(host, { self: identity, key })
}
