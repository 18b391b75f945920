// Placement: which members should hold the shards of a chunk.
//
// Rendezvous hashing (highest random weight: Thaler and Ravishankar 1998): each pair of chunk and member
// has a score that everybody computes alike; the members with the highest scores are chosen. A member
// that leaves moves only what it held, a member that comes takes an even share from all others.
//
// Invariants: the answer depends on chunk, member ids and `isUp` alone, never on the order of the list;
// no member is chosen twice; members that are up come before members that are not, each part by score.
// The choice is not a lookup: the chunk table records who holds what.

import type { NodeId } from '../../base/index.ts'
import type { Member } from '../cluster.ts'

type Candidate = { readonly id: NodeId; readonly isUp: boolean; high: number; low: number }

/** Members in these states are given new shards. */
export function mayHoldData(member: Member): boolean {
  return member.state !== 'unpaired' && member.state !== 'pending' && member.state !== 'removed'
}

/** Fewer than `count` when there are fewer members that may hold data; draining ones come last. */
export function chooseHolders(
  chunk: Uint8Array,
  members: readonly Member[],
  options: { readonly count: number; readonly isUp: (id: NodeId) => boolean },
): readonly NodeId[] {
  const [seedHigh, seedLow] = mixChunk(chunk)
  const candidates: Candidate[] = []
  for (const member of members) {
    if (!mayHoldData(member)) continue
    const isUp = member.state !== 'draining' && options.isUp(member.id)
    const place = member.place ?? member.id
    const high = scramble(seedHigh ^ scramble(place))
    const low = scramble(seedLow ^ scramble(place + 0x9e3779b9))
    candidates.push({ id: member.id, isUp, high, low })
  }
  candidates.sort(compareCandidates)
  return candidates.slice(0, options.count).map((candidate) => candidate.id)
}

function compareCandidates(a: Candidate, b: Candidate): number {
  if (a.isUp !== b.isUp) return a.isUp ? -1 : 1
  return b.high - a.high || b.low - a.low || a.id - b.id
}

/** Two independent 32-bit sums over the whole id (FNV-1a with two offsets, then scrambled). */
function mixChunk(chunk: Uint8Array): [number, number] {
  let high = 0x811c9dc5
  let low = 0x1b873593
  for (const byte of chunk) {
    high = Math.imul(high ^ byte, 0x01000193)
    low = Math.imul(low ^ byte, 0x85ebca6b)
  }
  return [scramble(high), scramble(low)]
}

/** Murmur3's finaliser: every bit of the input reaches every bit of the output. Unsigned. */
function scramble(value: number): number {
  let mixed = value | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
