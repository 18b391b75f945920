// Watches on an etcd cluster: one stream of etcd's Watch per thread, one watch of etcd's per watch of ours. The
// stream is made anew when it breaks, and each watch goes on behind what it gave: at its revision, less the events of
// it that were given. Nothing is buffered: a receiver that takes no more has its watch cancelled, and begun again
// from history when it resumes. Fragments are always asked for, and joined here for who wants whole revisions.
//
// Progress is asked of nobody: before 3.4.25 and 3.5.8 etcd's answers run ahead of the events that are still to be
// sent (etcd issue 15220). Instead a watch that wants to know how far it has come is widened to the end of its
// namespace and of the mark behind it; this thread writes the mark, and when the watch sees it, in order with all
// else, everything before it was given. What a wide watch sees beside its range is left out here.

import {
  compareBytes,
  equalBytes,
  Fault,
  readUint64,
  revision as toRevision,
  uint64Bytes,
} from '../../base/index.ts'
import type { Timer } from '../../host/index.ts'
import type { Watch, WatchEvent, WatchReceiver, WatchRequest } from '../keyspace.ts'
import type { EtcdStream } from './channel.ts'
import { cancelFault } from './core/faults.ts'
import type { EtcdEvent, EtcdWatchResponse } from './core/messages.ts'
import { type Space, sessionText } from './core/names.ts'
import { readPair } from './core/translate.ts'
import type { Engine } from './engine.ts'
import { etcdMethods } from './methods.ts'

const watchesMax = 65_536
const heldBytesMax = 64 * 1024 * 1024
const eventOverheadBytes = 128
const againMsMin = 50
const againMsMax = 2000
const progressLookMs = 500
const markMsMax = 5000
const putFilter = 0
const deleteFilter = 1
const putEvent = 0

type Stream = EtcdStream<typeof etcdMethods.watch.request.fields>

type Watching = {
  readonly space: Space
  readonly request: WatchRequest
  readonly receiver: WatchReceiver
  state: 'watching' | 'paused' | 'closed'
  /** Its name on the stream; 0 while it has none. */
  id: number
  isOpened: boolean
  isWide: boolean
  /** The first revision that was not given whole; 0: what follows the beginning. */
  next: number
  /** Events of `next` that were given already, in fragments. */
  given: number
  /** Of etcd's watch: the revision of its last event, and how many of that one's it has shown. */
  at: number
  shown: number
  held: WatchEvent[]
  heldBytes: number
  /** The mark whose sight answers who asked for progress; 0: nobody asked. */
  awaited: number
  toldMs: number
}

export class EngineWatches {
  readonly #engine: Engine
  readonly #all = new Set<Watching>()
  readonly #byId = new Map<number, Watching>()
  #stream: Stream | undefined
  #nextId = 1
  #failures = 0
  #isWaiting = false
  #isClosed = false
  #timer: Timer | undefined
  /** Marks are numbered: who asks waits for the next one. */
  #wanted = 0
  /** How the key of this thread's marks ends. */
  #markKey: Uint8Array = new Uint8Array(0)
  readonly #marking = new Map<Space, number>()

  constructor(engine: Engine) {
    this.#engine = engine
  }

  open(
    space: Space,
    { request, receiver }: { readonly request: WatchRequest; readonly receiver: WatchReceiver },
  ): Watch {
    space.outer(request.key)
    const watching: Watching = {
      space,
      request,
      receiver,
      state: 'watching',
      id: 0,
      isOpened: false,
      isWide: (request.progressMs ?? 0) > 0 || isEmpty(request),
      next: request.startRevision ?? 0,
      given: 0,
      at: 0,
      shown: 0,
      held: [],
      heldBytes: 0,
      awaited: 0,
      toldMs: this.#engine.host.clock.monotonicMs(),
    }
    const refuse = this.#isClosed
      ? new Fault('unavailable', 'the node is stopping')
      : this.#all.size >= watchesMax
        ? new Fault('overloaded', `a thread has at most ${watchesMax} watches`)
        : undefined
    this.#all.add(watching)
    if (refuse !== undefined) this.#engine.host.clock.soon(() => this.#finish(watching, refuse))
    else this.#create(watching)
    if ((request.progressMs ?? 0) > 0) {
      const look = (): void => this.#lookAtProgress()
      this.#timer ??= this.#engine.host.clock.every(progressLookMs, look)
    }
    return {
      resume: () => this.#resume(watching),
      requestProgress: () => this.#askProgress(watching),
      close: () => this.#leave(watching),
    }
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#stream?.cancel()
    const fault = new Fault('unavailable', 'the node is stopping')
    for (const watching of [...this.#all]) this.#finish(watching, fault)
  }

  // ---- the stream ----

  #create(watching: Watching): void {
    if (this.#isWaiting) return
    const { request, space, isWide } = watching
    watching.id = this.#nextId++
    watching.at = 0
    watching.shown = 0
    watching.held = []
    watching.heldBytes = 0
    this.#byId.set(watching.id, watching)
    const filters: number[] = []
    if (!isWide && request.withoutPuts === true) filters.push(putFilter)
    if (!isWide && request.withoutDeletes === true) filters.push(deleteFilter)
    const createRequest = {
      key: space.outer(request.key),
      rangeEnd: isWide ? space.progressEnd : space.outerEnd(request.rangeEnd),
      startRevision: watching.next,
      progressNotify: false,
      filters,
      prevKv: request.previous === true,
      watchId: watching.id,
      fragment: true,
    }
    this.#open().send({ createRequest, cancelRequest: undefined, progressRequest: undefined })
  }

  #open(): Stream {
    this.#stream ??= this.#engine.channel.stream(etcdMethods.watch, {
      onMessage: (response) => this.#take(response),
      onEnded: (fault) => this.#break(fault),
    })
    return this.#stream
  }

  /** All watches are made again on a new stream after a moment. */
  #break(fault: Fault): void {
    this.#stream = undefined
    for (const watching of this.#byId.values()) watching.id = 0
    this.#byId.clear()
    if (this.#isClosed) return
    this.#engine.channel.leave()
    const { host } = this.#engine
    host.journal.event('debug', 'keyspace.etcd_watch_broken', { reason: fault.message })
    if (fault.code === 'denied' || fault.code === 'unauthenticated') {
      for (const watching of [...this.#all]) this.#finish(watching, fault)
      return
    }
    if (this.#isWaiting) return
    this.#isWaiting = true
    const ms = Math.min(againMsMax, againMsMin * 2 ** Math.min(this.#failures++, 10))
    host.clock.after(ms, () => {
      this.#isWaiting = false
      for (const watching of this.#all) if (watching.state === 'watching') this.#create(watching)
    })
  }

  #cancel(watching: Watching): void {
    if (!this.#byId.delete(watching.id)) return
    const cancelRequest = { watchId: watching.id }
    watching.id = 0
    this.#stream?.send({ createRequest: undefined, cancelRequest, progressRequest: undefined })
  }

  #take(response: EtcdWatchResponse): void {
    this.#failures = 0
    const watching = this.#byId.get(response.watchId)
    if (watching === undefined) return
    const revision = response.header?.revision ?? 0
    if (response.created && !response.canceled) this.#opened(watching, revision)
    if (response.canceled) this.#canceled(watching, response)
    else if (response.events.length > 0) this.#receive(watching, response)
  }

  #opened(watching: Watching, revision: number): void {
    if (watching.next === 0) watching.next = revision + 1
    if (watching.isOpened) return
    watching.isOpened = true
    watching.receiver.onOpened?.({ revision: toRevision(revision) })
  }

  #canceled(watching: Watching, response: EtcdWatchResponse): void {
    this.#byId.delete(watching.id)
    const { compactRevision, cancelReason } = response
    if (compactRevision > 0) {
      const words = 'etcdserver: mvcc: required revision has been compacted'
      const fields = { compacted: String(compactRevision) }
      this.#finish(watching, new Fault('compacted', words, { fields }))
    } else this.#finish(watching, cancelFault(cancelReason))
  }

  // ---- events ----

  #receive(watching: Watching, response: EtcdWatchResponse): void {
    const events: WatchEvent[] = []
    let bytes = 0
    let mark = 0
    for (const event of response.events) {
      if (event?.kv === undefined) continue
      const { key, value, modRevision } = event.kv
      if (modRevision !== watching.at) {
        watching.at = modRevision
        watching.shown = 0
      }
      const seen = readEvent(watching, event)
      if (seen === undefined) {
        mark = Math.max(mark, this.#markOf(event))
        continue
      }
      watching.shown++
      if (modRevision === watching.next && watching.shown <= watching.given) continue
      events.push(seen)
      bytes += key.length + value.length + eventOverheadBytes
    }
    if (watching.request.isFragmented === true) {
      this.#give(watching, { events, mark, isFragment: response.fragment })
      return
    }
    watching.held.push(...events)
    watching.heldBytes += bytes
    if (watching.heldBytes > heldBytesMax) {
      const what = `a revision has more than ${heldBytesMax} bytes of events`
      this.#finish(watching, new Fault('too-large', what))
    } else if (!response.fragment) {
      const { held } = watching
      watching.held = []
      watching.heldBytes = 0
      this.#give(watching, { events: held, mark, isFragment: false })
    }
  }

  #give(
    watching: Watching,
    got: {
      readonly events: readonly WatchEvent[]
      readonly mark: number
      readonly isFragment: boolean
    },
  ): void {
    const { events, isFragment } = got
    const { at } = watching
    const isBefore = at + 1 < watching.next
    if (!isBefore) watching.next = isFragment ? at : at + 1
    watching.given = isFragment ? watching.shown : 0
    const isDue = watching.awaited > 0 && got.mark >= watching.awaited && !isFragment
    const isProgress = isDue && !isBefore
    if (isProgress) watching.awaited = 0
    // One that begins in the future hears nothing of what is before, and is looked after again.
    else if (isDue) this.#engine.host.clock.after(progressLookMs, () => this.#mark(watching.space))
    if (events.length === 0 && !isProgress) return
    watching.toldMs = this.#engine.host.clock.monotonicMs()
    const response = { revision: toRevision(at), events, isFragment }
    if (watching.receiver.onResponse(response) || watching.state !== 'watching') return
    watching.state = 'paused'
    this.#cancel(watching)
  }

  /** The number of a mark that this thread wrote; 0 for anything else. */
  #markOf(event: EtcdEvent): number {
    const { kv } = event
    if (kv === undefined || event.type !== putEvent || this.#markKey.length === 0) return 0
    const tail = kv.key.subarray(Math.max(0, kv.key.length - this.#markKey.length))
    if (!equalBytes(tail, this.#markKey) || kv.value.length !== 8) return 0
    return readUint64(kv.value, 0)
  }

  // ---- what a receiver asks ----

  #resume(watching: Watching): void {
    if (watching.state !== 'paused') return
    watching.state = 'watching'
    this.#create(watching)
  }

  #leave(watching: Watching): void {
    if (watching.state === 'closed') return
    watching.state = 'closed'
    this.#all.delete(watching)
    this.#cancel(watching)
  }

  #finish(watching: Watching, fault: Fault): void {
    if (watching.state === 'closed') return
    this.#leave(watching)
    watching.receiver.onEnded(fault)
  }

  #lookAtProgress(): void {
    const now = this.#engine.host.clock.monotonicMs()
    for (const watching of this.#all) {
      const { progressMs = 0 } = watching.request
      if (progressMs > 0 && now - watching.toldMs >= progressMs) this.#askProgress(watching)
    }
  }

  #askProgress(watching: Watching): void {
    if (watching.state === 'closed') return
    watching.toldMs = this.#engine.host.clock.monotonicMs()
    if (!watching.isWide) {
      watching.isWide = true
      // One that has not begun yet begins now: nobody was told that it had.
      if (watching.id !== 0) {
        this.#cancel(watching)
        this.#create(watching)
      }
    }
    watching.awaited = ++this.#wanted
    this.#mark(watching.space)
  }

  /** Puts the mark, once for all that asked meanwhile. */
  #mark(space: Space): void {
    if (this.#marking.has(space)) return
    const number = this.#wanted
    this.#marking.set(space, number)
    const { host } = this.#engine
    const again = (): boolean => !this.#isClosed && this.#isAwaited(space)
    this.#putMark(space, number).then(
      () => {
        this.#marking.delete(space)
        if (this.#wanted > number && again()) this.#mark(space)
      },
      (error: unknown) => {
        this.#marking.delete(space)
        const reason = error instanceof Error ? error.message : String(error)
        host.journal.event('debug', 'keyspace.etcd_mark_failed', { reason })
        if (again()) host.clock.after(againMsMax, () => this.#mark(space))
      },
    )
  }

  #isAwaited(space: Space): boolean {
    for (const { space: own, awaited } of this.#all) if (own === space && awaited > 0) return true
    return false
  }

  async #putMark(space: Space, number: number): Promise<void> {
    const { channel, once } = this.#engine
    await this.#engine.mutate({ deadlineMs: markMsMax }, async (attempt) => {
      const lease = await once.lease(attempt)
      const session = sessionText(lease)
      const key = space.progressKey(session)
      this.#markKey = key.subarray(key.length - session.length)
      const value = uint64Bytes(number)
      const put = { key, value, lease, prevKv: false, ignoreValue: false, ignoreLease: false }
      await channel.unary(etcdMethods.put, put, attempt)
    })
  }
}

/** Undefined for what lies outside of the watch's own range or is filtered out of a wide one. */
function readEvent(watching: Watching, event: EtcdEvent): WatchEvent | undefined {
  const { space, request, isWide } = watching
  const { kv, prevKv } = event
  const key = kv === undefined ? undefined : space.inner(kv.key)
  if (kv === undefined || key === undefined) return undefined
  const kind = event.type === putEvent ? 'put' : 'delete'
  if (isWide) {
    if (!isInRange(request, key)) return undefined
    if (kind === 'put' ? request.withoutPuts === true : request.withoutDeletes === true)
      return undefined
  }
  const seen = { kind, kv: readPair(space, kv) } as const
  return prevKv === undefined ? seen : { ...seen, previous: readPair(space, prevKv) }
}

function isInRange({ key: start, rangeEnd }: WatchRequest, key: Uint8Array): boolean {
  if (compareBytes(key, start) < 0) return false
  if (rangeEnd === undefined || rangeEnd.length === 0) return equalBytes(key, start)
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return isOpen || compareBytes(key, rangeEnd) < 0
}

/** etcd refuses such a watch; ours sees nothing, as a wide one that leaves everything out. */
function isEmpty({ key, rangeEnd }: WatchRequest): boolean {
  if (rangeEnd === undefined || rangeEnd.length === 0) return false
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return !isOpen && compareBytes(key, rangeEnd) >= 0
}
