// What watches are served from: the history of this node's replica, whoever leads.

import type { Store } from '../storage/index.ts'
import { type EventPage, type HistoryEvent, type PageRequest, readEvents } from './core/events.ts'
import { type Space, versionKey } from './core/rows.ts'
import { compactedFault } from './core/scan.ts'
import type { ChunkEvent, WatchPull } from './core/watch-wire.ts'
import type { KeyspaceMachine } from './machine.ts'
import type { AnswerKeyValue } from './core/wire.ts'
import { divergedFault } from './replica.ts'
import type { ValueShelf } from './values.ts'

export class WatchSource {
  readonly #store: Store
  readonly #values: ValueShelf
  readonly #machine: KeyspaceMachine

  constructor(dependencies: {
    readonly store: Store
    readonly values: ValueShelf
    readonly machine: KeyspaceMachine
  }) {
    this.#store = dependencies.store
    this.#values = dependencies.values
    this.#machine = dependencies.machine
  }

  get revision(): number {
    return this.#machine.state.record.revision
  }

  get compacted(): number {
    return this.#machine.state.record.compacted
  }

  /** Another one after a snapshot was installed. */
  get space(): Space {
    return this.#machine.state.space
  }

  /** Fault 'corrupt' when this replica is known to be wrong. */
  mustBeSound(): void {
    if (this.#machine.state.divergedAt > 0) throw divergedFault()
  }

  /** Where a pull begins. Fault 'compacted', as etcd has it: for revisions before the compacted one. */
  startOf(pull: WatchPull): WatchPull['from'] {
    const { from } = pull
    if (from.modRevision === 0) return { modRevision: this.revision + 1, sub: 0 }
    if (from.modRevision < this.compacted) throw compactedFault(this.compacted)
    return from
  }

  /** Everything from a cursor on, up to now or a bound. */
  read(request: Omit<PageRequest, 'to' | 'compacted'>): EventPage {
    const { revision, compacted } = this
    const { from } = request
    if (from.modRevision > revision) return { events: [], next: from, hasApart: false }
    return readEvents(this.#store, this.space, { ...request, to: revision, compacted })
  }

  /** The same events with their long values. Fault 'unavailable' when a snapshot came in between. */
  async fill(page: EventPage): Promise<readonly ChunkEvent[]> {
    if (!page.hasApart) return page.events
    const { space } = this
    const first = page.events[0]
    const unpin = this.#machine.pin(Math.max(0, (first?.kv.modRevision ?? 1) - 1))
    try {
      const events: ChunkEvent[] = []
      for (const event of page.events) events.push(await this.#fillEvent(space, event))
      return events
    } finally {
      unpin()
    }
  }

  async #fillEvent(space: Space, event: HistoryEvent): Promise<ChunkEvent> {
    const { kind, sub } = event
    const kv = await this.#fillPair(space, event.kv)
    if (event.previous === undefined) return { kind, kv, sub }
    return { kind, kv, sub, previous: await this.#fillPair(space, event.previous) }
  }

  async #fillPair(space: Space, pair: AnswerKeyValue): Promise<AnswerKeyValue> {
    if (pair.apartSub === 0) return pair
    const at = { modRevision: pair.apartRevision, sub: pair.apartSub - 1 }
    return { ...pair, value: await this.#values.read(versionKey(space, at)) }
  }
}
