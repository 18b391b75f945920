// Who else serves a namespace: the peers that the DHT names under the namespace's rendezvous key, and the
// peers that are connected already and speak its protocol. Both are sightings, not members: who is a member is
// decided by founding and by the log.

import { Fault, isFault } from '../../src/base/index.ts'
import type { Clock } from '../../src/host/index.ts'
import type { Libp2p, PeerNode } from './libp2p.ts'
import { protocolsOf } from './libp2p-transport.ts'

export type DiscoveryOptions = {
  readonly libp2p: Libp2p
  readonly node: PeerNode
  readonly namespace: string
  readonly clock: Clock
  /** A peer was seen; again and again, while it is there. */
  readonly onPeer: (peer: string) => void
  /** How often to look and to announce; default 1 s. */
  readonly everyMs?: number
  /** An address of any peer of the mesh, for example `/ip4/10.0.0.1/tcp/4001`. */
  readonly entrances?: readonly string[]
}
export type Discovery = { stop(): Promise<void> }

const lookMsMax = 5_000

/** Announces this peer under the namespace and looks for others until stopped. */
export function startDiscovery(options: DiscoveryOptions): Discovery {
  const { clock, node, everyMs = 1_000 } = options
  const ending = new AbortController()
  const look = (): void => {
    seeConnected(options).catch(ignoreAbsent)
  }
  node.addEventListener('peer:identify', look)
  const running = (async () => {
    while (!ending.signal.aborted) {
      await turn(options, ending.signal)
      await clock.sleep(everyMs, ending.signal).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      ending.abort()
      node.removeEventListener('peer:identify', look)
      await running
    },
  }
}

async function turn(options: DiscoveryOptions, ending: AbortSignal): Promise<void> {
  const { libp2p, node, namespace, entrances = [] } = options
  const withinMs = (): { readonly signal: AbortSignal } => ({
    signal: AbortSignal.any([ending, AbortSignal.timeout(lookMsMax)]),
  })
  if (node.getPeers().length === 0) {
    for (const entrance of entrances) {
      await node.dial(libp2p.addressOf(entrance), withinMs()).catch(ignoreAbsent)
    }
  }
  await seeConnected(options).catch(ignoreAbsent)
  const key = await libp2p.rendezvousKey(namespace)
  await node.contentRouting.provide(key, withinMs()).catch(ignoreAbsent)
  try {
    for await (const { id, multiaddrs } of node.contentRouting.findProviders(key, withinMs())) {
      if (id.toString() === node.peerId.toString()) continue
      if (multiaddrs.length > 0) await node.peerStore.merge(id, { multiaddrs })
      options.onPeer(id.toString())
    }
  } catch (error) {
    ignoreAbsent(error)
  }
}

async function seeConnected({ node, namespace, onPeer }: DiscoveryOptions): Promise<void> {
  const { transport } = protocolsOf(namespace)
  for (const peer of node.getPeers()) {
    const { protocols } = await node.peerStore.get(peer)
    if (protocols.includes(transport)) onPeer(peer.toString())
  }
}

/** Nobody there, not yet, or no more: the next turn looks again. */
function ignoreAbsent(error: unknown): void {
  if (isFault(error) || !(error instanceof Error)) throw error
  if (error instanceof TypeError || error instanceof ReferenceError) {
    throw new Fault('internal', `libp2p failed: ${error.message}`, { cause: error })
  }
}
