// HTTP/2 beside HTTP/1.1 on one port. With TLS the client chooses by ALPN; without, the first bytes of the
// connection tell: HTTP/2's preface begins with 'PRI', which is no method of HTTP/1.1 (RFC 9113, 3.4).
// One connection of HTTP/2 is http2-connection.ts; connections of HTTP/1.1 go to the server of http.ts.
//
// Limits: connections, time until the first bytes; http2-connection.ts has its own. A
// connection without streams may stay (clients of gRPC keep theirs), TCP keep-alive finds those that vanished.

import { createServer, type Server, type Socket } from 'node:net'
import type { Address, HttpListener, HttpServerOptions, Journal } from '../host.ts'
import { Http2Connection } from './http2-connection.ts'
import { listenOn } from './listen.ts'
import { createTlsServer, serverSettings, TlsServer } from './node-servers.ts'

/** What takes over connections of HTTP/1.1. */
export type Http1Server = {
  begin(): void
  adopt(socket: Socket): void
  endIdle(): void
}

const headerBytesDefault = 16 * 1024
const connectionsDefault = 16_384
const firstBytesMsMax = 10_000
const keepAliveProbeMs = 60_000
const closeGraceMs = 2_000
const http2Preface = 'PRI'

export class DualServer {
  readonly #options: HttpServerOptions
  readonly #journal: Journal
  readonly #http1: Http1Server
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #connections = new Set<Http2Connection>()

  constructor(options: HttpServerOptions, journal: Journal, http1: Http1Server) {
    this.#options = options
    this.#journal = journal
    this.#http1 = http1
    const { tls } = options
    if (tls === undefined) {
      this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
        if (this.#admit(socket)) this.#sniff(socket)
      })
      return
    }
    const { clientAuthorityPem, askedAuthorityPem } = tls
    const server = createTlsServer({
      ...serverSettings(tls),
      requestCert: clientAuthorityPem !== undefined || askedAuthorityPem !== undefined,
      rejectUnauthorized: clientAuthorityPem !== undefined,
      handshakeTimeout: firstBytesMsMax,
      ALPNProtocols: ['h2', 'http/1.1'],
      noDelay: true,
      keepAlive: true,
    })
    server.on('connection', (socket) => this.#admit(socket))
    server.on('secureConnection', (socket) => {
      if (socket.alpnProtocol === 'h2') this.#begin(socket)
      else this.#http1.adopt(socket)
    })
    this.#server = server
  }

  async listen(address: Address): Promise<HttpListener> {
    const bound = await listenOn(this.#server, address, this.#options.sharesPort)
    this.#http1.begin()
    return {
      address: bound,
      close: () => this.#close(),
      replaceTls: (tls) => {
        if (this.#server instanceof TlsServer) this.#server.setSecureContext(serverSettings(tls))
      },
    }
  }

  /** Streams and requests under way may end within the grace. */
  #close(): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy()
      }, closeGraceMs)
      this.#server.close(() => {
        clearTimeout(late)
        resolve()
      })
      this.#http1.endIdle()
      for (const connection of this.#connections) connection.close()
    })
  }

  #admit(socket: Socket): boolean {
    if (this.#sockets.size >= (this.#options.connectionsMax ?? connectionsDefault)) {
      socket.destroy()
      return false
    }
    socket.setKeepAlive(true, keepAliveProbeMs)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    return true
  }

  /** Waits until the first bytes tell the protocol; they are put back for who speaks it. */
  #sniff(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), firstBytesMsMax)
    socket.once('close', () => clearTimeout(timer))
    let first = Buffer.alloc(0)
    const look = (): void => {
      const more: Buffer | null = socket.read()
      if (more === null) return
      first = Buffer.concat([first, more])
      const text = first.toString('latin1', 0, http2Preface.length)
      if (text.length < http2Preface.length && http2Preface.startsWith(text)) return
      socket.off('readable', look)
      clearTimeout(timer)
      socket.unshift(first)
      if (text === http2Preface) this.#begin(socket)
      else this.#http1.adopt(socket)
    }
    socket.on('readable', look)
  }

  #begin(socket: Socket): void {
    const { handler, tls, headerBytesMax = headerBytesDefault } = this.#options
    const options = { handler, journal: this.#journal, headerBytesMax, isSecure: tls !== undefined }
    const connection = new Http2Connection(socket, options)
    this.#connections.add(connection)
    socket.once('close', () => this.#connections.delete(connection))
  }
}
