// The operator of the life workload: takes new machines in, drains and removes others, changes its mind, all
// through the admin API of whatever node it meets, as a person does who sees an answer sometimes and asks again.
// What it began it ends after the heal, so that nothing is left half done.

import { type NodeId, nodeId, type Random, utf8Encode } from '../../src/base/index.ts'
import { WorldFailure } from '../failures.ts'
import type { World } from '../world.ts'
import { adminAddressOf, hostOf, type S3Cluster, s3AddressOf } from './s3-cluster.ts'
import { pick } from './s3-objects.ts'

const membersMax = 5
const membersMin = 3
const drainedWithinMs = 240_000
const pauseMs = 2_500
/** A machine may be long in coming after it was taken in. */
const bootMsMax = 12_000

type Drain = { readonly id: number; readonly isDrained: boolean; readonly shardsLeft: number }

export class LifeOperator {
  readonly #world: World
  readonly #cluster: S3Cluster
  readonly #random: Random
  #nextPlace: number
  /** Places whose member drains or is being removed. */
  readonly #leaving = new Set<number>()

  constructor(world: World, cluster: S3Cluster) {
    this.#world = world
    this.#cluster = cluster
    this.#random = world.drawRandom()
    this.#nextPlace = Math.max(...cluster.places) + 1
  }

  /** A disk that is lost beside what is on its way out would be one loss too many. */
  get isLeaving(): boolean {
    return this.#leaving.size > 0
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await this.#world.sleep(200 + this.#random.integer(pauseMs))
      await this.#once(isOver)
    }
  }

  /** After the heal: whatever drains is empty at last, and is removed. */
  async finish(): Promise<void> {
    for (const place of [...this.#leaving]) {
      const id = this.#cluster.idOf(place) as NodeId
      await this.#cluster.until(`node ${id} is empty`, drainedWithinMs, async () => {
        if (await this.#isDrained(id)) return true
        // The answer to its drain may have been lost with the drain itself.
        await this.#ask('/v1/members/drain', { id })
        return false
      })
      await this.#cluster.until(`node ${id} is removed`, drainedWithinMs, () => {
        return this.#remove(place)
      })
    }
  }

  async #once(isOver: () => boolean): Promise<void> {
    const { places } = this.#cluster
    const staying = places.filter((place) => !this.#leaving.has(place))
    const choice = this.#random.integer(10)
    if (places.length < membersMax && (choice < 4 || staying.length <= membersMin)) {
      await this.#add()
      // At once, while the newcomer is still being built up.
      if (this.#random.chance(0.4)) await this.#drain(pick(staying, this.#random))
    } else if (staying.length > membersMin && choice < 7) {
      await this.#drain(pick(staying, this.#random))
    } else if (this.#leaving.size > 0) {
      const place = pick([...this.#leaving], this.#random)
      if (choice === 9) await this.#cancel(place)
      else await this.#see(place, isOver)
    }
  }

  async #add(): Promise<void> {
    const place = this.#nextPlace++
    const host = hostOf(place)
    const addresses = {
      control: { host, port: 6660 },
      bulk: { host, port: 9991 },
      admin: adminAddressOf(place),
      s3: s3AddressOf(place),
    }
    const given = await this.#ask('/v1/members/add', { addresses })
    const id = (given as { id?: number } | undefined)?.id ?? (await this.#findByHost(host))
    if (id === undefined) return
    this.#world.trace(`place ${place} is taken in as node ${id}`)
    this.#world.count('members added')
    const isSlow = this.#random.chance(0.4)
    this.#cluster.addPlace(place, nodeId(id), isSlow ? this.#random.integer(bootMsMax) : 0)
  }

  /** A member whose addition was done although no answer came. */
  async #findByHost(host: string): Promise<number | undefined> {
    const status = await this.#cluster.anyStatus()
    return status?.nodes.find(({ control }) => control === `${host}:6660`)?.id
  }

  async #drain(place: number): Promise<void> {
    const id = this.#cluster.idOf(place)
    if (id === undefined) return
    const given = await this.#ask('/v1/members/drain', { id })
    if (given === undefined) return
    this.#leaving.add(place)
    this.#world.count('drains begun')
  }

  async #cancel(place: number): Promise<void> {
    const id = this.#cluster.idOf(place)
    const given = await this.#ask('/v1/members/drain', { id, cancel: true })
    if (given === undefined) return
    this.#leaving.delete(place)
    this.#world.count('drains cancelled')
  }

  /** Looks for a while whether it is empty, and removes it then. */
  async #see(place: number, isOver: () => boolean): Promise<void> {
    const id = this.#cluster.idOf(place) as NodeId
    for (let look = 0; look < 12 && !isOver(); look++) {
      if (await this.#isDrained(id)) {
        await this.#remove(place)
        return
      }
      await this.#world.sleep(700)
    }
  }

  async #isDrained(id: NodeId): Promise<boolean> {
    const place = pick(this.#cluster.places, this.#random)
    const given = await this.#cluster.admin(place, 'GET', { target: '/v1/moves' })
    const { draining } = (given ?? { draining: [] }) as { readonly draining: readonly Drain[] }
    const own = draining.find((one) => one.id === id)
    if (own?.isDrained === true && own.shardsLeft > 0) {
      throw new WorldFailure(`node ${id} says that it is empty with ${own.shardsLeft} shards left`)
    }
    return own?.isDrained === true
  }

  async #remove(place: number): Promise<boolean> {
    const id = this.#cluster.idOf(place)
    const given = await this.#ask('/v1/members/remove', { id })
    if (given === undefined) return false
    this.#leaving.delete(place)
    this.#cluster.dropPlace(place)
    this.#world.trace(`place ${place} is left by node ${id}`)
    this.#world.count('members removed')
    return true
  }

  #ask(target: string, body: unknown): Promise<unknown> {
    const place = pick(this.#cluster.places, this.#random)
    return this.#cluster.admin(place, 'POST', { target, body: utf8Encode(JSON.stringify(body)) })
  }
}
