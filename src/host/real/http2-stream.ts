// One request and its answer on a stream of HTTP/2. The body of the request may still come while the answer
// is sent (gRPC's streams), and the answer may end with trailers.
//
// What the client sends ahead of its reader is bounded by the stream's window, which grows again only as the reader
// takes slices. What the answer sends is bounded by the client's windows and by the socket.

import type { Fault } from '../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse, Journal } from '../host.ts'
import type { Field } from './hpack.ts'
import { goneFault, incompleteBody, releaseBody } from './http-body.ts'
import type { Fields } from './http2-blocks.ts'
import {
  errorCode,
  flag,
  type FrameWriter,
  frameType,
  payloadBytesMax,
  windowMax,
} from './http2-frames.ts'

/** What a stream may use of its connection. */
export type StreamConnection = {
  readonly out: FrameWriter
  readonly isSecure: boolean
  readonly remoteAddress: string
  clientCertificate(): { readonly hash: string } | undefined
  /** Of a whole connection; streams take from it what they send. */
  sendWindow: number
  fieldsOut(id: number, fields: Fields, isLast: boolean): void
  statusOut(id: number, answer: HttpResponse, isLast: boolean): void
  /** So many received bytes are out of memory. */
  consumed(bytes: number): void
  /** The stream sends again when the connection's window or the socket has room. */
  waitForRoom(stream: Http2Stream): void
  ended(stream: Http2Stream): void
  /** The handler's work is over. */
  rested(): void
}

export const streamWindow = 1024 * 1024
/** Slices below are copied: they would keep the whole of what was read with them. */
const sharedBytesMin = 4096
/** One stream sends so much before others have their turn. */
const turnBytes = 64 * 1024
/** How long a client that has its answer may go on sending. */
const lingerMsMax = 5_000

type Step = IteratorResult<Uint8Array, undefined>
type Waiter = { resolve(step: Step): void; reject(fault: Fault): void }
const endStep: Step = { done: true, value: undefined }

type Sending = {
  readonly bytes: Uint8Array
  readonly isLast: boolean
  at: number
  /** Frames whose bytes the socket still looks at. */
  untaken: number
}

export class Http2Stream implements HttpRequest {
  readonly id: number
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [string, string])[]
  readonly isHttp2 = true
  readonly body: AsyncIterable<Uint8Array>
  readonly #connection: StreamConnection
  readonly #bytesExpected: number | undefined
  #bytesReceived = 0
  /** Received and not yet taken by the reader. */
  #slices: Uint8Array[] = []
  #waiter: Waiter | undefined
  /** What the client may still send, and what was taken since it was told. */
  #receiveWindow = streamWindow
  #taken = 0
  #isDiscarding = false
  #hasEnded = false
  #sendWindow: number
  #sending: Sending | undefined
  #wakeSender: (() => void) | undefined
  #hasAnswered = false
  /** It ended before its time. */
  #isGone = false
  #isFinished = false
  #abort: AbortController | undefined
  #linger: NodeJS.Timeout | undefined

  constructor(
    connection: StreamConnection,
    given: {
      readonly id: number
      readonly head: RequestHead
      readonly sendWindow: number
    },
  ) {
    this.#connection = connection
    this.id = given.id
    this.method = given.head.method
    this.target = given.head.target
    this.headers = given.head.headers
    this.#bytesExpected = given.head.bodyBytes
    this.#sendWindow = given.sendWindow
    const reader: AsyncIterator<Uint8Array, undefined> = {
      next: () => this.#next(),
      return: () => {
        this.#discard()
        this.#waiter?.resolve(endStep)
        this.#waiter = undefined
        return Promise.resolve(endStep)
      },
    }
    this.body = { [Symbol.asyncIterator]: () => reader }
  }

  get isSecure(): boolean {
    return this.#connection.isSecure
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddress
  }

  get clientCertificate(): { readonly hash: string } | undefined {
    return this.#connection.clientCertificate()
  }

  /** Made on first use. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#isGone) this.#abort.abort(goneFault())
    }
    return this.#abort.signal
  }

  /** The client has said all. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Rejects only when the handler did. */
  async run(handler: HttpHandler, journal: Journal): Promise<void> {
    const answer = await handler(this)
    try {
      await this.#answer(answer)
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      if (!this.#isGone) journal.event('debug', 'http.answer_broken', { what })
      this.reset(errorCode.internal)
    }
    this.#connection.rested()
  }

  // ---- from the client ----

  /** `flowBytes` counts the padding. Answers the code of RFC 9113 when the stream must be reset for it. */
  onData(payload: Uint8Array, flowBytes: number, isLast: boolean): number | undefined {
    if (this.#hasEnded) return this.#refuse(flowBytes, errorCode.streamClosed)
    this.#receiveWindow -= flowBytes
    if (this.#receiveWindow < 0) return this.#refuse(flowBytes, errorCode.flowControl)
    this.#bytesReceived += payload.length
    const expected = this.#bytesExpected
    if (expected !== undefined && this.#bytesReceived > expected) {
      return this.#refuse(flowBytes, errorCode.protocol)
    }
    if (this.#isDiscarding) this.#credit(flowBytes)
    else {
      this.#credit(flowBytes - payload.length)
      if (payload.length > 0) this.#deliver(payload)
    }
    return isLast ? this.onEnd() : undefined
  }

  #refuse(flowBytes: number, code: number): number {
    this.#connection.consumed(flowBytes)
    return code
  }

  /** The client's last frame, of data or of trailers (which nobody here reads). */
  onEnd(): number | undefined {
    const expected = this.#bytesExpected
    if (expected !== undefined && this.#bytesReceived !== expected) return errorCode.protocol
    this.#hasEnded = true
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve(endStep)
    if (this.#hasAnswered) this.#finish()
    return undefined
  }

  /** False: more than a window can hold. */
  onWindow(increment: number): boolean {
    this.#sendWindow += increment
    if (this.#sendWindow > windowMax) return false
    if (this.#sending !== undefined) this.pump()
    return true
  }

  /** The client, or the end of the connection, ended it. */
  onGone(): void {
    if (this.#isGone || this.#isFinished) return
    this.#isGone = true
    clearTimeout(this.#linger)
    this.#dropSlices()
    this.#sending = undefined
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(incompleteBody('ended early'))
    const wake = this.#wakeSender
    this.#wakeSender = undefined
    wake?.()
    this.#abort?.abort(goneFault())
    this.#connection.ended(this)
  }

  /** Tells the client that the stream is over before its time. */
  reset(code: number): void {
    if (this.#isGone || this.#isFinished) return
    this.#connection.out.number({ type: frameType.resetStream, flags: 0, id: this.id }, code)
    this.onGone()
  }

  #deliver(payload: Uint8Array): void {
    const slice = payload.length < sharedBytesMin ? new Uint8Array(payload) : payload
    const waiter = this.#waiter
    if (waiter === undefined) {
      this.#slices.push(slice)
      return
    }
    this.#waiter = undefined
    this.#credit(slice.length)
    waiter.resolve({ done: false, value: slice })
  }

  #next(): Promise<Step> {
    const slice = this.#slices.shift()
    if (slice !== undefined) {
      this.#credit(slice.length)
      return Promise.resolve({ done: false, value: slice })
    }
    if (this.#hasEnded) return Promise.resolve(endStep)
    if (this.#isGone || this.#isDiscarding) return Promise.reject(incompleteBody('ended early'))
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  /** So many bytes left memory: the connection's window, and the stream's by halves, open again. */
  #credit(bytes: number): void {
    if (bytes === 0) return
    this.#connection.consumed(bytes)
    if (this.#hasEnded || this.#isGone) return
    this.#taken += bytes
    if (this.#taken < streamWindow / 2) return
    const head = { type: frameType.windowUpdate, flags: 0, id: this.id }
    this.#connection.out.number(head, this.#taken)
    this.#receiveWindow += this.#taken
    this.#taken = 0
  }

  /** Nobody reads on. */
  #discard(): void {
    this.#isDiscarding = true
    this.#dropSlices()
  }

  #dropSlices(): void {
    const slices = this.#slices
    this.#slices = []
    for (const slice of slices) this.#credit(slice.length)
  }

  // ---- to the client ----

  async #answer(answer: HttpResponse): Promise<void> {
    const { body, trailers } = answer
    if (this.#isGone) return releaseBody(answer)
    if (body === undefined || this.method === 'HEAD') {
      this.#connection.statusOut(this.id, answer, true)
      this.#answered(false)
      return await releaseBody(answer)
    }
    const hasTrailers = trailers !== undefined
    this.#connection.statusOut(this.id, answer, false)
    if (!(body instanceof Uint8Array)) {
      for await (const slice of body) {
        if (slice.length > 0) await this.#send(slice, false)
        if (this.#isGone) throw goneFault()
      }
      if (!hasTrailers) await this.#send(new Uint8Array(0), true)
    } else if (body.length > 0 || !hasTrailers) {
      const sent = this.#send(body, !hasTrailers)
      if (sent !== undefined) await sent
    }
    if (this.#isGone) throw goneFault()
    if (hasTrailers) this.#connection.fieldsOut(this.id, trailers(), true)
    this.#answered(hasTrailers)
  }

  /**
   * Settles when the bytes need not stay any longer, or the client has gone. Nothing is waited for when they left
   * at once, as short answers do.
   */
  #send(bytes: Uint8Array, isLast: boolean): Promise<void> | undefined {
    if (this.#isGone) return undefined
    const sending = { bytes, isLast, at: 0, untaken: 0 }
    this.#sending = sending
    this.pump()
    if (this.#sending !== sending) return undefined
    return new Promise((resolve) => {
      this.#wakeSender = resolve
    })
  }

  /** Sends what windows and socket allow, up to a turn's worth. */
  pump(): void {
    const sending = this.#sending
    if (sending === undefined) return
    const connection = this.#connection
    const { bytes, isLast } = sending
    const id = this.id
    const turnEnd = sending.at + turnBytes
    do {
      const rest = bytes.length - sending.at
      const room = Math.min(this.#sendWindow, connection.sendWindow, payloadBytesMax)
      if (rest > 0) {
        if (this.#sendWindow <= 0) return
        const isTurnOver = sending.at >= turnEnd
        if (connection.sendWindow <= 0 || connection.out.isFull || isTurnOver) {
          connection.waitForRoom(this)
          return
        }
      }
      const size = Math.min(rest, room)
      const part = bytes.subarray(sending.at, sending.at + size)
      sending.at += size
      this.#sendWindow -= size
      connection.sendWindow -= size
      const flags = isLast && sending.at === bytes.length ? flag.endStream : 0
      const isCopied = connection.out.body({ type: frameType.data, flags, id }, part, () => {
        sending.untaken--
        this.#settle(sending)
      })
      if (!isCopied) sending.untaken++
    } while (sending.at < bytes.length)
    this.#settle(sending)
  }

  #settle(sending: Sending): void {
    if (this.#sending !== sending) return
    if (sending.at < sending.bytes.length || sending.untaken > 0) return
    this.#sending = undefined
    const wake = this.#wakeSender
    this.#wakeSender = undefined
    wake?.()
  }

  /**
   * The answer is out. A client that still sends is told to stop (RFC 9113, 8.1); where trailers were sent it may
   * take its time, because some clients take a reset for the answer.
   */
  #answered(hasTrailers: boolean): void {
    if (this.#isGone) return
    this.#hasAnswered = true
    this.#discard()
    if (this.#hasEnded) this.#finish()
    else if (!hasTrailers) this.reset(errorCode.none)
    else {
      this.#linger = setTimeout(() => this.reset(errorCode.none), lingerMsMax)
      this.#linger.unref()
    }
  }

  #finish(): void {
    if (this.#isGone || this.#isFinished) return
    this.#isFinished = true
    clearTimeout(this.#linger)
    this.#connection.ended(this)
  }
}

export type RequestHead = {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [string, string])[]
  readonly bodyBytes: number | undefined
}

const decimal = /^[0-9]{1,15}$/

/** Undefined: HTTP/2 calls such a request malformed (RFC 9113, 8.3). The authority takes the place of Host. */
export function readHead(fields: readonly Field[]): RequestHead | undefined {
  const headers: (readonly [string, string])[] = []
  let method: string | undefined
  let target: string | undefined
  let scheme: string | undefined
  let authority: string | undefined
  let bodyBytes: number | undefined
  for (const { pair, isSound } of fields) {
    if (!isSound) return undefined
    const [name, value] = pair
    if (name.charCodeAt(0) !== colon) {
      headers.push(pair)
      if (name !== 'content-length') continue
      if (!decimal.test(value) || (bodyBytes ?? Number(value)) !== Number(value)) return undefined
      bodyBytes = Number(value)
      continue
    }
    if (headers.length > (authority === undefined ? 0 : 1)) return undefined
    if (name === ':method' && method === undefined) method = value
    else if (name === ':path' && target === undefined) target = value
    else if (name === ':scheme' && scheme === undefined) scheme = value
    else if (name === ':authority' && authority === undefined) {
      authority = value
      headers.push(['host', value])
    } else return undefined
  }
  if (method === undefined || scheme === undefined || target === undefined || target === '') {
    return undefined
  }
  return { method, target, headers, bodyBytes }
}

/** The fields after a body: none of HTTP/2's own. */
export function areTrailers(fields: readonly Field[]): boolean {
  return fields.every(({ pair, isSound }) => isSound && pair[0].charCodeAt(0) !== colon)
}

const colon = 0x3a
