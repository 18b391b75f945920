// Keeps cluster.json in step with members that change in other ways than through the desk (replaced, removed, moved),
// and forgets enrolments that ended long ago. Done by the leader of the system namespace, if it has the seal key;
// otherwise by any member that has it, a little later. Two that do it at once make one epoch: the transaction states
// what it was decided on.

import { Fault, isFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { unchanged } from './core/compares.ts'
import {
  enrolmentCodec,
  enrolmentPrefix,
  authorityKey,
  configKey,
} from './core/enrolment-records.ts'
import { enrolmentMsMax } from './core/enrolment-plan.ts'
import { memberKey } from './core/records.ts'
import { listBelow, readSystem } from './system-sight.ts'
import { nextBundle } from './trust-state.ts'

type Deps = {
  readonly host: Pick<Host, 'clock' | 'journal'>
  readonly system: Keyspace
  readonly sealKey: () => Uint8Array | undefined
}

/** Stores the next cluster.json if the members ask for one. True when there was nothing to do, or it is done. */
export async function refreshBundle({ host, system, sealKey }: Deps): Promise<boolean> {
  const key = sealKey()
  if (key === undefined) return true
  const sight = await readSystem(system)
  if (sight.authority === undefined) return true
  const next = nextBundle(sight, { nowMs: host.clock.wallMs(), sealKey: key })
  if (next.operations.length === 0) return true
  const answer = await system.txn({
    compares: [
      ...next.compares,
      unchanged(authorityKey, sight.authorityKv),
      unchanged(configKey, sight.configKv),
      ...sight.members.map(({ id }) => unchanged(memberKey(id), sight.memberKvs.get(id))),
    ],
    success: next.operations,
    failure: [],
  })
  return answer.succeeded
}

/** Deletes what a machine's asking left behind once nobody can need it: a member's own record is what counts. */
export async function sweepEnrolments({ host, system }: Omit<Deps, 'sealKey'>): Promise<number> {
  const nowMs = host.clock.wallMs()
  let swept = 0
  for (const kv of await listBelow(system, enrolmentPrefix)) {
    const { requestedMs, decidedMs } = enrolmentCodec.decode(kv.value)
    if (nowMs - Math.max(requestedMs, decidedMs) <= 2 * enrolmentMsMax) continue
    await system.txn({
      compares: [unchanged(kv.key, kv)],
      success: [{ kind: 'delete', key: kv.key }],
      failure: [],
    })
    swept++
  }
  return swept
}

const followerDelayMs = 5_000
const soonMs = 50
const sweepEveryMs = 3_600_000

/** Looks after every change that `onChange` tells. Answers what ends it. */
export function keepBundle(
  deps: Deps & {
    readonly isLeader: () => boolean
    readonly onChange: (changed: () => void) => () => void
  },
): () => void {
  const { clock, journal } = deps.host
  let isClosed = false
  let isBusy = false
  let isAsked = false
  const run = async (): Promise<void> => {
    isBusy = true
    isAsked = false
    let isDone = false
    try {
      isDone = await refreshBundle(deps)
    } catch (error) {
      if (!isFault(error)) return journal.fatal('cluster.bundle_failed', error)
      journal.event('debug', 'cluster.bundle_waits', { reason: error.message })
    } finally {
      isBusy = false
    }
    if (!isDone || isAsked) lookLater()
  }
  const lookLater = (): void => {
    if (isClosed || isBusy) {
      isAsked = true
      return
    }
    isBusy = true
    clock.after(deps.isLeader() ? soonMs : followerDelayMs, () => {
      isBusy = false
      if (!isClosed) void run()
    })
  }
  const unlisten = deps.onChange(lookLater)
  const sweeping = clock.every(sweepEveryMs, () => {
    if (!deps.isLeader()) return
    sweepEnrolments(deps).catch((error: unknown) => {
      if (!(error instanceof Fault)) journal.fatal('cluster.sweep_failed', error)
    })
  })
  lookLater()
  return () => {
    isClosed = true
    unlisten()
    sweeping.cancel()
  }
}
