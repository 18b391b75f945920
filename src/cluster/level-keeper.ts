// Raises the cluster's feature level: by itself once every member has supported the next one for a while, or when an
// operator says so. Only the leader of the system group does, on what it hears of the members now.
//
// A raise is one transaction. It rewrites the member counter, which every change of who is a member compares: so nobody
// is let in on a level that is being left. It never lowers: it compares the level that it was decided on.
//
// Why the leader waits although all are able, in steps: 1. the last node is upgraded, and the level rises at
// once; 2. the new program turns out to be bad; 3. going back is refused everywhere. So the wait is the time to change one's mind
// in, and who wants more of it lets the level rise by command.

import { Fault, isFault } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Member } from './cluster.ts'
import { put, unchanged } from './core/compares.ts'
import {
  type HeardLevel,
  levelRecordOf,
  newestLevel,
  planRaise,
  type RaisePlan,
} from './core/feature-levels.ts'
import {
  counterCodec,
  levelCodec,
  levelKey,
  type LevelRecord,
  nodeCounterKey,
} from './core/records.ts'
import type { BeatRow } from './heartbeats.ts'
import { planEvent } from './registry.ts'
import { readSystem } from './system-sight.ts'

export type LevelParts = {
  readonly host: Pick<Host, 'clock' | 'journal'>
  readonly system: Keyspace
  /** What this node hears as the leader; empty while it is not. */
  rows(): readonly BeatRow[]
  /** As known here now. */
  active(): number
}

export type LevelOptions = {
  /** How long all must have been able before the level rises by itself. Default 60 s. */
  readonly settleMs?: number
  /** Default: of this program. */
  readonly newest?: number
}

const lookMs = 1_000
const settleMsDefault = 60_000
const attemptsMax = 8

/** Members with what their leader heard of them. */
function heardLevels(members: readonly Member[], rows: readonly BeatRow[]): readonly HeardLevel[] {
  return members.map(({ id, name, state, version }) => {
    const row = rows.find((heard) => heard.id === id)
    const isHeard = row?.isHeard === true
    return { id, name, state, isHeard, level: row?.level ?? 0, version: row?.version ?? version }
  })
}

export async function readLevel(system: Keyspace): Promise<LevelRecord> {
  const [kv] = (await system.range({ key: levelKey })).kvs
  return levelRecordOf(kv)
}

/** From now on: by itself, or by command. */
export async function changeLevelPolicy(
  system: Keyspace,
  isByOperator: boolean,
): Promise<LevelRecord> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const [kv] = (await system.range({ key: levelKey })).kvs
    const record = { ...levelRecordOf(kv), isByOperator }
    const { succeeded } = await system.txn({
      compares: [unchanged(levelKey, kv)],
      success: [put(levelKey, levelCodec.encode(record))],
      failure: [],
    })
    if (succeeded) return record
  }
  throw new Fault('conflict', 'too many changes of the level at once')
}

/**
 * As far as every member supports it, at most to what this program knows. Answers the record and who stands in the
 * way of more. `heard`: what is heard now of the members that there are.
 */
export async function raiseLevel(
  system: Keyspace,
  heard: (members: readonly Member[]) => readonly HeardLevel[],
  how: { readonly atMs: number; readonly newest?: number },
): Promise<{ readonly record: LevelRecord; readonly plan: RaisePlan }> {
  const { newest = newestLevel } = how
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { members, lastId, counterKv, others } = await readSystem(system, [levelKey])
    const [kv] = others
    const before = levelRecordOf(kv)
    const plan = planRaise(heard(members), before.level, newest)
    if (plan.to <= before.level) return { record: before, plan }
    const atMs = Math.max(0, Math.floor(how.atMs))
    const record = { ...before, level: plan.to, raisedMs: atMs }
    const text = `feature level ${plan.to}`
    const noted = await planEvent(system, { atMs, kind: 'level-raised', node: 0, text })
    const { succeeded } = await system.txn({
      compares: [unchanged(levelKey, kv), unchanged(nodeCounterKey, counterKv), ...noted.compares],
      success: [
        put(levelKey, levelCodec.encode(record)),
        put(nodeCounterKey, counterCodec.encode({ value: lastId })),
        ...noted.operations,
      ],
      failure: [],
    })
    if (succeeded) return { record, plan }
  }
  throw new Fault('conflict', 'too many changes of the members at once')
}

export class LevelKeeper {
  readonly #parts: LevelParts
  readonly #settleMs: number
  readonly #newest: number
  readonly #timer: Timer
  /** Since when all are able, as far as this leader has heard. */
  #ableSinceMs: number | undefined
  #isBusy = false
  readonly #members: () => readonly Member[]

  constructor(parts: LevelParts, members: () => readonly Member[], options: LevelOptions = {}) {
    this.#parts = parts
    this.#members = members
    this.#settleMs = options.settleMs ?? settleMsDefault
    this.#newest = options.newest ?? newestLevel
    this.#timer = parts.host.clock.every(lookMs, () => this.#look())
  }

  close(): void {
    this.#timer.cancel()
  }

  #look(): void {
    const { host, active, rows } = this.#parts
    if (this.#isBusy || active() >= this.#newest) return
    const heard = rows()
    const isAble =
      heard.length > 0 &&
      planRaise(heardLevels(this.#members(), heard), active(), this.#newest).to > active()
    const nowMs = host.clock.monotonicMs()
    if (!isAble) this.#ableSinceMs = undefined
    else this.#ableSinceMs ??= nowMs
    if (this.#ableSinceMs === undefined || nowMs - this.#ableSinceMs < this.#settleMs) return
    this.#isBusy = true
    this.#raise().then(
      () => {
        this.#isBusy = false
      },
      (error: unknown) => {
        this.#isBusy = false
        this.#ableSinceMs = undefined
        if (!isFault(error)) return host.journal.fatal('cluster.level_failed', error)
        host.journal.event('debug', 'cluster.level_waits', { reason: error.message })
      },
    )
  }

  async #raise(): Promise<void> {
    const { host, system, rows } = this.#parts
    const { isByOperator } = await readLevel(system)
    const heard = rows()
    if (isByOperator || heard.length === 0) {
      this.#ableSinceMs = undefined
      return
    }
    const how = { atMs: host.clock.wallMs(), newest: this.#newest }
    const { record } = await raiseLevel(system, (all) => heardLevels(all, heard), how)
    host.journal.event('notice', 'cluster.level_raised', { level: record.level })
  }
}
