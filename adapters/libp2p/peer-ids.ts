// Peers as members: a server's id and its address are its peer id. Raft's core counts in numbers, so each peer
// has one, made from its id alone: everybody makes the same number without asking anybody.
//
// 32 bits of a hash can meet (two among a thousand peers: one in 9,000). Whoever sees two peers with one
// number refuses the second, loudly, because a majority counted over numbers would count two peers as one.

import { Fault, type NodeId, nodeId, sha256, utf8Encode } from '../../src/base/index.ts'

const peersMax = 100_000

/** The first 32 bits of SHA-256 over the peer id's text and a label; never 0. */
export function nodeIdOfPeer(peer: string): NodeId {
  const [a = 0, b = 0, c = 0, d = 0] = sha256(utf8Encode(`atoll node of peer ${peer}`))
  const value = a * 0x100_0000 + ((b << 16) | (c << 8) | d)
  return nodeId(value === 0 ? 1 : value)
}

/** Every peer that was met, both ways. */
export class PeerIds {
  readonly #peers = new Map<NodeId, string>()
  readonly #numberOf: (peer: string) => NodeId

  constructor(numberOf: (peer: string) => NodeId = nodeIdOfPeer) {
    this.#numberOf = numberOf
  }

  /** Fault 'exists' when another peer has the same number. */
  idOf(peer: string): NodeId {
    const id = this.#numberOf(peer)
    const known = this.#peers.get(id)
    if (known === peer) return id
    if (known !== undefined) {
      throw new Fault('exists', `peers ${known} and ${peer} would both be node ${id}`, {
        fields: { node: String(id) },
        next: 'give the newer of the two another key',
      })
    }
    if (this.#peers.size >= peersMax) throw new Fault('overloaded', 'too many peers were met')
    this.#peers.set(id, peer)
    return id
  }

  /** Undefined when nobody with that number was met. */
  peerOf(id: NodeId): string | undefined {
    return this.#peers.get(id)
  }
}
