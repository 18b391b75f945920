// Whom a starting node talks to before it has heard from anybody: the members that its own replica knows,
// and those of the cluster's file that the replica has never heard of.
//
// The file alone may be old: an identity that was removed while this node was down is never spoken to on
// its word. The replica alone may be older still:
// 1. A node is replaced, and this node's store has that entry in the log, not yet applied.
// 2. This node loses power and starts with the members as they were before.
// 3. The new identity is elected. It is a stranger here, so nothing it sends is taken, and nobody else
// tells what is committed: this node waits for as long as that leader lasts.
// The replica keeps removed members, so an identity that only the file knows is a newer one.

import type { NodeId } from '../base/index.ts'
import type { Member } from '../cluster/index.ts'
import type { Address } from '../host/index.ts'
import type { NodeConfig } from './config.ts'

export function firstPeers(
  config: Pick<NodeConfig, 'self' | 'topology'>,
  known: readonly Pick<Member, 'id' | 'state' | 'control'>[],
): ReadonlyMap<NodeId, Address> {
  const peers = new Map<NodeId, Address>()
  for (const { id, host, port } of config.topology.db) peers.set(id, { host, port })
  for (const { id, state, control } of known) {
    if (state === 'removed') peers.delete(id)
    else peers.set(id, control)
  }
  peers.delete(config.self)
  return peers
}
