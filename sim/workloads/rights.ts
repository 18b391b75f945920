// Rights under faults: a user's right is taken away and given back through the admin API of any node, in several
// ways, while he asks all gateways for an object.
//
// Checked: once it is acknowledged that the right was taken, no node lets him in to what he asks for later than the
// promised time after it, cut off, paused, restarted or not, until somebody asks for the right to be given back. After
// the heal every node knows the last word, and every acknowledged act is in the audit log.

import { type Random, utf8Encode } from '../../src/base/index.ts'
import { WorldFailure } from '../failures.ts'
import { Faults } from '../faults.ts'
import type { World } from '../world.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'
import { S3Client, type S3Outcome } from './s3-client.ts'
import { bucket, credential, region, S3Cluster, s3AddressOf } from './s3-cluster.ts'
import type { S3Key } from './s3-signing.ts'

/** What a batch of seeds must have seen at least once. */
export const rightsPromises: readonly string[] = [
  ...nodePromises.filter((promise) => promise !== 'configuration changes'),
  'rights taken: policy',
  'rights taken: key',
  'rights taken: group',
  'rights given back',
  'let in',
  'kept out after the promised time',
  'kept out before it',
]

const askerCount = 4
const thinkMs = 150
const turnMs = 3_000
const faultEveryMs = 1_000
const servesWithinMs = 60_000
/** staleMsMax, when the age of the last word is told to a thread (400 ms), and what a skewed clock adds. */
const effectiveMs = 2_000
const tenant = '/v1/access/tenants/000000000001'

type Way = { readonly name: string; readonly path: string; readonly isKey?: true }

export async function runRightsWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new RightsWorkload(world, options).run()
}

class RightsWorkload {
  readonly #world: World
  readonly #durationMs: number
  readonly #cluster: S3Cluster
  readonly #random: Random
  #user: S3Client | undefined
  #ways: readonly Way[] = []
  /** When the taking of the right was acknowledged; undefined: he may be let in. */
  #takenAtMs: number | undefined
  #acknowledged = 0
  #isOver = false

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#durationMs = options.durationMs
    this.#random = world.drawRandom()
    this.#cluster = new S3Cluster(world, options.nodes)
  }

  async run(): Promise<void> {
    const { places } = this.#cluster
    for (const place of places) this.#cluster.start(place)
    await this.#allServe('every node serves')
    await this.#found()
    const asking = Array.from({ length: askerCount }, () => this.#ask())
    const changing = this.#change()
    const faults = new Faults(this.#world, {
      nodes: places,
      kinds: nodeFaultKinds,
      restart: (place) => this.#cluster.start(place),
      everyMs: faultEveryMs,
    })
    await faults.run(this.#durationMs)
    await this.#allServe('every node serves after the heal')
    this.#isOver = true
    await Promise.all([...asking, changing])
    for (const isGiven of [true, false]) await this.#lastWord(isGiven)
    await this.#checkLog()
    countJournals(this.#world)
  }

  /** A user whose policy comes by a group, with one key, and an object to ask for. */
  async #found(): Promise<void> {
    const root = new S3Client(this.#world, {
      bucket,
      key: credential,
      region,
      addressOf: s3AddressOf,
    })
    await this.#until('the object is put', async () => {
      const body = utf8Encode('bytes')
      return (await root.ask(1, { method: 'PUT', key: 'k', body })).kind === 'done'
    })
    const statement = {
      Effect: 'Allow',
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${bucket}/*`,
    }
    await this.#send('POST', `${tenant}/users`, { name: 'alice' })
    await this.#send('POST', `${tenant}/groups`, { name: 'readers' })
    await this.#send('PUT', `${tenant}/policies/read`, { document: { Statement: statement } })
    await this.#send('PUT', `${tenant}/groups/readers/policies/read`)
    await this.#send('PUT', `${tenant}/groups/readers/members/alice`)
    const made = (await this.#send('POST', `${tenant}/keys`, { user: 'alice' })) as {
      readonly id: string
      readonly secretAccessKey: string
    }
    const key: S3Key = { accessKeyId: made.id, secretAccessKey: made.secretAccessKey }
    this.#user = new S3Client(this.#world, { bucket, key, region, addressOf: s3AddressOf })
    this.#ways = [
      { name: 'policy', path: `${tenant}/groups/readers/policies/read` },
      { name: 'group', path: `${tenant}/groups/readers/members/alice` },
      { name: 'key', path: `${tenant}/keys/${made.id}`, isKey: true },
    ]
  }

  async #change(): Promise<void> {
    while (!this.#isOver) {
      const way = this.#ways[this.#random.integer(this.#ways.length)] as Way
      await this.#turn(way, false)
      await this.#world.sleep(effectiveMs + this.#random.integer(turnMs))
      await this.#turn(way, true)
      await this.#world.sleep(this.#random.integer(turnMs))
    }
  }

  /** Asked until it is acknowledged: what was done already is done again without harm. */
  async #turn(way: Way, isGiven: boolean): Promise<void> {
    if (isGiven) this.#takenAtMs = undefined
    const body = way.isKey === true ? { active: isGiven } : undefined
    await this.#send(isGiven || way.isKey === true ? 'PUT' : 'DELETE', way.path, body)
    if (!isGiven) this.#takenAtMs = this.#world.nowMs
    this.#world.count(isGiven ? 'rights given back' : `rights taken: ${way.name}`)
    this.#world.trace(`${way.name} ${isGiven ? 'given back' : 'taken'}`)
  }

  async #ask(): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(thinkMs))
      const { places } = this.#cluster
      const place = places[random.integer(places.length)] as number
      const takenAtMs = this.#takenAtMs
      const lateMs = takenAtMs === undefined ? undefined : this.#world.nowMs - takenAtMs
      const outcome = await this.#get(place)
      if (lateMs === undefined || takenAtMs !== this.#takenAtMs) {
        if (outcome.kind === 'done') this.#world.count('let in')
        continue
      }
      if (outcome.kind === 'done' && lateMs > effectiveMs) {
        throw new WorldFailure(
          `node ${place} let him in ${Math.round(lateMs)} ms after the right was taken`,
        )
      }
      if (outcome.kind === 'refused') {
        const when =
          lateMs > effectiveMs ? 'kept out after the promised time' : 'kept out before it'
        this.#world.count(when)
      }
    }
  }

  #get(place: number): Promise<S3Outcome> {
    const user = this.#user as S3Client
    return user.ask(place, { method: 'GET', key: 'k' })
  }

  async #lastWord(isGiven: boolean): Promise<void> {
    for (const way of this.#ways) await this.#turn(way, isGiven)
    const wanted = isGiven ? 'done' : 'refused'
    for (const place of this.#cluster.places) {
      const what = `node ${place} knows that the right is ${isGiven ? 'given' : 'taken'}`
      await this.#until(what, async () => (await this.#get(place)).kind === wanted)
    }
  }

  async #checkLog(): Promise<void> {
    const page = (await this.#send('GET', '/v1/access/audit?limit=1000')) as {
      readonly entries: readonly { readonly outcome: string }[]
    }
    const entered = page.entries.filter(({ outcome }) => outcome === 'ok').length
    if (entered >= Math.min(this.#acknowledged, 1_000)) return
    throw new WorldFailure(
      `${this.#acknowledged} acts were acknowledged, ${entered} are in the log`,
    )
  }

  /** At one node after the other until one of them has done it. */
  async #send(method: string, target: string, body?: unknown): Promise<unknown> {
    let answer: unknown
    let turn = this.#random.integer(this.#cluster.places.length)
    await this.#until(`${method} ${target}`, async () => {
      const { places } = this.#cluster
      const place = places[turn++ % places.length] as number
      const text = utf8Encode(body === undefined ? '' : JSON.stringify(body))
      answer = await this.#cluster.admin(place, method, { target, body: text })
      return answer !== undefined
    })
    if (method !== 'GET') this.#acknowledged++
    return answer
  }

  async #until(what: string, isDone: () => Promise<boolean>): Promise<void> {
    await this.#cluster.until(what, servesWithinMs + this.#durationMs, isDone)
  }

  async #allServe(what: string): Promise<void> {
    await this.#cluster.until(what, servesWithinMs, () => this.#cluster.allServe())
  }
}
