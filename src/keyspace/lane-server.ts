// The core's end of a data thread's port: runs its requests, answers once per turn, and tells how fresh
// the replicas are: within 100 ms of a change of a revision, and every 400 ms while the thread asks things, so
// that an idle node rests. A data thread belongs to the node and is trusted with the kinds that it names; that a
// request is well formed is checked again where it is applied.

import { Fault, faultCodec, toFault } from '../base/index.ts'
import type { Host, Port, Timer } from '../host/index.ts'
import type { Transport } from './client.ts'
import { isRequestKind } from './core/calls.ts'
import { decodeNumbers } from './core/entry.ts'
import {
  decodeLaneRequests,
  decodeName,
  encodeLaneNews,
  type LaneAnswer,
  type LaneFeed,
  type LaneFreshness,
  type LaneRequest,
} from './core/lane-wire.ts'
import type { FeedLink } from './watch-feed.ts'

const revisionMs = 100
const ageMs = 400
/** Who has asked nothing for so long is not told that nothing changed: it asks when it wants to know. */
const restsAfterMs = 2_000
const inFlightMax = 4096
/** Answers beyond this many bytes go in a further message of the same turn. */
const messageBytesMax = 8 * 1024 * 1024
const emptyBytes = new Uint8Array(0)
const feedKinds: ReadonlySet<string> = new Set(['events', 'leave', 'progress', 'grant'])

type LaneNamespace = {
  readonly name: string
  readonly transport: Transport
  feed: NumberedFeed | undefined
}
/** The last feed that the thread has opened. `link` is undefined once it has ended. */
type NumberedFeed = { readonly number: number; link: FeedLink | undefined }

export class LaneServer {
  readonly #host: Host
  readonly #port: Port
  readonly #find: (name: string) => Transport
  readonly #namespaces: LaneNamespace[] = []
  /** Requests that nobody has cancelled. */
  readonly #running = new Set<number>()
  #inFlight = 0
  #askedMs: number
  readonly #timer: Timer
  readonly #unlisten: (() => void)[] = []
  #tellSoon: Timer | undefined
  #answers: LaneAnswer[] = []
  #feeds: LaneFeed[] = []
  #answerBytes = 0
  #isFlushing = false
  #isClosed = false

  constructor(host: Host, port: Port, options: { readonly find: (name: string) => Transport }) {
    this.#host = host
    this.#port = port
    this.#find = options.find
    this.#askedMs = host.clock.monotonicMs()
    this.#timer = host.clock.every(ageMs, () => {
      if (!this.#rests()) this.#tell()
    })
    port.onMessage = (bytes) => {
      const didRest = this.#rests()
      this.#askedMs = host.clock.monotonicMs()
      if (didRest) this.#tell()
      this.#takeAll(decodeLaneRequests(bytes))
    }
  }

  #rests(): boolean {
    return this.#host.clock.monotonicMs() - this.#askedMs > restsAfterMs
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer.cancel()
    this.#tellSoon?.cancel()
    for (const unlisten of this.#unlisten) unlisten()
    for (const { feed } of this.#namespaces) feed?.link?.close()
    const answers = this.#answers
    this.#answers = []
    this.#port.send(encodeLaneNews({ answers, feeds: [], freshness: [], isClosed: true }))
  }

  /** Transactions of one message that write to one namespace go on together. */
  #takeAll(requests: readonly LaneRequest[]): void {
    const alike = new Map<string, LaneRequest[]>()
    for (const request of requests) {
      if (request.kind !== 'txn') {
        this.#take(request)
        continue
      }
      const name = `${request.namespace} ${request.deadlineMs}`
      const others = alike.get(name)
      if (others === undefined) alike.set(name, [request])
      else others.push(request)
    }
    for (const some of alike.values()) {
      const [first] = some
      if (some.length === 1 && first !== undefined) this.#take(first)
      else this.#runAll(some)
    }
  }

  #take(request: LaneRequest): void {
    if (this.#isClosed) return
    if (request.kind === 'cancel') this.#cancel(request.id)
    else if (request.kind === 'open') this.#open(request)
    else if (feedKinds.has(request.kind)) this.#feed(request)
    else void this.#run(request)
  }

  /** What watches of the thread ask of their namespace's feed, which is opened with the first. */
  #feed(request: LaneRequest): void {
    const { id, kind, body } = request
    const namespace = this.#namespaces[request.namespace - 1]
    if (namespace === undefined) {
      if (kind === 'events') this.#fail(id, new Fault('invalid', 'the namespace was not opened'))
      return
    }
    // Of one that has ended nobody waits for anything: the thread is told, and opens the next.
    const feed = this.#feedOf(namespace, request)
    if (feed === undefined) return
    if (kind === 'leave') feed.leave(body)
    else if (kind === 'progress') feed.askProgress()
    else if (kind === 'grant') feed.grant(decodeNumbers(body)[0] ?? 0)
    else feed.pull(body, (answer) => this.#reply(id, answer))
  }

  /**
   * Numbers tell feeds apart that follow one another. Without them: (1) a feed ends; (2) a pull that was on its way
   * opens the next one and joins it; (3) the thread closes its watches, and nobody ever takes what that feed sends.
   */
  #feedOf(
    namespace: LaneNamespace,
    { namespace: place, feed: number }: LaneRequest,
  ): FeedLink | undefined {
    const before = namespace.feed
    if (before !== undefined && number <= before.number) {
      return number === before.number ? before.link : undefined
    }
    before?.link?.close()
    const feed: NumberedFeed = { number, link: undefined }
    namespace.feed = feed
    const named = { namespace: place, feed: number }
    feed.link = namespace.transport.openFeed({
      receive: (chunk) => this.#send({ ...named, chunk, fault: emptyBytes }),
      ended: (fault) => {
        feed.link = undefined
        this.#send({ ...named, chunk: emptyBytes, fault: faultCodec.encode(fault) })
      },
    })
    return feed.link
  }

  #reply(id: number, answer: Uint8Array | Fault): void {
    if (answer instanceof Fault) this.#fail(id, answer)
    else this.#answer({ id, fault: emptyBytes, body: answer, namespace: 0 })
  }

  #send(feed: LaneFeed): void {
    this.#feeds.push(feed)
    this.#queued(feed.chunk.length)
  }

  #open(request: LaneRequest): void {
    try {
      const name = decodeName(request.body)
      const transport = this.#find(name)
      let namespace = this.#namespaces.findIndex((known) => known.name === name) + 1
      if (namespace === 0) {
        namespace = this.#namespaces.push({ name, transport, feed: undefined })
        this.#unlisten.push(transport.onRevision(() => this.#revisionChanged()))
      }
      this.#answer({ id: request.id, fault: emptyBytes, body: emptyBytes, namespace })
      this.#flush({ withFreshness: true })
    } catch (error) {
      this.#fail(request.id, toFault(error))
    }
  }

  /**
   * Its asker waits no longer. The request itself runs to its end, which its deadline bounds: a signal for each
   * would cost more than what is saved now and then.
   */
  #cancel(id: number): void {
    if (!this.#running.delete(id)) return
    this.#fail(id, new Fault('cancelled', 'the request was cancelled', { outcome: 'unknown' }))
  }

  /** Never rejects. */
  async #run(request: LaneRequest): Promise<void> {
    const { id, kind, deadlineMs, isSerializable } = request
    if (this.#inFlight >= inFlightMax) {
      this.#fail(id, new Fault('overloaded', `a data thread has ${inFlightMax} requests in flight`))
      return
    }
    this.#running.add(id)
    this.#inFlight++
    try {
      const transport = this.#namespaces[request.namespace - 1]?.transport
      if (transport === undefined || !isRequestKind(kind)) {
        throw new Fault('invalid', 'the namespace was not opened')
      }
      const options = { deadlineMs, isSerializable, signal: undefined }
      const body = await transport.request(kind, request.body, options)
      if (this.#running.delete(id)) this.#answer({ id, fault: emptyBytes, body, namespace: 0 })
    } catch (error) {
      if (this.#running.delete(id)) this.#fail(id, toFault(error))
    } finally {
      this.#inFlight--
    }
  }

  #runAll(requests: readonly LaneRequest[]): void {
    const [first] = requests
    const transport = this.#namespaces[(first?.namespace ?? 0) - 1]?.transport
    const isTooMany = this.#inFlight + requests.length > inFlightMax
    if (this.#isClosed || isTooMany || first === undefined || transport?.requestAll === undefined) {
      for (const request of requests) this.#take(request)
      return
    }
    this.#inFlight += requests.length
    for (const { id } of requests) this.#running.add(id)
    const { deadlineMs, isSerializable } = first
    const bodies = requests.map(({ body }) => body)
    const settle = (at: number, outcome: Uint8Array | Fault): void => {
      this.#inFlight--
      const { id } = requests[at] as LaneRequest
      if (this.#running.delete(id)) this.#reply(id, outcome)
    }
    const options = { deadlineMs, isSerializable, signal: undefined, settle }
    transport.requestAll('txn', bodies, options)
  }

  #fail(id: number, fault: Fault): void {
    this.#answer({ id, fault: faultCodec.encode(fault), body: emptyBytes, namespace: 0 })
  }

  #answer(answer: LaneAnswer): void {
    this.#answers.push(answer)
    this.#queued(answer.body.length)
  }

  #queued(bytes: number): void {
    this.#answerBytes += bytes
    if (this.#answerBytes >= messageBytesMax) {
      this.#flush({ withFreshness: false })
      return
    }
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#host.clock.soon(() => this.#flush({ withFreshness: false }))
  }

  #revisionChanged(): void {
    if (this.#isClosed) return
    this.#tellSoon ??= this.#host.clock.after(revisionMs, () => this.#tell())
  }

  #tell(): void {
    this.#tellSoon?.cancel()
    this.#tellSoon = undefined
    this.#flush({ withFreshness: true })
  }

  #flush(options: { readonly withFreshness: boolean }): void {
    if (!options.withFreshness) this.#isFlushing = false
    if (this.#isClosed) return
    const answers = this.#answers
    const feeds = this.#feeds
    this.#answers = []
    this.#feeds = []
    this.#answerBytes = 0
    const freshness = options.withFreshness ? this.#freshness() : []
    if (answers.length + feeds.length + freshness.length === 0) return
    const news = { answers, feeds, freshness, isClosed: false }
    this.#port.send(encodeLaneNews(news), { transfer: true })
  }

  #freshness(): LaneFreshness[] {
    return this.#namespaces.map(({ transport }, i) => ({
      namespace: i + 1,
      ...transport.freshness(),
    }))
  }
}
