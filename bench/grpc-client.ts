// A lean gRPC client for loads: unary calls of etcd's KV service and its watch stream, many calls per connection. It speaks just
// the HTTP/2 that this takes (RFC 9113), without Node's: there a call costs 100 us of CPU, more than most servers need for it, and the rows
// would compare the client with itself. Messages are encoded by hand; a unary call has succeeded when a message came
// back, which gRPC sends with status 0 only.

import { connect, type Socket } from 'node:net'

const type = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, window: 8 } as const
const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const
const windowBytes = 1 << 30
const windowFirst = 65_535
const framePayloadMax = 16_384

type Stream = {
  parts: Buffer[]
  readonly onBytes: ((bytes: Buffer) => void) | undefined
  readonly onEnd: (answer: Buffer | undefined) => void
}

/** One connection. */
export class GrpcConnection {
  readonly #socket: Socket
  readonly #authority: string
  readonly #blocks = new Map<string, Buffer>()
  readonly #streams = new Map<number, Stream>()
  #nextId = 1
  #held: Buffer = Buffer.alloc(0)
  #out: Buffer[] = []
  #isPlanned = false
  /** What the server still takes; what does not fit waits in #later. */
  #window = windowFirst
  #later: Buffer[] = []
  #received = 0

  constructor(endpoint: string) {
    const { hostname, port, host } = new URL(endpoint)
    this.#authority = host
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.on('error', () => undefined)
    this.#socket.on('data', (bytes: Buffer) => this.#onBytes(bytes))
    this.#socket.on('close', () => {
      for (const id of [...this.#streams.keys()]) this.#end(id, undefined)
    })
    this.#write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
    const settings = Buffer.alloc(6)
    settings.writeUInt16BE(4)
    settings.writeUInt32BE(windowBytes, 2)
    this.#write(frame(type.settings, 0, 0, settings), window(0, windowBytes - windowFirst))
  }

  /** The answer's one message; undefined when the call failed. */
  call(path: string, request: Buffer): Promise<Buffer | undefined> {
    return new Promise((onEnd) => {
      const id = this.#open(path, { parts: [], onBytes: undefined, onEnd })
      this.#send(frame(type.data, flags.endStream, id, message(request)))
    })
  }

  /** A two-way stream that stays open; `receive` gets whole messages. */
  stream(path: string, first: Buffer, receive: (message: Buffer) => void): { destroy(): void } {
    let held: Buffer = Buffer.alloc(0)
    const onBytes = (part: Buffer): void => {
      held = held.length === 0 ? part : Buffer.concat([held, part])
      while (held.length >= 5 && held.length >= 5 + held.readUInt32BE(1)) {
        const end = 5 + held.readUInt32BE(1)
        receive(held.subarray(5, end))
        held = held.subarray(end)
      }
    }
    const id = this.#open(path, { parts: [], onBytes, onEnd: () => undefined })
    this.#send(frame(type.data, 0, id, message(first)))
    return {
      destroy: () => {
        if (!this.#streams.delete(id)) return
        this.#write(frame(type.reset, 0, id, Buffer.from([0, 0, 0, 8])))
      },
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  #open(path: string, stream: Stream): number {
    const id = this.#nextId
    this.#nextId += 2
    this.#streams.set(id, stream)
    if (this.#socket.destroyed) setImmediate(() => this.#end(id, undefined))
    const block = this.#blocks.get(path) ?? headerBlock(path, this.#authority)
    this.#blocks.set(path, block)
    this.#write(frame(type.headers, flags.endHeaders, id, block))
    return id
  }

  #send(dataFrame: Buffer): void {
    if (dataFrame.length > framePayloadMax) throw new RangeError('a request of more than one frame')
    this.#later.push(dataFrame)
    this.#sendLater()
  }

  #sendLater(): void {
    let next = this.#later[0]
    while (next !== undefined && next.length - 9 <= this.#window) {
      this.#window -= next.length - 9
      this.#write(next)
      this.#later.shift()
      next = this.#later[0]
    }
  }

  /** What one turn of the loop writes leaves together. */
  #write(...frames: readonly Buffer[]): void {
    this.#out.push(...frames)
    if (this.#isPlanned) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      const out = this.#out
      this.#out = []
      if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(out))
    })
  }

  #onBytes(chunk: Buffer): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    let at = 0
    while (bytes.length - at >= 9) {
      const end = at + 9 + bytes.readUIntBE(at, 3)
      if (bytes.length < end) break
      const id = bytes.readUInt32BE(at + 5) & 0x7fff_ffff
      this.#onFrame(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, id, bytes.subarray(at + 9, end))
      at = end
    }
    this.#held = bytes.subarray(at)
  }

  #onFrame(kind: number, flag: number, id: number, payload: Buffer): void {
    const isLast = (flag & flags.endStream) !== 0
    if (kind === type.data) {
      this.#onData(id, payload)
      if (isLast) this.#end(id, undefined)
    } else if (kind === type.headers && isLast) {
      const parts = this.#streams.get(id)?.parts ?? []
      const [only] = parts
      this.#end(
        id,
        only === undefined ? undefined : parts.length === 1 ? only : Buffer.concat(parts),
      )
    } else if (kind === type.reset) this.#end(id, undefined)
    else if (kind === type.goAway) this.#socket.destroy()
    else if (kind === type.settings && (flag & flags.ack) === 0) {
      this.#write(frame(type.settings, flags.ack, 0, Buffer.alloc(0)))
    } else if (kind === type.ping && (flag & flags.ack) === 0) {
      this.#write(frame(type.ping, flags.ack, 0, Buffer.from(payload)))
    } else if (kind === type.window && id === 0) {
      this.#window += payload.readUInt32BE(0)
      this.#sendLater()
    }
  }

  #onData(id: number, payload: Buffer): void {
    this.#received += payload.length
    if (this.#received >= windowBytes / 2) {
      this.#write(window(0, this.#received))
      this.#received = 0
    }
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    if (stream.onBytes === undefined) stream.parts.push(Buffer.from(payload))
    else stream.onBytes(Buffer.from(payload))
  }

  #end(id: number, answer: Buffer | undefined): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#streams.delete(id)
    stream.onEnd(answer?.subarray(5))
  }
}

function frame(kind: number, flag: number, id: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(9 + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes[3] = kind
  bytes[4] = flag
  bytes.writeUInt32BE(id, 5)
  payload.copy(bytes, 9)
  return bytes
}

function window(id: number, increment: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(increment)
  return frame(type.window, 0, id, payload)
}

/** Fields of HPACK (RFC 7541) that need no table but the static one: POST, http, path, authority, then two in full. */
function headerBlock(path: string, authority: string): Buffer {
  const text = (value: string): Buffer => Buffer.from([value.length, ...Buffer.from(value)])
  return Buffer.concat([
    Buffer.from([0x83, 0x86, 0x04]),
    text(path),
    Buffer.from([0x01]),
    text(authority),
    Buffer.from([0x0f, 0x10]),
    text('application/grpc'),
    Buffer.from([0x00]),
    text('te'),
    text('trailers'),
  ])
}

/** gRPC's frame: not compressed, its length, the message. */
function message(bytes: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(5 + bytes.length)
  framed[0] = 0
  framed.writeUInt32BE(bytes.length, 1)
  bytes.copy(framed, 5)
  return framed
}

/** A length-delimited field of protocol buffers. */
function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const out: number[] = []
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) | 128)
  out.push(value)
  return Buffer.from(out)
}

export const kvPut = '/etcdserverpb.KV/Put'
export const kvRange = '/etcdserverpb.KV/Range'
export const kvTxn = '/etcdserverpb.KV/Txn'
export const watchWatch = '/etcdserverpb.Watch/Watch'

export function putRequest(key: Buffer, value: Buffer): Buffer {
  return Buffer.concat([field(1, key), field(2, value)])
}

/** A transaction without compares: TxnRequest.success 2, RequestOp.request_put 2. */
export function putsRequest(puts: readonly Buffer[]): Buffer {
  return Buffer.concat(puts.map((put) => field(2, field(2, put))))
}

export function rangeRequest(key: Buffer): Buffer {
  return field(1, key)
}

export function watchRequest(key: Buffer): Buffer {
  return field(1, field(1, key))
}
