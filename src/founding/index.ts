export type { Alarm, AlarmKind } from './core/alarms.ts'
export { type Ballot, compareBallots } from './core/ballot.ts'
export {
  type BallotRules,
  type BallotSend,
  type BallotState,
  type BallotStep,
  beginBallot,
  takeBallotMessage,
} from './core/ballots.ts'
export {
  checkConfig,
  type FoundingConfig,
  type FoundingTimes,
  type Preset,
  type PresetName,
  presets,
  type Universe,
} from './core/config.ts'
export {
  type FormationInput,
  type FormationOutcome,
  type FormationState,
  type Standing,
  standingOf,
  startFormation,
  stepFormation,
  votersOf,
} from './core/formation.ts'
export {
  createGenesis,
  decodeGenesis,
  encodeGenesis,
  type Founder,
  type FounderId,
  type Genesis,
  genesisHash,
  type GenesisParameters,
} from './core/genesis.ts'
export {
  type BallotMessage,
  decodeEnvelope,
  encodeEnvelope,
  type Envelope,
  type Sighting,
} from './core/messages.ts'
export {
  decodeRecord,
  encodeRecord,
  type FoundingRecord,
  newRecord,
} from './core/record.ts'
export {
  type Founding,
  type FoundingDependencies,
  type FoundingOptions,
  type FoundingTransport,
  openFounding,
} from './founding.ts'
