// Registers in the keyspace (write, delete, compare-and-set, read) through the gateways of all nodes, with a watch of
// everything on each node. Judged: histories are linearizable, watches keep etcd's guarantees and reach the last revision.

import {
  check,
  checkWatches,
  formatViolation,
  HistoryRecorder,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  type WatchedWrite,
  type WatchRecord,
} from '../../sim/histories/index.ts'
import {
  type Compare,
  currentRevision,
  localRevision,
  range,
  txn,
  type Txn,
  watch,
} from './etcd-client.ts'
import type { Outcome } from './http.ts'
import { count, type Epoch, insist, type Load, pick, sleep } from './load.ts'
import type { NodePlace } from './machines.ts'

type Responses = WatchRecord['responses'][number][]
type WriteInput = Exclude<RegisterInput, { readonly kind: 'read' }>

const clientCount = 6
const keyCount = 24
const pauseMsMax = 25
const afterFailureMs = 120
const valueBytesMax = 1_500
const settlesWithinMs = 30_000

export function createRegisterLoad(epoch: Epoch, startRevision: number): Load {
  return new RegisterLoad(epoch, startRevision)
}

class RegisterLoad implements Load {
  readonly #epoch: Epoch
  readonly #startRevision: number
  readonly #prefix: string
  readonly #keys: readonly string[]
  readonly #recorder = new HistoryRecorder<RegisterInput, RegisterOutput>()
  readonly #writes: WatchedWrite[] = []
  readonly #watches: (WatchRecord & { readonly responses: Responses })[] = []
  readonly #next = new Map<number, number>()
  readonly #seen = new Map<string, string | null>()
  readonly #problems: string[] = []
  #nextValue = 1
  #isWatchOver = false
  #cancels: (() => void)[] = []
  #watching: Promise<void>[] = []

  constructor(epoch: Epoch, startRevision: number) {
    this.#epoch = epoch
    this.#startRevision = startRevision
    this.#prefix = `${epoch.name}r/`
    this.#keys = Array.from({ length: keyCount }, (_, at) => `${this.#prefix}${at}`)
  }

  async run(): Promise<void> {
    this.#watching = this.#epoch.places.map((place) => this.#watch(place))
    await Promise.all(Array.from({ length: clientCount }, (_, client) => this.#client(client)))
  }

  async judge(): Promise<readonly string[]> {
    const { places } = this.#epoch
    for (const place of places) {
      for (const key of this.#keys) {
        const isRead = await insist(
          async () => (await this.#read(clientCount, key, place)) || undefined,
        )
        if (isRead === undefined) this.#problems.push(`node ${place.id} does not read ${key}`)
      }
    }
    await this.#watchesCatchUp()
    this.#isWatchOver = true
    for (const cancel of this.#cancels) cancel()
    await Promise.all(this.#watching)
    const verdict = check(this.#recorder.history(), registerModel)
    count(this.#epoch.counts, 'register operations judged', verdict.operations)
    if (verdict.kind === 'violated') this.#problems.push(formatViolation(verdict, registerModel))
    if (verdict.kind === 'unknown') this.#problems.push(`registers: too wide (${verdict.reason})`)
    count(this.#epoch.counts, 'watches judged', this.#watches.length)
    return [...this.#problems, ...checkWatches(this.#writes, this.#watches)]
  }

  facts(): ReadonlyMap<string, string | null> {
    return new Map(this.#seen)
  }

  // ---- clients ----

  async #client(client: number): Promise<void> {
    const { random, places } = this.#epoch
    while (!this.#epoch.isOver) {
      await sleep(random.integer(pauseMsMax))
      const key = pick(this.#keys, random)
      const place = pick(places, random)
      const draw = random.integer(10)
      const isFine =
        draw < 4
          ? await this.#read(client, key, place)
          : await this.#write(client, this.#drawWrite(key, draw), place)
      if (!isFine) await sleep(afterFailureMs)
    }
  }

  #drawWrite(key: string, draw: number): WriteInput {
    const value = draw === 9 ? null : this.#drawValue()
    const seen = this.#seen.get(key) ?? null
    if (seen === null || value === null || draw < 7) return { kind: 'write', key, value }
    return { kind: 'compare-and-set', key, expected: seen, value }
  }

  /** Of many lengths; a number of its own first. */
  #drawValue(): string {
    const number = String(this.#nextValue++)
    return number.padEnd(this.#epoch.random.integer(valueBytesMax), '.')
  }

  async #read(client: number, key: string, place: NodePlace): Promise<boolean> {
    const call = this.#recorder.called(client, { kind: 'read', key })
    const found = await range(place, key)
    if (found === undefined) {
      this.#recorder.refused(call)
      count(this.#epoch.counts, 'reads without an answer')
      return false
    }
    this.#seen.set(key, found.value)
    this.#recorder.returned(call, { kind: 'read', value: found.value })
    count(this.#epoch.counts, 'reads')
    return true
  }

  async #write(client: number, input: WriteInput, place: NodePlace): Promise<boolean> {
    const call = this.#recorder.called(client, input)
    const { key, value } = input
    const compares: readonly Compare[] =
      input.kind === 'write' ? [] : [{ key, target: 'VALUE', value: input.expected ?? '' }]
    const outcome: Outcome<Txn> = await txn(place, compares, { key, value })
    const { calledAt } = call
    if (outcome.kind !== 'answered') {
      count(this.#epoch.counts, outcome.kind === 'refused' ? 'writes refused' : 'writes unknown')
      if (outcome.kind === 'refused') this.#recorder.refused(call)
      else {
        this.#recorder.lost(call)
        this.#writes.push({ key, value, revision: undefined, calledAt })
      }
      return false
    }
    const { succeeded: isDone, changed, revision } = outcome.answer
    count(this.#epoch.counts, isDone ? 'writes acknowledged' : 'compares that failed')
    if (changed) this.#writes.push({ key, value, revision, calledAt })
    const { kind } = input
    this.#recorder.returned(call, kind === 'write' ? { kind } : { kind, isDone })
    return true
  }

  // ---- watches ----

  /** A watch of every key on this node; again from where it came to whenever it ends. */
  async #watch(place: NodePlace): Promise<void> {
    this.#next.set(place.id, this.#startRevision)
    while (!this.#isWatchOver) {
      const startRevision = this.#next.get(place.id) ?? this.#startRevision
      const responses: Responses = []
      const name = `watch ${this.#watches.length} on node ${place.id}`
      const covers = (key: string): boolean => key.startsWith(this.#prefix)
      this.#watches.push({ name, startRevision, covers, responses })
      const { ended, cancel } = watch(place, this.#prefix, startRevision, (line) => {
        if (line.why !== undefined) {
          count(this.#epoch.counts, 'watches cancelled')
          cancel()
          return
        }
        if (line.isCreated && line.events.length === 0) return
        const last = line.events.at(-1)?.revision ?? line.revision
        responses.push({
          at: this.#recorder.moment(),
          events: line.events,
          revision: last,
          isFragment: false,
        })
        this.#next.set(place.id, Math.max(this.#next.get(place.id) ?? 0, last + 1))
      })
      this.#cancels.push(cancel)
      await ended
      this.#cancels = this.#cancels.filter((one) => one !== cancel)
      count(this.#epoch.counts, 'watches ended')
      if (!this.#isWatchOver) await sleep(afterFailureMs)
    }
  }

  async #watchesCatchUp(): Promise<void> {
    const [first] = this.#epoch.places
    if (first === undefined) return
    // A last write, so that every watch has something to tell.
    const key = `${this.#prefix}last`
    const calledAt = this.#recorder.moment()
    const last = await insist(async () => {
      const outcome = await txn(first, [{ key, target: 'CREATE', revision: 0 }], {
        key,
        value: 'x',
      })
      if (outcome.kind !== 'answered') return undefined
      return outcome.answer.succeeded
        ? { revision: outcome.answer.revision, isOwn: true }
        : { revision: await currentRevision(first), isOwn: false }
    })
    const revision = last?.revision
    if (revision === undefined) {
      this.#problems.push(`node ${first.id} takes no write after the faults`)
      return
    }
    this.#writes.push({ key, value: 'x', revision: last?.isOwn ? revision : undefined, calledAt })
    const endMs = Date.now() + settlesWithinMs
    for (const place of this.#epoch.places) {
      while ((this.#next.get(place.id) ?? 0) <= revision) {
        if (Date.now() > endMs) {
          const reached = (this.#next.get(place.id) ?? 0) - 1
          const own = await localRevision(place)
          this.#problems.push(
            `the watch on node ${place.id} stays at ${reached} and does not reach ${revision}; the node has ${own}`,
          )
          return
        }
        await sleep(50)
      }
    }
  }
}
