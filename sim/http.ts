// Servers without sockets: the workload calls a node's HttpHandler. A request that waits when its node
// crashes never settles there; the caller's own deadline ends it as 'unknown'.

import { concatBytes, Fault } from '../src/base/index.ts'
import type { Address, Http, HttpHandler, HttpListener, HttpResponse } from '../src/host/index.ts'
import type { SimHost } from './sim-host.ts'
import type { World } from './world.ts'

type Serving = { readonly host: SimHost; readonly handler: HttpHandler; readonly isSecure: boolean }

export type SimRequest = {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body?: Uint8Array
  readonly timeoutMs: number
}
export type SimResponse = {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Uint8Array
}

const bodySliceBytes = 64 * 1024

export class HttpServers {
  readonly #serving = new Map<string, Serving>()

  ofNode(host: SimHost): Http {
    return {
      serve: (address, options) => this.#serve(host, address, options),
      connect: () => Promise.reject(noClient()),
    }
  }

  forget(node: number): void {
    for (const [key, serving] of [...this.#serving]) {
      if (serving.host.node === node) this.#serving.delete(key)
    }
  }

  isServing(address: Address): boolean {
    return this.#serving.has(keyOf(address))
  }

  /**
   * The node's answer with its whole body. Fault 'unavailable' when nobody serves or the node dies
   * meanwhile, 'deadline' after timeoutMs; both leave the outcome unknown.
   */
  request(world: World, address: Address, request: SimRequest): Promise<SimResponse> {
    const serving = this.#serving.get(keyOf(address))
    if (serving === undefined) {
      return Promise.reject(new Fault('unavailable', `nobody serves at ${keyOf(address)}`))
    }
    const abort = new AbortController()
    return new Promise((resolve, reject) => {
      const deadline = world.schedule(request.timeoutMs, 'http deadline', () => {
        if (serving.host.isAlive) serving.host.schedule(0, 'http client gone', () => abort.abort())
        reject(new Fault('deadline', 'no answer in time', { outcome: 'unknown' }))
      })
      const settle = (run: () => void): void => {
        world.schedule(world.network.delayMs(), 'http answer', () => {
          deadline.isCancelled = true
          run()
        })
      }
      serving.host.schedule(world.network.delayMs(), 'http request', () => {
        exchange(serving, request, abort.signal).then(
          (response) => settle(() => resolve(response)),
          (error: unknown) => settle(() => reject(error)),
        )
      })
    })
  }

  async #serve(
    host: SimHost,
    address: Address,
    options: { readonly handler: HttpHandler; readonly tls?: unknown },
  ): Promise<HttpListener> {
    const key = keyOf(address)
    if (this.#serving.has(key)) {
      throw new Fault('exists', `port ${address.port} is taken`, {
        fields: { port: String(address.port) },
      })
    }
    this.#serving.set(key, { host, handler: options.handler, isSecure: options.tls !== undefined })
    return {
      address,
      close: async () => {
        if (this.#serving.get(key)?.host === host) this.#serving.delete(key)
      },
      replaceTls() {},
    }
  }
}

async function exchange(
  serving: Serving,
  request: SimRequest,
  signal: AbortSignal,
): Promise<SimResponse> {
  const { host } = serving
  async function* body(): AsyncGenerator<Uint8Array> {
    const bytes = request.body ?? new Uint8Array(0)
    for (let at = 0; at < bytes.length; at += bodySliceBytes) {
      await host.settle(0.1, 'http body', () => {})
      yield bytes.slice(at, at + bodySliceBytes)
    }
  }
  const response = await serving.handler({
    method: request.method,
    target: request.target,
    headers: request.headers,
    body: body(),
    remoteAddress: '10.0.0.1',
    isSecure: serving.isSecure,
    signal,
  })
  return {
    status: response.status,
    headers: new Map(response.headers.map(([name, value]) => [name.toLowerCase(), value])),
    body: await collected(host, response),
  }
}

async function collected(host: SimHost, response: HttpResponse): Promise<Uint8Array> {
  const { body } = response
  if (body === undefined) return new Uint8Array(0)
  if (body instanceof Uint8Array) return body.slice()
  const parts: Uint8Array[] = []
  for await (const part of body) {
    parts.push(part.slice())
    await host.settle(0.1, 'http slice sent', () => {})
  }
  return concatBytes(parts)
}

function keyOf(address: Address): string {
  return `${address.host}:${address.port}`
}

function noClient(): Fault {
  return new Fault('unsupported', 'the simulated world has no HTTP servers but its own nodes')
}
