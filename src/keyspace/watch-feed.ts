// The core thread's half of watches: one feed per namespace and thread. What a watch has missed is pulled
// by its thread, a chunk at a time; when it has everything it joins, and from then on the feed sends
// what is new, once per thread, for the union of what its watches want.
//
// Nothing is buffered here: the feed is a cursor into history, which waits while the thread has not
// taken what was sent (grant), and a watch that cannot keep up is its thread's to take off and pull again.
//
// No gap between pulling and joining: a watch joins only when the pull read to the end of what is applied
// and the feed's cursor is not beyond it. The cursor moves when rows are read, before their long values
// are, so a watch never joins behind rows that were read without it. The receiver passes over what the
// pull gave already.

import { Fault, isFault, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { EventCursor } from './core/events.ts'
import { RangeIndex, rangeName } from './core/range-index.ts'
import { decodePull, encodeChunk, type WatchChunk, type WatchPull } from './core/watch-wire.ts'
import type { WatchSource } from './watch-source.ts'

const rowsMax = 256
const chunkBytes = 256 * 1024
const remotePullsMax = 1024
/** Sent and not taken by the thread. */
const unackedBytesMax = 4 * 1024 * 1024

/** How a thread reaches the feed of a namespace. Replies and chunks come in order, never inside a call. */
export type FeedLink = {
  /** Takes an encoded WatchPull; the reply is an encoded chunk. */
  pull(request: Uint8Array, reply: (answer: Uint8Array | Fault) => void): void
  /** A joined watch needs nothing more. */
  leave(interest: Uint8Array): void
  /** A chunk follows even without events, when everything so far was sent. */
  askProgress(): void
  /** Chunks of this length were taken. */
  grant(bytes: number): void
  close(): void
}

/** `ended` comes once, when there will be no more replies and chunks. */
export type FeedReceiver = {
  receive(chunk: Uint8Array): void
  ended(fault: Fault): void
}
export type OpenFeed = (receiver: FeedReceiver) => FeedLink

type Interest = { readonly name: string; watches: number }

export class WatchFeed implements FeedLink {
  readonly #host: Host
  readonly #source: WatchSource
  readonly #receiver: FeedReceiver
  readonly #interests = new Map<string, Interest>()
  readonly #index = new RangeIndex<Interest>()
  readonly #unlisten: () => void
  /** The first row that was not read for the thread. */
  #cursor: EventCursor = { modRevision: 0, sub: 0 }
  #withPrevious = 0
  #unackedBytes = 0
  /** What was sent last ended within a revision: its end is to be told, with or without events. */
  #isWithinRevision = false
  #isProgressAsked = false
  #isKicked = false
  #isPumping = false
  #isClosed = false

  constructor(
    host: Host,
    source: WatchSource,
    options: {
      readonly receiver: FeedReceiver
      /** Calls back when more was applied. */
      readonly onRevision: (changed: () => void) => () => void
    },
  ) {
    this.#host = host
    this.#source = source
    this.#receiver = options.receiver
    this.#unlisten = options.onRevision(() => {
      if (this.#interests.size > 0) this.#kick()
    })
  }

  pull(request: Uint8Array, reply: (answer: Uint8Array | Fault) => void): void {
    this.#host.clock.soon(() => {
      this.#pull(request, reply).catch((error: unknown) => {
        if (!isFault(error)) throw error
        reply(toFault(error))
      })
    })
  }

  leave(encoded: Uint8Array): void {
    const { key, rangeEnd, previous } = decodePull(encoded)
    const interest = this.#interests.get(rangeName(key, rangeEnd))
    if (interest === undefined) return
    interest.watches--
    if (previous) this.#withPrevious--
    if (interest.watches > 0) return
    this.#interests.delete(interest.name)
    this.#index.remove(key, rangeEnd, interest)
  }

  askProgress(): void {
    this.#isProgressAsked = true
    this.#kick()
  }

  grant(bytes: number): void {
    this.#unackedBytes = Math.max(0, this.#unackedBytes - bytes)
    this.#kick()
  }

  close(): void {
    this.#isClosed = true
    this.#unlisten()
  }

  async #pull(request: Uint8Array, reply: (answer: Uint8Array | Fault) => void): Promise<void> {
    const pull = decodePull(request)
    this.#source.mustBeSound()
    const { revision } = this.#source
    const page = this.#source.read({ ...pageOf(pull), from: this.#source.startOf(pull) })
    const events = await this.#source.fill(page)
    const { next } = page
    if (this.#isClosed) throw new Fault('unavailable', 'the node is stopping')
    // Nobody is sent anything: the feed begins anew behind what this pull has seen.
    if (this.#interests.size === 0 && !this.#isPumping) {
      this.#cursor = { modRevision: revision + 1, sub: 0 }
    }
    const isJoined = next.modRevision > revision && !isBefore(next, this.#cursor)
    if (isJoined) this.#join(pull)
    reply(encodeChunk({ events, next, revision, isJoined, isLost: false }))
    if (isJoined) this.#kick()
  }

  #join({ key, rangeEnd, previous }: WatchPull): void {
    const name = rangeName(key, rangeEnd)
    let interest = this.#interests.get(name)
    if (interest === undefined) {
      interest = { name, watches: 0 }
      this.#interests.set(name, interest)
      this.#index.add(key, rangeEnd, interest)
    }
    interest.watches++
    if (previous) this.#withPrevious++
  }

  #kick(): void {
    if (this.#isKicked || this.#isPumping || this.#isClosed) return
    this.#isKicked = true
    this.#host.clock.soon(() => {
      this.#isKicked = false
      if (this.#isPumping) return
      this.#isPumping = true
      void this.#pump().finally(() => {
        this.#isPumping = false
        if (this.#hasMore()) this.#kick()
      })
    })
  }

  #hasMore(): boolean {
    if (this.#isClosed || this.#interests.size === 0) return false
    if (this.#unackedBytes >= unackedBytesMax) return false
    return this.#cursor.modRevision <= this.#source.revision || this.#isProgressAsked
  }

  async #pump(): Promise<void> {
    while (this.#hasMore()) {
      const from = this.#cursor
      const { revision } = this.#source
      if (from.modRevision < this.#source.compacted) {
        this.#lose()
        return
      }
      const page = this.#source.read({
        from,
        rowsMax,
        bytesMax: chunkBytes,
        previous: this.#withPrevious > 0,
        wants: (key) => this.#index.has(key),
      })
      this.#cursor = page.next
      const { next } = page
      try {
        this.#source.mustBeSound()
        this.#send({ events: await this.#source.fill(page), next, revision })
      } catch (error) {
        if (!isFault(error)) throw error
        this.#cursor = from
        this.#lose()
        return
      }
    }
  }

  #send(sent: Pick<WatchChunk, 'events' | 'next' | 'revision'>): void {
    const isAtEnd = sent.next.modRevision > this.#source.revision
    const isNews = sent.events.length > 0 || this.#isWithinRevision
    if (!isNews && !(this.#isProgressAsked && isAtEnd)) return
    if (isAtEnd) this.#isProgressAsked = false
    this.#isWithinRevision = sent.next.sub > 0
    this.#give({ ...sent, isJoined: false, isLost: false })
  }

  /** What follows cannot be sent from where the feed is: every watch pulls, and hears why. */
  #lose(): void {
    const { revision } = this.#source
    const next = this.#cursor
    this.#interests.clear()
    this.#index.clear()
    this.#withPrevious = 0
    this.#isWithinRevision = false
    this.#give({ events: [], next, revision, isJoined: false, isLost: true })
  }

  #give(chunk: WatchChunk): void {
    if (this.#isClosed) return
    const encoded = encodeChunk(chunk)
    this.#unackedBytes += encoded.length
    this.#receiver.receive(encoded)
  }
}

/** Watches of a node without a replica: every pull goes to one that has, and waits there. */
export class RemoteFeed implements FeedLink {
  readonly #host: Host
  readonly #request: (body: Uint8Array) => Promise<Uint8Array>
  #pulls = 0
  #isClosed = false

  constructor(host: Host, request: (body: Uint8Array) => Promise<Uint8Array>) {
    this.#host = host
    this.#request = request
  }

  pull(request: Uint8Array, reply: (answer: Uint8Array | Fault) => void): void {
    if (this.#pulls >= remotePullsMax) {
      const fault = new Fault('overloaded', `${remotePullsMax} watches of other nodes are open`)
      this.#host.clock.soon(() => reply(fault))
      return
    }
    this.#pulls++
    void this.#request(request).then(
      (answer) => {
        this.#pulls--
        if (!this.#isClosed) reply(answer)
      },
      (error: unknown) => {
        this.#pulls--
        if (!this.#isClosed) reply(toFault(error))
      },
    )
  }

  /** Nothing is ever joined. */
  leave(): void {}

  /** The next answer to a pull tells it. */
  askProgress(): void {}

  grant(): void {}

  close(): void {
    this.#isClosed = true
  }
}

/** One answer to another node, which waits here until there is something to give. */
export async function answerPull(
  source: WatchSource,
  request: Uint8Array,
  options: { readonly wait: (ms: number) => Promise<void>; readonly bytesMax: number },
): Promise<Uint8Array> {
  const pull = decodePull(request)
  source.mustBeSound()
  const from = source.startOf(pull)
  if (from.modRevision > source.revision && pull.waitMs > 0) await options.wait(pull.waitMs)
  const { revision } = source
  if (from.modRevision < source.compacted) source.startOf({ ...pull, from })
  const page = source.read({ ...pageOf(pull), from })
  const events = await source.fill(page)
  const { next } = page
  const chunk = encodeChunk({ events, next, revision, isJoined: false, isLost: false })
  if (chunk.length <= options.bytesMax) return chunk
  throw new Fault('too-large', 'an event does not fit in a call between nodes')
}

function pageOf(pull: WatchPull) {
  const wanted = new RangeIndex<WatchPull>()
  wanted.add(pull.key, pull.rangeEnd, pull)
  const wants = (key: Uint8Array): boolean => wanted.has(key)
  return { rowsMax: rowsMax * 4, bytesMax: chunkBytes, previous: pull.previous, wants }
}

function isBefore(a: EventCursor, b: EventCursor): boolean {
  return a.modRevision < b.modRevision || (a.modRevision === b.modRevision && a.sub < b.sub)
}
