// A schedule on every node. Runs take a while, fail, hang, and lose their node. Checked: a tick that was begun is done
// or dead, never both; what a tick does with its end is done once; no attempt is made twice, none beyond the
// policy; and once faults are over (and everybody's clock keeps time) every second has its tick.

import { type Random, utf8Decode, utf8Encode } from '../../../src/base/index.ts'
import {
  type Operation,
  readSchedule,
  type ScheduleOptions,
  startSchedule,
  type Tick,
} from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import type { SimHost } from '../../sim-host.ts'
import type { RunningNode } from '../keyspace-cluster.ts'
import { nodeFaultKinds } from '../promises.ts'
import { type Exercise, type ExerciseKind, groundOf, type Stage } from '../recipes.ts'

const name = 'schedule'
const periodMs = 1_000
const attemptsMax = 3
/** After the heal, until a leader is there and has caught up. */
const warmUpMs = 4_000

export const schedules: ExerciseKind = {
  name: 'schedule',
  promises: ['ticks run', 'ticks done', 'ticks tried again', 'ticks dead', 'ticks after the heal'],
  create: (stage) => new Schedules(stage),
}

/** The same with clocks that keep time: then liveness can be demanded too. */
export const steadySchedules: ExerciseKind = {
  ...schedules,
  faults: nodeFaultKinds.filter((kind) => !kind.startsWith('clock ')),
}

class Schedules implements Exercise {
  readonly #stage: Stage
  /** Attempts by tick, in order of their begin. */
  readonly #attempts = new Map<number, number[]>()
  #isCalmDemanded = true
  #wallAtHealMs = 0
  #done: ReadonlySet<number> = new Set()
  #dead: ReadonlySet<number> = new Set()

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    const random = this.#stage.world.drawRandom()
    const catchUp = node.host.node % 2 === 0 ? 'once' : 'skip'
    const options: ScheduleOptions = {
      name,
      cron: '@every 1s',
      catchUp,
      attemptsMax,
      graceMs: 700,
      retryMs: 100,
      runMsMax: 1_500,
      ttlSeconds: 2,
      run: (tick) => this.#run(node.host, tick, random),
    }
    startSchedule(groundOf(node), options)
  }

  async #run(host: SimHost, tick: Tick, random: Random): Promise<readonly Operation[]> {
    const { world, healedMs } = this.#stage
    const { scheduledMs, attempt } = tick
    world.count(attempt === 1 ? 'ticks run' : 'ticks tried again')
    const attempts = this.#attempts.get(scheduledMs) ?? []
    this.#attempts.set(scheduledMs, attempts)
    attempts.push(attempt)
    const isCalm = healedMs > 0
    await host.clock.sleep(random.integer(isCalm ? 50 : 300))
    if (!isCalm && random.chance(0.05)) await host.clock.sleep(3_000, tick.signal)
    if (!isCalm && random.chance(0.25)) throw new TypeError('the run has failed')
    const value = utf8Encode(String(attempt))
    return [{ kind: 'put', key: utf8Encode(`effect/${scheduledMs}`), value }]
  }

  async settle(): Promise<void> {
    const { cluster } = this.#stage
    const status = await cluster.ask('the schedule', (keyspace) => readSchedule(keyspace, name))
    const range = { key: utf8Encode('effect/'), rangeEnd: utf8Encode('effect0') }
    const { kvs } = await cluster.ask('effects', (keyspace) => keyspace.range(range))
    const done = new Set<number>()
    for (const { key, version } of kvs) {
      const tick = Number(utf8Decode(key).slice('effect/'.length))
      if (version !== 1) throw new WorldFailure(`tick ${tick} took effect ${version} times`)
      done.add(tick)
    }
    this.#done = done
    this.#dead = new Set(status.dead.map(({ scheduledMs }) => scheduledMs))
    this.#stage.world.count('ticks done', done.size)
    this.#stage.world.count('ticks dead', this.#dead.size)
    const open = new Set(status.running.map(({ scheduledMs }) => scheduledMs))
    for (const tick of this.#attempts.keys()) {
      const places = [done, this.#dead, open].filter((set) => set.has(tick)).length
      // One that was begun while this looked may have ended between the two reads.
      const isNew = tick >= status.decidedMs - 2 * periodMs
      if (places !== 1 && !isNew) {
        throw new WorldFailure(`tick ${tick} is in ${places} of: done, dead, running`)
      }
    }
    const wall = cluster.running.get(1)?.host.clock.wallMs() ?? 0
    this.#wallAtHealMs = wall - (this.#stage.world.nowMs - this.#stage.healedMs)
    const { counts } = this.#stage.world
    this.#isCalmDemanded = !counts.has('fault clock jump') && !counts.has('fault clock skew')
    if (open.size > 1) throw new WorldFailure(`${open.size} ticks run at a time`)
  }

  check(): void {
    for (const [tick, attempts] of this.#attempts) {
      if (tick % periodMs !== 0) throw new WorldFailure(`${tick} is no tick`)
      if (new Set(attempts).size !== attempts.length) {
        throw new WorldFailure(`tick ${tick}: attempts ${attempts.join()}`)
      }
      if (Math.max(...attempts) > attemptsMax) {
        throw new WorldFailure(`tick ${tick} was tried ${Math.max(...attempts)} times`)
      }
    }
    for (const tick of this.#dead) {
      if (this.#done.has(tick)) throw new WorldFailure(`tick ${tick} is done and dead`)
    }
    if (!this.#isCalmDemanded) return
    const from = Math.ceil((this.#wallAtHealMs + warmUpMs) / periodMs) * periodMs
    for (let tick = from; tick < from + 6 * periodMs; tick += periodMs) {
      if (!this.#done.has(tick)) throw new WorldFailure(`after the heal, tick ${tick} is missing`)
      this.#stage.world.count('ticks after the heal')
    }
  }
}
