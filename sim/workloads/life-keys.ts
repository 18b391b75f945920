// Clients of a namespace of users while members come and go: registers, written and read through the command API of
// any node, each a linearizable history.

import { type Random, utf8Encode } from '../../src/base/index.ts'
import { isLinearizable, type RegisterOperation } from '../checkers/linearizability.ts'
import { WorldFailure } from '../failures.ts'
import type { World } from '../world.ts'
import type { S3Cluster } from './s3-cluster.ts'
import { pick } from './s3-objects.ts'

const target = '/raft/v1/raft/life'
const keys = ['a', 'b', 'c', 'd']
const never = Number.POSITIVE_INFINITY
const thinkMs = 600
const calmThinkMs = 6_000

export class LifeKeys {
  readonly #world: World
  readonly #cluster: S3Cluster
  readonly #random: Random
  readonly #history = new Map<string, RegisterOperation[]>(keys.map((key) => [key, []]))
  #written = 0

  constructor(world: World, cluster: S3Cluster) {
    this.#world = world
    this.#cluster = cluster
    this.#random = world.drawRandom()
  }

  async create(): Promise<void> {
    await this.#cluster.until('the namespace is created', 60_000, async () => {
      return (await this.#ask({ command: 'create' })) !== undefined
    })
  }

  async run(isOver: () => boolean, isCalm: () => boolean): Promise<void> {
    while (!isOver()) {
      await this.#world.sleep(this.#random.integer(isCalm() ? calmThinkMs : thinkMs))
      const key = pick(keys, this.#random)
      if (this.#random.chance(0.5)) await this.#write(key)
      else await this.#read(key)
    }
  }

  /** After the heal: every node reads every key, and all of it can have happened. */
  async check(): Promise<void> {
    for (const key of keys) {
      for (const place of this.#cluster.places) {
        const what = `node ${place} reads the key ${key}`
        await this.#cluster.until(what, 60_000, () => this.#read(key, place))
      }
      const operations = this.#history.get(key) ?? []
      if (!isLinearizable(operations)) {
        throw new WorldFailure(`the key ${key} is not linearizable: ${JSON.stringify(operations)}`)
      }
    }
  }

  async #write(key: string): Promise<void> {
    const value = `v${++this.#written}`
    const startMs = this.#world.nowMs
    const done = await this.#ask({ command: 'set', key, value })
    const endMs = done === undefined ? never : this.#world.nowMs
    if (done !== undefined) this.#world.count('keys written')
    this.#history.get(key)?.push({ kind: 'write', value, startMs, endMs })
  }

  async #read(key: string, place?: number): Promise<boolean> {
    const startMs = this.#world.nowMs
    const got = (await this.#ask({ command: 'get', key }, place)) as { value?: string } | undefined
    if (got === undefined) return false
    this.#world.count('keys read')
    const { value } = got
    this.#history.get(key)?.push({ kind: 'read', value, startMs, endMs: this.#world.nowMs })
    return true
  }

  #ask(command: unknown, place = pick(this.#cluster.places, this.#random)): Promise<unknown> {
    const body = utf8Encode(JSON.stringify(command))
    return this.#cluster.admin(place, 'POST', { target, body })
  }
}
