// etcd's Watch: many watches on one stream. Each is a watch of the keyspace; this file gives them their numbers,
// words their answers as etcd does, and holds them back while the client does not read.
//
// A watch that the keyspace ends by itself, other than for what it has asked for, ends the stream with the reason: clients
// then resume all of its watches, here or at another node, from the revision after the last they saw.

import { compareBytes, Fault, toFault } from '../../base/index.ts'
import type { Watch, WatchEvent, WatchResponse } from '../../keyspace/index.ts'
import type { Permit } from './gate.ts'
import type { TokenClaim } from './core/token.ts'
import { codeNames, type EtcdError, EtcdRefusal } from './core/errors.ts'
import { type Context, type Method, type MessageStream, streaming } from './context.ts'
import {
  type EtcdEvent,
  type EtcdWatchCreate,
  type EtcdWatchRequest,
  type EtcdWatchResponse,
  watchRequest,
  watchResponse,
} from '../../keyspace/etcd/wire.ts'

/** Watches of one stream. */
const watchesMax = 16_384
const noWatch = -1
const putFilter = 0
const deleteFilter = 1

export const watchMethods: readonly Method[] = [
  streaming('etcdserverpb.Watch/Watch', [watchRequest, watchResponse], (context, stream) =>
    new WatchStream(context, stream).run(),
  ),
]

type Stream = MessageStream<EtcdWatchRequest, EtcdWatchResponse>

type Open = {
  readonly id: number
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
  watch: Watch | undefined
  isCreated: boolean
  isHeld: boolean
  wantsNotice: boolean
  /** A progress of the whole stream waits for this watch. */
  owesProgress: boolean
}

const nothing: EtcdWatchResponse = {
  header: undefined,
  watchId: 0,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: '',
  fragment: false,
  events: [],
}

class WatchStream {
  readonly #context: Context
  readonly #stream: Stream
  readonly #watches = new Map<number, Open>()
  #nextId = 0
  #isDraining = false
  #isOver = false
  /** The lowest revision that watches reported since the client asked for progress. */
  #progressRevision = Number.POSITIVE_INFINITY
  #fail: (fault: Fault) => void = () => undefined
  /** Who opens watches here, once somebody was believed. */
  #claim: TokenClaim | undefined

  constructor(context: Context, stream: Stream) {
    this.#context = context
    this.#stream = stream
  }

  /** Until the client goes; what it has not yet asked to cancel is closed then. */
  async run(): Promise<void> {
    const failed = new Promise<never>((_resolve, reject) => {
      this.#fail = reject
    })
    failed.catch(() => undefined)
    const unfollow = this.#context.gate.onChange(() => this.#checkAll())
    const { counters } = this.#context
    counters.watchStreams++
    try {
      await Promise.race([this.#take(), failed])
      // The client sends no more requests and still wants its events.
      await Promise.race([gone(this.#stream.signal), failed])
    } finally {
      this.#isOver = true
      unfollow()
      counters.watchStreams--
      counters.watchers -= this.#watches.size
      for (const { watch } of this.#watches.values()) watch?.close()
    }
  }

  async #take(): Promise<void> {
    for await (const request of this.#stream.requests) {
      if (this.#isOver) return
      if (request.createRequest !== undefined) await this.#maybeCreate(request.createRequest)
      else if (request.cancelRequest !== undefined) this.#cancel(request.cancelRequest.watchId)
      else if (request.progressRequest !== undefined) this.#askProgress()
      await this.#stream.drained()
    }
  }

  /** A watch that is not allowed is refused, and the stream goes on, as etcd's does. */
  async #maybeCreate(request: EtcdWatchCreate): Promise<void> {
    const { gate } = this.#context
    const key = request.key.length === 0 ? Uint8Array.of(0) : request.key
    const check = (permit: Permit): void => {
      permit.requireRead(key, request.rangeEnd)
      this.#claim = permit.claim
    }
    try {
      // Mostly what is known suffices, and watches are many.
      check(gate.permit(this.#stream.token))
    } catch (error) {
      if (!isRefusal(error)) throw error
      const denied = await gate
        .run(this.#stream.token, async (permit) => check(permit))
        .catch(toFault)
      if (denied !== undefined) {
        if (!isRefusal(denied)) throw denied
        this.#refuse(textOf(denied.etcd))
        return
      }
    }
    if (!this.#isOver) this.#create(request, key)
  }

  #refuse(cancelReason: string): void {
    const refused = { watchId: noWatch, created: true, canceled: true, cancelReason }
    this.#send({ ...nothing, ...refused }, this.#localRevision())
  }

  /** Users or roles have changed: watches that are not allowed any more end. */
  #checkAll(): void {
    for (const open of this.#watches.values()) {
      try {
        this.#context.gate.permitOf(this.#claim).requireRead(open.key, open.rangeEnd)
      } catch (error) {
        if (!isRefusal(error)) throw error
        this.#cancel(open.id, textOf(error.etcd))
      }
    }
  }

  #create(request: EtcdWatchCreate, key: Uint8Array): void {
    const { rangeEnd } = request
    const reason = this.#reasonAgainst(request, key)
    if (reason !== undefined) {
      this.#refuse(reason)
      return
    }
    const id = request.watchId === 0 ? this.#drawId() : request.watchId
    const open: Open = {
      id,
      key,
      rangeEnd,
      watch: undefined,
      isCreated: false,
      isHeld: false,
      wantsNotice: request.progressNotify,
      owesProgress: false,
    }
    this.#watches.set(id, open)
    this.#context.counters.watchers++
    const asked = {
      key,
      ...(rangeEnd.length === 0 ? {} : { rangeEnd }),
      startRevision: Math.max(0, request.startRevision),
      withoutPuts: request.filters.includes(putFilter),
      withoutDeletes: request.filters.includes(deleteFilter),
      previous: request.prevKv,
      isFragmented: request.fragment,
      ...(request.progressNotify ? { progressMs: this.#context.progressMs } : {}),
    }
    open.watch = this.#context.keyspace.watch(asked, {
      onOpened: ({ revision }) => this.#tellCreated(open, revision),
      onResponse: (response) => this.#forward(open, response),
      onEnded: (fault) => this.#onEnded(open, fault),
    })
  }

  /** Clients know no watch before this answer, so it comes first, also when the watch ended at once. */
  #tellCreated(open: Open, revision: number): void {
    if (open.isCreated) return
    open.isCreated = true
    this.#send({ ...nothing, watchId: open.id, created: true }, revision)
  }

  #drawId(): number {
    while (this.#watches.has(this.#nextId)) this.#nextId++
    return this.#nextId++
  }

  /** Why such a watch cannot be; etcd's words where etcd has them. */
  #reasonAgainst(request: EtcdWatchCreate, key: Uint8Array): string | undefined {
    const { rangeEnd, watchId, startRevision } = request
    const isOpenEnd = rangeEnd.length === 1 && rangeEnd[0] === 0
    if (rangeEnd.length > 0 && !isOpenEnd && compareBytes(key, rangeEnd) >= 0) {
      return 'mvcc: watcher range is empty'
    }
    if (watchId < 0 || !Number.isSafeInteger(watchId)) return 'mvcc: watch IDs are not negative'
    if (watchId !== 0 && this.#watches.has(watchId)) {
      return 'mvcc: duplicate watch ID provided on the WatchStream'
    }
    if (this.#watches.size >= watchesMax) return `a stream has at most ${watchesMax} watches`
    if (startRevision > Number.MAX_SAFE_INTEGER) return 'mvcc: the start revision is too large'
    return undefined
  }

  #forward(open: Open, response: WatchResponse): boolean {
    if (this.#isOver || !this.#watches.has(open.id)) return true
    const { revision, events, isFragment } = response
    if (events.length === 0 && open.owesProgress) {
      this.#noteProgress(open, revision)
      return true
    }
    if (events.length === 0 && !open.wantsNotice) return true
    const answer = {
      ...nothing,
      watchId: open.id,
      fragment: isFragment,
      events: eventsOf(events),
    }
    if (this.#send(answer, revision)) return true
    open.isHeld = true
    this.#resumeLater()
    return false
  }

  #onEnded(open: Open, fault: Fault): void {
    // A stream that is over has given up its count already.
    if (this.#isOver || !this.#watches.delete(open.id)) return
    this.#context.counters.watchers--
    // Resumed, it would meet the same events again, and so for ever.
    const isTooLarge = fault.code === 'too-large'
    if (fault.code !== 'compacted' && !isTooLarge) {
      this.#fail(fault)
      return
    }
    this.#tellCreated(open, this.#localRevision())
    const compactRevision = Number(fault.fields.compacted ?? 0)
    const cancelReason = isTooLarge ? fault.message : ''
    const answer = { ...nothing, watchId: open.id, canceled: true, compactRevision, cancelReason }
    this.#send(answer, this.#localRevision())
    this.#settleProgress()
  }

  #cancel(id: number, cancelReason = ''): void {
    const open = this.#watches.get(id)
    if (open === undefined || this.#isOver) return
    this.#watches.delete(id)
    this.#context.counters.watchers--
    open.watch?.close()
    this.#tellCreated(open, this.#localRevision())
    const answer = { ...nothing, watchId: id, canceled: true, cancelReason }
    this.#send(answer, this.#localRevision())
    this.#settleProgress()
  }

  #askProgress(): void {
    this.#progressRevision = Number.POSITIVE_INFINITY
    for (const open of this.#watches.values()) {
      open.owesProgress = true
      open.watch?.requestProgress()
    }
    if (this.#watches.size === 0)
      this.#send({ ...nothing, watchId: noWatch }, this.#localRevision())
  }

  #noteProgress(open: Open, revision: number): void {
    open.owesProgress = false
    this.#progressRevision = Math.min(this.#progressRevision, revision)
    this.#settleProgress()
  }

  /** One answer for the whole stream, once every watch has given all events up to a revision. */
  #settleProgress(): void {
    const revision = this.#progressRevision
    if (revision === Number.POSITIVE_INFINITY) return
    for (const open of this.#watches.values()) if (open.owesProgress) return
    this.#progressRevision = Number.POSITIVE_INFINITY
    this.#send({ ...nothing, watchId: noWatch }, revision)
  }

  #send(answer: EtcdWatchResponse, revision: number): boolean {
    if (this.#isOver) return true
    return this.#stream.send({ ...answer, header: this.#context.header(revision) })
  }

  #resumeLater(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    void this.#stream.drained().then(() => {
      this.#isDraining = false
      if (this.#isOver) return
      for (const open of this.#watches.values()) {
        if (!open.isHeld) continue
        open.isHeld = false
        open.watch?.resume()
      }
    })
  }

  #localRevision(): number {
    return this.#context.keyspace.freshness().revision
  }
}

function isRefusal(error: unknown): error is EtcdRefusal {
  return error instanceof EtcdRefusal
}

/** As etcd tells it here: an error of gRPC in words. */
function textOf({ code, text }: EtcdError): string {
  return `rpc error: code = ${codeNames[code] ?? 'Unknown'} desc = ${text}`
}

const encodable = new WeakMap<readonly WatchEvent[], readonly EtcdEvent[]>()

/** Watches that see the same events get the same list, so that it is translated and encoded once. */
function eventsOf(events: readonly WatchEvent[]): readonly EtcdEvent[] {
  const known = encodable.get(events)
  if (known !== undefined) return known
  const translated = events.map(({ kind, kv, previous }) => ({
    type: kind === 'put' ? 0 : 1,
    kv,
    prevKv: previous,
  }))
  encodable.set(events, translated)
  return translated
}

function gone(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(new Fault('cancelled', 'the client has gone'))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}
