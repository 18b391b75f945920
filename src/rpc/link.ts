// One connection with a peer, from the first hello to its end. It cuts bytes into frames, hands them to
// calls, served calls and streams, and watches that the peer is alive.
//
// Liveness: every period in which nothing came counts as missed and sends a ping; the third missed one
// cuts the link, also while it waits for the hello. A pause of our own counts once, however long.
//
// A peer that breaks the protocol (garbage, too long a frame, more than its credit, an id twice, a message
// its receiver cannot read) is cut: a Fault thrown by whatever looks at a frame means that. Anything else
// thrown there is a broken invariant of ours and passes.

import { type BufferPool, Fault, isFault, type NodeId, toHex } from '../base/index.ts'
import type { Connection, Host } from '../host/index.ts'
import { Calls } from './calls.ts'
import { type FrameHeader, FrameParser, type FrameSink, frameType } from './core/frame.ts'
import { checkHello, checkHelloLevel, type Hello, helloCodec, tooOld } from './core/hello.ts'
import type { Handlers } from './handlers.ts'
import type { LinkContext } from './link-context.ts'
import { OutQueue } from './out-queue.ts'
import type { CallOptions, MethodNumber, RpcLevel, RpcLimits, RpcStream } from './rpc.ts'
import { Served } from './served.ts'
import { Streams } from './streams.ts'

export type LinkOptions = {
  readonly host: Host
  readonly handlers: Handlers
  readonly limits: RpcLimits
  readonly pool: BufferPool
  readonly hello: Hello
  readonly level: RpcLevel | undefined
  /** Decides the parity of our ids. */
  readonly isDialled: boolean
  /** The peer is not among the members, now. */
  readonly isGuest: () => boolean
  readonly mayGuestUse: (method: MethodNumber) => boolean
  readonly onOpen: (link: Link) => void
  readonly onClosed: (link: Link, fault: Fault) => void
}

const missedMax = 3
/** Of the bound of what waits to leave: beyond it are only answers, to a peer that asks and does not read. */
const overfullRatio = 2
const idLimit = 0xffff_fff0

export class Link implements FrameSink {
  readonly peer: NodeId
  readonly isDialled: boolean
  readonly #connection: Connection
  readonly #options: LinkOptions
  readonly #context: LinkContext
  readonly #parser: FrameParser
  readonly #calls: Calls
  readonly #served: Served
  readonly #streams: Streams
  #instance = ''
  #nextId: number
  #isOpen = false
  #fault: Fault | undefined
  #hasHeard = false
  #missed = 0

  constructor(connection: Connection, options: LinkOptions) {
    this.peer = connection.peer.nodeId
    this.isDialled = options.isDialled
    this.#connection = connection
    this.#options = options
    this.#nextId = options.isDialled ? 1 : 2
    this.#context = {
      host: options.host,
      peer: this.peer,
      out: new OutQueue(connection, options.host.clock),
      pool: options.pool,
      handlers: options.handlers,
      limits: options.limits,
      peerHello: options.hello,
      nextId: () => this.#takeId(),
      mayUse: (method) => !options.isGuest() || options.mayGuestUse(method),
    }
    this.#parser = new FrameParser(this, options.limits)
    this.#calls = new Calls(this.#context)
    this.#served = new Served(this.#context)
    this.#streams = new Streams(this.#context)
  }

  /** Says hello and listens; the callbacks may run from here on. */
  start(): void {
    const { hello } = this.#options
    this.#context.out.push({ type: frameType.hello }, helloCodec.encode(hello))
    this.#connection.onClose = (reason) => this.#end(reason ?? this.#brokenFault())
    this.#connection.onBytes = (bytes) => this.#receive(bytes)
  }

  /** Both hellos were exchanged and the link has not ended. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** The peer's thread and life that is on the other end, as text. */
  get instance(): string {
    return this.#instance
  }

  call(method: MethodNumber, request: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    return this.#calls.start(method, request, options)
  }

  /** Throws the Fault that refuses it. */
  openStream(method: MethodNumber, request: Uint8Array, options: CallOptions): RpcStream {
    return this.#streams.open(method, request, options)
  }

  /** False when it was dropped. `message` must not change any more. */
  send(method: MethodNumber, message: Uint8Array): boolean {
    const { out, limits, peerHello } = this.#context
    if (!this.#isOpen || message.length > peerHello.messageBytesMax) return false
    if (out.queuedBytes + message.length > limits.queuedBytesMax) return false
    out.push({ type: frameType.message, method }, message)
    return true
  }

  /** Once per heartbeat period. */
  tick(): void {
    this.#checkLevel()
    if (this.#hasHeard) {
      this.#hasHeard = false
      this.#missed = 0
      return
    }
    this.#missed++
    if (this.#missed > missedMax) {
      this.cut(new Fault('unavailable', `node ${this.peer} is silent`, { outcome: 'unknown' }))
    } else if (this.#isOpen) {
      this.#context.out.push({ type: frameType.ping })
    }
  }

  /** Ends it at once; everything under way fails with this fault. */
  cut(fault: Fault): void {
    this.#end(fault)
    this.#connection.destroy()
  }

  // ---- FrameSink ----

  allocate(header: FrameHeader): Uint8Array {
    if (header.type === frameType.data) return this.#streams.allocate(header.length)
    return new Uint8Array(header.length)
  }

  onFrame(header: FrameHeader, payload: Uint8Array, isOwned: boolean): void {
    if (this.#isOpen) this.#dispatch(header, payload, isOwned)
    else this.#greet(header, payload)
  }

  // ---- private ----

  /** The level may have risen since the hello. */
  #checkLevel(): void {
    if (!this.#isOpen) return
    const fault = tooOld(this.#context.peerHello, this.peer, this.#options.level)
    if (fault !== undefined) this.cut(fault)
  }

  #receive(bytes: Uint8Array): void {
    this.#hasHeard = true
    try {
      this.#parser.push(bytes)
      this.#checkAnswersLeave()
    } catch (error) {
      if (!isFault(error)) throw error
      const { journal } = this.#options.host
      journal.event('warning', 'rpc.peer_cut', { peer: this.peer, why: error.message })
      this.cut(error)
    }
  }

  /** Pongs and refusals are queued whatever waits, so who makes us write them must read them. */
  #checkAnswersLeave(): void {
    const { out, limits } = this.#context
    if (out.queuedBytes <= overfullRatio * limits.queuedBytesMax) return
    throw new Fault('overloaded', `node ${this.peer} asks and does not read the answers`)
  }

  #greet(header: FrameHeader, payload: Uint8Array): void {
    if (header.type !== frameType.hello) throw new Fault('invalid', 'a frame before the hello')
    const hello = helloCodec.decode(payload)
    checkHello(hello, this.#connection.peer)
    checkHelloLevel(hello, this.peer, this.#options.level)
    this.#instance = toHex(hello.instance)
    this.#context.peerHello = hello
    this.#isOpen = true
    this.#options.onOpen(this)
  }

  #dispatch(header: FrameHeader, payload: Uint8Array, isOwned: boolean): void {
    const { id } = header
    switch (header.type) {
      case frameType.message:
        this.#onMessage(header.method, owned(payload, isOwned))
        return
      case frameType.request:
        this.#checkPeerId(id)
        this.#served.onRequest(header, owned(payload, isOwned))
        return
      case frameType.response:
        if (this.#calls.has(id)) this.#calls.onResponse(id, owned(payload, isOwned))
        return
      case frameType.fault:
        this.#calls.onFault(id, payload)
        return
      case frameType.cancel:
        this.#served.onCancel(id)
        return
      case frameType.open:
        this.#checkPeerId(id)
        this.#streams.onOpen(header, owned(payload, isOwned))
        return
      case frameType.data:
        this.#streams.onData(id, payload, isOwned)
        return
      case frameType.end:
        this.#streams.onEnd(id, header.flags)
        return
      case frameType.reset:
        this.#streams.onReset(id, payload)
        return
      case frameType.window:
        this.#streams.onCredit(id, header.argument)
        return
      case frameType.ping:
        this.#context.out.push({ type: frameType.pong })
        return
      case frameType.pong:
        return
      default:
        throw new Fault('invalid', `a frame of type ${header.type} in an open connection`)
    }
  }

  #onMessage(method: MethodNumber, message: Uint8Array): void {
    const receive = this.#options.handlers.messages.get(method)
    if (receive !== undefined && this.#context.mayUse(method)) receive(this.peer, message)
  }

  /** The peer's ids have the other parity than ours. */
  #checkPeerId(id: number): void {
    const parity = this.isDialled ? 0 : 1
    if (id === 0 || id % 2 !== parity) {
      throw new Fault('invalid', `node ${this.peer} uses an id that is not its own`)
    }
  }

  #takeId(): number {
    let id = this.#nextId
    while (this.#calls.has(id) || this.#streams.has(id)) id = this.#idAfter(id)
    this.#nextId = this.#idAfter(id)
    return id
  }

  #idAfter(id: number): number {
    if (id < idLimit) return id + 2
    return this.isDialled ? 1 : 2
  }

  #brokenFault(): Fault {
    const what = `the connection with node ${this.peer} has ended`
    return new Fault('unavailable', what, { outcome: 'unknown' })
  }

  #end(fault: Fault): void {
    if (this.#fault !== undefined) return
    this.#fault = fault
    this.#isOpen = false
    this.#parser.stop()
    this.#context.out.close()
    const broken = new Fault('unavailable', fault.message, { cause: fault, outcome: 'unknown' })
    this.#options.onClosed(this, fault)
    this.#calls.failAll(broken)
    this.#served.cancelAll(broken)
    this.#streams.failAll(broken)
  }
}

/** The bytes for keeping: the parser's view ends with the call. */
function owned(payload: Uint8Array, isOwned: boolean): Uint8Array {
  return isOwned ? payload : new Uint8Array(payload)
}
