// Two nodes that speak rpc over a network of the test's choice, the real one or one in memory, secured by the
// network or by a shared key.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after } from 'node:test'
import { type NodeId, nodeId, utf8Encode } from '../../base/index.ts'
import type { Address, Host, Network, NodeIdentity, Transport } from '../../host/index.ts'
import { createRealHost } from '../../host/real/index.ts'
import { createTestAuthority, settled, type TestAuthority } from '../../host/testing/index.ts'
import type { MethodTable } from '../methods.ts'
import { createRpc } from '../rpc-node.ts'
import type { Rpc, RpcLevel, RpcLimits } from '../rpc.ts'
import { createKeyTransport } from '../shared-key/key-transport.ts'
import { parseSharedKey } from '../shared-key/key.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-rpc-`)
after(() => rmSync(root, { recursive: true, force: true }))

const one = nodeId(1)
const two = nodeId(2)

export type World = {
  readonly host: Host
  readonly authority: TestAuthority
  readonly addresses: Map<NodeId, Address>
  readonly rpcs: Rpc[]
  transportOf(identity: NodeIdentity): Transport
  node(id: NodeId, options?: NodeOptions): Promise<Rpc>
  close(): Promise<void>
}
type NodeOptions = {
  readonly limits?: Partial<RpcLimits>
  readonly heartbeatMs?: number
  readonly authority?: TestAuthority
  /** Default: both nodes. */
  readonly peers?: ReadonlyMap<NodeId, Address>
  readonly isExpected?: (id: NodeId) => boolean
  readonly methods?: MethodTable
  readonly level?: RpcLevel
  /** Called before the node listens. */
  readonly serve?: (rpc: Rpc) => void
}

/** Below the ports that the system gives to outgoing connections. */
let portNext = 21_000 + (process.pid % 11_000)

const key = parseSharedKey(utf8Encode('a key that all members of the test share'))

export async function createWorld(
  network: Network | undefined,
  secured: 'by the network' | 'by a key' = 'by the network',
): Promise<World> {
  const real = createRealHost({
    rootPath: root,
    journal: { format: 'text', level: 'error' },
    onFatal: (_event, error) => {
      throw error
    },
  })
  const host = network === undefined ? real : { ...real, network }
  const authority = await createTestAuthority('ours')
  const addresses = new Map<NodeId, Address>()
  for (const id of [one, two]) addresses.set(id, { host: `127.0.0.${id}`, port: portNext++ })
  const rpcs: Rpc[] = []
  const transportOf = (identity: NodeIdentity): Transport => {
    if (secured === 'by the network') return host.network.secured(identity)
    return createKeyTransport(host, { self: identity, key })
  }
  // The host's timers do not keep a process alive, and an in-memory network has no sockets that do.
  const awake = setInterval(() => undefined, 1_000)
  return {
    host,
    authority,
    addresses,
    rpcs,
    transportOf,
    async node(id, options = {}) {
      const { serve, authority: other, peers = addresses, ...rest } = options
      const identity = await (other ?? authority).identity(id)
      const listen = addresses.get(id) as Address
      const rpc = createRpc(host, { transport: transportOf(identity), listen, ...rest })
      rpcs.push(rpc)
      serve?.(rpc)
      await rpc.listen()
      rpc.setPeers(peers)
      return rpc
    },
    async close() {
      clearInterval(awake)
      await Promise.all(rpcs.map((rpc) => rpc.close()))
    },
  }
}

export async function connected(a: Rpc, b: Rpc): Promise<void> {
  await settled(() => a.isReachable(two) && b.isReachable(one))
}
