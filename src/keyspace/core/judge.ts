// Who is right when replicas of one group had different digests at the same index (law 7).

import { type NodeId, toHex } from '../../base/index.ts'

/**
 * agreed: nobody differs from a majority of the voters. verdict: somebody does; most had `digest`.
 * split: voters differ and no majority agrees. unknown: too few were heard, and those agree.
 */
export type Judgement =
  | { readonly kind: 'agreed' }
  | {
      readonly kind: 'verdict'
      readonly digest: Uint8Array
      readonly wrong: readonly NodeId[]
    }
  | { readonly kind: 'split' }
  | { readonly kind: 'unknown' }

export function judge(
  digests: ReadonlyMap<NodeId, Uint8Array>,
  voters: readonly NodeId[],
): Judgement {
  const votes = new Map<string, number>()
  for (const voter of voters) {
    const digest = digests.get(voter)
    if (digest === undefined) continue
    const name = toHex(digest)
    votes.set(name, (votes.get(name) ?? 0) + 1)
  }
  for (const [name, count] of votes) {
    if (count <= voters.length / 2) continue
    const wrong: NodeId[] = []
    let digest: Uint8Array | undefined
    for (const [node, other] of digests) {
      if (toHex(other) === name) digest = other
      else wrong.push(node)
    }
    if (wrong.length === 0 || digest === undefined) return { kind: 'agreed' }
    return { kind: 'verdict', digest, wrong: wrong.sort((a, b) => a - b) }
  }
  return votes.size > 1 ? { kind: 'split' } : { kind: 'unknown' }
}
