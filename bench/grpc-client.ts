// A lean gRPC client for loads: unary calls of etcd's KV service and its watch stream over node's HTTP/2, many
// calls per connection. Messages are encoded here by hand; answers are checked for status only.

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'

const { HTTP2_HEADER_PATH, HTTP2_HEADER_METHOD } = constants

/** One connection. */
export class GrpcConnection {
  readonly #session: ClientHttp2Session

  constructor(endpoint: string) {
    this.#session = connect(endpoint, { settings: { initialWindowSize: 1024 * 1024 } })
    this.#session.on('error', () => undefined)
  }

  /** The answer's one message; undefined when the call did not end with status 0. */
  call(path: string, request: Buffer): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const stream = this.#open(path)
      const parts: Buffer[] = []
      let isOk = false
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('response', (headers) => {
        isOk ||= headers['grpc-status'] === '0'
      })
      stream.on('trailers', (trailers) => {
        isOk ||= trailers['grpc-status'] === '0'
      })
      stream.on('error', () => resolve(undefined))
      stream.on('close', () => resolve(isOk ? Buffer.concat(parts).subarray(5) : undefined))
      stream.end(frame(request))
    })
  }

  /** A two-way stream that stays open; `receive` gets whole messages. */
  stream(path: string, first: Buffer, receive: (message: Buffer) => void): ClientHttp2Stream {
    const stream = this.#open(path)
    let held: Buffer = Buffer.alloc(0)
    stream.on('error', () => undefined)
    stream.on('data', (part: Buffer) => {
      held = held.length === 0 ? part : Buffer.concat([held, part])
      while (held.length >= 5 && held.length >= 5 + held.readUInt32BE(1)) {
        const end = 5 + held.readUInt32BE(1)
        receive(held.subarray(5, end))
        held = held.subarray(end)
      }
    })
    stream.write(frame(first))
    return stream
  }

  close(): void {
    this.#session.destroy()
  }

  #open(path: string): ClientHttp2Stream {
    return this.#session.request({
      [HTTP2_HEADER_METHOD]: 'POST',
      [HTTP2_HEADER_PATH]: path,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
  }
}

function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  message.copy(framed, 5)
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
