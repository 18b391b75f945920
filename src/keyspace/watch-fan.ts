// A thread's half of watches: gives each event, which came once, to all watches of the thread that see it.
//
// Watches of the same range and options are a group: their events are collected once, and the same
// response goes to each. A watch is live (the feed sends what is new), pulling (it asks for what it has
// missed, a chunk at a time), or paused (its receiver took no more). Nothing is kept for a paused
// watch but where it was: it pulls from there when it is resumed.

import { Fault, isFault, revision as toRevision } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import { RangeIndex, rangeName } from './core/range-index.ts'
import type { EventCursor } from './core/events.ts'
import { type ChunkEvent, decodeChunk, encodePull, type WatchChunk } from './core/watch-wire.ts'
import type { Watch, WatchEvent, WatchReceiver, WatchRequest, WatchResponse } from './keyspace.ts'
import type { FeedLink, OpenFeed } from './watch-feed.ts'

const watchesMax = 65_536
/** Events of one revision that wait for the rest of it. */
const heldBytesMax = 64 * 1024 * 1024
const eventOverheadBytes = 128
const waitMs = 2000
const retryMs = 100
const progressLookMs = 1000
/** The feed is told what was taken at this much, far below what it sends ahead. */
const grantBytes = 512 * 1024

type Group = {
  readonly name: string
  readonly request: WatchRequest
  readonly live: Set<Watching>
  readonly all: Set<Watching>
  /** Of the chunk that is being given out. */
  fresh: ChunkEvent[]
}

type Watching = {
  readonly group: Group
  readonly receiver: WatchReceiver
  readonly progressMs: number
  readonly isFragmented: boolean
  state: 'pulling' | 'live' | 'paused' | 'closed'
  isOpened: boolean
  isProgressAsked: boolean
  /** The first row that it was not given; of a live watch, at least. */
  next: EventCursor
  /** Events of a revision that is not complete yet; with fragments the last piece of them. */
  held: ChunkEvent[]
  heldBytes: number
  /** Of the last pull: answers to earlier ones come too late. */
  ticket: number
  givenMs: number
}

export class WatchFan {
  readonly #host: Host
  readonly #openFeed: OpenFeed
  readonly #groups = new Map<string, Group>()
  readonly #index = new RangeIndex<Group>()
  #link: FeedLink | undefined
  #timer: Timer | undefined
  /** Live watches that wait for the rest of a revision. */
  readonly #holding = new Set<Watching>()
  /** Live watches that asked for progress. */
  readonly #asking = new Set<Watching>()
  #isAskingAgain = false
  #takenBytes = 0
  #watches = 0
  #timed = 0

  constructor(host: Host, openFeed: OpenFeed) {
    this.#host = host
    this.#openFeed = openFeed
  }

  watch(request: WatchRequest, receiver: WatchReceiver): Watch {
    const group = this.#group(request)
    const { startRevision = 0, progressMs = 0, isFragmented = false } = request
    const watching: Watching = {
      group,
      receiver,
      progressMs,
      isFragmented,
      state: 'pulling',
      isOpened: false,
      isProgressAsked: false,
      next: { modRevision: startRevision, sub: 0 },
      held: [],
      heldBytes: 0,
      ticket: 0,
      givenMs: this.#host.clock.monotonicMs(),
    }
    this.#enter(watching)
    if (this.#watches > watchesMax) {
      const fault = new Fault('overloaded', `a thread has at most ${watchesMax} watches`)
      this.#host.clock.soon(() => this.#end(watching, fault))
    } else this.#pull(watching)
    return {
      resume: () => this.#resume(watching),
      requestProgress: () => this.#askProgress(watching),
      close: () => this.#leave(watching),
    }
  }

  #group(request: WatchRequest): Group {
    const { key, rangeEnd, previous, withoutPuts, withoutDeletes } = request
    const flags = [previous, withoutPuts, withoutDeletes].map((flag) => (flag === true ? 1 : 0))
    const name = `${flags.join('')}${rangeName(key, rangeEnd)}`
    let group = this.#groups.get(name)
    if (group === undefined) {
      group = { name, request, live: new Set(), all: new Set(), fresh: [] }
      this.#groups.set(name, group)
      this.#index.add(key, rangeEnd, group)
    }
    return group
  }

  #enter(watching: Watching): void {
    watching.group.all.add(watching)
    this.#watches++
    if (watching.progressMs === 0) return
    this.#timed++
    this.#timer ??= this.#host.clock.every(progressLookMs, () => this.#lookAtProgress())
  }

  #leave(watching: Watching): void {
    if (watching.state === 'closed') return
    this.#stopLive(watching)
    watching.state = 'closed'
    const { group } = watching
    group.all.delete(watching)
    this.#watches--
    if (watching.progressMs > 0 && --this.#timed === 0) {
      this.#timer?.cancel()
      this.#timer = undefined
    }
    if (group.all.size > 0) return
    this.#groups.delete(group.name)
    this.#index.remove(group.request.key, group.request.rangeEnd, group)
  }

  #end(watching: Watching, fault: Fault): void {
    if (watching.state === 'closed') return
    this.#leave(watching)
    watching.receiver.onEnded(fault)
  }

  /** The thread's way to the keyspace ended, and every watch with it. */
  #close(fault: Fault): void {
    const link = this.#link
    // Whoever opens another watch when it hears of the end gets another link.
    this.#link = undefined
    const ending = [...this.#groups.values()].flatMap(({ all }) => [...all])
    for (const watching of ending) this.#takeOff(watching)
    link?.close()
    for (const watching of ending) this.#end(watching, fault)
  }

  #stopLive(watching: Watching): void {
    if (this.#takeOff(watching)) this.#link?.leave(this.#pullOf(watching))
  }

  /** True when it was live; the feed is not told. */
  #takeOff(watching: Watching): boolean {
    this.#asking.delete(watching)
    this.#holding.delete(watching)
    if (watching.state !== 'live') return false
    watching.group.live.delete(watching)
    watching.state = 'pulling'
    return true
  }

  #resume(watching: Watching): void {
    if (watching.state !== 'paused') return
    watching.state = 'pulling'
    this.#pull(watching)
  }

  #askProgress(watching: Watching): void {
    if (watching.state === 'closed') return
    watching.isProgressAsked = true
    // The pull that is under way may wait at another node; this one does not.
    if (watching.state === 'pulling' && watching.isOpened) this.#pull(watching)
    if (watching.state !== 'live') return
    this.#asking.add(watching)
    this.#link?.askProgress()
  }

  #lookAtProgress(): void {
    const now = this.#host.clock.monotonicMs()
    for (const group of this.#groups.values()) {
      for (const watching of group.all) {
        const { progressMs, givenMs } = watching
        if (progressMs > 0 && now - givenMs >= progressMs) this.#askProgress(watching)
      }
    }
  }

  // ---- pulling ----

  #pullOf({ group, next }: Watching, ms = waitMs): Uint8Array {
    const { key, rangeEnd, previous = false } = group.request
    return encodePull({ key, rangeEnd, from: next, previous, waitMs: ms })
  }

  /** Another node may keep it waiting for news, unless somebody asked how far it is. */
  #pull(watching: Watching, ms = watching.isProgressAsked ? 0 : waitMs): void {
    this.#link ??= this.#openFeed({
      receive: (chunk) => this.#takeNews(chunk),
      ended: (fault) => this.#close(fault),
    })
    const ticket = ++watching.ticket
    this.#link.pull(this.#pullOf(watching, ms), (answer) => {
      const isExpected = watching.state === 'pulling' && watching.ticket === ticket
      if (answer instanceof Fault) {
        if (isExpected) this.#takeFault(watching, answer)
        return
      }
      const chunk = decodeChunk(answer)
      if (isExpected) this.#takeAnswer(watching, chunk)
      else if (chunk.isJoined) this.#link?.leave(this.#pullOf(watching))
    })
  }

  /** What passes by itself is tried again; everything else ends the watch. */
  #takeFault(watching: Watching, fault: Fault): void {
    const passes = (['overloaded', 'unavailable', 'deadline', 'not-leader'] as const).some((code) =>
      isFault(fault, code),
    )
    if (!passes) {
      this.#end(watching, fault)
      return
    }
    const { ticket } = watching
    this.#host.clock.after(retryMs, () => {
      if (watching.state === 'pulling' && watching.ticket === ticket) this.#pull(watching)
    })
  }

  #takeAnswer(watching: Watching, chunk: WatchChunk): void {
    const isFirst = !watching.isOpened
    watching.isOpened = true
    if (chunk.isJoined) {
      watching.state = 'live'
      watching.group.live.add(watching)
    }
    if (isFirst) watching.receiver.onOpened?.({ revision: toRevision(chunk.revision) })
    if (isIdle(watching)) return
    const { request } = watching.group
    const events = chunk.events.filter((event) => isWanted(request, event))
    this.#give(watching, events, chunk.next)
    const isAtEnd = chunk.next.modRevision > chunk.revision
    if (isAtEnd && watching.isProgressAsked && !isIdle(watching)) {
      this.#giveProgress(watching, chunk)
      if (watching.isProgressAsked && watching.state === 'live') this.#askProgress(watching)
    }
    if (watching.state === 'pulling') this.#pull(watching, isAtEnd ? waitMs : undefined)
  }

  // ---- news ----

  #takeNews(encoded: Uint8Array): void {
    const chunk = decodeChunk(encoded)
    this.#grant(encoded.length)
    if (chunk.isLost) {
      this.#pullAll(chunk.next)
      return
    }
    const touched = new Set<Group>()
    for (const event of chunk.events) this.#sort(event, touched)
    for (const group of touched) {
      const events = group.fresh
      group.fresh = []
      this.#giveGroup(group, events, chunk.next)
    }
    for (const watching of [...this.#holding]) {
      const isRest = watching.held[0]?.kv.modRevision !== chunk.next.modRevision
      if (isRest) this.#give(watching, [], chunk.next)
    }
    if (chunk.next.modRevision <= chunk.revision) return
    for (const watching of [...this.#asking]) this.#giveProgress(watching, chunk)
    if (this.#asking.size > 0) this.#askAgain()
  }

  /** Whoever is ahead of the node is told when the node has come as far. */
  #askAgain(): void {
    if (this.#isAskingAgain) return
    this.#isAskingAgain = true
    this.#host.clock.after(retryMs, () => {
      this.#isAskingAgain = false
      if (this.#asking.size > 0) this.#link?.askProgress()
    })
  }

  #grant(bytes: number): void {
    this.#takenBytes += bytes
    if (this.#takenBytes < grantBytes) return
    this.#link?.grant(this.#takenBytes)
    this.#takenBytes = 0
  }

  /** The feed lost its place, and has no watches any more: each pulls from where it is. */
  #pullAll(next: EventCursor): void {
    for (const group of this.#groups.values()) {
      for (const watching of [...group.live]) {
        group.live.delete(watching)
        this.#asking.delete(watching)
        advance(watching, next)
        this.#dropHeld(watching)
        watching.state = 'pulling'
        this.#pull(watching)
      }
    }
  }

  #sort(event: ChunkEvent, touched: Set<Group>): void {
    let bare: ChunkEvent | undefined
    for (const group of this.#index.find(event.kv.key)) {
      if (group.live.size === 0 || !isWanted(group.request, event)) continue
      if (group.request.previous === true || event.previous === undefined) group.fresh.push(event)
      else {
        bare ??= { kind: event.kind, kv: event.kv, sub: event.sub }
        group.fresh.push(bare)
      }
      touched.add(group)
    }
  }

  /** One response for all watches that are where the feed is; the others get their own. */
  #giveGroup(group: Group, events: readonly ChunkEvent[], next: EventCursor): void {
    const [first, last] = [events[0], events.at(-1)]
    if (first === undefined || last === undefined) return
    const revision = toRevision(next.modRevision - 1)
    const isWhole = last.kv.modRevision < next.modRevision
    const shared: WatchResponse = { revision, events, isFragment: false }
    const now = this.#host.clock.monotonicMs()
    for (const watching of [...group.live]) {
      if (watching.state !== 'live') continue
      const isShared = isWhole && watching.held.length === 0 && !isLater(watching.next, first)
      if (!isShared) {
        const own = events.filter((event) => !isLater(watching.next, event))
        if (own.length > 0) this.#give(watching, own, next)
        continue
      }
      watching.next = next
      watching.givenMs = now
      if (!watching.receiver.onResponse(shared)) this.#pause(watching)
    }
  }

  /**
   * A watch may begin at a revision that the node has not reached. It is told nothing before:
   * 1. it begins at 9, the node is at 5, and answers 'everything up to 5 was given';
   * 2. its owner opens it again at 6 and gets what it had from 6 to 8 a second time.
   */
  #giveProgress(watching: Watching, chunk: WatchChunk): void {
    advance(watching, chunk.next)
    if (watching.next.modRevision > chunk.revision + 1) return
    watching.isProgressAsked = false
    this.#asking.delete(watching)
    const revision = toRevision(watching.next.modRevision - 1)
    this.#respond(watching, { revision, events: [], isFragment: false })
  }

  // ---- giving ----

  /**
   * Events that a watch wants and was not given, up to `next`. Those of a revision that is not complete
   * wait for the rest, or go as a fragment when more of them come.
   */
  #give(watching: Watching, events: readonly ChunkEvent[], next: EventCursor): void {
    const { held } = watching
    const isComplete = (event: ChunkEvent): boolean => event.kv.modRevision < next.modRevision
    // What is held is of one revision.
    const isHeldWhole = held[0] !== undefined && isComplete(held[0])
    const whole = isHeldWhole ? held.concat(events.filter(isComplete)) : events.filter(isComplete)
    const rest = events.filter((event) => !isComplete(event))
    const waiting = isHeldWhole ? [] : held
    watching.held = []
    this.#holding.delete(watching)
    advance(watching, next)
    const revision = toRevision(next.modRevision - 1)
    if (whole.length > 0) {
      const response = { revision, events: whole, isFragment: false }
      if (!this.#respond(watching, response)) {
        watching.next = startOf(rest) ?? watching.next
        return
      }
    }
    if (!watching.isFragmented || waiting.length === 0 || rest.length === 0) {
      this.#hold(watching, rest, waiting)
    } else if (this.#respond(watching, { revision, events: waiting, isFragment: true })) {
      this.#hold(watching, rest)
    } else watching.next = startOf(rest) ?? watching.next
  }

  /** False when the watch takes no more. */
  #respond(watching: Watching, response: WatchResponse): boolean {
    watching.givenMs = this.#host.clock.monotonicMs()
    if (!watching.receiver.onResponse(response)) this.#pause(watching)
    return !isIdle(watching)
  }

  /** `before` was held already; it grows in place, since a revision may have very many events. */
  #hold(watching: Watching, events: readonly ChunkEvent[], before: ChunkEvent[] = []): void {
    if (before.length === 0) watching.heldBytes = 0
    watching.held = before
    for (const event of events) {
      before.push(event)
      watching.heldBytes += weightOf(event)
    }
    if (before.length === 0) return
    if (watching.state === 'live') this.#holding.add(watching)
    if (watching.heldBytes <= heldBytesMax) return
    const what = 'one revision has more events than a watch without fragments takes'
    this.#end(watching, new Fault('too-large', what))
  }

  /** What was held is read again. */
  #dropHeld(watching: Watching): void {
    watching.next = startOf(watching.held) ?? watching.next
    watching.held = []
    this.#holding.delete(watching)
  }

  #pause(watching: Watching): void {
    if (watching.state === 'closed') return
    this.#stopLive(watching)
    this.#dropHeld(watching)
    watching.state = 'paused'
  }
}

function isWanted(request: WatchRequest, event: WatchEvent): boolean {
  return event.kind === 'put' ? request.withoutPuts !== true : request.withoutDeletes !== true
}

/** The cursor is behind the event: it was given. */
function isLater(
  cursor: EventCursor,
  event: { readonly kv: { readonly modRevision: number }; readonly sub: number },
): boolean {
  const { modRevision } = event.kv
  return (
    cursor.modRevision > modRevision ||
    (cursor.modRevision === modRevision && cursor.sub > event.sub)
  )
}

function weightOf(event: WatchEvent): number {
  const before = event.previous?.value.length ?? 0
  return event.kv.key.length + event.kv.value.length + before + eventOverheadBytes
}

/** Gets nothing now: it is closed, or paused by its receiver. */
function isIdle(watching: Watching): boolean {
  return watching.state === 'closed' || watching.state === 'paused'
}

function startOf(events: readonly ChunkEvent[]): EventCursor | undefined {
  const first = events[0]
  return first && { modRevision: first.kv.modRevision, sub: first.sub }
}

function advance(watching: Watching, next: EventCursor): void {
  const { modRevision, sub } = watching.next
  if (isLater(next, { kv: { modRevision }, sub })) watching.next = next
}
