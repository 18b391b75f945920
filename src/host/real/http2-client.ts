// A client's connection of HTTP/2 by node:http2: many calls side by side, each with its own flow control and
// trailers. Owns connecting with its deadline and the wording of failures; what a call means is the caller's.
//
// A call that ends early is a Fault with outcome 'unknown', except when the server says that it never looked at it
// (REFUSED_STREAM, or a stream beyond GOAWAY's last; RFC 9113, 6.8 and 8.7).

import type { ClientHttp2Session, ClientHttp2Stream, SecureClientSessionOptions } from 'node:http2'
import { Fault } from '../../base/index.ts'
import type {
  Address,
  HttpCall,
  HttpCallHead,
  HttpCallReceiver,
  HttpClientOptions,
  HttpConnection,
} from '../host.ts'
import { connectHttp2 } from './node-servers.ts'
import { errorCode, systemFault } from './system-fault.ts'

const windowBytes = 4 * 1024 * 1024
const streamBytes = 1024 * 1024
const sessionMebibytesMax = 64
const pingEveryMs = 10_000
const resetNone = 0
const resetCancel = 8
const resetRefused = 7

export function connectHttp(address: Address, options: HttpClientOptions): Promise<HttpConnection> {
  const { host, port } = address
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const scheme = options.tls === undefined ? 'http' : 'https'
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`${scheme}://${place}`, sessionOptions(options))
    const late = setTimeout(() => {
      session.destroy()
      reject(new Fault('unavailable', `${place} did not answer in ${options.timeoutMs} ms`))
    }, options.timeoutMs)
    const fail = (error: unknown): void => {
      clearTimeout(late)
      session.destroy()
      reject(connectFault(error, place))
    }
    session.on('error', fail)
    // A connection that ended before it began says so by this alone.
    const closed = (): void => fail(new Fault('unavailable', `${place} closed the connection`))
    session.once('close', closed)
    // Settings come first from a server of HTTP/2: what speaks something else is no connection.
    session.once('remoteSettings', () => {
      clearTimeout(late)
      session.off('close', closed)
      try {
        resolve(new ClientConnection(session, place))
      } catch (error) {
        fail(error)
      }
    })
  })
}

function sessionOptions({ tls }: HttpClientOptions): SecureClientSessionOptions {
  const settings = { initialWindowSize: streamBytes, enablePush: false }
  const plain = { maxSessionMemory: sessionMebibytesMax, settings, noDelay: true }
  if (tls === undefined) return plain
  return {
    ...plain,
    minVersion: 'TLSv1.2',
    ...(tls.authorityPem === undefined ? {} : { ca: [tls.authorityPem] }),
    ...(tls.certificatePem === undefined ? {} : { cert: tls.certificatePem }),
    ...(tls.privateKeyPem === undefined ? {} : { key: tls.privateKeyPem }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  }
}

const untrusted = /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_SSL_TLSV13_ALERT)/

function connectFault(error: unknown, place: string): Fault {
  const fault = systemFault(error, `cannot connect to ${place}`)
  if (!untrusted.test(errorCode(error))) {
    return fault.code === 'unavailable'
      ? fault
      : new Fault('unavailable', fault.message, { cause: error })
  }
  return new Fault('unauthenticated', fault.message, {
    cause: error,
    next: 'check the authority and the name in the settings of TLS',
  })
}

class ClientConnection implements HttpConnection {
  readonly #session: ClientHttp2Session
  readonly #place: string
  readonly #pinging: NodeJS.Timeout
  #isOpen = true

  constructor(session: ClientHttp2Session, place: string) {
    this.#session = session
    this.#place = place
    session.setLocalWindowSize(windowBytes)
    session.on('error', () => this.#end())
    session.on('close', () => this.#end())
    session.on('goaway', () => this.#end())
    this.#pinging = setInterval(() => this.#ping(), pingEveryMs)
    this.#pinging.unref()
    session.unref()
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  request(head: HttpCallHead, receiver: HttpCallReceiver): HttpCall {
    if (!this.#isOpen) return brokenCall(receiver, this.#place)
    const headers: Record<string, string> = { ':method': 'POST', ':path': head.path }
    for (const [name, value] of head.headers) headers[name] = value
    return new ClientCall(this.#session.request(headers), { receiver, place: this.#place })
  }

  /** With an error, or the calls under way would end as if they were whole. */
  destroy(): void {
    this.#end()
    this.#session.destroy(new Fault('cancelled', 'the connection was ended here'), resetCancel)
  }

  /** A connection whose other end is silently gone would swallow every call until its own deadline. */
  #ping(): void {
    if (!this.#isOpen) return
    let isAnswered = false
    const late = setTimeout(() => {
      if (!isAnswered) this.destroy()
    }, pingEveryMs - 1)
    late.unref()
    this.#session.ping(() => {
      isAnswered = true
      clearTimeout(late)
    })
  }

  #end(): void {
    this.#isOpen = false
    clearInterval(this.#pinging)
  }
}

class ClientCall implements HttpCall {
  readonly #stream: ClientHttp2Stream
  #trailers: ReadonlyMap<string, string> = new Map()
  #isOver = false

  constructor(
    stream: ClientHttp2Stream,
    { receiver, place }: { readonly receiver: HttpCallReceiver; readonly place: string },
  ) {
    this.#stream = stream
    let cause: Error | undefined
    stream.on('response', (headers) => {
      if (!this.#isOver) receiver.onHead(Number(headers[':status'] ?? 0), namesOf(headers))
    })
    stream.on('data', (slice: Buffer) => {
      if (this.#isOver) return
      receiver.onBytes(new Uint8Array(slice.buffer, slice.byteOffset, slice.length))
    })
    stream.on('trailers', (headers) => {
      this.#trailers = namesOf(headers)
    })
    stream.on('error', (error) => {
      cause = error
    })
    stream.on('close', () => {
      if (this.#isOver) return
      this.#isOver = true
      const isWhole = stream.rstCode === resetNone && stream.readableEnded && cause === undefined
      if (isWhole) receiver.onEnd(this.#trailers)
      else receiver.onFailed(callFault(stream.rstCode, place, cause))
    })
  }

  send(bytes: Uint8Array): void {
    if (this.#stream.writable) this.#stream.write(bytes)
  }

  end(): void {
    this.#stream.end()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stream.close(resetCancel)
  }
}

function callFault(code: number | undefined, place: string, cause: Error | undefined): Fault {
  const outcome = code === resetRefused ? 'failed' : 'unknown'
  const what = `the connection to ${place} ended within a call`
  return new Fault('unavailable', what, { outcome, cause })
}

function brokenCall(receiver: HttpCallReceiver, place: string): HttpCall {
  let isOver = false
  setImmediate(() => {
    if (!isOver) receiver.onFailed(new Fault('unavailable', `the connection to ${place} has ended`))
  })
  const nothing = (): void => undefined
  const cancel = (): void => {
    isOver = true
  }
  return { send: nothing, end: nothing, pause: nothing, resume: nothing, cancel }
}

/** Without HTTP/2's own (':status'). */
function namesOf(headers: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || value === undefined) continue
    names.set(name, String(Array.isArray(value) ? value.at(-1) : value))
  }
  return names
}
