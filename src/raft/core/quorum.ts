// Majorities and joint majorities: the highest index that a quorum has acknowledged, and the outcome of
// a vote. A joint quorum is a majority of both halves (Raft thesis 4.3). The empty majority commits
// everything and wins every vote, so that a configuration that is not joint is the pair (voters, []).

/** Lists of ids ascend and hold each id once. */
export type Ids = readonly number[]

/** What each voter has acknowledged; undefined when nothing is known. */
export type AckedIndex = { ackedIndex(id: number): number | undefined }

export type VoteResult = 'pending' | 'lost' | 'won'

/** The highest index acknowledged by a majority; Infinity for the empty majority. */
export function majorityCommitted(voters: Ids, acked: AckedIndex): number {
  const count = voters.length
  if (count === 0) return Number.POSITIVE_INFINITY
  if (count === 1) return acked.ackedIndex(voters[0] as number) ?? 0
  const sorted: number[] = []
  for (let i = 0; i < count; i++) {
    const index = acked.ackedIndex(voters[i] as number) ?? 0
    let at = i
    while (at > 0 && (sorted[at - 1] as number) > index) {
      sorted[at] = sorted[at - 1] as number
      at--
    }
    sorted[at] = index
  }
  return sorted[count - (Math.floor(count / 2) + 1)] as number
}

export function jointCommitted(voters: Ids, outgoing: Ids, acked: AckedIndex): number {
  const incoming = majorityCommitted(voters, acked)
  return outgoing.length === 0 ? incoming : Math.min(incoming, majorityCommitted(outgoing, acked))
}

export function majorityVote(voters: Ids, votes: ReadonlyMap<number, boolean>): VoteResult {
  if (voters.length === 0) return 'won'
  let granted = 0
  let missing = 0
  for (const id of voters) {
    const vote = votes.get(id)
    if (vote === undefined) missing++
    else if (vote) granted++
  }
  const quorum = Math.floor(voters.length / 2) + 1
  if (granted >= quorum) return 'won'
  return granted + missing >= quorum ? 'pending' : 'lost'
}

export function jointVote(
  voters: Ids,
  outgoing: Ids,
  votes: ReadonlyMap<number, boolean>,
): VoteResult {
  const incoming = majorityVote(voters, votes)
  const leaving = majorityVote(outgoing, votes)
  if (incoming === leaving) return incoming
  return incoming === 'lost' || leaving === 'lost' ? 'lost' : 'pending'
}

/** The ids of both lists, ascending, each once. */
export function unionIds(a: Ids, b: Ids): Ids {
  if (b.length === 0) return a
  return [...new Set([...a, ...b])].sort((x, y) => x - y)
}

/** `(1 2 a)`: ids in hexadecimal. */
export function formatIds(ids: Ids): string {
  return `(${ids.map((id) => id.toString(16)).join(' ')})`
}
