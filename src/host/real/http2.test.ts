import assert from 'node:assert/strict'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { after, describe, it } from 'node:test'
import { utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Address, HttpHandler, Listener } from '../host.ts'
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

type Answer = {
  readonly status: number
  readonly body: string
  readonly trailers: Record<string, unknown>
}

/** One request over HTTP/2; `body` may ask for what to send next when it has seen what came. */
async function request(address: Address, body: readonly string[]): Promise<Answer> {
  const session = connectHttp2(`http://127.0.0.1:${address.port}`)
  try {
    const stream = session.request({ ':method': 'POST', ':path': '/a?b=%20', 'x-mine': 'one' })
    let status = 0
    let trailers: Record<string, unknown> = {}
    let received = ''
    let sent = 0
    stream.on('response', (headers) => {
      status = Number(headers[':status'])
    })
    stream.on('trailers', (headers) => {
      trailers = headers
    })
    // Every part is sent once the one before it was answered.
    const sendNext = (): void => {
      const part = body[sent++]
      if (part === undefined) stream.end()
      else stream.write(part)
    }
    stream.on('data', (part: Buffer) => {
      received += part.toString()
      sendNext()
    })
    sendNext()
    await new Promise((resolve, reject) => {
      stream.once('close', resolve)
      stream.once('error', reject)
    })
    return { status, body: received, trailers }
  } finally {
    session.close()
  }
}

describe('HTTP/2 beside HTTP/1.1', () => {
  it('streams both ways at once and ends with trailers', async () => {
    let seen = ''
    const address = await serve(async (asked) => {
      const mine = asked.headers.find(([name]) => name === 'x-mine')?.[1]
      seen = `${asked.method} ${asked.target} ${mine} ${asked.isHttp2}`
      async function* echo(): AsyncGenerator<Uint8Array> {
        for await (const slice of asked.body) yield utf8Encode(utf8Decode(slice).toUpperCase())
      }
      return { status: 200, headers: [], body: echo(), trailers: () => [['x-last', seen]] }
    })
    const answer = await request(address, ['one', 'two', 'three'])
    assert.equal(answer.body, 'ONETWOTHREE')
    assert.equal(seen, 'POST /a?b=%20 one true')
    assert.equal(answer.trailers['x-last'], seen)
  })

  it('ends with trailers when nobody read the request', async () => {
    let count = 1
    const address = await serve(async () => {
      async function* many(): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < count; i++) yield new Uint8Array(8192)
      }
      return { status: 200, headers: [], body: many(), trailers: () => [['x-last', 'yes']] }
    })
    for (count = 1; count < 20; count++) {
      for (const asked of [[], ['unread']]) {
        const answer = await request(address, asked)
        assert.deepEqual([answer.body.length, answer.trailers['x-last']], [count * 8192, 'yes'])
      }
    }
  })

  it('answers without a body, and before the request has ended', async () => {
    const address = await serve(async () => ({ status: 404, headers: [['x-a', 'b']] }))
    const answer = await request(address, [])
    assert.deepEqual([answer.status, answer.body], [404, ''])
  })

  it('ends a body for its reader who gave it up while it waited', async () => {
    const address = await serve(async ({ body }) => {
      const slices = body[Symbol.asyncIterator]()
      await slices.next()
      const waiting = slices.next()
      await slices.return?.()
      assert.deepEqual(await waiting, { done: true, value: undefined })
      return { status: 400, headers: [], body: utf8Encode('too slow') }
    })
    const { status, body } = await request(address, ['some of it', 'the rest'])
    assert.deepEqual([status, body], [400, 'too slow'])
  })

  it('speaks HTTP/1.1 on the same port, also when its first bytes look like the other', async () => {
    const address = await serve(async (asked) => {
      let body = ''
      for await (const slice of asked.body) body += utf8Decode(slice)
      return { status: 200, headers: [], body: utf8Encode(`${asked.method} ${body}`) }
    })
    for (const [first, rest] of [
      ['P', 'OST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi'],
      ['PR', 'OPFIND / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi'],
      ['GET /', ' HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi'],
    ] as const) {
      const answer = await exchange(address, [first, rest])
      assert.match(answer, /^HTTP\/1.1 200 OK\r\n/)
      assert.match(answer, / hi$/)
    }
  })

  it('tells the handler that the client has gone', async () => {
    let aborted: () => void = () => undefined
    const gone = new Promise<void>((resolve) => {
      aborted = resolve
    })
    const address = await serve(async ({ signal }) => {
      signal.addEventListener('abort', () => aborted())
      async function* wait(): AsyncGenerator<Uint8Array> {
        yield utf8Encode('x')
        await gone
      }
      return { status: 200, headers: [], body: wait() }
    })
    const session = connectHttp2(`http://127.0.0.1:${address.port}`)
    const stream = session.request({ ':method': 'POST', ':path': '/' })
    stream.on('error', () => undefined)
    await new Promise((resolve) => stream.once('data', resolve))
    stream.close(8)
    await gone
    session.destroy()
  })

  it('ends a connection that is neither', async () => {
    const address = await serve(async () => ({ status: 200, headers: [] }))
    assert.match(
      await exchange(address, ['\u0016\u0003\u0001 nonsense\r\n\r\n']),
      /^HTTP\/1.1 400 |^$/,
    )
    assert.equal(
      (
        await exchange(address, ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'nonsense'.repeat(99)])
      ).includes('200'),
      false,
    )
  })
})

/** Sends the parts one after the other and answers what came until the end. */
function exchange(address: Address, parts: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect({ host: address.host, port: address.port, noDelay: true }, () => {
      const send = (at: number): void => {
        const part = parts[at]
        if (part !== undefined) socket.write(part, 'latin1', () => setImmediate(() => send(at + 1)))
      }
      send(0)
    })
    socket.on('data', (bytes: Buffer) => {
      received += bytes.toString('latin1')
    })
    socket.on('close', () => resolve(received))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') resolve(received)
      else reject(error)
    })
  })
}
