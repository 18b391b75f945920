// One connection of HTTP/2 (RFC 9113), the server's side: frames in, streams (http2-stream.ts), windows, and what a hostile client
// may not do. It is our own because a call through Node's costs about as much CPU as all the rest of a
// small write.
//
// Bounds: 16 KiB per frame; a block of headers by its bytes, its frames and the time it takes; streams, and handlers still
// at work for streams that were reset; unread bytes by the windows; answers nobody reads by the socket's backlog, at
// which reading stops too; resets by a budget that refills slowly (CVE-2023-44487, CVE-2024-27316, CVE-2025-8671).

import type { Socket } from 'node:net'
import { isFault } from '../../base/index.ts'
import type { HttpHandler, HttpResponse, Journal } from '../host.ts'
import { type FieldList, HpackDecoder, noTable } from './hpack.ts'
import { blockOf, type Fields, statusBlock } from './http2-blocks.ts'
import { shownCertificate } from './node-servers.ts'
import {
  ConnectionError,
  errorCode,
  FrameWriter,
  flag,
  frameHeadBytes,
  frameType,
  payloadBytesMax,
  setting,
  unpad,
  windowInitial,
  windowMax,
} from './http2-frames.ts'
import {
  areTrailers,
  Http2Stream,
  readHead,
  type StreamConnection,
  streamWindow,
} from './http2-stream.ts'

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const streamsMax = 4096
/** Unread bytes of all streams. */
const connectionWindow = 16 * 1024 * 1024
const blockFramesMax = 64
/** For the preface, and for a block of headers once it began. */
const partMsMax = 10_000
const goneMsMax = 1_000
/** Control answers nobody reads: from here on nothing is read either. */
const pauseBytes = 1024 * 1024
/** Streams ended out of turn, windows of all streams changed: at once, and per second. */
const resetsMax = 1_000
const resetsPerSecond = 33
/** Numbers of streams that were reset here, for frames already on their way. */
const resetNumbersMax = 1_024

export type Http2Options = {
  readonly handler: HttpHandler
  readonly journal: Journal
  readonly headerBytesMax: number
  readonly isSecure: boolean
}

type Block = {
  readonly id: number
  readonly isLast: boolean
  readonly parts: Buffer[]
  readonly timer: NodeJS.Timeout | undefined
  bytes: number
}

type Frame = {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly payload: Buffer
}

export class Http2Connection implements StreamConnection {
  readonly out: FrameWriter
  readonly isSecure: boolean
  readonly remoteAddress: string
  sendWindow = windowInitial
  readonly #socket: Socket
  readonly #options: Http2Options
  readonly #decoder: HpackDecoder
  readonly #streams = new Map<number, Http2Stream>()
  readonly #resetNumbers = new Set<number>()
  /** Streams that wait for the connection's window or the socket. */
  readonly #waiting = new Set<Http2Stream>()
  #isTurnPlanned = false
  /** Opened by the bytes that are being read: their handlers start when those are through. */
  #opened: Http2Stream[] = []
  #handlers = 0
  #lastId = 0
  #held: Buffer = Buffer.alloc(0)
  #isGreeted = false
  #hasSettings = false
  #isOver = false
  #isLeaving = false
  #isFirstBlock = true
  #block: Block | undefined
  #peerWindow = windowInitial
  #receiveWindow = windowInitial
  #consumed = 0
  #resets = resetsMax
  #resetsAtMs = performance.now()
  readonly #greetTimer: NodeJS.Timeout
  #certificate: { readonly hash: string } | null | undefined

  constructor(socket: Socket, options: Http2Options) {
    this.#socket = socket
    this.#options = options
    this.isSecure = options.isSecure
    this.remoteAddress = socket.remoteAddress ?? ''
    this.#decoder = new HpackDecoder(options.headerBytesMax)
    this.out = new FrameWriter(socket, () => this.#onSpace())
    this.#greetTimer = setTimeout(() => socket.destroy(), partMsMax)
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes))
    socket.once('end', () => this.#onClose())
    socket.once('close', () => this.#onClose())
    this.#greet()
  }

  /** Looked for once. */
  clientCertificate(): { readonly hash: string } | undefined {
    if (this.#certificate === undefined) this.#certificate = shownCertificate(this.#socket) ?? null
    return this.#certificate ?? undefined
  }

  /** Streams under way may end; no new ones begin. */
  close(): void {
    if (this.#isOver || this.#isLeaving) return
    this.#isLeaving = true
    this.#goAway(errorCode.none)
    this.#endIfIdle()
  }

  // ---- for streams ----

  consumed(bytes: number): void {
    this.#consumed += bytes
    if (this.#consumed < connectionWindow / 2 || this.#isOver) return
    this.out.number({ type: frameType.windowUpdate, flags: 0, id: 0 }, this.#consumed)
    this.#receiveWindow += this.#consumed
    this.#consumed = 0
  }

  waitForRoom(stream: Http2Stream): void {
    this.#waiting.add(stream)
    // Without an answer of the socket's: the stream has only had its turn.
    if (!this.#hasRoom || this.#isTurnPlanned) return
    this.#isTurnPlanned = true
    setImmediate(() => {
      this.#isTurnPlanned = false
      this.#onSpace()
    })
  }

  statusOut(id: number, answer: HttpResponse, isLast: boolean): void {
    this.#blockOut(id, statusBlock(answer), isLast)
  }

  fieldsOut(id: number, fields: Fields, isLast: boolean): void {
    this.#blockOut(id, blockOf(fields), isLast)
  }

  ended(stream: Http2Stream): void {
    this.#streams.delete(stream.id)
    this.#waiting.delete(stream)
    if (!stream.hasEnded) this.#rememberReset(stream.id)
    this.#endIfIdle()
  }

  rested(): void {
    this.#handlers--
  }

  // ---- bytes in ----

  #onBytes(chunk: Buffer): void {
    if (this.#isOver) return
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    try {
      if (!this.#isGreeted) {
        const rest = this.#readPreface(bytes)
        if (rest === undefined) return
        bytes = rest
      }
      this.#held = this.#readFrames(bytes)
    } catch (error) {
      this.#breakOff(error)
    }
    this.#startOpened()
    if (this.out.waitingBytes > pauseBytes) this.#socket.pause()
  }

  #readPreface(bytes: Buffer): Buffer | undefined {
    const seen = bytes.subarray(0, preface.length)
    if (!seen.equals(preface.subarray(0, seen.length))) {
      throw new ConnectionError(errorCode.protocol, 'no preface')
    }
    this.#held = bytes
    if (seen.length < preface.length) return undefined
    this.#isGreeted = true
    return bytes.subarray(preface.length)
  }

  /** Answers what is left: the beginning of a frame. */
  #readFrames(bytes: Buffer): Buffer {
    let at = 0
    while (bytes.length - at >= frameHeadBytes) {
      const length = bytes.readUIntBE(at, 3)
      if (length > payloadBytesMax) throw new ConnectionError(errorCode.frameSize, 'a long frame')
      const start = at + frameHeadBytes
      if (bytes.length - start < length) break
      this.#onFrame({
        type: bytes[at + 3] as number,
        flags: bytes[at + 4] as number,
        id: bytes.readUInt32BE(at + 5) & windowMax,
        payload: bytes.subarray(start, start + length),
      })
      at = start + length
      if (this.#isOver) break
    }
    return bytes.subarray(at)
  }

  #onFrame(frame: Frame): void {
    const { type } = frame
    if (
      this.#block !== undefined &&
      (type !== frameType.continuation || frame.id !== this.#block.id)
    ) {
      throw new ConnectionError(errorCode.protocol, 'a frame within a block of headers')
    }
    if (!this.#hasSettings && type !== frameType.settings) {
      throw new ConnectionError(errorCode.protocol, 'settings must come first')
    }
    if (type === frameType.data) this.#onData(frame)
    else if (type === frameType.headers) this.#onHeaders(frame)
    else if (type === frameType.windowUpdate) this.#onWindowUpdate(frame)
    else if (type === frameType.resetStream) this.#onReset(frame)
    else if (type === frameType.settings) this.#onSettings(frame)
    else if (type === frameType.ping) this.#onPing(frame)
    else if (type === frameType.continuation) this.#onContinuation(frame)
    else if (type === frameType.priority) this.#onPriority(frame)
    else if (type === frameType.goAway) this.#onGoAway(frame)
    else if (type === frameType.pushPromise) {
      throw new ConnectionError(errorCode.protocol, 'a promise from a client')
    }
    // Unknown types are passed over (RFC 9113, 5.5).
  }

  #startOpened(): void {
    if (this.#opened.length === 0) return
    const opened = this.#opened
    this.#opened = []
    if (this.#isOver) return
    const { handler, journal } = this.#options
    for (const stream of opened) {
      this.#handlers++
      stream.run(handler, journal).catch((error: unknown) => {
        journal.fatal('http.handler_failed', error)
      })
    }
  }

  // ---- frames ----

  #onData({ flags, id, payload }: Frame): void {
    if (id === 0) throw new ConnectionError(errorCode.protocol, 'data of no stream')
    this.#receiveWindow -= payload.length
    if (this.#receiveWindow < 0) throw new ConnectionError(errorCode.flowControl, 'too much data')
    const stream = this.#streams.get(id)
    if (stream === undefined) {
      this.#demandKnown(id)
      this.consumed(payload.length)
      if (!this.#resetNumbers.has(id)) this.#resetOther(id, errorCode.streamClosed)
      return
    }
    const isLast = (flags & flag.endStream) !== 0
    const code = stream.onData(unpad(flags, payload), payload.length, isLast)
    if (code !== undefined) this.#refuse(stream, code)
  }

  #onHeaders({ flags, id, payload }: Frame): void {
    if (id % 2 === 0) throw new ConnectionError(errorCode.protocol, 'headers of no client stream')
    let part = unpad(flags, payload)
    if ((flags & flag.priority) !== 0) {
      if (part.length < 5) throw new ConnectionError(errorCode.frameSize, 'a short priority')
      if ((part.readUInt32BE(0) & windowMax) === id) {
        throw new ConnectionError(errorCode.protocol, 'a stream that depends on itself')
      }
      part = part.subarray(5)
    }
    const timer = setTimeoutOrNone(flags, () => this.#breakOff(tooSlow))
    const isLast = (flags & flag.endStream) !== 0
    this.#block = { id, isLast, parts: [], bytes: 0, timer }
    this.#addToBlock(part, flags)
  }

  #onContinuation({ flags, payload }: Frame): void {
    if (this.#block === undefined) {
      throw new ConnectionError(errorCode.protocol, 'a continuation of nothing')
    }
    this.#addToBlock(payload, flags)
  }

  #addToBlock(part: Buffer, flags: number): void {
    const block = this.#block
    if (block === undefined) return
    block.parts.push(part)
    block.bytes += part.length
    const bytesMax = 2 * this.#options.headerBytesMax
    if (block.bytes > bytesMax || block.parts.length > blockFramesMax) {
      throw new ConnectionError(errorCode.enhanceYourCalm, 'endless headers')
    }
    if ((flags & flag.endHeaders) === 0) return
    this.#block = undefined
    clearTimeout(block.timer)
    const whole = block.parts.length === 1 ? part : Buffer.concat(block.parts)
    this.#onFields(block, this.#decode(whole))
  }

  #decode(block: Buffer): FieldList {
    try {
      return this.#decoder.decode(block)
    } catch (error) {
      if (!isFault(error, 'invalid')) throw error
      throw new ConnectionError(errorCode.compression, error.message)
    }
  }

  #onFields({ id, isLast }: Block, list: FieldList): void {
    const known = this.#streams.get(id)
    if (known !== undefined) {
      const code = this.#onTrailers(known, isLast, list)
      if (code !== undefined) this.#refuse(known, code)
      return
    }
    if (id <= this.#lastId) {
      if (this.#resetNumbers.has(id)) return
      throw new ConnectionError(errorCode.streamClosed, 'headers of a stream that ended')
    }
    this.#lastId = id
    const code = this.#open(id, isLast, list)
    if (code !== undefined) this.#resetOther(id, code)
  }

  /** Answers with what the stream is reset, when it does not come to be. */
  #open(id: number, isLast: boolean, list: FieldList): number | undefined {
    const working = this.#handlers + this.#opened.length
    if (this.#isLeaving || this.#streams.size >= streamsMax || working >= streamsMax) {
      return errorCode.refusedStream
    }
    if (list.isTooLarge) {
      this.fieldsOut(id, [[':status', '431']], true)
      return isLast ? undefined : errorCode.none
    }
    const head = readHead(list.fields)
    if (head === undefined || (isLast && (head.bodyBytes ?? 0) > 0)) return errorCode.protocol
    const stream = new Http2Stream(this, { id, head, sendWindow: this.#peerWindow })
    this.#streams.set(id, stream)
    if (isLast) stream.onEnd()
    this.#opened.push(stream)
    return undefined
  }

  #onTrailers(stream: Http2Stream, isLast: boolean, list: FieldList): number | undefined {
    if (stream.hasEnded) return errorCode.streamClosed
    if (!isLast || !areTrailers(list.fields)) return errorCode.protocol
    return stream.onEnd()
  }

  #onPriority({ id, payload }: Frame): void {
    if (id === 0) throw new ConnectionError(errorCode.protocol, 'a priority of no stream')
    if (payload.length !== 5) this.#resetOther(id, errorCode.frameSize)
    else if ((payload.readUInt32BE(0) & windowMax) === id) this.#resetOther(id, errorCode.protocol)
  }

  #onReset({ id, payload }: Frame): void {
    if (payload.length !== 4) throw new ConnectionError(errorCode.frameSize, 'a reset of odd size')
    this.#demandKnown(id)
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#spendReset()
    stream.onGone()
    // Unlike a stream that was reset here, nothing more of it is on its way.
    this.#resetNumbers.delete(id)
  }

  #onSettings({ flags, id, payload }: Frame): void {
    if (id !== 0) throw new ConnectionError(errorCode.protocol, 'settings of a stream')
    if ((flags & flag.ack) !== 0) {
      if (payload.length > 0)
        throw new ConnectionError(errorCode.frameSize, 'an answer with settings')
      return
    }
    if (payload.length % 6 !== 0) throw new ConnectionError(errorCode.frameSize, 'odd settings')
    for (let at = 0; at < payload.length; at += 6) {
      this.#onSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    }
    if (!this.#hasSettings) clearTimeout(this.#greetTimer)
    this.#hasSettings = true
    this.out.frame({ type: frameType.settings, flags: flag.ack, id: 0 }, empty)
  }

  #onSetting(name: number, value: number): void {
    if (name === setting.initialWindowSize) {
      if (value > windowMax) throw new ConnectionError(errorCode.flowControl, 'a window too large')
      const change = value - this.#peerWindow
      if (change === 0) return
      // Six bytes that are work for every stream.
      if (this.#streams.size > 0) this.#spendReset()
      this.#peerWindow = value
      for (const stream of [...this.#streams.values()]) {
        if (!stream.onWindow(change)) throw new ConnectionError(errorCode.flowControl, 'a window')
      }
    } else if (name === setting.maxFrameSize) {
      if (value < payloadBytesMax || value > 0xff_ffff) {
        throw new ConnectionError(errorCode.protocol, 'a size of frames out of range')
      }
      // 16 KiB suit everybody: larger frames only make other streams wait.
    } else if (name === setting.enablePush && value > 1) {
      throw new ConnectionError(errorCode.protocol, 'neither push nor no push')
    }
  }

  #onPing({ flags, id, payload }: Frame): void {
    if (id !== 0) throw new ConnectionError(errorCode.protocol, 'a ping of a stream')
    if (payload.length !== 8) throw new ConnectionError(errorCode.frameSize, 'a ping of odd size')
    if ((flags & flag.ack) !== 0) return
    this.out.frame({ type: frameType.ping, flags: flag.ack, id: 0 }, payload)
  }

  /** The client opens no more streams. */
  #onGoAway({ id }: Frame): void {
    if (id !== 0) throw new ConnectionError(errorCode.protocol, 'a farewell of a stream')
    this.#isLeaving = true
    this.#endIfIdle()
  }

  #onWindowUpdate({ id, payload }: Frame): void {
    if (payload.length !== 4) throw new ConnectionError(errorCode.frameSize, 'an odd window')
    const increment = payload.readUInt32BE(0) & windowMax
    if (id === 0) {
      this.sendWindow += increment
      if (increment === 0) throw new ConnectionError(errorCode.protocol, 'a window of nothing')
      if (this.sendWindow > windowMax) throw new ConnectionError(errorCode.flowControl, 'a window')
      this.#onSpace()
      return
    }
    this.#demandKnown(id)
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    if (increment === 0) this.#refuse(stream, errorCode.protocol)
    else if (!stream.onWindow(increment)) this.#refuse(stream, errorCode.flowControl)
  }

  // ---- ends ----

  /** A stream that was never opened has no frames but headers. */
  #demandKnown(id: number): void {
    if (id === 0 || id > this.#lastId || id % 2 === 0) {
      throw new ConnectionError(errorCode.protocol, 'a frame of a stream that is idle')
    }
  }

  #refuse(stream: Http2Stream, code: number): void {
    this.#spendReset()
    stream.reset(code)
  }

  #resetOther(id: number, code: number): void {
    this.#spendReset()
    this.#rememberReset(id)
    this.out.number({ type: frameType.resetStream, flags: 0, id }, code)
  }

  #rememberReset(id: number): void {
    this.#resetNumbers.add(id)
    if (this.#resetNumbers.size <= resetNumbersMax) return
    const [oldest] = this.#resetNumbers
    if (oldest !== undefined) this.#resetNumbers.delete(oldest)
  }

  /** What costs the server much more than the client, above all streams that are opened only to end, has a budget. */
  #spendReset(): void {
    const nowMs = performance.now()
    const refill = ((nowMs - this.#resetsAtMs) / 1000) * resetsPerSecond
    this.#resets = Math.min(resetsMax, this.#resets + refill) - 1
    this.#resetsAtMs = nowMs
    if (this.#resets < 0) throw new ConnectionError(errorCode.enhanceYourCalm, 'too many resets')
  }

  #breakOff(error: unknown): void {
    if (this.#isOver) return
    if (!(error instanceof ConnectionError)) throw error
    const { what, code } = error
    this.#options.journal.event('debug', 'http2.connection_refused', { what, code })
    this.#goAway(code)
    this.#end()
  }

  #goAway(code: number): void {
    const payload = Buffer.allocUnsafe(8)
    payload.writeUInt32BE(this.#lastId, 0)
    payload.writeUInt32BE(code, 4)
    this.out.frame({ type: frameType.goAway, flags: 0, id: 0 }, payload)
  }

  #endIfIdle(): void {
    if (this.#isLeaving && this.#streams.size === 0) this.#end()
  }

  /** What was written still goes out; the client has a moment to read it. */
  #end(): void {
    if (this.#isOver) return
    this.out.flush()
    this.#onClose()
    this.#socket.resume()
    this.#socket.end()
    const timer = setTimeout(() => this.#socket.destroy(), goneMsMax)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  #onClose(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#greetTimer)
    clearTimeout(this.#block?.timer)
    this.#held = empty
    for (const stream of [...this.#streams.values()]) stream.onGone()
    if (!this.#socket.destroyed) this.#socket.end()
  }

  // ---- bytes out ----

  #greet(): void {
    const pairs = [
      [setting.maxConcurrentStreams, streamsMax],
      [setting.initialWindowSize, streamWindow],
      [setting.maxHeaderListSize, this.#options.headerBytesMax],
    ] as const
    const payload = Buffer.allocUnsafe(6 * pairs.length)
    for (const [at, [name, value]] of pairs.entries()) {
      payload.writeUInt16BE(name, 6 * at)
      payload.writeUInt32BE(value, 6 * at + 2)
    }
    this.out.frame({ type: frameType.settings, flags: 0, id: 0 }, payload)
    const more = connectionWindow - windowInitial
    this.out.number({ type: frameType.windowUpdate, flags: 0, id: 0 }, more)
    this.#receiveWindow += more
  }

  #blockOut(id: number, given: Buffer, isLast: boolean): void {
    const block = this.#isFirstBlock ? Buffer.concat([noTable, given]) : given
    this.#isFirstBlock = false
    const endStream = isLast ? flag.endStream : 0
    let type: number = frameType.headers
    for (let at = 0; at === 0 || at < block.length; at += payloadBytesMax) {
      const part = block.subarray(at, at + payloadBytesMax)
      const endHeaders = at + part.length === block.length ? flag.endHeaders : 0
      const flags = endHeaders | (type === frameType.headers ? endStream : 0)
      this.out.frame({ type, flags, id }, part)
      type = frameType.continuation
    }
  }

  /** The socket or the connection's window has room: those who wait have a turn each. */
  #onSpace(): void {
    if (this.#socket.isPaused() && this.out.waitingBytes <= pauseBytes) this.#socket.resume()
    if (this.#isOver) return
    // Who still waits after its turn stands at the end. Where there is no room the others are not even looked at:
    // a byte of window from the client must not cost a look at all of its streams.
    let turns = this.#waiting.size
    for (const stream of this.#waiting) {
      if (turns-- === 0 || !this.#hasRoom) return
      this.#waiting.delete(stream)
      stream.pump()
    }
  }

  get #hasRoom(): boolean {
    return this.sendWindow > 0 && !this.out.isFull
  }
}

const empty = Buffer.alloc(0)
const tooSlow = new ConnectionError(errorCode.enhanceYourCalm, 'headers that do not end')

/** Most blocks are one frame and need no clock. */
function setTimeoutOrNone(flags: number, run: () => void): NodeJS.Timeout | undefined {
  return (flags & flag.endHeaders) === 0 ? setTimeout(run, partMsMax) : undefined
}
