// Ballots: numbered attempts, ordered by round, then by proposer. A proposer makes its own promise durable
// before anyone hears of a ballot, so it never uses one twice and a ballot has one value at most.

/** Before any promise. */
export const noBallot: Ballot = { round: 0, proposer: '' }

export type Ballot = {
  readonly round: number
  /** The incarnation that began it. */
  readonly proposer: string
}

/** No node believes a round beyond this: the numbers can never run out. */
export const roundMax = 2 ** 40
/** A promise moves forward by at most so many rounds, so that no single message uses them up. */
export const roundLeapMax = 2 ** 20

export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.round !== b.round) return a.round - b.round
  return a.proposer < b.proposer ? -1 : a.proposer > b.proposer ? 1 : 0
}

/** A ballot that somebody may have begun, or none. */
export function isBallot({ round, proposer }: Ballot): boolean {
  if (round === 0) return proposer === ''
  return round <= roundMax && /^[0-9a-f]{32}$/.test(proposer)
}
