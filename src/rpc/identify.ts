// Who answers at an address: for those who know where a node is and not yet its number.

import type { NodeId } from '../base/index.ts'
import type { Address, Transport } from '../host/index.ts'

/** Dials, looks at whom the transport has proved, and hangs up. Faults of Transport.connect. */
export async function identify(
  transport: Transport,
  address: Address,
  options: { readonly timeoutMs: number },
): Promise<NodeId> {
  const connection = await transport.connect(address, options)
  connection.onBytes = () => undefined
  connection.onClose = () => undefined
  connection.destroy()
  return connection.peer.nodeId
}
