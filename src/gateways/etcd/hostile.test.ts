// Hostile bytes at every call, over gRPC and over JSON: each is answered with a status of its own making, nothing is
// an error of ours, and nobody waits for ever.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  encodeBytes,
  message,
  type Random,
  seededRandom,
  utf8Encode,
  type Writer,
} from '../../base/index.ts'
import type { HttpHandler, HttpResponse } from '../../host/index.ts'
import { encodeFrame } from './core/frames.ts'
import { messageFromJson, messageToJson } from './core/json.ts'
import type { Method } from './context.ts'
import { methods, methodsByHttpPath } from './methods.ts'
import { bodyOf, readAll, requestOf, statusOf } from './testing/call.ts'
import { EtcdWorld } from './testing/world.ts'

/** These wait for others, or stop all writing, when they are understood. */
const apart = new Set([
  'v3lockpb.Lock/Lock',
  'v3electionpb.Election/Campaign',
  'etcdserverpb.Maintenance/Alarm',
])
const rounds = 24

let etcd: EtcdWorld
let handler: HttpHandler
before(async () => {
  etcd = new EtcdWorld()
  handler = await etcd.start()
})
after(() => etcd.close())

/** A message of the method's own fields, with some values that are too large, negative or absurd. */
function odd(random: Random, method: Method): Record<string, unknown> {
  const json: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(method.request.fields)) {
    if (random.chance(0.4)) continue
    json[name] = oddValue(random, field.json)
  }
  return json
}

// biome-ignore lint/suspicious/noExplicitAny: shapes of any field
function oddValue(random: Random, shape: any, depth = 0): unknown {
  const numbers = [
    '0',
    '-1',
    '1',
    '9007199254740993',
    '9223372036854775807',
    '-9223372036854775808',
  ]
  switch (shape.kind) {
    case 'int64':
    case 'wide':
      return numbers[random.integer(depth === 0 ? numbers.length : 3)]
    case 'uint32':
      return random.integer(100)
    case 'enum':
      return random.integer(5)
    case 'bool':
      return random.chance(0.5)
    case 'text':
      return ['', 'root', '\u0000', 'x'.repeat(300)][random.integer(4)]
    case 'bytes':
      return ['', 'AA==', 'YQ==', 'YWE=', '/////w=='][random.integer(5)]
    case 'list':
      return depth > 3
        ? []
        : Array.from({ length: random.integer(3) }, () => oddValue(random, shape.of, depth + 1))
    default: {
      if (depth > 3) return {}
      const inner: Record<string, unknown> = {}
      // biome-ignore lint/suspicious/noExplicitAny: fields of any message
      for (const [name, field] of Object.entries(shape.schema().fields) as [string, any][]) {
        if (random.chance(0.5)) inner[name] = oddValue(random, field.json, depth + 1)
      }
      return inner
    }
  }
}

/** As another client would: numbers of 64 bits are bytes to it. */
function encodeOdd(value: Record<string, unknown>, method: Method): Uint8Array {
  return encodeBytes(widened(method.request), value as never)
}

// biome-ignore lint/suspicious/noExplicitAny: schemas of any message
function widened(schema: any): any {
  const fields = Object.entries(schema.fields).map(([name, field]) => [name, wide(field)])
  return message(Object.fromEntries(fields))
}

// biome-ignore lint/suspicious/noExplicitAny: fields of any message
function wide(field: any): any {
  if (field.json.kind === 'int64') {
    return {
      ...field,
      write: (writer: Writer, value: number) => {
        if (value === 0) return
        writer.key(field.number, 0)
        writer.signedVarint(Number.isSafeInteger(value) ? value : BigInt.asIntN(64, BigInt(value)))
      },
    }
  }
  return field
}

function damage(random: Random, bytes: Uint8Array): Uint8Array {
  const damaged = bytes.slice(
    0,
    random.chance(0.3) ? random.integer(bytes.length + 1) : bytes.length,
  )
  for (let i = 0; i < damaged.length && random.chance(0.7); i++) {
    damaged[random.integer(damaged.length)] = random.integer(256)
  }
  return damaged
}

/** The client goes once it has an answer, or has waited for long enough. */
async function send(target: string, body: Uint8Array, options: object): Promise<HttpResponse> {
  const gone = new AbortController()
  const request = requestOf(target, bodyOf(body), { signal: gone.signal, ...options })
  const timer = setTimeout(() => gone.abort(), 200)
  try {
    const answer = await handler(request)
    await readAll(answer)
    return answer
  } finally {
    clearTimeout(timer)
    gone.abort()
  }
}

function checkStatus(answer: HttpResponse, what: string): void {
  const { code, text } = statusOf(answer)
  assert.ok(code >= 0 && code <= 16, `${what}: ${code}`)
  assert.doesNotMatch(text, /internal error/, what)
}

const isQuick = ({ name, run }: Method): boolean =>
  run.kind === 'unary' && !apart.has(name) && !name.startsWith('etcdserverpb.Auth/')

describe('hostile bytes', () => {
  it('over gRPC are refused, whatever is wrong with them', async () => {
    const random = seededRandom(21)
    for (const method of methods) {
      const count = isQuick(method) ? rounds : 3
      for (let round = 0; round < count; round++) {
        const whole = encodeOdd(messageFromJson(method.request, odd(random, method)), method)
        const isDamaged = apart.has(method.name) || random.chance(0.6)
        const frame = encodeFrame(isDamaged ? damage(random, whole) : whole)
        const isCut = apart.has(method.name) || random.chance(0.2)
        const sent = isCut ? frame.subarray(0, random.integer(frame.length)) : frame
        checkStatus(await send(`/${method.name}`, sent, {}), method.name)
      }
    }
  })

  it('over JSON are refused, whatever is wrong with them', async () => {
    const random = seededRandom(22)
    const options = { headers: [], isHttp2: false }
    for (const [path, method] of methodsByHttpPath) {
      if (path.startsWith('/v3beta')) continue
      const count = isQuick(method) ? rounds : 3
      for (let round = 0; round < count; round++) {
        const text = utf8Encode(JSON.stringify(odd(random, method)))
        const isDamaged = apart.has(method.name) || random.chance(0.5)
        const body = isDamaged ? damage(random, text) : text
        const cut = apart.has(method.name) ? body.subarray(0, body.length >> 1) : body
        const answer = await send(path, cut, options)
        assert.ok([200, 400, 403, 404, 408, 409, 429, 500, 501, 503].includes(answer.status), path)
      }
    }
  })

  it('still leave a gateway that works', async () => {
    await send('/etcdserverpb.Auth/AuthDisable', encodeFrame(new Uint8Array(0)), {})
    const put = utf8Encode('{"key":"YQ==","value":"Yg=="}')
    const answer = await send('/v3/kv/put', put, { headers: [], isHttp2: false })
    assert.equal(answer.status, 200)
  })

  it('come back as they were, where they are messages', () => {
    const random = seededRandom(23)
    for (const { request } of methods) {
      const method = { request } as Method
      const value = messageFromJson(request, odd(random, method))
      assert.deepEqual(messageFromJson(request, messageToJson(request, value)), value)
    }
  })
})
