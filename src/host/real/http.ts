// HTTP/1.1 servers by node:http and node:https. This file owns connections and their limits; one
// request with its answer is http-exchange.ts, its body is http-body.ts.
//
// Limits: header bytes, connections (idle ones are closed oldest first), time to send the headers, idle
// time between requests. A body has no time limit: a slow upload is legitimate, and TCP keep-alive finds
// clients that vanished.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type {
  Address,
  Http,
  HttpListener,
  HttpResponse,
  HttpServerOptions,
  Journal,
} from '../host.ts'
import { Exchange } from './http-exchange.ts'
import { rawResponse } from './http-raw.ts'
import { DualServer } from './http2.ts'
import { connectHttp } from './http2-client.ts'
import { listenOn } from './listen.ts'
import { createHttpServer, createHttpsServer, serverSettings, TlsServer } from './node-servers.ts'
import { errorCode } from './system-fault.ts'

const headerBytesDefault = 16 * 1024
const connectionsDefault = 16_384
const handshakeMsMax = 10_000
const headersMsMax = 60_000
const idleMsMax = 75_000
const keepAliveProbeMs = 60_000
/** How long requests in progress may go on after close(). */
const closeGraceMs = 5_000
/** How long a client whose request made no sense may take to read the answer. */
const refusalMsMax = 1_000

export function createHttp(journal: Journal): Http {
  return {
    serve: (address, options) =>
      options.http2 === true
        ? serveBoth(address, options, journal)
        : new HttpServer(options, journal).listen(address),
    connect: connectHttp,
  }
}

/** A server without a port of its own: the sockets of HTTP/1.1 come from http2.ts. */
async function serveBoth(
  address: Address,
  options: HttpServerOptions,
  journal: Journal,
): Promise<HttpListener> {
  const { tls, ...rest } = options
  const own = new HttpServer(rest, journal, tls !== undefined)
  return await new DualServer(options, journal, own).listen(address)
}

class HttpServer {
  readonly #options: HttpServerOptions
  readonly #journal: Journal
  readonly #server: Server
  readonly #connectionsMax: number
  /** The request in progress on a connection. */
  readonly #exchanges = new WeakMap<Duplex, Exchange>()
  /** Connections without a request, the longest idle first. */
  readonly #idle = new Set<Duplex>()
  /** Connections whose last request made no sense. */
  readonly #refused = new WeakSet<Duplex>()
  /** Every connection, below TLS: one in its handshake counts. */
  readonly #sockets = new Set<Socket>()

  readonly #isSecure: boolean

  constructor(options: HttpServerOptions, journal: Journal, isSecure = options.tls !== undefined) {
    this.#options = options
    this.#isSecure = isSecure
    this.#journal = journal
    this.#connectionsMax = options.connectionsMax ?? connectionsDefault
    const settings = {
      maxHeaderSize: options.headerBytesMax ?? headerBytesDefault,
      headersTimeout: headersMsMax,
      requestTimeout: 0,
      keepAliveTimeout: idleMsMax,
      requireHostHeader: false,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveProbeMs,
    }
    const { tls } = options
    const server =
      tls === undefined
        ? createHttpServer(settings)
        : createHttpsServer({
            ...settings,
            ...serverSettings(tls),
            handshakeTimeout: handshakeMsMax,
            ALPNProtocols: ['http/1.1'],
            requestCert: tls.askedAuthorityPem !== undefined,
            rejectUnauthorized: false,
          })
    server.maxHeadersCount = 0
    this.#server = server
    server.on('connection', (socket: Socket) => this.#onSocket(socket))
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      if (socket.destroyed) return
      this.#idle.add(socket)
      socket.once('close', () => this.#idle.delete(socket))
    })
    server.on('request', (request, response) => this.#onRequest(request, response, false))
    server.on('checkContinue', (request, response) => this.#onRequest(request, response, true))
    server.on('clientError', (error, socket) => this.#onClientError(error, socket))
  }

  async listen(address: Address): Promise<HttpListener> {
    const bound = await listenOn(this.#server, address, this.#options.sharesPort)
    return {
      address: bound,
      close: () => this.#close(),
      replaceTls: (tls) => {
        if (this.#server instanceof TlsServer) this.#server.setSecureContext(serverSettings(tls))
      },
    }
  }

  /** Before the first adopt(): its limits of time begin. */
  begin(): void {
    this.#server.emit('listening')
  }

  /** A connection that was accepted elsewhere; what was read of it was put back. */
  adopt(socket: Socket): void {
    this.#server.emit('connection', socket)
  }

  /** Connections between requests end now, the others are their owner's to end. */
  endIdle(): void {
    this.#server.close()
    for (const socket of this.#idle) socket.destroy()
  }

  #close(): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy()
      }, closeGraceMs)
      this.#server.close(() => {
        clearTimeout(late)
        resolve()
      })
      for (const socket of this.#idle) socket.destroy()
    })
  }

  #onSocket(socket: Socket): void {
    if (this.#sockets.size >= this.#connectionsMax) {
      const [oldest] = this.#idle
      if (oldest === undefined) {
        socket.destroy()
        return
      }
      this.#idle.delete(oldest)
      oldest.destroy()
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #onRequest(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const { socket } = request
    this.#idle.delete(socket)
    if (request.httpVersion === '1.1' && request.headers.host === undefined) {
      this.#refuse(socket, 'a request without a Host header', 400)
      return
    }
    const isSecure = this.#isSecure
    const exchange = new Exchange(request, response, { expectsContinue, isSecure })
    this.#exchanges.set(socket, exchange)
    response.once('close', () => {
      if (this.#exchanges.get(socket) !== exchange) return
      this.#exchanges.delete(socket)
      if (!socket.destroyed) this.#idle.add(socket)
    })
    exchange.run(this.#options.handler, this.#journal).catch((error: unknown) => {
      this.#journal.fatal('http.handler_failed', error)
    })
  }

  #onClientError(error: Error, socket: Duplex): void {
    const exchange = this.#exchanges.get(socket)
    const code = errorCode(error)
    if (exchange !== undefined && code !== 'ECONNRESET') {
      // A request is being answered: its body is what broke, and its answer says so.
      exchange.failBody(code === 'HPE_INVALID_EOF_STATE' ? 'ended early' : 'is malformed')
      return
    }
    if (this.#refused.has(socket)) return
    if (code === 'ECONNRESET' || /^ERR_(SSL|TLS)/.test(code) || !socket.writable) {
      socket.destroy()
      return
    }
    const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code.endsWith('TIMEOUT') ? 408 : 400
    this.#refuse(socket, malformedTexts[status] ?? 'a malformed request', status)
  }

  /** Answers and closes, but reads on for a moment: closing on unread bytes would reset the answer away. */
  #refuse(socket: Duplex, what: string, status: number): void {
    this.#refused.add(socket)
    socket.end(rawResponse(this.#malformed(what, status)))
    const timer = setTimeout(() => socket.destroy(), refusalMsMax)
    socket.once('end', () => socket.destroy())
    socket.once('close', () => clearTimeout(timer))
  }

  #malformed(what: string, status: number): HttpResponse {
    const answer = this.#options.onMalformed?.(what, status) ?? { status, headers: [] }
    return { ...answer, headers: [...answer.headers, ['connection', 'close']] }
  }
}

const malformedTexts: Readonly<Record<number, string>> = {
  400: 'a malformed request',
  408: 'the headers came too slowly',
  431: 'the headers are too large',
}
