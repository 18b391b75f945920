// Who was seen, by whom, since when. Sightings travel: "A saw C" makes B write to C. Ages are durations on
// the sender's own steady clock and become moments on ours, so wall clocks play no part.
//
// A row is one incarnation. Only what was heard from a node itself makes it a candidate; hearsay gives its
// address and the time it was first seen. An incarnation that speaks for a node number ends an older
// incarnation of that number (its disk is gone), and hearsay never brings that one back.

import type { NodeId } from '../../base/index.ts'
import type { Founder, FounderId } from './genesis.ts'
import { type Sender, type Sighting, sightingsMax } from './messages.ts'

export type Peer = {
  readonly id: FounderId
  readonly node: NodeId
  readonly address: string
  /** By anybody. */
  readonly firstSeenMs: number
  /** By anybody. */
  readonly aliveMs: number
  /** By this node itself; undefined: never. */
  readonly heardMs: number | undefined
  /** Expected number of founders as it says; 0: it joins; undefined: not heard yet. */
  readonly size: number | undefined
  readonly isEligible: boolean
}

export type Peers = ReadonlyMap<FounderId, Peer>

const peersMax = 256

/** A message came from it. */
export function hear(
  peers: Peers,
  sender: Sender,
  nowMs: number,
  said?: { readonly size: number; readonly isEligible: boolean },
): Peers {
  const known = peers.get(sender.id)
  const next = new Map(peers)
  for (const other of peers.values()) {
    if (other.node === sender.node && other.id !== sender.id) next.delete(other.id)
  }
  next.set(sender.id, {
    ...sender,
    firstSeenMs: Math.min(known?.firstSeenMs ?? nowMs, nowMs),
    aliveMs: nowMs,
    heardMs: nowMs,
    size: said?.size ?? known?.size,
    isEligible: said?.isEligible ?? known?.isEligible ?? false,
  })
  return bounded(next)
}

/** Others told of it. */
export function learn(
  peers: Peers,
  sightings: readonly Sighting[],
  given: { readonly nowMs: number; readonly self: Founder },
): Peers {
  const { nowMs, self } = given
  const next = new Map(peers)
  const spoken = new Map<NodeId, FounderId>([[self.node, self.id]])
  for (const peer of peers.values()) if (peer.heardMs !== undefined) spoken.set(peer.node, peer.id)
  for (const { id, node, address, firstSeenAgoMs, heardAgoMs, isEligible } of sightings) {
    if ((spoken.get(node) ?? id) !== id || id === self.id) continue
    const known = next.get(id)
    const seenMs = nowMs - firstSeenAgoMs
    next.set(id, {
      id,
      node,
      address: known?.heardMs === undefined ? address : known.address,
      firstSeenMs: Math.min(known?.firstSeenMs ?? seenMs, seenMs),
      aliveMs: Math.max(known?.aliveMs ?? 0, nowMs - heardAgoMs),
      heardMs: known?.heardMs,
      size: known?.size,
      isEligible: known?.heardMs === undefined ? isEligible : known.isEligible,
    })
  }
  return bounded(next)
}

/** Drops whom nobody has heard since. */
export function forget(peers: Peers, sinceMs: number): Peers {
  const kept = [...peers].filter(([, peer]) => peer.aliveMs >= sinceMs)
  return kept.length === peers.size ? peers : new Map(kept)
}

/** What to tell others: the most recently seen first, in order of id. */
export function tellSightings(peers: Peers, nowMs: number): readonly Sighting[] {
  return [...peers.values()]
    .sort((a, b) => b.aliveMs - a.aliveMs || (a.id < b.id ? -1 : 1))
    .slice(0, sightingsMax)
    .map(({ id, node, address, firstSeenMs, aliveMs, isEligible }) => ({
      id,
      node,
      address,
      firstSeenAgoMs: Math.max(0, Math.floor(nowMs - firstSeenMs)),
      heardAgoMs: Math.max(0, Math.floor(nowMs - aliveMs)),
      isEligible,
    }))
}

function bounded(peers: Map<FounderId, Peer>): Peers {
  if (peers.size <= peersMax) return peers
  const kept = [...peers.values()].sort((a, b) => b.aliveMs - a.aliveMs || (a.id < b.id ? -1 : 1))
  return new Map(kept.slice(0, peersMax).map((peer) => [peer.id, peer]))
}
