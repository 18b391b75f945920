import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:net'
import { after, describe, it } from 'node:test'
import { type Fault, isFault, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Address, HttpCall, HttpConnection, HttpHandler, Listener } from '../host.ts'
import { createHttp } from './http.ts'
import { createJournal } from './journal.ts'

const endOnFatal = (event: string): never => assert.fail(event)
const http = createHttp(createJournal({ format: 'text', level: 'error' }, endOnFatal))
const listeners: Listener[] = []
after(() => Promise.all(listeners.map((listener) => listener.close())))

async function serve(handler: HttpHandler): Promise<Address> {
  const listener = await http.serve({ host: '127.0.0.1', port: 0 }, { handler, http2: true })
  listeners.push(listener)
  return listener.address
}

async function* echo(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const slice of body) yield slice
}

const echoing: HttpHandler = async ({ target, headers, body }) => ({
  status: 200,
  headers: [['x-target', target]],
  body: echo(body),
  trailers: () => [['x-mine', headers.find(([name]) => name === 'x-mine')?.[1] ?? '']],
})

/** What one call is told, in order. */
class Told {
  readonly events: string[] = []
  fault: Fault | undefined
  #wake: () => void = () => undefined

  readonly receiver = {
    onHead: (status: number, headers: ReadonlyMap<string, string>) =>
      this.#add(`${status} ${headers.get('x-target')}`),
    onBytes: (slice: Uint8Array) => this.#add(utf8Decode(slice)),
    onEnd: (trailers: ReadonlyMap<string, string>) => this.#add(`end ${trailers.get('x-mine')}`),
    onFailed: (fault: Fault) => {
      this.fault = fault
      this.#add('failed')
    },
  }

  async until(event: string): Promise<void> {
    while (!this.events.includes(event)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #add(event: string): void {
    this.events.push(event)
    this.#wake()
  }
}

function begin(connection: HttpConnection, path: string): { told: Told; call: HttpCall } {
  const told = new Told()
  const call = connection.request({ path, headers: [['x-mine', path]] }, told.receiver)
  return { told, call }
}

describe('a client of HTTP/2', () => {
  it('streams both ways at once, with trailers, many calls on one connection', async () => {
    const connection = await http.connect(await serve(echoing), { timeoutMs: 5000 })
    const calls = ['/a', '/b', '/c'].map((path) => begin(connection, path))
    for (const part of ['one', 'two']) {
      for (const { told, call } of calls) {
        call.send(utf8Encode(part))
        await told.until(part)
      }
    }
    for (const [at, { told, call }] of calls.entries()) {
      const path = ['/a', '/b', '/c'][at]
      call.end()
      await told.until(`end ${path}`)
      assert.deepEqual(told.events, [`200 ${path}`, 'one', 'two', `end ${path}`])
    }
    connection.destroy()
  })

  it('tells nothing after a cancel, and the server hears of it', async () => {
    let gone = (): void => undefined
    const isGone = new Promise<void>((resolve) => {
      gone = resolve
    })
    const address = await serve(async (request) => {
      request.signal.addEventListener('abort', () => gone())
      return echoing(request)
    })
    const connection = await http.connect(address, { timeoutMs: 5000 })
    const { told, call } = begin(connection, '/x')
    call.send(utf8Encode('one'))
    await told.until('one')
    call.cancel()
    await isGone
    assert.deepEqual(told.events, ['200 /x', 'one'])
    connection.destroy()
  })

  it('fails calls under way with an unknown outcome, later ones with a failed one', async () => {
    const connection = await http.connect(await serve(echoing), { timeoutMs: 5000 })
    const { told, call } = begin(connection, '/x')
    call.send(utf8Encode('one'))
    await told.until('one')
    connection.destroy()
    await told.until('failed')
    assert.deepEqual([told.fault?.code, told.fault?.outcome], ['unavailable', 'unknown'])
    assert.equal(connection.isOpen, false)
    const late = begin(connection, '/y')
    await late.told.until('failed')
    assert.deepEqual([late.told.fault?.code, late.told.fault?.outcome], ['unavailable', 'failed'])
  })

  it('is no connection where nobody listens, speaks, or speaks something else', async () => {
    const mute = await listen(createServer(() => undefined))
    const rude = await listen(createServer((socket) => socket.destroy()))
    const other = await listen(createServer((socket) => socket.end('HTTP/1.1 400 no\r\n\r\n')))
    for (const server of [mute, rude, other]) {
      const connecting = http.connect(addressOf(server), { timeoutMs: 200 })
      await assert.rejects(connecting, (error) => isFault(error, 'unavailable'))
    }
    const gone = addressOf(rude)
    for (const server of [mute, rude, other]) server.close()
    const connecting = http.connect(gone, { timeoutMs: 200 })
    await assert.rejects(connecting, (error) => isFault(error, 'unavailable'))
  })
})

function addressOf(server: Server): Address {
  const bound = server.address()
  assert.ok(bound !== null && typeof bound === 'object')
  return { host: '127.0.0.1', port: bound.port }
}

async function listen(server: Server): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  return server
}
