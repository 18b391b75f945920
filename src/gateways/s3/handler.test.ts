import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AssertionFailure,
  concatBytes,
  digestHex,
  Fault,
  seededRandom,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import type { HttpHandler, JournalFields } from '../../host/index.ts'
import type { Objects } from '../../objects/index.ts'
import { createS3Handler, s3Malformed } from './handler.ts'
import { createMemoryCluster } from './testing/memory-objects.ts'
import { ask, type PlainAnswer, type Probe } from './testing/request.ts'
import { encodeChunked, type Pairs, presign, signHeaders } from './testing/signing.ts'

const credential = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret' }
const region = 'eu-test-1'
const nowMs = Date.UTC(2026, 0, 2, 3, 4, 5)
const context = { credential, region, nowMs }

type World = {
  readonly handler: HttpHandler
  readonly objects: Objects
  readonly events: { level: string; event: string; fields: JournalFields }[]
  /** Lets every timer fire. */
  readonly pass: () => void
}

function createWorld(change: (objects: Objects) => Partial<Objects> = () => ({})): World {
  const events: World['events'] = []
  let timers: (() => void)[] = []
  const clock = {
    wallMs: () => nowMs,
    monotonicMs: () => 0,
    sleep: () => Promise.resolve(),
    after: (_ms: number, run: () => void) => {
      timers.push(run)
      return { cancel: () => (timers = timers.filter((other) => other !== run)) }
    },
    every: () => ({ cancel: () => {} }),
    soon: (run: () => void) => run(),
  }
  const journal = {
    event: (level: string, event: string, fields: JournalFields = {}) =>
      void events.push({ level, event, fields }),
    fatal: (event: string): never => assert.fail(event),
  }
  const cluster = createMemoryCluster({
    wallMs: () => nowMs,
    credentials: [credential],
    region,
    sliceBytes: 10_000,
  })
  const { objects } = cluster
  const changed = new Proxy(objects, {
    get(target, name: keyof Objects) {
      const replaced = change(target)[name]
      return replaced ?? target[name].bind(target)
    },
  })
  const host = { clock, journal, random: seededRandom(1) }
  return {
    handler: createS3Handler({ host, ...cluster, objects: changed }, { region }),
    objects,
    events,
    pass: () => {
      for (const run of timers.splice(0)) run()
    },
  }
}

type Sent = {
  readonly headers?: Pairs
  readonly body?: readonly Uint8Array[]
  readonly payloadHash?: string
  readonly probe?: Probe
}

function send(world: World, line: string, sent: Sent = {}): Promise<PlainAnswer> {
  const [method = '', target = ''] = line.split(' ')
  const body = sent.body ?? []
  const bytes = concatBytes(body)
  const { headers } = signHeaders(
    {
      method,
      target,
      headers: [
        ['host', 'localhost'],
        ['content-length', String(bytes.length)],
        ...(sent.headers ?? []),
      ],
      payloadHash: sent.payloadHash ?? digestHex('sha256', bytes),
    },
    context,
  )
  return ask(world.handler, { method, target, headers, body }, sent.probe)
}

async function put(world: World, line: string, text: string): Promise<void> {
  const answer = await send(world, line, text === '' ? {} : { body: [utf8Encode(text)] })
  assert.equal(answer.status, 200, utf8Decode(answer.body))
}

function codeOf(answer: PlainAnswer): string {
  return /<Code>(\w+)</.exec(utf8Decode(answer.body))?.[1] ?? String(answer.status)
}

test('a body of any kind arrives whole, in every payload mode', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const random = seededRandom(2)
  const chunks = [random.bytes(9000), random.bytes(8192), random.bytes(5)]
  const bytes = concatBytes(chunks)
  const modes = [
    { hash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', isSigned: true, hasTrailer: false },
    { hash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', isSigned: true, hasTrailer: true },
    { hash: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', isSigned: false, hasTrailer: true },
  ]
  for (const mode of modes) {
    for (const isLoose of [false, true]) {
      const target = `/bucket/${mode.hash}`
      const sum = Buffer.from(digestHex('sha256', bytes), 'hex').toString('base64')
      const trailers: Pairs = mode.hasTrailer ? [['x-amz-checksum-sha256', sum]] : []
      const plain: Pairs = [
        ['host', 'localhost'],
        ['content-encoding', 'aws-chunked'],
        ['x-amz-decoded-content-length', String(bytes.length)],
        ...(mode.hasTrailer ? [['x-amz-trailer', 'x-amz-checksum-sha256'] as const] : []),
      ]
      const request = { method: 'PUT', target, headers: plain, payloadHash: mode.hash }
      const signed = signHeaders(request, context)
      const parts = encodeChunked(chunks, {
        trailers,
        isLoose,
        ...(mode.isSigned ? { signed } : {}),
      })
      const body = concatBytes(parts)
      const slices = [body.slice(0, 100), body.slice(100, 12_000), body.slice(12_000)]
      const answer = await ask(world.handler, { ...request, headers: signed.headers, body: slices })
      assert.equal(answer.status, 200, utf8Decode(answer.body))
      const found = await send(world, `GET ${target}`, {
        headers: [['x-amz-checksum-mode', 'enabled']],
      })
      assert.deepEqual(found.body, bytes)
      const headers = new Map(found.headers)
      assert.equal(headers.get('content-encoding'), undefined)
      assert.equal(headers.get('x-amz-checksum-sha256'), mode.hasTrailer ? sum : undefined)
      const damaged = slices.map((slice) => slice.slice())
      const last = damaged[1] as Uint8Array
      last[4000] = (last[4000] as number) ^ 1
      const refused = await ask(world.handler, {
        ...request,
        headers: signed.headers,
        body: damaged,
      })
      assert.equal(codeOf(refused), mode.isSigned ? 'SignatureDoesNotMatch' : 'BadDigest')
    }
  }
})

test('a credential in the query does not switch the verification of the body off', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const target = presign(
    {
      method: 'PUT',
      target: '/bucket/key?X-Amz-Content-Sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      host: 'localhost',
      expiresSeconds: 60,
    },
    context,
  )
  const headers: Pairs = [['host', 'localhost']]
  const answer = await ask(world.handler, {
    method: 'PUT',
    target,
    headers,
    body: [utf8Encode('x')],
  })
  assert.equal(codeOf(answer), 'SignatureDoesNotMatch')
})

test('nothing of a body is read before its sender is known', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const body = [utf8Encode('x')]
  for (const headers of [
    [['host', 'localhost']],
    [
      ['host', 'localhost'],
      ['authorization', 'AWS4-HMAC-SHA256 x=y'],
    ],
  ] as Pairs[]) {
    const probe = { slicesRead: 0 }
    const answer = await ask(
      world.handler,
      { method: 'PUT', target: '/bucket/key', headers, body },
      probe,
    )
    assert.ok(answer.status >= 400)
    assert.equal(probe.slicesRead, 0)
  }
  const probe = { slicesRead: 0 }
  const refused = await send(world, 'PUT /bucket/key?acl', { body, probe })
  assert.equal(refused.status, 501)
  assert.equal(probe.slicesRead, 0)
})

test('a body that breaks its claims leaves nothing behind', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const body = [utf8Encode('hello')]
  const wrong = await send(world, 'PUT /bucket/key', {
    body,
    payloadHash: digestHex('sha256', 'x'),
  })
  assert.equal(codeOf(wrong), 'XAmzContentSHA256Mismatch')
  const batch = await send(world, 'POST /bucket?delete', {
    body: [utf8Encode('<Delete><Object><Key>a</Key></Object></Delete>')],
    payloadHash: digestHex('sha256', 'x'),
  })
  assert.equal(codeOf(batch), 'XAmzContentSHA256Mismatch')
  assert.equal((await send(world, 'HEAD /bucket/key')).status, 404)
})

test('a long completion keeps its client waiting, and tells a late failure in the document', async () => {
  let settle = (_error?: unknown): void => {}
  const world = createWorld((objects) => ({
    completeUpload: async (place, request) => {
      await new Promise<void>((resolve, reject) => {
        settle = (error) => (error === undefined ? resolve() : reject(error))
      })
      return objects.completeUpload(place, request)
    },
  }))
  await put(world, 'PUT /bucket', '')
  for (const isFailing of [false, true]) {
    const { uploadId } = await world.objects.createUpload({
      bucket: 'bucket',
      key: 'key',
      headers: { content: {}, user: {} },
    })
    await put(world, `PUT /bucket/key?partNumber=1&uploadId=${uploadId}`, 'part')
    const etag = digestHex('md5', 'part')
    const document = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`
    const body = [utf8Encode(document)]
    const answering = send(world, `POST /bucket/key?uploadId=${uploadId}`, { body })
    for (let beats = 0; beats < 3; beats++) {
      await turn()
      world.pass()
    }
    await turn()
    settle(isFailing ? new Fault('unavailable', 'too few nodes') : undefined)
    const answer = await answering
    assert.equal(answer.status, 200)
    const text = utf8Decode(answer.body)
    assert.match(text, /^<\?xml version="1.0" encoding="UTF-8"\?>\n {2}</)
    if (isFailing) assert.match(text, /<Error><Code>ServiceUnavailable<\/Code>/)
    else assert.match(text, /<CompleteMultipartUploadResult .*<ETag>&quot;/)
  }
})

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

test('an object that cannot be read is an error with a status', async () => {
  const world = createWorld((objects) => ({
    get: async (bucket, key) => {
      const { record } = await objects.get(bucket, key)
      return {
        record,
        read: () => ({
          [Symbol.asyncIterator]: () => ({
            next: () => Promise.reject(new Fault('unavailable', 'two of three nodes are gone')),
          }),
        }),
      }
    },
  }))
  await put(world, 'PUT /bucket', '')
  await put(world, 'PUT /bucket/small', 'x')
  await put(world, 'PUT /bucket/large', 'x'.repeat(100_000))
  for (const key of ['small', 'large']) {
    const answer = await send(world, `GET /bucket/${key}`)
    assert.equal(`${answer.status} ${codeOf(answer)}`, '503 ServiceUnavailable')
  }
})

test('a client that goes before the first slice leaves no read behind', async () => {
  let isReleased = false
  const world = createWorld((objects) => ({
    get: async (bucket, key) => {
      const { record, read } = await objects.get(bucket, key)
      return {
        record,
        async *read(range) {
          try {
            yield* read(range)
          } finally {
            isReleased = true
          }
        },
      }
    },
  }))
  await put(world, 'PUT /bucket', '')
  await put(world, 'PUT /bucket/large', 'x'.repeat(100_000))
  const payloadHash = digestHex('sha256', '')
  const headers: Pairs = [['host', 'localhost']]
  const request = { method: 'GET', target: '/bucket/large', headers, payloadHash }
  const response = await world.handler({
    ...request,
    headers: signHeaders(request, context).headers,
    body: { [Symbol.asyncIterator]: () => assert.fail('a GET has no body') },
    remoteAddress: '192.0.2.1',
    isSecure: false,
    signal: new AbortController().signal,
  })
  assert.ok(response.body !== undefined && !(response.body instanceof Uint8Array))
  await response.body[Symbol.asyncIterator]().return?.()
  assert.equal(isReleased, true)
})

test('large objects go out in slices', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const text = 'abcdefghij'.repeat(30_000)
  await put(world, 'PUT /bucket/large', text)
  assert.equal(utf8Decode((await send(world, 'GET /bucket/large')).body), text)
  const range: Pairs = [['range', 'bytes=5-200004']]
  const part = await send(world, 'GET /bucket/large', { headers: range })
  assert.equal(utf8Decode(part.body), text.slice(5, 200_005))
})

test('what is our own failing is journaled with its cause and shown without', async () => {
  const world = createWorld(() => ({
    head: () => Promise.reject(new TypeError('secret inner workings')),
    get: () => Promise.reject(new Fault('overloaded', 'too many requests wait')),
  }))
  const head = await send(world, 'HEAD /bucket/key')
  assert.equal(head.status, 500)
  assert.equal(head.body.length, 0)
  const warning = world.events.find(({ level }) => level === 'warning')
  assert.equal(warning?.fields.what, 'secret inner workings')
  const get = await send(world, 'GET /bucket/key')
  assert.equal(`${get.status} ${codeOf(get)}`, '503 SlowDown')
  const [access] = world.events
  assert.ok(access)
  assert.doesNotMatch(JSON.stringify(world.events), /Signature|AWS4/)
})

test('of a batch of deletions what is our own failing is journaled, and a broken invariant stops the node', async () => {
  let failure: Error = new TypeError('inner workings')
  const world = createWorld(() => ({ delete: () => Promise.reject(failure) }))
  await put(world, 'PUT /bucket', '')
  const body = [utf8Encode('<Delete><Object><Key>a</Key></Object></Delete>')]
  const answer = await send(world, 'POST /bucket?delete', { body })
  assert.match(utf8Decode(answer.body), /<Key>a<\/Key><Code>InternalError<\/Code><Message>We enc/)
  const warning = world.events.find(({ level }) => level === 'warning')
  assert.equal(warning?.fields.what, 'inner workings')
  failure = new AssertionFailure('broken invariant: it holds')
  await assert.rejects(send(world, 'POST /bucket?delete', { body }), AssertionFailure)
})

test('every write refuses unsigned headers and unknown features alike', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const lines = [
    'PUT /bucket/key',
    'PUT /bucket/key?partNumber=1&uploadId=u',
    'POST /bucket/key?uploads',
    'POST /bucket/key?uploadId=u',
    'POST /bucket?delete',
    'DELETE /bucket/key',
    'DELETE /bucket',
    'PUT /other',
  ]
  for (const line of lines) {
    const lock: Pairs = [['x-amz-object-lock-mode', 'COMPLIANCE']]
    assert.equal((await send(world, line, { headers: lock })).status, 501, line)
    const [method = '', target = ''] = line.split(' ')
    const headers: Pairs = [
      ['host', 'localhost'],
      ['content-length', '0'],
    ]
    const payloadHash = digestHex('sha256', '')
    const signed = signHeaders({ method, target, headers, payloadHash }, context).headers
    const added: Pairs = [...signed, ['x-amz-meta-added', 'x']]
    const answer = await ask(world.handler, { method, target, headers: added, body: [] })
    assert.equal(`${answer.status} ${codeOf(answer)}`, '403 AccessDenied', line)
  }
  assert.equal((await world.objects.totals()).objects, 0)
})

test('random requests with a good signature end in an answer', async () => {
  const world = createWorld()
  await put(world, 'PUT /bucket', '')
  const random = seededRandom(6)
  const pick = (list: readonly string[]): string => list[random.integer(list.length)] ?? ''
  const methods = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH']
  const paths = [
    '/',
    '/bucket',
    '/bucket/key',
    '/bucket/a%00b',
    '/bucket/..',
    '/nobody/x',
    '/bucket//',
  ]
  const names = 'uploads uploadId partNumber delete list-type max-keys prefix delimiter marker'
    .concat(' continuation-token versionId location versioning acl x-amz-acl encoding-type')
    .split(' ')
  const values = [
    '',
    '1',
    '2',
    'null',
    '-1',
    'x',
    '%F0%9F%A6%80',
    'upload-00000001',
    '1000000000000',
  ]
  const headerNames = ['range', 'if-match', 'if-none-match', 'x-amz-copy-source', 'content-md5']
  const headerValues = ['bytes=0-', '*', '"x"', '/bucket/key', '', '\u00ff', 'bytes=9-1,3']
  for (let i = 0; i < 1500; i++) {
    let target = pick(paths)
    for (let n = random.integer(4); n > 0; n--) {
      target += `${target.includes('?') ? '&' : '?'}${pick(names)}=${pick(values)}`
    }
    const headers: Pairs = random.chance(0.5) ? [[pick(headerNames), pick(headerValues)]] : []
    const body = random.chance(0.3) ? [random.bytes(random.integer(20))] : []
    const answer = await send(world, `${pick(methods)} ${target}`, { headers, body })
    assert.ok(answer.status >= 200 && answer.status < 600 && answer.status !== 500, target)
  }
})

test('a malformed request is answered in XML', () => {
  const answer = s3Malformed('a header has no name')
  assert.equal(answer.status, 400)
  assert.ok(answer.body instanceof Uint8Array)
  assert.match(utf8Decode(answer.body), /<Code>InvalidRequest<\/Code>/)
})
