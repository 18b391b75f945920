// The server's side of HTTP/2 against clients that send frames as they like.

import assert from 'node:assert/strict'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { seededRandom, utf8Encode } from '../../base/index.ts'
import type { HttpHandler, Listener } from '../host.ts'
import { encodeFields } from './hpack.ts'
import { createHttp } from './http.ts'
import { errorCode, flag, frameType, setting } from './http2-frames.ts'
import { createJournal } from './journal.ts'

const endOnFatal = (event: string): never => assert.fail(event)
const http = createHttp(createJournal({ format: 'text', level: 'error' }, endOnFatal))
const listeners: Listener[] = []
after(() => Promise.all(listeners.map((listener) => listener.close())))

async function serve(handler: HttpHandler): Promise<number> {
  const listener = await http.serve({ host: '127.0.0.1', port: 0 }, { handler, http2: true })
  listeners.push(listener)
  return listener.address.port
}

type Frame = {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly payload: Buffer
}

function frame(
  type: number,
  flags: number,
  id: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, payload])
}

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function settings(...pairs: (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(6 * pairs.length)
  for (const [at, [name, value]] of pairs.entries()) {
    payload.writeUInt16BE(name, 6 * at)
    payload.writeUInt32BE(value, 6 * at + 2)
  }
  return frame(frameType.settings, 0, 0, payload)
}

const greeting = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

function request(method = 'POST', more: readonly (readonly [string, string])[] = []): Buffer {
  return encodeFields([[':method', method], [':scheme', 'http'], [':path', '/x'], ...more])
}

const { endStream, endHeaders } = flag

/** A connection whose every byte the test chooses. */
class RawClient {
  readonly socket: Socket
  readonly frames: Frame[] = []
  isClosed = false
  #held = Buffer.alloc(0)
  #look: (() => void) | undefined

  constructor(port: number, first: Buffer = settings()) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.isClosed = true
      this.#look?.()
    })
    this.socket.on('data', (bytes: Buffer) => this.#onBytes(bytes))
    this.socket.write(Buffer.concat([greeting, first]))
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames))
  }

  /** The first frame that fits, come or coming; undefined when the connection ends without one. */
  async find(fits: (frame: Frame) => boolean): Promise<Frame | undefined> {
    for (;;) {
      const found = this.frames.find(fits)
      if (found !== undefined || this.isClosed) return found
      await new Promise<void>((resolve) => {
        this.#look = resolve
      })
    }
  }

  /** The code of the reset of a stream, or of the farewell. */
  async codeOf(type: number, id = 0): Promise<number | undefined> {
    const found = await this.find((one) => one.type === type && one.id === id)
    return found?.payload.readUInt32BE(type === frameType.goAway ? 4 : 0)
  }

  /** What came before the answer to a ping that is sent now. */
  async settled(): Promise<readonly Frame[]> {
    const mark = Buffer.from(seededRandom(this.frames.length).bytes(8))
    this.send(frame(frameType.ping, 0, 0, mark))
    await this.find((one) => one.type === frameType.ping && one.payload.equals(mark))
    return this.frames
  }

  #onBytes(bytes: Buffer): void {
    this.#held = Buffer.concat([this.#held, bytes])
    while (this.#held.length >= 9) {
      const end = 9 + this.#held.readUIntBE(0, 3)
      if (this.#held.length < end) break
      const id = this.#held.readUInt32BE(5)
      const [, , , type = 0, flags = 0] = this.#held
      this.frames.push({ type, flags, id, payload: this.#held.subarray(9, end) })
      this.#held = this.#held.subarray(end)
    }
    this.#look?.()
  }
}

const readAll: HttpHandler = async ({ body }) => {
  let bytes = 0
  try {
    for await (const slice of body) bytes += slice.length
  } catch {
    return { status: 400, headers: [] }
  }
  return { status: 200, headers: [], body: utf8Encode(String(bytes)) }
}

describe('a connection of HTTP/2', () => {
  const goodHeaders = frame(frameType.headers, endHeaders, 1, request())
  const broken: readonly (readonly [string, readonly Buffer[], number])[] = [
    ['data of no stream', [frame(frameType.data, 0, 0)], errorCode.protocol],
    ['data of an idle stream', [frame(frameType.data, 0, 5)], errorCode.protocol],
    ['a window of an idle stream', [frame(8, 0, 5, number32(1))], errorCode.protocol],
    ['a window of nothing', [frame(8, 0, 0, number32(0))], errorCode.protocol],
    ['a window too large', [frame(8, 0, 0, number32(0x7fff_ffff))], errorCode.flowControl],
    ['a promise', [frame(frameType.pushPromise, 4, 1, number32(2))], errorCode.protocol],
    ['even streams', [frame(frameType.headers, 5, 2, request())], errorCode.protocol],
    ['a long frame', [frame(frameType.data, 0, 1, Buffer.alloc(16_385))], errorCode.frameSize],
    ['a ping of odd size', [frame(frameType.ping, 0, 0, Buffer.alloc(7))], errorCode.frameSize],
    ['padding beyond', [goodHeaders, frame(0, 8, 1, Buffer.from([9, 1]))], errorCode.protocol],
    ['no fields', [frame(frameType.headers, 5, 1, Buffer.from([0x80]))], errorCode.compression],
    ['a frame within headers', [frame(1, 0, 1, request()), frame(6, 0, 0, Buffer.alloc(8))], 1],
    ['continuation of nothing', [frame(frameType.continuation, 4, 1)], errorCode.protocol],
    ['odd settings', [frame(frameType.settings, 0, 0, Buffer.alloc(5))], errorCode.frameSize],
    ['a large window', [settings([setting.initialWindowSize, 0x8000_0000])], errorCode.flowControl],
    [
      'endless headers of empty frames',
      [frame(1, 0, 1), ...Array.from({ length: 99 }, () => frame(frameType.continuation, 0, 1))],
      errorCode.enhanceYourCalm,
    ],
    [
      'endless headers of bytes',
      [frame(1, 0, 1), ...[1, 2, 3].map(() => frame(9, 0, 1, Buffer.alloc(16_000, 0x82)))],
      errorCode.enhanceYourCalm,
    ],
  ]
  for (const [what, frames, code] of broken) {
    it(`ends at ${what}, and says with which code`, async () => {
      const client = new RawClient(await serve(readAll))
      client.send(...frames)
      assert.equal(await client.codeOf(frameType.goAway), code)
      await client.find(() => false)
    })
  }

  it('resets a malformed request alone', async () => {
    const client = new RawClient(await serve(readAll))
    const bad: readonly Buffer[] = [
      encodeFields([[':method', 'GET']]),
      request('GET', [[':path', '/again']]),
      request('GET', [
        ['x-after', '1'],
        [':late', '1'],
      ]),
      Buffer.concat([request('GET'), Buffer.from([0, 1]), Buffer.from('X'), Buffer.from([0])]),
      request('POST', [['content-length', '-1']]),
      request('POST', [['content-length', '5']]),
    ]
    for (const [at, block] of bad.entries()) {
      client.send(frame(frameType.headers, endHeaders | endStream, 2 * at + 1, block))
      assert.equal(await client.codeOf(frameType.resetStream, 2 * at + 1), errorCode.protocol)
    }
    client.send(frame(frameType.headers, endHeaders | endStream, 99, request()))
    const answer = await client.find(({ type, id }) => type === frameType.data && id === 99)
    assert.equal(answer?.payload.toString(), '0')
    client.socket.destroy()
  })

  it('resets a stream whose body is not as long as announced', async () => {
    const client = new RawClient(await serve(readAll))
    const head = request('POST', [['content-length', '3']])
    client.send(frame(1, endHeaders, 1, head), frame(0, endStream, 1, Buffer.from('four')))
    assert.equal(await client.codeOf(frameType.resetStream, 1), errorCode.protocol)
    client.send(frame(1, endHeaders, 3, head), frame(0, endStream, 3, Buffer.from('2!')))
    assert.equal(await client.codeOf(frameType.resetStream, 3), errorCode.protocol)
    client.send(frame(1, endHeaders, 5, head), frame(0, endStream, 5, Buffer.from('yes')))
    assert.ok(await client.find(({ type, id }) => type === frameType.data && id === 5))
    client.socket.destroy()
  })

  it('answers 431 for more headers than it takes', async () => {
    const client = new RawClient(await serve(readAll))
    const block = request('GET', [['x-long', 'v'.repeat(16_300)]])
    client.send(frame(1, 0, 1, block.subarray(0, 9000)), frame(9, 4, 1, block.subarray(9000)))
    const answer = await client.find(({ type, id }) => type === frameType.headers && id === 1)
    assert.ok(answer?.payload.includes('431'))
    assert.equal(await client.codeOf(frameType.resetStream, 1), errorCode.none)
    client.socket.destroy()
  })

  it('holds a client to the windows it was given', async () => {
    const client = new RawClient(await serve(() => new Promise(() => undefined)))
    client.send(frame(frameType.headers, endHeaders, 1, request()))
    const part = frame(frameType.data, 0, 1, Buffer.alloc(16_384))
    for (let i = 0; i < 65; i++) client.send(part)
    assert.equal(await client.codeOf(frameType.resetStream, 1), errorCode.flowControl)
    client.socket.destroy()
  })

  it('has a budget for streams that are opened only to be reset', async () => {
    let started = 0
    const client = new RawClient(
      await serve(() => {
        started++
        return new Promise(() => undefined)
      }),
    )
    for (let id = 1; id < 20_000; id += 2) {
      client.send(
        frame(frameType.headers, endHeaders, id, request()),
        frame(frameType.resetStream, 0, id, number32(errorCode.cancel)),
      )
    }
    assert.equal(await client.codeOf(frameType.goAway), errorCode.enhanceYourCalm)
    assert.ok(started < 4_096, String(started))
  })

  it('has a budget for windows that change while streams are open', async () => {
    const client = new RawClient(await serve(() => new Promise(() => undefined)))
    const changes = Array.from({ length: 2_000 }, (_, i) => [setting.initialWindowSize, i] as const)
    client.send(...changes.slice(0, 50).map((change) => settings(change)))
    assert.equal((await client.settled()).filter(({ type }) => type === frameType.goAway).length, 0)
    client.send(goodHeaders, settings(...changes))
    assert.equal(await client.codeOf(frameType.goAway), errorCode.enhanceYourCalm)
  })

  it('gives every stream that waits its share of a small window', async () => {
    const body = new Uint8Array(200_000)
    const client = new RawClient(
      await serve(async () => ({ status: 200, headers: [], body })),
      settings([setting.initialWindowSize, 1_000_000]),
    )
    for (const id of [1, 3, 5]) client.send(frame(frameType.headers, 5, id, request()))
    const sentTo = (id: number): number =>
      client.frames
        .filter((one) => one.type === frameType.data && one.id === id)
        .reduce((sum, { payload }) => sum + payload.length, 0)
    const all = (): number => sentTo(1) + sentTo(3) + sentTo(5)
    // The connection's first window, which nobody has opened further.
    await client.find(() => all() === 65_535)
    const before = [1, 3, 5].map(sentTo)
    for (let i = 1; i <= 30; i++) {
      client.send(frame(frameType.windowUpdate, 0, 0, number32(1)))
      await client.find(() => all() === 65_535 + i)
    }
    assert.deepEqual(
      [1, 3, 5].map((id, at) => sentTo(id) - (before[at] ?? 0)),
      [10, 10, 10],
    )
    client.socket.destroy()
  })

  it('never starts more handlers than streams, however many were reset', async () => {
    let working = 0
    const port = await serve(() => {
      working++
      return new Promise(() => undefined)
    })
    const client = new RawClient(port)
    const open = (id: number): Buffer => frame(1, endHeaders | endStream, id, request())
    for (let i = 0; i < 4_096; i++) client.send(open(2 * i + 1))
    client.send(frame(frameType.resetStream, 0, 1, number32(errorCode.cancel)), open(8_193))
    assert.equal(await client.codeOf(frameType.resetStream, 8_193), errorCode.refusedStream)
    assert.equal(working, 4_096)
    client.socket.destroy()
  })

  it('passes over frames of a stream that it reset, and of types it does not know', async () => {
    const client = new RawClient(await serve(async () => ({ status: 404, headers: [] })))
    client.send(goodHeaders)
    assert.equal(await client.codeOf(frameType.resetStream, 1), errorCode.none)
    client.send(
      frame(frameType.data, 0, 1, Buffer.alloc(100)),
      frame(77, 0, 1, Buffer.alloc(5)),
      frame(frameType.headers, endHeaders | endStream, 1, encodeFields([['x-last', '1']])),
    )
    const frames = await client.settled()
    assert.equal(
      frames.some(({ type }) => type === frameType.goAway),
      false,
    )
    client.socket.destroy()
  })

  it('reads nothing more from a client that reads nothing', async () => {
    const port = await serve(readAll)
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    socket.pause()
    socket.write(Buffer.concat([greeting, settings()]))
    const ping = frame(frameType.ping, 0, 0, Buffer.alloc(8))
    const pings = Buffer.concat(Array.from({ length: 60_000 }, () => ping))
    let sent = 0
    // Both kernels' buffers, ours and the bound take some megabytes; then the socket takes no more.
    while (sent < 100 && socket.writableLength < 4 * 1024 * 1024) {
      socket.write(pings)
      sent++
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.ok(sent < 100, 'the server read on')
    let answered = 0
    const all = sent * pings.length
    await new Promise<void>((resolve) => {
      socket.on('data', (bytes: Buffer) => {
        answered += bytes.length
        if (answered >= all) resolve()
      })
      socket.on('close', () => resolve())
      socket.resume()
    })
    assert.ok(answered >= all, `${answered} of ${all}`)
    socket.destroy()
  })

  it('sends a large answer through small windows, and others beside it', async () => {
    const large = Buffer.from(seededRandom(3).bytes(700_000))
    const port = await serve(async ({ target }) => ({
      status: 200,
      headers: [],
      body: target === '/large' ? large : utf8Encode('small'),
      trailers: () => [['x-last', 'yes']],
    }))
    const session = connectHttp2(`http://127.0.0.1:${port}`, {
      settings: { initialWindowSize: 1000 },
    })
    const ask = (path: string): Promise<[Buffer, unknown]> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':method': 'GET', ':path': path })
        const parts: Buffer[] = []
        let last: unknown
        stream.on('data', (part: Buffer) => parts.push(part))
        stream.on('trailers', (trailers) => {
          last = trailers['x-last']
        })
        stream.on('close', () => resolve([Buffer.concat(parts), last]))
        stream.on('error', reject)
      })
    const asked = ask('/large')
    for (let i = 0; i < 20; i++) {
      assert.deepEqual(await ask('/small'), [Buffer.from('small'), 'yes'])
    }
    const [body, last] = await asked
    assert.equal(last, 'yes')
    assert.ok(body.equals(large))
    session.destroy()
  })

  it('takes bodies larger than every window', async () => {
    const port = await serve(readAll)
    const session = connectHttp2(`http://127.0.0.1:${port}`, { maxSessionMemory: 100 })
    const bodies = await Promise.all(
      [1, 3, 20].map(
        (mebibytes) =>
          new Promise((resolve, reject) => {
            const stream = session.request({ ':method': 'PUT', ':path': '/' })
            let answer = ''
            stream.on('data', (part: Buffer) => {
              answer += part.toString()
            })
            stream.on('end', () => resolve(Number(answer)))
            stream.on('error', reject)
            stream.end(Buffer.alloc(mebibytes * 1024 * 1024))
          }),
      ),
    )
    assert.deepEqual(
      bodies,
      [1, 3, 20].map((mebibytes) => mebibytes * 1024 * 1024),
    )
    session.destroy()
  })

  it('lets streams end when it closes, and refuses new ones', async () => {
    let answer: () => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      answer = resolve
    })
    const listener = await http.serve(
      { host: '127.0.0.1', port: 0 },
      {
        http2: true,
        handler: async () => {
          await asked
          return { status: 200, headers: [], body: utf8Encode('late') }
        },
      },
    )
    const client = new RawClient(listener.address.port)
    client.send(frame(frameType.headers, endHeaders | endStream, 1, request()))
    await client.settled()
    const closed = listener.close()
    assert.equal(await client.codeOf(frameType.goAway), errorCode.none)
    client.send(frame(frameType.headers, endHeaders | endStream, 3, request()))
    assert.equal(await client.codeOf(frameType.resetStream, 3), errorCode.refusedStream)
    answer()
    const last = await client.find(({ type, id }) => type === frameType.data && id === 1)
    assert.equal(last?.payload.toString(), 'late')
    await client.find(() => false)
    await closed
  })

  it('survives any frames', async () => {
    const port = await serve(readAll)
    const random = seededRandom(11)
    for (let round = 0; round < 150; round++) {
      const client = new RawClient(port)
      for (let i = 0; i < 20; i++) {
        const payload = random.chance(0.4) ? request() : random.bytes(random.integer(40))
        client.send(frame(random.integer(11), random.integer(256), random.integer(6), payload))
      }
      client.socket.end()
      await client.find(() => false)
    }
    const last = new RawClient(port)
    last.send(frame(frameType.headers, endHeaders | endStream, 1, request()))
    assert.ok(await last.find(({ type }) => type === frameType.data))
    last.socket.destroy()
  })
})
