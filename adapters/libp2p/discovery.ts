// Who else serves a namespace: the peers that the DHT names under the namespace's rendezvous key, and the
// peers that are connected already and speak its protocol. Both are sightings, not members: who is a member is
// decided by founding and by the log.

import { Fault, isFault } from '../../src/base/index.ts'
import type { Clock } from '../../src/host/index.ts'
import type { Discovery } from '../../src/mesh/index.ts'
import type { Libp2p, PeerNode } from './libp2p.ts'
import { protocolsOf } from './libp2p-transport.ts'

export type SearchOptions = {
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
export type Search = { stop(): Promise<void> }

const lookMsMax = 5_000
/** A peer that was not seen for so long is not told any more. */
const keptMs = 30_000
const peersMax = 1_024

/**
 * The mesh's way to ask: one search per namespace, begun when the namespace is announced. An address is the peer
 * id with a port that nobody looks at, because an address has one.
 */
export function createDiscovery(
  options: Pick<SearchOptions, 'libp2p' | 'node' | 'clock' | 'everyMs' | 'entrances'>,
): Discovery & Search {
  const { clock } = options
  const searches = new Map<
    string,
    { readonly search: Search; readonly seenMs: Map<string, number> }
  >()
  const ended: Promise<void>[] = []
  const end = (namespace: string): void => {
    const found = searches.get(namespace)
    searches.delete(namespace)
    if (found !== undefined) ended.push(found.search.stop())
  }
  return {
    announce(namespace) {
      if (!searches.has(namespace)) {
        const seenMs = new Map<string, number>()
        const onPeer = (peer: string): void => {
          if (seenMs.size < peersMax || seenMs.has(peer)) seenMs.set(peer, clock.monotonicMs())
        }
        searches.set(namespace, { seenMs, search: startSearch({ ...options, namespace, onPeer }) })
      }
      return () => end(namespace)
    },
    contacts(namespace) {
      const { seenMs } = searches.get(namespace) ?? {}
      if (seenMs === undefined) return []
      const sinceMs = clock.monotonicMs() - keptMs
      for (const [peer, ms] of seenMs) if (ms < sinceMs) seenMs.delete(peer)
      return [...seenMs.keys()].sort().map(addressOfPeer)
    },
    async stop() {
      for (const namespace of [...searches.keys()]) end(namespace)
      await Promise.all(ended)
    },
  }
}

/** As the mesh writes addresses. */
export function addressOfPeer(peer: string): string {
  return `${peer}:1`
}

/** Announces this peer under the namespace and looks for others until stopped. */
export function startSearch(options: SearchOptions): Search {
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

async function turn(options: SearchOptions, ending: AbortSignal): Promise<void> {
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
  await Promise.all([
    node.contentRouting.provide(key, withinMs()).catch(ignoreAbsent),
    findOthers(options, { key, ...withinMs() }).catch(ignoreAbsent),
  ])
}

async function findOthers(
  { node, onPeer }: SearchOptions,
  { key, signal }: { readonly key: unknown; readonly signal: AbortSignal },
): Promise<void> {
  for await (const { id, multiaddrs } of node.contentRouting.findProviders(key, { signal })) {
    if (id.toString() === node.peerId.toString()) continue
    if (multiaddrs.length > 0) await node.peerStore.merge(id, { multiaddrs })
    onPeer(id.toString())
  }
}

async function seeConnected({ node, namespace, onPeer }: SearchOptions): Promise<void> {
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
