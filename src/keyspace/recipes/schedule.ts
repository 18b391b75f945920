// A schedule that runs once per tick, whatever number of nodes keep it: they elect a leader, and the leader
// decides ticks by transactions that carry its fence.
//
//   name/leader/LEASE   the election (lock.ts)
//   name/plan           the newest tick that was decided
//   name/runs/TICK      a tick that was begun and has not ended: attempts so far
//   name/dead/TICK      a tick whose attempts are used up, with the last error
//
// A tick is its scheduled time. Beginning it moves the plan and writes its run in one transaction; ending it deletes
// the run, and runs the operations that the run answered with, in one transaction. Both demand that the leader
// still leads. So a tick begins at most once and ends at most once; in between, attempts may be repeated:
// 1. the leader dies in the middle of an attempt; 2. the next leader finds the run; 3. it counts one attempt more and
// runs it again, or makes it a dead letter. What an attempt does outside of the keyspace happens at least once
// per ended tick, and once at most only with one attempt (attemptsMax 1).
//
// Clocks of nodes may jump: the plan only goes forward, so that a clock set back repeats nothing; one set ahead
// decides ticks early.

import {
  Fault,
  isFault,
  message,
  encodeBytes,
  decodeBytes,
  text,
  uint,
  utf8Encode,
  type Revision,
} from '../../base/index.ts'
import type { Compare, FullKeyspace, KeyValue, Operation } from '../keyspace.ts'
import { type Cron, parseCron } from './core/cron.ts'
import { checkBound, checkRecipeName, type Ground } from './ground.ts'
import { linePrefix, placeLost, rangeOf } from './line.ts'
import { campaign, type Leadership } from './lock.ts'
import { openSession, type Session } from './session.ts'

export type ScheduleOptions = {
  readonly name: string
  /** Five fields or @every, in UTC: core/cron.ts. */
  readonly cron: string
  /** One attempt at a tick. The operations that it answers with run with the tick's end, exactly once. */
  readonly run: (tick: Tick) => Promise<readonly Operation[]>
  /**
   * Of ticks that were missed (nobody led, or a run took longer): 'once' runs the newest of them late, 'skip' none that
   * is later than graceMs. Default 'once'.
   */
  readonly catchUp?: 'once' | 'skip'
  /** Until then a tick counts as on time; default 10,000. */
  readonly graceMs?: number
  /** After so many attempts a tick is a dead letter; default 3. */
  readonly attemptsMax?: number
  /** Before the second attempt; twice as long before each further one, at most 10 minutes. Default 1,000. */
  readonly retryMs?: number
  /** An attempt that takes longer is cancelled and has failed; default 600,000. */
  readonly runMsMax?: number
  /** Of the leader's session: how long after a leader's death another one takes over; default 15. */
  readonly ttlSeconds?: number
}

export type Tick = {
  /** Milliseconds since 1970 UTC: with the schedule's name, the identity of the tick. */
  readonly scheduledMs: number
  /** 1 for the first. */
  readonly attempt: number
  /** The leader's fencing token: a later attempt's is not lower. */
  readonly token: Revision
  /** Aborts when the attempt takes too long or the lead is lost: somebody else may run the tick. */
  readonly signal: AbortSignal
  /** For transactions of its own: fails once the lead is lost. */
  guard(): Compare
}

export type Schedule = {
  /** Whether this node keeps the schedule now. */
  isLeading(): boolean
  /** Ends this node's part; a run that is under way is cancelled and left to the others. */
  stop(): Promise<void>
}

export type ScheduleStatus = {
  /** The newest tick that was decided; 0: none. */
  readonly decidedMs: number
  readonly running: readonly { readonly scheduledMs: number; readonly attempts: number }[]
  readonly dead: readonly DeadTick[]
}
export type DeadTick = {
  readonly scheduledMs: number
  readonly attempts: number
  readonly error: string
}

/** Dead letters of a schedule; beyond it the oldest goes. */
export const deadTicksMax = 1000
const runsMax = 64
const lookMs = 1000
const retryMsMax = 600_000
const standAgainMs = 1000
const errorTextMax = 512
const timeDigits = 16
const nothing: readonly Operation[] = []

const planRecord = message({ version: uint(1), decidedMs: uint(2) })
const runRecord = message({ version: uint(1), attempts: uint(2), error: text(3) })

/** Takes part until stopped. Faults 'invalid' for a bad schedule or options out of their bounds. */
export function startSchedule(ground: Ground, options: ScheduleOptions): Schedule {
  const { graceMs = 10_000, attemptsMax = 3, retryMs = 1_000, runMsMax = 600_000 } = options
  checkRecipeName(utf8Encode(options.name))
  checkBound(graceMs, 'graceMs', [0, 86_400_000])
  checkBound(attemptsMax, 'attemptsMax', [1, 100])
  checkBound(retryMs, 'retryMs', [1, retryMsMax])
  checkBound(runMsMax, 'runMsMax', [1, 86_400_000])
  checkBound(options.ttlSeconds ?? 15, 'ttlSeconds', [2, 3600])
  const rules = { catchUp: options.catchUp ?? 'once', graceMs, attemptsMax, retryMs, runMsMax }
  const keeper = new Keeper(ground, { ...options, ...rules, cron: parseCron(options.cron) })
  keeper.start()
  return keeper
}

/** What everybody can see. */
export async function readSchedule(keyspace: FullKeyspace, name: string): Promise<ScheduleStatus> {
  const range = (part: string) => ({
    ...rangeOf(utf8Encode(`${name}/${part}/`)),
    limit: deadTicksMax,
  })
  const { results } = await keyspace.txn({
    compares: [],
    success: [
      { kind: 'range', request: { key: utf8Encode(`${name}/plan`) } },
      { kind: 'range', request: range('runs') },
      { kind: 'range', request: range('dead') },
    ],
    failure: [],
  })
  const [plan = [], runs = [], dead = []] = results.map((result) =>
    result.kind === 'range' ? result.response.kvs : [],
  )
  const ticks = (kvs: readonly KeyValue[]): readonly DeadTick[] =>
    kvs.map((kv) => ({ scheduledMs: timeOf(kv.key), ...readRun(kv) }))
  return { decidedMs: decidedOf(plan[0]), running: ticks(runs), dead: ticks(dead) }
}

type Rules = Required<
  Pick<ScheduleOptions, 'catchUp' | 'graceMs' | 'attemptsMax' | 'retryMs' | 'runMsMax'>
>
type KeeperOptions = Omit<ScheduleOptions, 'cron'> & Rules & { readonly cron: Cron }

/** A tick that was begun. `modRevision`: of its record, a compare of whatever ends it. */
type Run = { readonly scheduledMs: number; readonly attempts: number; readonly modRevision: number }
type Plan = { readonly decidedMs: number; readonly modRevision: number }

class Keeper implements Schedule {
  readonly #ground: Ground
  readonly #keyspace: FullKeyspace
  readonly #options: KeeperOptions
  readonly #stopping = new AbortController()
  #stopped: Promise<void> = Promise.resolve()
  #lead: { readonly session: Session; readonly leadership: Leadership } | undefined

  constructor(ground: Ground, options: KeeperOptions) {
    this.#ground = ground
    this.#keyspace = ground.keyspace
    this.#options = options
  }

  start(): void {
    this.#stopped = this.#takePart()
  }

  isLeading(): boolean {
    return this.#lead?.leadership.isHeld() === true
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault('cancelled', 'the schedule was stopped here'))
    await this.#stopped
  }

  /** Stands for election, leads, and when the lead is lost stands again. */
  async #takePart(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      let session: Session | undefined
      try {
        const { ttlSeconds = 15, name } = this.#options
        session = await openSession(this.#ground, { ttlSeconds, signal })
        const asked = { name: `${name}/leader`, value: new Uint8Array(0) }
        const leadership = await campaign(session, asked, { signal })
        this.#lead = { session, leadership }
        await this.#keep()
      } catch (error) {
        if (!isFault(error)) throw error
      }
      this.#lead = undefined
      await session?.close().catch(mustBeFault)
      if (!signal.aborted) {
        await this.#ground.host.clock.sleep(standAgainMs, signal).catch(mustBeFault)
      }
    }
  }

  /** As leader: first what another one has left, then tick after tick. Ends with a Fault. */
  async #keep(): Promise<never> {
    let { plan, runs } = await this.#read()
    if (plan.modRevision === 0)
      plan = await this.#decide(plan, { decidedMs: this.#wallMs(), begins: false })
    for (const run of runs) await this.#resume(run)
    for (;;) {
      const { cron, catchUp, graceMs } = this.#options
      const nowMs = this.#wallMs()
      const dueMs = cron.latest(nowMs) ?? 0
      if (dueMs <= plan.decidedMs) {
        const waitMs = Math.max(1, Math.min(lookMs, cron.next(plan.decidedMs) - nowMs))
        await this.#sleep(waitMs)
        continue
      }
      const begins = catchUp === 'once' || nowMs - dueMs <= graceMs
      plan = await this.#decide(plan, { decidedMs: dueMs, begins })
      if (begins) {
        await this.#attempt({ scheduledMs: dueMs, attempts: 1, modRevision: plan.modRevision })
      }
    }
  }

  async #read(): Promise<{ plan: Plan; runs: readonly Run[] }> {
    const { results } = await this.#keyspace.txn({
      compares: [],
      success: [
        { kind: 'range', request: { key: this.#key('plan') } },
        { kind: 'range', request: { ...rangeOf(linePrefix(this.#key('runs'))), limit: runsMax } },
      ],
      failure: [],
    })
    const [plan = [], runs = []] = results.map((result) =>
      result.kind === 'range' ? result.response.kvs : [],
    )
    return {
      plan: { decidedMs: decidedOf(plan[0]), modRevision: plan[0]?.modRevision ?? 0 },
      runs: runs.map((kv) => ({
        scheduledMs: timeOf(kv.key),
        attempts: readRun(kv).attempts,
        modRevision: kv.modRevision,
      })),
    }
  }

  async #decide(
    plan: Plan,
    to: { readonly decidedMs: number; readonly begins: boolean },
  ): Promise<Plan> {
    const key = this.#key('plan')
    const { decidedMs } = to
    const value = encodeBytes(planRecord, { version: 1, decidedMs })
    const success: Operation[] = [{ kind: 'put', key, value }]
    if (to.begins) success.push(this.#putRun(decidedMs, { attempts: 1, error: '' }))
    const unchanged: Compare = { key, target: 'mod', result: 'equal', operand: plan.modRevision }
    return { decidedMs, modRevision: await this.#write([unchanged], success) }
  }

  /** A run of a leader that is gone: whatever it did, the attempt counts. */
  async #resume(run: Run): Promise<void> {
    const { attemptsMax } = this.#options
    if (run.attempts >= attemptsMax) {
      await this.#bury(run, 'the node that ran it went away')
      return
    }
    await this.#again(run, 'the node that ran it went away')
  }

  /** Attempts until one succeeds or all are used up. */
  async #attempt(first: Run): Promise<void> {
    const { attemptsMax, retryMs } = this.#options
    let run = first
    for (;;) {
      const result = await this.#runOnce(run)
      if (typeof result !== 'string') {
        await this.#write([this.#isUnchanged(run)], [this.#dropRun(run), ...result])
        return
      }
      if (run.attempts >= attemptsMax) {
        await this.#bury(run, result)
        return
      }
      await this.#sleep(Math.min(retryMsMax, retryMs * 2 ** Math.min(20, run.attempts - 1)))
      run = await this.#count(run, result)
    }
  }

  async #again(run: Run, error: string): Promise<void> {
    await this.#attempt(await this.#count(run, error))
  }

  async #count(run: Run, error: string): Promise<Run> {
    const attempts = run.attempts + 1
    const put = this.#putRun(run.scheduledMs, { attempts, error })
    return { ...run, attempts, modRevision: await this.#write([this.#isUnchanged(run)], [put]) }
  }

  /** What it answered with, or why it failed. */
  async #runOnce(run: Run): Promise<readonly Operation[] | string> {
    const { leadership } = this.#mustLead()
    const { clock } = this.#ground.host
    const ended = new AbortController()
    const onLost = (): void => ended.abort(leadership.signal.reason)
    const onStop = (): void => ended.abort(this.#stopping.signal.reason)
    leadership.signal.addEventListener('abort', onLost)
    this.#stopping.signal.addEventListener('abort', onStop)
    const late = new Fault('deadline', `the attempt took more than ${this.#options.runMsMax} ms`)
    const timer = clock.after(this.#options.runMsMax, () => ended.abort(late))
    const { signal } = ended
    const { token } = leadership
    const guard = (): Compare => leadership.guard()
    const { scheduledMs, attempts: attempt } = run
    try {
      const running = this.#options.run({ scheduledMs, attempt, token, signal, guard })
      return (await untilAborted(running, signal)) ?? nothing
    } catch (error) {
      this.#mustLead()
      return (error instanceof Error ? error.message : String(error)).slice(0, errorTextMax)
    } finally {
      timer.cancel()
      leadership.signal.removeEventListener('abort', onLost)
      this.#stopping.signal.removeEventListener('abort', onStop)
    }
  }

  async #bury(run: Run, error: string): Promise<void> {
    const dead = this.#key('dead')
    const request = { ...rangeOf(linePrefix(dead)), limit: 1, isCounted: true, keysOnly: true }
    const { kvs, count } = await this.#keyspace.range(request)
    const [oldest] = kvs
    const value = encodeBytes(runRecord, { version: 1, attempts: run.attempts, error })
    const put = { kind: 'put', key: this.#timeKey('dead', run.scheduledMs), value } as const
    const room: readonly Operation[] =
      count >= deadTicksMax && oldest !== undefined ? [{ kind: 'delete', key: oldest.key }] : []
    await this.#write([this.#isUnchanged(run)], [this.#dropRun(run), put, ...room])
  }

  /** With the fence. Fault placeLost() when a compare does not hold: somebody else leads. */
  async #write(compares: readonly Compare[], success: readonly Operation[]): Promise<Revision> {
    const { session, leadership } = this.#mustLead()
    const request = { compares: [leadership.guard(), ...compares], success, failure: [] }
    const { succeeded, revision } = await session.write((options) =>
      this.#keyspace.txn(request, options),
    )
    if (!succeeded) throw placeLost()
    return revision
  }

  #mustLead() {
    const lead = this.#lead
    if (lead === undefined || !lead.leadership.isHeld()) throw placeLost()
    if (this.#stopping.signal.aborted) throw this.#stopping.signal.reason
    return lead
  }

  /** A Fault when the lead is lost or this node's part ends. */
  async #sleep(ms: number): Promise<void> {
    const { leadership } = this.#mustLead()
    const ended = new AbortController()
    const onAbort = (): void => ended.abort()
    leadership.signal.addEventListener('abort', onAbort)
    this.#stopping.signal.addEventListener('abort', onAbort)
    try {
      await this.#ground.host.clock.sleep(ms, ended.signal)
    } finally {
      leadership.signal.removeEventListener('abort', onAbort)
      this.#stopping.signal.removeEventListener('abort', onAbort)
    }
    this.#mustLead()
  }

  #wallMs(): number {
    return Math.max(0, Math.floor(this.#ground.host.clock.wallMs()))
  }

  #isUnchanged({ scheduledMs, modRevision }: Run): Compare {
    const key = this.#timeKey('runs', scheduledMs)
    return { key, target: 'mod', result: 'equal', operand: modRevision }
  }

  #putRun(
    scheduledMs: number,
    run: { readonly attempts: number; readonly error: string },
  ): Operation {
    const value = encodeBytes(runRecord, { version: 1, ...run })
    return { kind: 'put', key: this.#timeKey('runs', scheduledMs), value }
  }

  #dropRun({ scheduledMs }: Run): Operation {
    return { kind: 'delete', key: this.#timeKey('runs', scheduledMs) }
  }

  #key(part: string): Uint8Array {
    return utf8Encode(`${this.#options.name}/${part}`)
  }

  /** Order of bytes is order of time. */
  #timeKey(part: 'runs' | 'dead', ms: number): Uint8Array {
    return this.#key(`${part}/${String(ms).padStart(timeDigits, '0')}`)
  }
}

function timeOf(key: Uint8Array): number {
  let ms = 0
  for (const digit of key.subarray(key.length - timeDigits)) ms = ms * 10 + (digit - 48)
  return ms
}

function decidedOf(kv: KeyValue | undefined): number {
  if (kv === undefined) return 0
  const { version, decidedMs } = decodeBytes(planRecord, kv.value)
  if (version !== 1) throw unknownVersion(version)
  return decidedMs
}

function readRun(kv: KeyValue): { readonly attempts: number; readonly error: string } {
  const { version, attempts, error } = decodeBytes(runRecord, kv.value)
  if (version !== 1) throw unknownVersion(version)
  return { attempts, error }
}

function unknownVersion(version: number): Fault {
  return new Fault(
    'unsupported',
    `a record of a schedule has version ${version}; this node knows 1`,
  )
}

/** The work, or the signal's reason; the work goes on then, and what it answers is nobody's. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

function mustBeFault(error: unknown): void {
  if (!isFault(error)) throw error
}
