// The streams of one link, those this side opened and those the peer did.

import { Fault, isFault } from '../base/index.ts'
import type { Timer } from '../host/index.ts'
import { cancelledFault } from './calls.ts'
import { type FrameHeader, frameType } from './core/frame.ts'
import { decodeFault, encodeFault } from './fault-bytes.ts'
import { deadlineFault, ServedCall } from './handlers.ts'
import { deadlineOnWire, type LinkContext } from './link-context.ts'
import type { CallOptions, MethodNumber, RpcStream } from './rpc.ts'
import { noMember, unknownMethod } from './served.ts'
import { Stream } from './stream.ts'

type OpenStream = {
  readonly stream: Stream
  /** Of a stream the peer opened. */
  readonly call: ServedCall | undefined
  /** Of one we opened. */
  readonly release: (() => void) | undefined
}

export class Streams {
  readonly #context: LinkContext
  readonly #open = new Map<number, OpenStream>()
  #openedByPeer = 0

  constructor(context: LinkContext) {
    this.#context = context
  }

  get count(): number {
    return this.#open.size
  }

  has(id: number): boolean {
    return this.#open.has(id)
  }

  /** Throws the Fault that refuses it. */
  open(method: MethodNumber, request: Uint8Array, options: CallOptions): RpcStream {
    const { out, limits, peerHello, peer } = this.#context
    if (options.signal?.aborted) throw cancelledFault('failed')
    if (request.length > Math.min(limits.callBytesMax, peerHello.callBytesMax)) {
      throw new Fault('too-large', `an opening message of ${request.length} bytes`)
    }
    const ourCount = this.#open.size - this.#openedByPeer
    if (
      ourCount >= limits.callsInFlightMax ||
      out.queuedBytes + request.length > limits.queuedBytesMax
    ) {
      throw new Fault('overloaded', `too many streams to node ${peer}`)
    }
    const id = this.#context.nextId()
    const deadlineMs = deadlineOnWire(options.deadlineMs)
    out.push({ type: frameType.open, method, id, argument: deadlineMs }, request)
    const stream = this.#create(id, true)
    this.#open.set(id, {
      stream,
      call: undefined,
      release: this.#watch(stream, { deadlineMs, signal: options.signal }),
    })
    return stream
  }

  /** `request` belongs to the handler. Throws Fault 'invalid' when the peer uses an id twice. */
  onOpen(header: FrameHeader, request: Uint8Array): void {
    const { host, peer, handlers, limits, mayUse } = this.#context
    const { id, method, argument } = header
    if (this.#open.has(id)) throw new Fault('invalid', `node ${peer} uses stream id ${id} twice`)
    if (this.#openedByPeer >= limits.callsInFlightMax) {
      this.#refuse(id, new Fault('overloaded', 'too many streams of one peer'))
      return
    }
    const handler = handlers.streams.get(method)
    if (handler === undefined) {
      this.#refuse(id, unknownMethod(method))
      return
    }
    if (!mayUse(method)) {
      this.#refuse(id, noMember(peer, method))
      return
    }
    const call = new ServedCall(host.clock, { from: peer, request, deadlineMs: argument })
    const stream = this.#create(id, false)
    this.#open.set(id, { stream, call, release: undefined })
    this.#openedByPeer++
    handler(stream, call).then(
      () => stream.finish(),
      (error: unknown) => {
        if (!isFault(error)) host.journal.fatal('rpc.handler_failed', error)
        else stream.fail(error)
      },
    )
  }

  /** Memory for a message that comes in pieces. */
  allocate(length: number): Uint8Array {
    return this.#context.pool.take(length)
  }

  /** Throws Fault 'invalid' when the peer overruns its credit. */
  onData(id: number, payload: Uint8Array, isOwned: boolean): void {
    const open = this.#open.get(id)
    if (open !== undefined) open.stream.onData(payload, isOwned)
    else if (isOwned) this.#context.pool.give(payload)
  }

  onEnd(id: number, flags: number): void {
    this.#open.get(id)?.stream.onEnd(flags)
  }

  onReset(id: number, payload: Uint8Array): void {
    this.#open.get(id)?.stream.abandon(decodeFault(payload))
  }

  onCredit(id: number, bytes: number): void {
    this.#open.get(id)?.stream.onCredit(bytes)
  }

  failAll(fault: Fault): void {
    for (const { stream } of [...this.#open.values()]) stream.abandon(fault)
  }

  #create(id: number, isOpener: boolean): Stream {
    const { peer, out, pool, limits, peerHello } = this.#context
    return new Stream({
      id,
      from: peer,
      isOpener,
      out,
      pool,
      receiveWindowBytes: limits.streamWindowBytes,
      sendWindowBytes: peerHello.streamWindowBytes,
      sendMessageBytesMax: Math.min(limits.streamMessageBytesMax, peerHello.streamMessageBytesMax),
      onOver: (stream, fault) => this.#forget(stream, fault),
    })
  }

  #forget(stream: Stream, fault: Fault | undefined): void {
    const open = this.#open.get(stream.id)
    if (open === undefined) return
    this.#open.delete(stream.id)
    open.release?.()
    if (open.call === undefined) return
    this.#openedByPeer--
    if (fault === undefined) open.call.finish()
    else open.call.cancel(fault)
  }

  /** Fails our stream at its deadline or when its signal aborts; answers how to stop watching. */
  #watch(
    stream: Stream,
    options: { readonly deadlineMs: number; readonly signal: AbortSignal | undefined },
  ): () => void {
    const { signal } = options
    const timer: Timer = this.#context.host.clock.after(options.deadlineMs, () =>
      stream.fail(deadlineFault()),
    )
    const onAbort = () => stream.fail(cancelledFault('unknown'))
    signal?.addEventListener('abort', onAbort)
    return () => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #refuse(id: number, fault: Fault): void {
    this.#context.out.push({ type: frameType.reset, id }, encodeFault(fault))
  }
}
