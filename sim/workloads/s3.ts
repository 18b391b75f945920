// The product under faults: real nodes (startNode, zero data threads) on simulated hosts; clients use objects
// in every way that S3 has, through the gateways of all of them; disks are lost and nodes replaced.
//
// Checked: every key is a linearizable register whose value is the ETag of exact bytes, so an acknowledged
// object is never lost, never half-visible and never other bytes, and lists show what is there; after
// the heal every node starts, every key reads alike from every node, and redundancy is whole again.
//
// A run has one to three turns of faults. Between two turns the healed cluster becomes whole; then the disk of
// one node is lost, and the node that takes its place is built up while the next faults run.

import type { Random } from '../../src/base/index.ts'
import { Faults, type FaultKind } from '../faults.ts'
import type { World } from '../world.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'
import { isShardSegment, S3Cluster } from './s3-cluster.ts'
import {
  copyObject,
  deleteObject,
  deleteSeveral,
  drawBody,
  getObject,
  getRange,
  headObject,
  listObjects,
  type ObjectWorld,
  pick,
  putObject,
  race,
} from './s3-objects.ts'
import { objectWorldOf, readEverywhere } from './s3-parts.ts'
import { uploadInParts } from './s3-uploads.ts'

/** What a batch of seeds must have seen at least once. */
export const s3Promises: readonly string[] = [
  ...nodePromises,
  'fault flipped bit',
  'fault lost disk',
  'nodes replaced',
  'repaired shards',
  'outcomes unknown',
  'objects put',
  'objects read',
  'ranges read',
  'objects copied',
  'objects deleted',
  'objects deleted in batches',
  'conditional writes won',
  'conditional writes lost',
  'races decided: absent',
  'races decided: match',
  'lists read to the end in several pages',
  'parts replaced',
  'uploads completed',
  'uploads aborted',
  'completions repeated',
]

const clientCount = 4
const objectKeys = [
  ...Array.from({ length: 5 }, (_, i) => `object-${i}`),
  ...Array.from({ length: 5 }, (_, i) => `photos/202${i}/${i}`),
  ...Array.from({ length: 4 }, (_, i) => `logs/${i}`),
]
const thinkMs = 200
const calmThinkMs = 4_000
const faultEveryMs = 1_000
const servesWithinMs = 60_000
/** Disks lost in a run, one of these. */
const lossesDrawn = [0, 0, 0, 1, 1, 2]
const racesMax = 12

export async function runS3Workload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new S3Workload(world, options).run()
}

class S3Workload {
  readonly #world: World
  readonly #durationMs: number
  readonly #cluster: S3Cluster
  readonly #random: Random
  readonly #at: ObjectWorld
  #races = 0
  /** Between turns of faults: nothing is to be seen but repair, so clients ask seldom. */
  #isCalm = false
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
    await this.#allServe('every node serves')
    const clients = Array.from({ length: clientCount }, () => this.#client())
    const watch = this.#cluster.watch(() => this.#isOver)
    // With fewer than three nodes nothing outlives a lost disk.
    const losses = places.length < 3 ? 0 : pick(lossesDrawn, this.#random)
    const turnMs = this.#durationMs / (losses + 1)
    await this.#turn(turnMs, [...nodeFaultKinds, 'flipped bit'])
    for (let loss = 0; loss < losses; loss++) await this.#loseOne(turnMs)
    this.#isOver = true
    await Promise.all([...clients, watch])
    await this.#cluster.becomeWhole()
    await this.#maybeScrub()
    await readEverywhere(this.#at, this.#cluster, servesWithinMs)
    countJournals(this.#world)
    this.#at.history.check()
  }

  /** Faults for a while, then everybody serves. */
  async #turn(durationMs: number, kinds: readonly FaultKind[]): Promise<void> {
    const faults = new Faults(this.#world, {
      nodes: this.#cluster.places,
      kinds,
      restart: (place) => this.#cluster.start(place),
      mayFlip: isShardSegment,
      everyMs: faultEveryMs,
    })
    await faults.run(durationMs)
    await this.#allServe('every node serves after the heal')
  }

  async #loseOne(turnMs: number): Promise<void> {
    this.#isCalm = true
    await this.#cluster.becomeWhole()
    await this.#maybeScrub()
    this.#isCalm = false
    const lost = pick(this.#cluster.places, this.#random)
    this.#cluster.loseDisk(lost)
    await Promise.all([this.#cluster.replace(lost), this.#turn(turnMs, nodeFaultKinds)])
  }

  /** Rot that nobody has read yet would be one loss too many beside a lost disk. */
  async #maybeScrub(): Promise<void> {
    if ((this.#world.counts.get('fault flipped bit') ?? 0) > 0) await this.#cluster.scrub()
  }

  async #allServe(what: string): Promise<void> {
    await this.#cluster.until(what, servesWithinMs, () => this.#cluster.allServe())
  }

  async #client(): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(this.#isCalm ? calmThinkMs : thinkMs))
      await this.#act(random)
    }
  }

  async #act(random: Random): Promise<void> {
    const at = this.#at
    const key = pick(objectKeys, random)
    const place = pick(at.places, random)
    const choice = random.integer(100)
    if (choice < 25) await getObject(at, key, place)
    else if (choice < 30) await headObject(at, key, place)
    else if (choice < 40) await getRange(at, key, random)
    else if (choice < 65) await this.#put(key, random)
    else if (choice < 72) await deleteObject(at, key, place)
    else if (choice < 75) await deleteSeveral(at, this.#several(random), place)
    else if (choice < 80)
      await copyObject(at, { source: pick(objectKeys, random), target: key }, place)
    else if (choice < 85) await this.#race(key, random)
    else if (choice < 93) await listObjects(at, random)
    else await uploadInParts(at, key, random)
  }

  async #put(key: string, random: Random): Promise<void> {
    const known = this.#at.history.lastKnown(key)
    const draw = random.integer(10)
    const isMatch = draw === 0 && known !== undefined
    const condition = isMatch
      ? ({ kind: 'match', etag: known } as const)
      : ({ kind: draw === 1 ? 'absent' : 'none' } as const)
    const place = pick(this.#at.places, random)
    await putObject(this.#at, key, { body: drawBody(random), place, condition })
  }

  /** Mostly for a key that nobody has written yet. */
  async #race(key: string, random: Random): Promise<void> {
    const isFresh = this.#races < racesMax && random.chance(0.6)
    await race(this.#at, isFresh ? `race/${this.#races++}` : key, random)
  }

  #several(random: Random): readonly string[] {
    const raced = Array.from({ length: this.#races }, (_, i) => `race/${i}`)
    return Array.from({ length: 4 }, () => pick([...objectKeys, ...raced], random))
  }
}
