// Members that come and go under faults: real nodes; an operator adds, drains, cancels and removes members, and
// replaces those whose disk is lost, while nodes are killed and cut off, power is lost with what was not synced,
// and clocks run wrong. Clients use objects and keys all the while.
//
// Checked: every acknowledged object and key is there, as a linearizable history; no group that had three voters ever
// has fewer; no node ever misses a shard that the chunk table names at it, disks that were lost excepted: copies
// are durable before they are named, and released only after; after the heal all drains end, all members are of one
// cluster, every group has its voters, and redundancy is whole within its time.

import type { Random } from '../../src/base/index.ts'
import { Faults } from '../faults.ts'
import { WorldFailure } from '../failures.ts'
import type { World } from '../world.ts'
import { LifeKeys } from './life-keys.ts'
import { LifeOperator } from './life-operator.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'
import { S3Cluster } from './s3-cluster.ts'
import { type ObjectWorld, pick } from './s3-objects.ts'
import { objectWorldOf, readEverywhere, readOrPut } from './s3-parts.ts'

export const lifePromises: readonly string[] = [
  ...nodePromises,
  'fault lost disk',
  'nodes replaced',
  'members added',
  'members removed',
  'drains begun',
  'drains cancelled',
  'objects put',
  'objects read',
  'keys written',
  'keys read',
]

const clientCount = 2
const objectKeys = Array.from({ length: 16 }, (_, i) => `life/${i}`)
const thinkMs = 800
const calmThinkMs = 6_000
const faultEveryMs = 1_500
const servesWithinMs = 90_000
const votersMin = 3

export async function runLifeWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new LifeWorkload(world, options).run()
}

class LifeWorkload {
  readonly #world: World
  readonly #durationMs: number
  readonly #cluster: S3Cluster
  readonly #operator: LifeOperator
  readonly #keys: LifeKeys
  readonly #random: Random
  readonly #at: ObjectWorld
  /** Between turns of faults: only what was begun is ended, so clients ask seldom. */
  #isCalm = false
  #isOver = false

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#durationMs = options.durationMs
    this.#random = world.drawRandom()
    this.#cluster = new S3Cluster(world, Math.max(votersMin, options.nodes))
    this.#operator = new LifeOperator(world, this.#cluster)
    this.#keys = new LifeKeys(world, this.#cluster)
    this.#at = objectWorldOf(world, this.#cluster)
  }

  async run(): Promise<void> {
    for (const place of this.#cluster.places) this.#cluster.start(place)
    await this.#allServe('every node serves')
    await this.#keys.create()
    const isOver = (): boolean => this.#isOver
    const clients = Array.from({ length: clientCount }, () => this.#client())
    const work = [...clients, this.#keys.run(isOver, () => this.#isCalm), this.#watch()]
    const turns = this.#random.chance(0.5) ? 2 : 1
    await this.#turn(this.#durationMs / turns)
    if (turns === 2) await this.#loseOne(this.#durationMs / turns)
    this.#isOver = true
    await Promise.all(work)
    await this.#cluster.becomeWhole()
    await readEverywhere(this.#at, this.#cluster, servesWithinMs)
    await this.#keys.check()
    this.#checkJournals()
    countJournals(this.#world)
    this.#at.history.check()
  }

  /** Faults and changes of members for a while; then what was begun is ended. */
  async #turn(durationMs: number): Promise<void> {
    let isOver = false
    this.#isCalm = false
    const operating = this.#operator.run(() => isOver)
    const faults = new Faults(this.#world, {
      nodes: this.#cluster.places,
      kinds: nodeFaultKinds,
      restart: (place) => this.#cluster.start(place),
      everyMs: faultEveryMs,
    })
    await faults.run(durationMs)
    isOver = true
    this.#isCalm = true
    await operating
    await this.#allServe('every node serves after the heal')
    await this.#operator.finish()
  }

  async #loseOne(durationMs: number): Promise<void> {
    await this.#cluster.becomeWhole()
    const lost = pick(this.#cluster.places, this.#random)
    this.#cluster.loseDisk(lost)
    await this.#cluster.replace(lost)
    await this.#turn(durationMs)
  }

  /** What must hold at every moment, as the nodes tell it. */
  async #watch(): Promise<void> {
    const had = new Set<string>()
    const clusters = new Set<string>()
    while (!this.#isOver) {
      await this.#world.sleep(500)
      const status = await this.#cluster.anyStatus()
      if (status === undefined) continue
      clusters.add(status.clusterId)
      if (clusters.size > 1) throw new WorldFailure(`two clusters: ${[...clusters]}`)
      for (const { name, role, voters, node } of status.groups) {
        if (role !== 'leader') continue
        if (voters.length >= votersMin) had.add(name)
        else if (had.has(name)) {
          throw new WorldFailure(`${name} has the voters ${voters} only, says its leader ${node}`)
        }
      }
    }
  }

  #checkJournals(): void {
    const missing = this.#world.counts.get('journal content.shard_missing') ?? 0
    if (missing === 0) return
    throw new WorldFailure(`${missing} shards were named where they were not`)
  }

  async #client(): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(this.#isCalm ? calmThinkMs : thinkMs))
      await readOrPut(this.#at, objectKeys, random)
    }
  }

  async #allServe(what: string): Promise<void> {
    await this.#cluster.until(what, servesWithinMs, () => this.#cluster.allServe())
  }
}
