// A TCP proxy before a server, for tests of what clients do when connections break: it forwards, and on a word loses
// the next answer together with its connection (the request was taken), swallows everything, or refuses.

import { connect, createServer, type Socket } from 'node:net'

export class LossyProxy {
  readonly #upstream: number
  readonly #server = createServer((client) => this.#accept(client))
  readonly #sockets = new Set<Socket>()
  #mode: 'forward' | 'lose' | 'swallow' | 'refuse' = 'forward'
  losses = 0

  constructor(upstream: number) {
    this.#upstream = upstream
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
  }

  /** After the next bytes of a client the server's answer is lost, and the connection with it. */
  loseNext(): void {
    this.#mode = 'lose'
  }

  /** Requests arrive, answers do not, connections stay. */
  swallow(): void {
    this.#mode = 'swallow'
  }

  refuse(): void {
    this.#mode = 'refuse'
    this.cut()
  }

  forward(): void {
    this.#mode = 'forward'
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(client: Socket): void {
    if (this.#mode === 'refuse') {
      client.destroy()
      return
    }
    const server = connect(this.#upstream, '127.0.0.1')
    let isLosing = false
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (bytes) => {
      if (this.#mode === 'lose') {
        this.#mode = 'forward'
        this.losses++
        isLosing = true
      }
      server.write(bytes)
    })
    server.on('data', (bytes) => {
      if (this.#mode === 'swallow') return
      if (isLosing) client.destroy()
      else client.write(bytes)
    })
  }
}
