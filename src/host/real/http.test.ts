import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { connect as tlsConnect } from 'node:tls'
import { isFault, utf8Encode } from '../../base/index.ts'
import type { HttpHandler, HttpServerOptions, Listener } from '../host.ts'
import { createTestAuthority, settled } from '../testing/index.ts'
import { createRealHost } from './index.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-http-`)
after(() => rmSync(root, { recursive: true, force: true }))

const { http, memory } = createRealHost({
  rootPath: root,
  journal: { format: 'text', level: 'error' },
  onFatal: (_event, error) => {
    throw error
  },
})

type Options = Omit<HttpServerOptions, 'handler'>
function serve(handler: HttpHandler, options: Options = {}): Promise<Listener> {
  return http.serve({ host: '127.0.0.1', port: 0 }, { ...options, handler })
}

const ok: HttpHandler = async () => ({ status: 200, headers: [] })

/** Reads the whole body, answers its length, or the code of the fault. */
const measure: HttpHandler = async (request) => {
  let length = 0
  try {
    for await (const slice of request.body) length += slice.length
  } catch (error) {
    assert.ok(isFault(error, 'invalid'))
    return { status: error.s3.status, headers: [], body: utf8Encode(error.s3.code) }
  }
  return { status: 200, headers: [], body: utf8Encode(`${length} bytes`) }
}

type Raw = { readonly socket: Socket; received: string; isClosed: boolean }

function open(listener: Listener): Raw {
  const socket = connect({ ...listener.address, allowHalfOpen: true })
  return record(socket)
}

function record(socket: Socket): Raw {
  const raw: Raw = { socket, received: '', isClosed: false }
  socket.on('data', (slice: Buffer) => {
    raw.received += slice.toString('latin1')
  })
  socket.on('error', () => undefined)
  socket.on('end', () => {
    raw.isClosed = true
    socket.end()
  })
  socket.on('close', () => {
    raw.isClosed = true
  })
  return raw
}

test('a body that ends early is IncompleteBody, and a half-closed client reads so', async () => {
  const server = await serve(measure)
  const raw = open(server)
  raw.socket.end('PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort')
  await settled(() => raw.isClosed)
  assert.match(raw.received, /^HTTP\/1\.1 400 [\s\S]*IncompleteBody$/)
  await server.close()
})

test('a client that vanishes in its body ends the request with a fault and an abort', async () => {
  const seen: string[] = []
  const server = await serve(async (request) => {
    request.signal.addEventListener('abort', () => seen.push('abort'))
    const answer = await measure(request)
    seen.push(String(answer.status))
    return answer
  })
  const raw = open(server)
  raw.socket.write('PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort', () => {
    raw.socket.resetAndDestroy()
  })
  await settled(() => seen.length === 2)
  assert.deepEqual(seen.toSorted(), ['400', 'abort'])
  await server.close()
})

test('a malformed chunk fails the body', async () => {
  const server = await serve(measure)
  const raw = open(server)
  raw.socket.write(
    'PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n',
  )
  await settled(() => raw.isClosed)
  assert.match(raw.received, /^HTTP\/1\.1 400 /)
  await server.close()
})

test('100 Continue is sent when the handler reads, not before', async () => {
  let proceed: () => void = () => undefined
  const gate = new Promise<void>((resolve) => {
    proceed = resolve
  })
  let arrived = false
  const server = await serve(async (request) => {
    arrived = true
    await gate
    return request.target === '/read' ? measure(request) : { status: 403, headers: [] }
  })
  const head = 'HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'
  const reading = open(server)
  const refused = open(server)
  reading.socket.write(`PUT /read ${head}`)
  refused.socket.write(`PUT /no ${head}`)
  await settled(() => arrived)
  assert.equal(reading.received, '')
  proceed()
  await settled(() => reading.received.includes('100 Continue\r\n\r\n'))
  reading.socket.write('hello')
  await settled(() => reading.received.endsWith('5 bytes'))
  await settled(() => refused.isClosed)
  assert.match(refused.received, /^HTTP\/1\.1 403 /)
  assert.doesNotMatch(refused.received, /100 Continue/)
  reading.socket.destroy()
  await server.close()
})

test('headers beyond the limit and garbage are answered in the words of the server', async () => {
  const server = await serve(ok, {
    headerBytesMax: 8192,
    onMalformed: (what, status) => ({
      status,
      headers: [['content-type', 'application/xml']],
      body: utf8Encode(`<Error>${what}</Error>`),
    }),
  })
  const large = open(server)
  large.socket.write(`GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'a'.repeat(60_000)}\r\n\r\n`)
  const garbage = open(server)
  garbage.socket.write('\x16\x03\x01 what is this\r\n\r\n')
  const hostless = open(server)
  hostless.socket.write('GET / HTTP/1.1\r\n\r\n')
  await settled(() => large.isClosed && garbage.isClosed && hostless.isClosed)
  assert.match(
    large.received,
    /^HTTP\/1\.1 431 [\s\S]*application\/xml[\s\S]*<Error>the headers are too large</,
  )
  assert.match(garbage.received, /^HTTP\/1\.1 400 [\s\S]*<Error>a malformed request</)
  assert.match(hostless.received, /^HTTP\/1\.1 400 [\s\S]*without a Host header</)
  await server.close()
})

test('an early answer to a large upload reaches its client, and the connection closes', async () => {
  const server = await serve(async () => ({ status: 403, headers: [], body: utf8Encode('denied') }))
  const raw = open(server)
  raw.socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n')
  const slice = Buffer.alloc(65_536)
  const push = () => {
    while (!raw.isClosed && raw.socket.writable && raw.socket.write(slice)) {}
  }
  raw.socket.on('drain', push)
  push()
  await settled(() => raw.isClosed)
  assert.match(raw.received, /^HTTP\/1\.1 403 [\s\S]*connection: close[\s\S]*denied$/i)
  await server.close()
})

test('a small unread body is skipped and the connection serves the next request', async () => {
  const server = await serve(ok)
  const raw = open(server)
  const put = `PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n${'a'.repeat(5000)}`
  raw.socket.write(put)
  raw.socket.write(put)
  await settled(() => raw.received.split('HTTP/1.1 200').length === 3)
  assert.doesNotMatch(raw.received, /connection: close/i)
  raw.socket.destroy()
  await server.close()
})

test('a body that its reader gave up while it waited ends, and so does the connection after the answer', async () => {
  const server = await serve(async ({ body }) => {
    const slices = body[Symbol.asyncIterator]()
    await slices.next()
    const waiting = slices.next()
    await slices.return?.()
    assert.deepEqual(await waiting, { done: true, value: undefined })
    return { status: 400, headers: [], body: utf8Encode('too slow') }
  })
  const raw = open(server)
  raw.socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome of it')
  await settled(() => raw.isClosed)
  assert.match(raw.received, /^HTTP\/1\.1 400 [\s\S]*connection: close[\s\S]*too slow$/i)
  await server.close()
})

test('a slow reader of a large answer holds the producer back, and leaving ends it', async () => {
  let produced = 0
  let isReleased = false
  const slice = new Uint8Array(256 * 1024)
  const server = await serve(async () => ({
    status: 200,
    headers: [['content-length', String(1024 ** 3)]],
    body: (async function* () {
      try {
        for (; produced < 1024 ** 3; produced += slice.length) yield slice
      } finally {
        isReleased = true
      }
    })(),
  }))
  const raw = open(server)
  raw.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await settled(() => raw.received.length > 0)
  raw.socket.pause()
  let before = -1
  // The kernel's own buffers fill first; then production stands still.
  while (before !== produced) {
    before = produced
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.ok(produced < 200 * 1024 * 1024, `${produced} bytes produced`)
  raw.socket.destroy()
  await settled(() => isReleased)
  await server.close()
})

test('an answer whose iterable throws breaks the connection instead of looking whole', async () => {
  const server = await serve(async () => ({
    status: 200,
    headers: [],
    body: (async function* () {
      yield utf8Encode('some')
      throw new Error('the disk is gone')
    })(),
  }))
  const raw = open(server)
  raw.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await settled(() => raw.isClosed)
  assert.doesNotMatch(raw.received, /\r\n0\r\n\r\n$/)
  await server.close()
})

test('idle connections beyond the limit are closed, oldest first', async () => {
  const server = await serve(ok, { connectionsMax: 3 })
  const raws: Raw[] = []
  for (let i = 0; i < 5; i++) {
    const raw = open(server)
    raw.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await settled(() => raw.received.includes('200 OK'))
    raws.push(raw)
  }
  await settled(() => raws.filter((raw) => raw.isClosed).length === 2)
  assert.deepEqual(
    raws.map((raw) => raw.isClosed),
    [true, true, false, false, false],
  )
  await server.close()
  await settled(() => raws.every((raw) => raw.isClosed))
})

test('a thousand idle connections cost little memory', async () => {
  const server = await serve(ok)
  const before = memory.residentBytes()
  const raws: Raw[] = []
  for (let i = 0; i < 1000; i++) raws.push(open(server))
  for (const raw of raws) raw.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await settled(() => raws.every((raw) => raw.received.includes('200 OK')))
  const perConnection = (memory.residentBytes() - before) / 1000
  assert.ok(perConnection < 100 * 1024, `${perConnection} bytes each, both ends`)
  await server.close()
  await settled(() => raws.every((raw) => raw.isClosed))
})

test('the same over TLS', async () => {
  const authority = await createTestAuthority('ours')
  const { certificatePem, privateKeyPem } = await authority.identity(1)
  const server = await serve(
    async (request) => {
      assert.ok(request.isSecure)
      return measure(request)
    },
    { tls: { certificatePem, privateKeyPem } },
  )
  const options = { ...server.address, ca: authority.pem, checkServerIdentity: () => undefined }
  const raw = record(tlsConnect(options))
  raw.socket.write(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n`)
  raw.socket.write(Buffer.alloc(200_000))
  await settled(() => raw.received.endsWith('200000 bytes'))
  raw.socket.destroy()
  const plain = open(server)
  plain.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await settled(() => plain.isClosed)
  await server.close()
})

test('a certificate that a client shows is told by its hash, whoever signed it, and again on a resumed session', async () => {
  const [ours, others] = await Promise.all([
    createTestAuthority('ours'),
    createTestAuthority('others'),
  ])
  const { certificatePem, privateKeyPem } = await ours.identity(1)
  const server = await serve(
    async ({ clientCertificate }) => {
      return { status: 200, headers: [], body: utf8Encode(`hash=${clientCertificate?.hash};`) }
    },
    { tls: { certificatePem, privateKeyPem, askedAuthorityPem: ours.pem } },
  )
  const sessions: Buffer[] = []
  const ask = async (shown: object): Promise<string> => {
    const options = { ...server.address, ca: ours.pem, checkServerIdentity: () => undefined }
    const socket = tlsConnect({ ...options, ...shown })
    socket.on('session', (session: Buffer) => sessions.push(session))
    const raw = record(socket)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await settled(() => raw.received.endsWith(';'))
    socket.destroy()
    return /hash=(.*);/.exec(raw.received)?.[1] ?? ''
  }
  assert.equal(await ask({}), 'undefined')
  for (const authority of [ours, others]) {
    const own = await authority.identity(2)
    const hash = new X509Certificate(own.certificatePem).fingerprint256.replaceAll(':', '')
    const pair = { cert: own.certificatePem, key: own.privateKeyPem }
    sessions.splice(0)
    assert.equal(await ask(pair), hash.toLowerCase())
    assert.equal(await ask({ ...pair, session: sessions.at(-1) }), hash.toLowerCase())
  }
  await server.close()
})
