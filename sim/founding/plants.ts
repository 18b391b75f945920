// Bugs put in on purpose, around the unchanged core, to show that the explorer can fail. Each is what a hasty
// driver or a hasty rule would do.

import { type BallotState, type BallotStep, takeBallotMessage } from '../../src/founding/index.ts'

export type Plant = {
  readonly name: string
  /** Whether what a step wrote is durable before its messages leave. */
  readonly isSynced: (before: BallotState, step: BallotStep) => boolean
  /** What the broken rule makes of a step. */
  readonly afterStep: (step: BallotStep, size: number) => BallotStep
  /** Nodes that only join take part. */
  readonly joinersFound: boolean
}

export const noPlant: Plant = {
  name: 'none',
  isSynced: () => true,
  afterStep: (step) => step,
  joinersFound: false,
}

export const plants: ReadonlyMap<string, Plant> = new Map(
  [
    {
      ...noPlant,
      name: 'promise-not-synced',
      isSynced: (before: BallotState, { state }: BallotStep) =>
        state.record.accepted !== before.record.accepted ||
        state.record.cluster !== before.record.cluster,
    },
    {
      ...noPlant,
      name: 'acceptance-not-synced',
      isSynced: (before: BallotState, { state }: BallotStep) =>
        state.record.accepted === before.record.accepted,
    },
    { ...noPlant, name: 'own-acceptance-unsynced', isSynced: isNotOwnAcceptance },
    { ...noPlant, name: 'majority-decides', afterStep: concludeByMajority },
    { ...noPlant, name: 'silence-is-no', afterStep: reportForTheSilent },
    { ...noPlant, name: 'joiner-founds', joinersFound: true },
  ].map((plant) => [plant.name, plant]),
)

/** The proposer counts its own acceptance, and announces the decision, before its disk has either. */
function isNotOwnAcceptance(before: BallotState, { state, sends }: BallotStep): boolean {
  const isOwn = sends.some(({ message }) => message.kind === 'accept' || message.kind === 'decided')
  return !isOwn || state.record === before.record
}

/** More than half of the founders are enough. */
function concludeByMajority(step: BallotStep, size: number): BallotStep {
  const { proposal } = step.state
  if (proposal?.genesis === undefined || proposal.acceptedBy.length * 2 <= size) return step
  return continueWith(step, size, (state) =>
    (proposal.genesis?.founders ?? []).map(({ id }) => ({
      from: id,
      message: { kind: 'accepted', ballot: state.proposal?.ballot ?? proposal.ballot } as const,
    })),
  )
}

/** Who has not answered while others have is taken to have accepted nothing. */
function reportForTheSilent(step: BallotStep, size: number): BallotStep {
  const { proposal, record } = step.state
  if (proposal === undefined || proposal.genesis !== undefined || proposal.reports.size < size) {
    return step
  }
  const silent = proposal.asked.filter((id) => !proposal.reports.has(id))
  return continueWith(step, size, () =>
    silent.map((id) => ({
      from: id,
      message: {
        kind: 'report',
        ballot: proposal.ballot,
        promised: record.promised,
        accepted: undefined,
      } as const,
    })),
  )
}

type Forged = Parameters<typeof takeBallotMessage>[2]

function continueWith(
  step: BallotStep,
  size: number,
  forge: (state: BallotState) => readonly Forged[],
): BallotStep {
  let { state } = step
  const sends = [...step.sends]
  for (const forged of forge(state)) {
    const next = takeBallotMessage(state, { size, mayFound: true }, forged)
    state = next.state
    sends.push(...next.sends)
  }
  return { state, sends }
}
