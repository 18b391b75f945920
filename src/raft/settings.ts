// The options of the driver with their defaults, in one place.

import { Fault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { CoreConfig } from './core/index.ts'
import type { RaftOptions, SnapshotOptions } from './group.ts'
import type { LeaseBounds } from './lease.ts'

export type RaftSettings = Required<Omit<RaftOptions, 'readLease'>> & {
  /** Undefined: no leases. */
  readonly readLease: LeaseBounds | undefined
  readonly snapshots: Required<SnapshotOptions>
  /** One proposal at most; a frame holds one entry at least. */
  readonly proposalBytesMax: number
  /** Frames are kept below the limit of one-way messages of rpc. */
  readonly frameBytesMax: number
  /** Ticks that proposals wait for their fate once leadership is lost. */
  readonly graceTicks: number
  /** Between two pulses: two fit into the silence after which groups wake. */
  readonly pulseTicks: number
  /** Ticks in which nothing happens until a group rests. */
  readonly restTicks: number
  readonly readTimeoutTicks: number
  readonly readRetryTicks: number
  /** Kept behind a cut for followers that are a little behind. */
  readonly tailBytesMax: number
  readonly tailEntriesMax: number
}

const mebibyte = 1024 * 1024
const readTimeoutMs = 5_000
/** Applied in one turn: a member that catches up must not miss its ticks. */
const applyBytesMax = mebibyte / 2
/** Of groups whose members have no preference who leads. */
export const priorityDefault = 5

/** Fault 'invalid' for a lease without a usable bound. */
export function settingsOf(options: RaftOptions): RaftSettings {
  checkReadLease(options.readLease)
  const tickMs = options.tickMs ?? 50
  const electionTicks = options.electionTicks ?? 10
  return {
    self: options.self,
    tickMs,
    electionTicks,
    heartbeatTicks: options.heartbeatTicks ?? 4,
    inflightMessagesMax: options.inflightMessagesMax ?? 256,
    inflightBytesMax: options.inflightBytesMax ?? 16 * mebibyte,
    appendBytesMax: options.appendBytesMax ?? mebibyte,
    uncommittedBytesMax: options.uncommittedBytesMax ?? 32 * mebibyte,
    logBytesMax: options.logBytesMax ?? 64 * mebibyte,
    stallElections: options.stallElections ?? 4,
    readLease:
      options.readLease === undefined
        ? undefined
        : { electionTicks, tickMs, clockDriftRatio: options.readLease.clockDriftRatio },
    snapshots: snapshotSettingsOf(options.snapshots ?? {}),
    proposalBytesMax: 4 * mebibyte,
    frameBytesMax: 6 * mebibyte,
    graceTicks: electionTicks * 3,
    pulseTicks: Math.max(1, Math.floor(electionTicks / 2)),
    restTicks: electionTicks * 2,
    readTimeoutTicks: Math.ceil(readTimeoutMs / tickMs),
    readRetryTicks: Math.max(2, Math.ceil(electionTicks / 2)),
    tailBytesMax: Math.min(4 * mebibyte, Math.floor((options.logBytesMax ?? 64 * mebibyte) / 8)),
    tailEntriesMax: 5_000,
  }
}

/** A clock that may be a tenth wrong is no clock to trust. */
const clockDriftRatioMax = 0.1

function checkReadLease(lease: RaftOptions['readLease']): void {
  if (lease === undefined) return
  const { clockDriftRatio } = lease
  if (clockDriftRatio > 0 && clockDriftRatio <= clockDriftRatioMax) return
  throw new Fault('invalid', `a clock drift of ${clockDriftRatio} bounds no lease`, {
    next: `say by what ratio clocks may be wrong, above 0 and at most ${clockDriftRatioMax}: 0.02 is 2 %`,
  })
}

export function snapshotSettingsOf(options: SnapshotOptions): Required<SnapshotOptions> {
  return {
    path: options.path ?? 'snapshots',
    retained: Math.max(1, options.retained ?? 3),
    everyMs: options.everyMs ?? 60 * 60 * 1000,
    everyEntries: options.everyEntries ?? 10_000,
    bytesPerSecond: options.bytesPerSecond ?? 64 * mebibyte,
  }
}

/** What the cores of all groups have in common. */
export function coreConfigOf(
  settings: RaftSettings,
): Omit<CoreConfig, 'storage' | 'applied' | 'random'> {
  return {
    id: settings.self,
    electionTicks: settings.electionTicks,
    heartbeatTicks: settings.heartbeatTicks,
    asyncStorageWrites: true,
    maxSizePerMessage: settings.appendBytesMax,
    maxCommittedSizePerReady: applyBytesMax,
    maxUncommittedSize: settings.uncommittedBytesMax,
    maxInflightMessages: settings.inflightMessagesMax,
    maxInflightBytes: settings.inflightBytesMax,
    checkQuorum: true,
    preVote: true,
    readOnly: 'safe',
    disableProposalForwarding: true,
    disableConfChangeValidation: false,
    stepDownOnRemoval: true,
    handOverOnRemoval: true,
    holdsVoteAfterStart: settings.readLease !== undefined,
    trace: () => {},
  }
}

/**
 * Election timeouts are [n, 2n) ticks; priority 10 draws from the sooner half of the range, 0 from
 * the later, 5 from the middle. Overlap keeps split votes rare at equal priorities.
 */
export function electionRandom(host: Host, priority: number): { integer(limit: number): number } {
  return {
    integer(limit) {
      const half = Math.max(1, Math.ceil(limit / 2))
      const shift = Math.floor(((10 - priority) * (limit - half)) / 10)
      return Math.min(limit - 1, shift + host.random.integer(half))
    },
  }
}
