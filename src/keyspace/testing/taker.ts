// What watches give, taken down and held against the model: for the tests of every implementation.

import assert from 'node:assert/strict'
import { type Fault, type Random, toHex, utf8Encode } from '../../base/index.ts'
import type {
  FullKeyspace,
  KeyValue,
  Watch,
  WatchEvent,
  WatchRequest,
  WatchResponse,
} from '../keyspace.ts'
import type { ModelKeyspace } from './model.ts'

const text = utf8Encode
const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }

/** What a watch was given, with stops drawn from `random`; checks each response as it comes. */
export class Taker {
  readonly request: WatchRequest
  readonly events: WatchEvent[] = []
  readonly watch: Watch
  readonly #random: Random | undefined
  readonly #waiting: (() => void)[] = []
  revision = 0
  responses = 0
  fragments = 0
  opened: number | undefined
  fault: Fault | undefined
  isStopped = false

  constructor(keyspace: FullKeyspace, request: WatchRequest, random?: Random) {
    this.request = request
    this.#random = random
    this.watch = keyspace.watch(request, {
      onOpened: ({ revision }) => {
        assert.equal(this.opened, undefined)
        assert.equal(this.responses, 0)
        this.opened = revision
        this.#wake()
      },
      onResponse: (response) => this.#take(response),
      onEnded: (fault) => {
        assert.equal(this.fault, undefined)
        this.fault = fault
        this.#wake()
      },
    })
  }

  resume(): void {
    this.isStopped = false
    this.watch.resume()
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Settles when everything up to a revision was given. */
  async reached(revision: number): Promise<void> {
    while (this.revision < revision) {
      if (this.isStopped) this.resume()
      const { responses } = this
      this.watch.requestProgress()
      await this.until(() => this.responses > responses || this.fault !== undefined)
      assert.equal(this.fault, undefined)
    }
  }

  #take(response: WatchResponse): boolean {
    assert.ok(!this.isStopped, 'nothing comes before resume()')
    assert.ok(this.opened !== undefined)
    assert.ok(response.revision >= this.revision, 'revisions of responses never go back')
    const last = this.events.at(-1)
    const first = response.events[0]
    if (first !== undefined && last !== undefined && this.fragments === 0) {
      assert.ok(first.kv.modRevision > last.kv.modRevision, 'a revision comes in one response')
    }
    const end = response.events.at(-1)
    if (!response.isFragment && end) assert.ok(end.kv.modRevision <= response.revision)
    this.events.push(...response.events)
    this.responses++
    this.fragments = response.isFragment ? this.fragments + 1 : 0
    this.revision = response.revision
    this.isStopped = this.#random?.chance(0.3) === true
    this.#wake()
    return !this.isStopped
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

/** `start` in the model's revisions. */
export function expectedEvents(
  model: ModelKeyspace,
  { request }: { readonly request: WatchRequest },
  start: number,
): WatchEvent[] {
  const { key, rangeEnd, withoutPuts = false, withoutDeletes = false, previous = false } = request
  const end = rangeEnd ?? Uint8Array.from([...key, 0])
  const isOpen = toHex(end) === '00'
  const events: WatchEvent[] = []
  for (const event of model.events) {
    if (event.revision < start) continue
    const name = toHex(event.key)
    if (name < toHex(key) || (!isOpen && name >= toHex(end))) continue
    if (event.kv === undefined ? withoutDeletes : withoutPuts) continue
    const before = model.at(event.revision - 1).find((kv) => toHex(kv.key) === name)
    const kind = event.kv === undefined ? 'delete' : 'put'
    const kv = event.kv ?? gone(event.key, event.revision)
    const isGiven = previous && before !== undefined
    events.push(isGiven ? { kind, kv, previous: before } : { kind, kv })
  }
  return events
}

function gone(key: Uint8Array, revision: number): KeyValue {
  const numbers = { createRevision: 0, modRevision: revision, version: 0, lease: 0 }
  return { key, value: new Uint8Array(0), ...numbers } as unknown as KeyValue
}

export function plain(events: readonly WatchEvent[]): unknown[] {
  return events.map(({ kind, kv, previous }) => ({
    kind,
    kv: show(kv),
    ...(previous === undefined ? {} : { previous: show(previous) }),
  }))
}

function show(kv: KeyValue): unknown {
  const { key, value, createRevision, modRevision, version, lease } = kv
  return [toHex(key), toHex(value), createRevision, modRevision, version, lease]
}

export function randomWatch(random: Random, revision: number): WatchRequest {
  const keys = ['a', 'aa', 'b', 'c', 'd']
  const key = text(keys[random.integer(keys.length)] as string)
  const rangeEnd = text(keys[random.integer(keys.length)] as string)
  const [withoutPuts, withoutDeletes] = [random.chance(0.15), random.chance(0.15)]
  return {
    ...(random.chance(0.4) ? all : random.chance(0.5) ? { key } : { key, rangeEnd }),
    startRevision: random.chance(0.3) ? 0 : 2 + random.integer(revision + 3),
    withoutPuts,
    withoutDeletes,
    previous: random.chance(0.5),
    isFragmented: random.chance(0.5),
  }
}
