// Health of members on whole nodes: heartbeats, suspicion and what is written of it, beside clients that use objects.
//
// Checked: while every message is late by up to 100 ms nobody is suspected; a node that dies is noticed and declared
// offline in time, wherever the leader is; one that returns is online again; under the usual faults every change is one
// that is allowed, told by an event, and states that an operator set stay; after the heal everybody is online, nothing
// is written any more, and no acknowledged object is lost.

import type { Random } from '../../src/base/index.ts'
import { WorldFailure } from '../failures.ts'
import { Faults } from '../faults.ts'
import type { World } from '../world.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'
import { S3Cluster } from './s3-cluster.ts'
import { type ObjectWorld, pick } from './s3-objects.ts'
import { objectWorldOf, readEverywhere, readOrPut } from './s3-parts.ts'

/** What a batch of seeds must have seen at least once. */
export const healthPromises: readonly string[] = [
  ...nodePromises,
  'deaths noticed',
  'deaths of the leader noticed',
  'returns noticed',
  'journal cluster.member_suspect',
  'journal cluster.member_offline',
  'journal cluster.member_online',
]

const servesWithinMs = 60_000
const onlineWithinMs = 30_000
const jitterMs = 100
const calmMs = 30_000
const calmThinkMs = 20_000
const deaths = 3
/** Without a leader first one is elected, which then has patience. */
const noticedWithinMs = 5_000
const electedWithinMs = 3_000
const objectKeys = Array.from({ length: 8 }, (_, i) => `object-${i}`)

type Nodes = readonly { readonly node_id: number; readonly status: string }[]
type Status = { readonly leader_node_id: number | null }
type Events = {
  readonly events: readonly {
    readonly number: number
    readonly kind: string
    readonly node: number
  }[]
}

export async function runHealthWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new HealthWorkload(world, options).run()
}

/** What `calm` must have seen: nothing went wrong, so little is promised. */
export const calmPromises: readonly string[] = ['objects put', 'objects read']

/** Nothing but messages that are late, for as long as it is asked to last: an hour is `--seconds 3600`. */
export async function runCalmWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new HealthWorkload(world, options).beCalm()
}

class HealthWorkload {
  readonly #world: World
  readonly #durationMs: number
  readonly #cluster: S3Cluster
  readonly #random: Random
  readonly #at: ObjectWorld
  #isOver = false

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#durationMs = options.durationMs
    this.#random = world.drawRandom()
    this.#cluster = new S3Cluster(world, options.nodes)
    this.#at = objectWorldOf(world, this.#cluster)
  }

  async run(): Promise<void> {
    const { places } = this.#cluster
    for (const place of places) this.#cluster.start(place)
    await this.#allServe()
    await this.#allOnline()
    const client = this.#client()
    await this.#staysCalm('under jitter', jitterMs)
    // With fewer than three nodes nobody is left to write that one died.
    for (let death = 0; places.length >= 3 && death < deaths; death++) await this.#killOne()
    const faults = new Faults(this.#world, {
      nodes: places,
      kinds: nodeFaultKinds,
      restart: (place) => this.#cluster.start(place),
      everyMs: 1_000,
    })
    await faults.run(this.#durationMs)
    await this.#allServe()
    await this.#allOnline()
    this.#isOver = true
    await client
    await this.#cluster.becomeWhole()
    await this.#staysCalm('after the heal', 0)
    await this.#checkEvents()
    await readEverywhere(this.#at, this.#cluster, servesWithinMs)
    countJournals(this.#world)
    this.#at.history.check()
  }

  async beCalm(): Promise<void> {
    for (const place of this.#cluster.places) this.#cluster.start(place)
    await this.#allServe()
    await this.#allOnline()
    const client = this.#client(calmThinkMs)
    await this.#staysCalm('under jitter', jitterMs, this.#durationMs)
    this.#isOver = true
    await client
    this.#at.history.check()
  }

  /** Nobody is suspected for a while, however late messages are. */
  async #staysCalm(when: string, delayMs: number, forMs = calmMs): Promise<void> {
    const before = this.#alarms()
    this.#world.network.extraDelayMs = delayMs
    await this.#world.sleep(forMs)
    this.#world.network.extraDelayMs = 0
    const alarms = this.#alarms() - before
    if (alarms > 0) throw new WorldFailure(`${alarms} false alarms ${when}`)
  }

  #alarms(): number {
    const { counts } = this.#world
    const suspected = counts.get('journal cluster.member_suspect') ?? 0
    return suspected + (counts.get('journal cluster.member_offline') ?? 0)
  }

  async #killOne(): Promise<void> {
    const { places } = this.#cluster
    const victim = pick(places, this.#random)
    const witness = places.find((place) => place !== victim) ?? victim
    const isLeader =
      (await this.#ask<Status>(witness, '/cluster/status'))?.leader_node_id === victim
    const diedMs = this.#world.nowMs
    this.#world.crash(victim, 'kill')
    const withinMs = noticedWithinMs + (isLeader ? electedWithinMs : 0)
    await this.#cluster.until(`the death of ${victim} is noticed`, withinMs, async () => {
      const state = await this.#stateOf(witness, victim)
      return state === 'suspect' || state === 'offline'
    })
    this.#world.count(isLeader ? 'deaths of the leader noticed' : 'deaths noticed')
    this.#world.trace(`noticed after ${Math.round(this.#world.nowMs - diedMs)} ms`)
    await this.#cluster.until(`the dead ${victim} is offline`, withinMs, async () => {
      return (await this.#stateOf(witness, victim)) === 'offline'
    })
    this.#cluster.start(victim)
    await this.#allServe()
    await this.#allOnline()
    this.#world.count('returns noticed')
  }

  async #stateOf(witness: number, node: number): Promise<string | undefined> {
    const told = await this.#ask<Nodes>(witness, '/cluster/nodes')
    return told?.find(({ node_id }) => node_id === node)?.status
  }

  async #ask<T>(place: number, target: string): Promise<T | undefined> {
    return (await this.#cluster.admin(place, 'GET', { target })) as T | undefined
  }

  async #allServe(): Promise<void> {
    await this.#cluster.until('every node serves', servesWithinMs, () => this.#cluster.allServe())
  }

  /** As every node has it. */
  async #allOnline(): Promise<void> {
    for (const place of this.#cluster.places) {
      await this.#cluster.until(`all are online for ${place}`, onlineWithinMs, async () => {
        const told = await this.#ask<Nodes>(place, '/cluster/nodes')
        return told?.every(({ status }) => status === 'online') ?? false
      })
    }
  }

  /** No gaps, and for each member only changes that there can be. */
  async #checkEvents(): Promise<void> {
    const [place = 1] = this.#cluster.places
    const told = await this.#ask<Events>(place, '/cluster/events?limit=1000')
    if (told === undefined) throw new WorldFailure('the events cannot be read')
    const events = [...told.events].reverse()
    const states = new Map<number, string>()
    for (const [at, { number, kind, node }] of events.entries()) {
      if (number !== at + 1) throw new WorldFailure(`event ${number} is told as number ${at + 1}`)
      const before = states.get(node) ?? 'member-online'
      const isFall = kind === 'member-suspect' && before === 'member-online'
      const isDeath = kind === 'member-offline' && before !== 'member-offline'
      const isReturn = kind === 'member-online' && before !== 'member-online'
      if (!isFall && !isDeath && !isReturn) {
        throw new WorldFailure(`node ${node} went from ${before} to ${kind}`)
      }
      states.set(node, kind)
    }
    this.#world.count('events checked', events.length)
  }

  async #client(thinkMs = 1_000): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(thinkMs))
      await readOrPut(this.#at, objectKeys, random)
    }
  }
}
