// Events as they happen: one answer that goes on, as server-sent events (the HTML standard, section 9.2), so that a page is
// told instead of asking.
//
//   GET /cluster/events/stream    ?after=NUMBER, or the header last-event-id: what came after that one; else the newest
//                                 ?limit= (20)
//
//   id: 41 / event: cluster       one event, as GET /cluster/events has it; oldest first
//   event: gap                    {"after", "oldest"}: those in between were pushed out of the list
//   event: ready                  what there was has been told
//   event: changed                a record of the cluster changed: what is shown of it may be old; once a second at most
//   event: end                    {"code"}: the caller may not any more ('unauthenticated', 'denied', 'unavailable')
//
// Invariants: nothing waits here. A stream is a place in the list, and reads on once the client took what it was sent.
// Whoever listens is asked for his right again at every change and every keepAliveMs, so that a session that was ended hears
// nothing more. Streams are counted, for the node and for each caller; who finds no room asks GET /cluster/events.

import { Fault, isFault, utf8Encode } from '../../base/index.ts'
import type { Clock } from '../../host/index.ts'
import type { AdminCall, AdminRoute } from './routes.ts'

export type StreamedEvent = { readonly number: number }

export type EventList = {
  /** Oldest first, those with a higher number than `after`, at most `limit`. As this node has them. */
  eventsAfter(after: number, limit: number): Promise<readonly StreamedEvent[]>
  /** The newest, oldest first. */
  newestEvents(limit: number): Promise<readonly StreamedEvent[]>
  /** Calls back when anything of the cluster's records changed, quickly; answers what ends it. */
  onChange(changed: () => void): () => void
}

export type EventStreamOptions = {
  readonly streamsMax: number
  readonly perCallerMax: number
  /** A line without meaning after this long without another, which shows either side that the other is gone. */
  readonly keepAliveMs: number
  /** Changes within this time are one. */
  readonly settleMs: number
  /** 'changed' is told no more often. */
  readonly changedGapMs: number
}

export const defaultEventStreamOptions: EventStreamOptions = {
  streamsMax: 64,
  perCallerMax: 16,
  keepAliveMs: 15_000,
  settleMs: 50,
  changedGapMs: 1_000,
}

const pageMax = 100
const limitDefault = 20
const limitMax = 200
const retryMs = 2_000

export class EventStreams {
  readonly #clock: Clock
  readonly #list: EventList
  readonly #options: EventStreamOptions
  readonly #open = new Set<Stream>()
  #isClosed = false

  constructor(clock: Clock, list: EventList, options = defaultEventStreamOptions) {
    this.#clock = clock
    this.#list = list
    this.#options = options
  }

  routes(): readonly AdminRoute[] {
    return [
      {
        method: 'GET',
        path: '/cluster/events/stream',
        needs: 'admin:ListEvents',
        answer: async (call) => {
          const start = readStart(call)
          this.#requireRoom(call)
          const stream = new Stream(this.#clock, this.#list, {
            ...this.#options,
            call,
            start,
            onEnd: () => this.#open.delete(stream),
          })
          this.#open.add(stream)
          return {
            status: 200,
            headers: [
              ['content-type', 'text/event-stream'],
              ['cache-control', 'no-store'],
              ['x-accel-buffering', 'no'],
            ],
            body: stream,
          }
        },
      },
    ]
  }

  /** Every stream ends, and no other begins: before the server that serves them closes. */
  close(): void {
    this.#isClosed = true
    for (const stream of this.#open) stream.end()
  }

  #requireRoom({ caller }: AdminCall): void {
    if (this.#isClosed) throw new Fault('unavailable', 'the node stops')
    const { streamsMax, perCallerMax } = this.#options
    const own = [...this.#open].filter((stream) => stream.caller === caller.name).length
    if (this.#open.size < streamsMax && own < perCallerMax) return
    throw new Fault('overloaded', 'too many listen to the events of this node', {
      next: 'ask GET /cluster/events now and then',
    })
  }
}

/** After which event to begin; undefined: with the newest `limit`. */
type Start = { readonly after: number | undefined; readonly limit: number }

function readStart({ request, query }: AdminCall): Start {
  const header = request.headers.find(([name]) => name === 'last-event-id')?.[1]
  const limit = readNumber(query.get('limit'), 'limit') ?? limitDefault
  if (limit === 0) throw new Fault('invalid', '"limit" is a number from 1 on')
  // The browser's word on what it heard is newer than the address that it first asked for.
  const after = readNumber(header ?? query.get('after'), 'after')
  return { after, limit: Math.min(limit, limitMax) }
}

function readNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new Fault('invalid', `"${name}" is a whole number`)
}

type StreamParts = EventStreamOptions & {
  readonly call: AdminCall
  readonly start: Start
  readonly onEnd: () => void
}

class Stream implements AsyncIterable<Uint8Array> {
  readonly #clock: Clock
  readonly #list: EventList
  readonly #parts: StreamParts
  readonly #frames: AsyncGenerator<Uint8Array>
  #isEnded = false
  /** 'changed' is owed. */
  #hasChanged = false
  /** Something may have changed since the list was read. */
  #isStale = false
  /** Ends the pause under way. */
  #wake: (() => void) | undefined
  #stopListening: () => void = () => undefined

  constructor(clock: Clock, list: EventList, parts: StreamParts) {
    this.#clock = clock
    this.#list = list
    this.#parts = parts
    this.#frames = this.#makeFrames()
  }

  get caller(): string {
    return this.#parts.call.caller.name
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#stopListening()
    this.#parts.onEnd()
    this.#wake?.()
  }

  /**
   * Not the generator itself: one that was never asked for anything runs none of its clean-up when it is let go, and its
   * place would be taken for ever.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => this.#frames.next(),
      return: async () => {
        this.end()
        return { done: true, value: undefined }
      },
    }
  }

  async *#makeFrames(): AsyncGenerator<Uint8Array> {
    const { call, start } = this.#parts
    const { signal } = call.request
    const onGone = (): void => this.end()
    signal.addEventListener('abort', onGone, { once: true })
    if (signal.aborted) this.end()
    this.#listen()
    try {
      yield utf8Encode(`retry: ${retryMs}\n\n`)
      yield* this.#follow(start)
    } catch (error) {
      if (!isFault(error)) throw error
      yield frame('end', { code: error.code })
    } finally {
      signal.removeEventListener('abort', onGone)
      this.end()
    }
  }

  #listen(): void {
    if (this.#isEnded) return
    this.#stopListening = this.#list.onChange(() => {
      this.#hasChanged = true
      this.#isStale = true
      this.#wake?.()
    })
  }

  async *#follow({ after, limit }: Start): AsyncGenerator<Uint8Array> {
    const { call, settleMs, keepAliveMs, changedGapMs } = this.#parts
    let at = after ?? 0
    let page =
      after === undefined
        ? await this.#list.newestEvents(limit)
        : await this.#list.eventsAfter(at, pageMax)
    let isReady = false
    let isFollowing = after !== undefined
    let toldMs = Number.NEGATIVE_INFINITY
    while (!this.#isEnded) {
      // The list goes on while a slow client takes what it was sent.
      const [first] = page
      if (isFollowing && first !== undefined && first.number > at + 1) {
        yield frame('gap', { after: at, oldest: first.number })
      }
      isFollowing = true
      for (const event of page) yield numbered(event)
      at = page.at(-1)?.number ?? at
      if (page.length < pageMax) {
        if (!isReady) yield frame('ready', {})
        isReady = true
        const dueMs = toldMs + changedGapMs - this.#clock.monotonicMs()
        if (this.#hasChanged && dueMs <= 0) {
          this.#hasChanged = false
          toldMs = this.#clock.monotonicMs()
          yield frame('changed', {})
        }
        const isOwed = this.#hasChanged
        const isWoken = await this.#pause(isOwed ? dueMs : keepAliveMs)
        if (!isWoken && !isOwed) yield utf8Encode(':\n\n')
        if (isWoken && !this.#isEnded) await this.#clock.sleep(settleMs)
        if (this.#isEnded) return
      }
      await call.recheck()
      this.#isStale = false
      page = await this.#list.eventsAfter(at, pageMax)
    }
  }

  /** True: something changed, or it is over; false: the time is over. */
  #pause(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#isEnded || this.#isStale) {
        resolve(true)
        return
      }
      const settle = (isWoken: boolean) => (): void => {
        timer.cancel()
        this.#wake = undefined
        resolve(isWoken)
      }
      const timer = this.#clock.after(Math.max(1, ms), settle(false))
      this.#wake = settle(true)
    })
  }
}

function numbered(event: StreamedEvent): Uint8Array {
  return utf8Encode(`id: ${event.number}\nevent: cluster\ndata: ${JSON.stringify(event)}\n\n`)
}

function frame(kind: string, told: unknown): Uint8Array {
  return utf8Encode(`event: ${kind}\ndata: ${JSON.stringify(told)}\n\n`)
}
