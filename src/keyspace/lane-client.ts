// The data thread's end: the same Keyspaces as on the core thread, over a port. Requests of one turn go
// in one message. Deadlines and retries are the core's; here only cancellation is told onwards.

import { Fault, faultCodec, revision as toRevision } from '../base/index.ts'
import type { Host, Port } from '../host/index.ts'
import { createKeyspace, type Transport, type TransportOptions } from './client.ts'
import type { RequestKind } from './core/calls.ts'
import {
  decodeLaneNews,
  encodeLaneRequests,
  encodeName,
  type LaneAnswer,
  type LaneFeed,
  type LaneFreshness,
  type LaneKind,
  type LaneRequest,
} from './core/lane-wire.ts'
import { encodeNumbers } from './core/entry.ts'
import type { FullKeyspace, FullKeyspaces } from './keyspace.ts'
import type { FeedLink, FeedReceiver } from './watch-feed.ts'

const inFlightMax = 2048
const messageBytesMax = 8 * 1024 * 1024
const openDeadlineMs = 10_000
const emptyBytes = new Uint8Array(0)

/** Keyspaces for a thread that has no groups: `port` leads to serveKeyspaces on the core thread. */
export function createLaneKeyspaces(host: Host, port: Port): FullKeyspaces {
  return new LaneKeyspaces(host, port)
}

type Waiting = {
  readonly resolve: (answer: LaneAnswer) => void
  readonly reject: (fault: Fault) => void
}
/** Watches of a namespace, until their feed ends; what they open next has a higher number. */
type Feed = {
  readonly number: number
  readonly receiver: FeedReceiver
  /** Ids of pulls that wait for their answer. */
  readonly pulls: Set<number>
}
type Told = Omit<LaneFreshness, 'namespace'> & { readonly atMs: number }

class LaneKeyspaces implements FullKeyspaces {
  readonly #host: Host
  readonly #port: Port
  readonly #waiting = new Map<number, Waiting>()
  readonly #freshness = new Map<number, Told>()
  readonly #revisionListeners = new Map<number, Set<() => void>>()
  readonly #feeds = new Map<number, Feed>()
  readonly #opened = new Map<string, Promise<FullKeyspace>>()
  #requests: LaneRequest[] = []
  #requestBytes = 0
  #nextId = 1
  #nextFeed = 1
  /** Requests, without the pulls of watches, which the number of watches bounds. */
  #inFlight = 0
  #isFlushing = false
  #isClosed = false

  constructor(host: Host, port: Port) {
    this.#host = host
    this.#port = port
    port.onMessage = (bytes) => this.#take(bytes)
  }

  open(name: string): Promise<FullKeyspace> {
    const known = this.#opened.get(name)
    if (known !== undefined) return known
    const opening = this.#open(name)
    this.#opened.set(name, opening)
    opening.catch(() => this.#opened.delete(name))
    return opening
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#failAll()
  }

  async #open(name: string): Promise<FullKeyspace> {
    const body = encodeName(name)
    const { namespace } = await this.#send('open', {
      namespace: 0,
      body,
      options: { deadlineMs: openDeadlineMs, isSerializable: false, signal: undefined },
    })
    const transport: Transport = {
      request: async (kind: RequestKind, request, options) => {
        const answer = await this.#send(kind, { namespace, body: request, options })
        return answer.body
      },
      freshness: () => this.#freshnessOf(namespace),
      onRevision: (changed) => this.#listen(namespace, changed),
      openFeed: (receiver) => this.#openFeed(namespace, receiver),
    }
    return createKeyspace(this.#host, name, transport)
  }

  /** One per namespace: what watches of this thread share. */
  #openFeed(namespace: number, receiver: FeedReceiver): FeedLink {
    const feed: Feed = { number: this.#nextFeed++, receiver, pulls: new Set() }
    this.#feeds.set(namespace, feed)
    if (this.#isClosed) this.#host.clock.soon(() => receiver.ended(closedFault('failed')))
    const asked = { ...feedRequest, namespace, feed: feed.number }
    const tell = (kind: LaneKind, body: Uint8Array): void => {
      this.#push({ ...asked, id: 0, kind, body })
    }
    return {
      pull: (body, reply) => {
        if (this.#isClosed) {
          this.#host.clock.soon(() => reply(closedFault('failed')))
          return
        }
        const id = this.#nextId++
        const end = (answer: Uint8Array | Fault): void => {
          this.#waiting.delete(id)
          feed.pulls.delete(id)
          reply(answer)
        }
        this.#waiting.set(id, { resolve: (answer) => end(answer.body), reject: end })
        feed.pulls.add(id)
        this.#push({ ...asked, id, kind: 'events', body })
      },
      leave: (interest) => tell('leave', interest),
      askProgress: () => tell('progress', emptyBytes),
      grant: (bytes) => tell('grant', encodeNumbers([bytes])),
      close: () => this.#forget(namespace, feed),
    }
  }

  #takeFeed({ namespace, feed: number, chunk, fault }: LaneFeed): void {
    const feed = this.#feeds.get(namespace)
    if (feed?.number !== number) return
    if (fault.length === 0) {
      feed.receiver.receive(chunk)
      return
    }
    this.#forget(namespace, feed)
    feed.receiver.ended(faultCodec.decode(fault))
  }

  /** What it has not answered it never will. */
  #forget(namespace: number, feed: Feed): void {
    for (const id of feed.pulls) this.#waiting.delete(id)
    feed.pulls.clear()
    if (this.#feeds.get(namespace) === feed) this.#feeds.delete(namespace)
  }

  #freshnessOf(namespace: number): ReturnType<FullKeyspace['freshness']> {
    const told = this.#freshness.get(namespace)
    if (told === undefined) {
      return { revision: toRevision(0), guard: 0, heardMsAgo: Number.POSITIVE_INFINITY }
    }
    const sinceMs = this.#host.clock.monotonicMs() - told.atMs
    const { revision, guard, heardMsAgo } = told
    return { revision: toRevision(revision), guard, heardMsAgo: heardMsAgo + sinceMs }
  }

  #listen(namespace: number, changed: () => void): () => void {
    const listeners = this.#revisionListeners.get(namespace) ?? new Set()
    this.#revisionListeners.set(namespace, listeners)
    listeners.add(changed)
    return () => {
      listeners.delete(changed)
    }
  }

  #send(
    kind: LaneKind,
    request: {
      readonly namespace: number
      readonly body: Uint8Array
      readonly options: TransportOptions
    },
  ): Promise<LaneAnswer> {
    const { namespace, body, options } = request
    const { signal, deadlineMs, isSerializable } = options
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(closedFault('failed'))
      if (signal?.aborted === true)
        return reject(new Fault('cancelled', 'cancelled before it began'))
      if (this.#inFlight >= inFlightMax) {
        return reject(new Fault('overloaded', `${inFlightMax} requests are in flight`))
      }
      this.#inFlight++
      const id = this.#nextId++
      const onAbort = (): void => this.#push({ ...cancelRequest, id })
      const end = (): void => {
        this.#waiting.delete(id)
        this.#inFlight--
        signal?.removeEventListener('abort', onAbort)
      }
      this.#waiting.set(id, {
        resolve: (answer) => {
          end()
          resolve(answer)
        },
        reject: (fault) => {
          end()
          reject(fault)
        },
      })
      signal?.addEventListener('abort', onAbort)
      this.#push({ id, kind, namespace, deadlineMs, isSerializable, body, feed: 0 })
    })
  }

  #push(request: LaneRequest): void {
    if (this.#isClosed) return
    this.#requests.push(request)
    this.#requestBytes += request.body.length
    if (this.#requestBytes >= messageBytesMax) {
      this.#flush()
      return
    }
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#host.clock.soon(() => this.#flush())
  }

  #flush(): void {
    this.#isFlushing = false
    if (this.#requests.length === 0 || this.#isClosed) return
    const requests = this.#requests
    this.#requests = []
    this.#requestBytes = 0
    this.#port.send(encodeLaneRequests(requests), { transfer: true })
  }

  #take(bytes: Uint8Array): void {
    const news = decodeLaneNews(bytes)
    const atMs = this.#host.clock.monotonicMs()
    for (const { namespace, revision, guard, heardMsAgo } of news.freshness) {
      const before = this.#freshness.get(namespace)
      this.#freshness.set(namespace, { revision, guard, heardMsAgo, atMs })
      if (before?.revision === revision && before.guard === guard) continue
      for (const changed of this.#revisionListeners.get(namespace) ?? []) changed()
    }
    for (const answer of news.answers) {
      const waiting = this.#waiting.get(answer.id)
      if (waiting === undefined) continue
      if (answer.fault.length > 0) waiting.reject(faultCodec.decode(answer.fault))
      else waiting.resolve(answer)
    }
    for (const feed of news.feeds) this.#takeFeed(feed)
    if (!news.isClosed) return
    this.#isClosed = true
    this.#failAll()
  }

  #failAll(): void {
    for (const { receiver } of [...this.#feeds.values()]) receiver.ended(closedFault('failed'))
    for (const waiting of [...this.#waiting.values()]) waiting.reject(closedFault('unknown'))
  }
}

const feedRequest = { deadlineMs: 1, isSerializable: true } as const

const cancelRequest = {
  kind: 'cancel',
  namespace: 0,
  deadlineMs: 1,
  isSerializable: false,
  body: emptyBytes,
  feed: 0,
} as const

function closedFault(outcome: 'failed' | 'unknown'): Fault {
  return new Fault('unavailable', 'the keyspaces of this thread are closed', { outcome })
}
