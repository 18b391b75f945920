// Watches on every node of a namespace: of everything and of some keys, with and without puts and deletes, whole and in
// fragments, with pairs before, on the core thread and on another; some stop taking responses for a while. One that ends, or whose node does, goes on
// as another behind what it was told.

import { isFault, keyAfter, type Random, utf8Decode, utf8Encode } from '../../src/base/index.ts'
import type { FullKeyspace, KeyValue, Watch, WatchRequest } from '../../src/keyspace/index.ts'
import {
  checkWatches,
  type WatchedEvent,
  type WatchedWrite,
  type WatchRecord,
} from '../histories/index.ts'
import type { World } from '../world.ts'
import type { RunningNode } from './keyspace-cluster.ts'

type Responses = WatchRecord['responses'][number][]

/** A place for watches: one after the other, each from where the last one came to. */
type Seat = {
  readonly name: string
  readonly request: Omit<WatchRequest, 'startRevision'>
  readonly covers: WatchRecord['covers']
  readonly isLazy: boolean
  readonly watches: { readonly startRevision: number; readonly responses: Responses }[]
}

const progressMs = 1_000
/** The watch of a node that another thread than the core has. */
const lanesSeat = 2
const lazinessMsMax = 2_000

export class KeyspaceWatches {
  readonly #world: World
  readonly #moment: () => number
  readonly #valueOf: (kv: KeyValue) => string
  readonly #random: Random
  readonly #seats = new Map<number, readonly Seat[]>()

  constructor(
    world: World,
    of: { readonly moment: () => number; readonly valueOf: (kv: KeyValue) => string },
  ) {
    this.#world = world
    this.#moment = of.moment
    this.#valueOf = of.valueOf
    this.#random = world.drawRandom()
  }

  /** A node has opened. */
  opened({ host, keyspace, lane }: RunningNode, keys: readonly string[]): void {
    let seats = this.#seats.get(host.node)
    if (seats === undefined) {
      seats = [
        this.#seatOfAll(host.node),
        this.#drawSeat(host.node, keys),
        this.#drawSeat(host.node, keys),
      ]
      this.#seats.set(host.node, seats)
    }
    for (const [at, seat] of seats.entries()) {
      this.#watch(host.node, at === lanesSeat ? lane : keyspace, { seat, from: nextOf(seat) })
    }
  }

  /** Every watch on the node was told everything up to the revision. */
  hasReached(node: number, revision: number): boolean {
    return (this.#seats.get(node) ?? []).every((seat) => nextOf(seat) > revision)
  }

  breaches(writes: readonly WatchedWrite[]): readonly string[] {
    const records = [...this.#seats.values()].flat().flatMap(({ name, covers, watches }) => {
      return watches.map(({ startRevision, responses }, i): WatchRecord => {
        return { name: `${name}, number ${i}`, startRevision, covers, responses }
      })
    })
    this.#world.count('watches judged', records.length)
    return checkWatches(writes, records)
  }

  #seatOfAll(node: number): Seat {
    const request = {
      key: Uint8Array.of(0),
      rangeEnd: Uint8Array.of(0),
      progressMs,
      previous: true,
    }
    const name = `the watch of everything on node ${node}`
    return { name, request, covers: () => true, isLazy: false, watches: [] }
  }

  #drawSeat(node: number, keys: readonly string[]): Seat {
    const random = this.#random
    const first = keys[random.integer(keys.length)] as string
    const last = keys[random.integer(keys.length)] as string
    const [from, to] = first < last ? [first, last] : [last, first]
    const [withoutPuts, withoutDeletes] = [random.chance(0.2), random.chance(0.2)]
    const request = {
      key: utf8Encode(from),
      rangeEnd: keyAfter(utf8Encode(to)),
      withoutPuts,
      withoutDeletes,
      progressMs,
      previous: random.chance(0.5),
      isFragmented: random.chance(0.5),
    }
    const covers = (key: string, value: string | null): boolean => {
      return key >= from && key <= to && !(value === null ? withoutDeletes : withoutPuts)
    }
    const name = `the watch from ${from} to ${to} on node ${node}`
    return { name, request, covers, isLazy: random.chance(0.5), watches: [] }
  }

  #watch(
    node: number,
    keyspace: FullKeyspace,
    { seat, from }: { readonly seat: Seat; readonly from: number },
  ): void {
    const responses: Responses = []
    seat.watches.push({ startRevision: from, responses })
    if (from > 1) this.#world.count('watches resumed')
    const watch: Watch = keyspace.watch(
      { ...seat.request, startRevision: from },
      {
        onResponse: ({ revision, events, isFragment }) => {
          const told = events.map((event): WatchedEvent => {
            const { kind, kv, previous } = event
            const isPut = kind === 'put'
            return {
              key: utf8Decode(kv.key),
              value: isPut ? this.#valueOf(kv) : null,
              revision: kv.modRevision,
              previous: previous === undefined ? undefined : this.#valueOf(previous),
              isCreate: isPut ? kv.version === 1 : undefined,
            }
          })
          if (isFragment) this.#world.count('fragments')
          responses.push({ at: this.#moment(), events: told, revision, isFragment })
          return this.#takesMore(node, { seat, watch: () => watch })
        },
        onEnded: (fault) => {
          this.#world.count(`watches ended: ${fault.code}`)
          const compacted = isFault(fault, 'compacted') ? Number(fault.fields.compacted) : undefined
          if (compacted !== undefined) this.#world.count('watches behind compaction')
          const next = compacted === undefined ? nextOf(seat) : compacted + 1
          this.#world.host(node)?.schedule(100, 'watch again', () => {
            this.#watch(node, keyspace, { seat, from: next })
          })
        },
      },
    )
  }

  #takesMore(
    node: number,
    { seat, watch }: { readonly seat: Seat; readonly watch: () => Watch },
  ): boolean {
    if (!seat.isLazy || this.#random.chance(0.7)) return true
    this.#world.count('watches paused')
    const delayMs = 1 + this.#random.integer(lazinessMsMax)
    this.#world.host(node)?.schedule(delayMs, 'take more', () => watch().resume())
    return false
  }
}

/** Behind everything that it was told. */
function nextOf({ watches }: Seat): number {
  const last = watches.at(-1)
  if (last === undefined) return 1
  return last.responses.reduce(
    (next, { revision, isFragment }) => (isFragment ? next : Math.max(next, revision + 1)),
    last.startRevision,
  )
}
