// Stories told to the handler, request by request (testdata/*.txt; the format is in testdata/README.txt).

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { digestHex, seededRandom, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpHandler } from '../../host/index.ts'
import { createS3Handler } from './handler.ts'
import { createMemoryCluster } from './testing/memory-objects.ts'
import { ask } from './testing/request.ts'
import { type Pairs, signHeaders } from './testing/signing.ts'

const folder = new URL('testdata/', import.meta.url)
const credential = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret' }
const region = 'eu-test-1'

type World = { readonly handler: HttpHandler; nowMs: number }

function createWorld(): World {
  const world = {
    nowMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    handler: undefined as unknown as HttpHandler,
  }
  const wallMs = (): number => world.nowMs
  const clock = {
    wallMs,
    monotonicMs: wallMs,
    sleep: () => Promise.resolve(),
    after: () => ({ cancel: () => {} }),
    every: () => ({ cancel: () => {} }),
    soon: (run: () => void) => run(),
  }
  const journal = {
    event: () => {},
    fatal: (event: string): never => assert.fail(event),
  }
  const cluster = createMemoryCluster({ wallMs, credentials: [credential], region })
  const host = { clock, journal, random: seededRandom(1) }
  world.handler = createS3Handler({ host, ...cluster }, { region, baseDomains: ['s3.test'] })
  return world
}

async function run(world: World, block: string): Promise<string> {
  const [start = '', ...lines] = block.split('\n')
  const [method = '', target = ''] = start.split(' ')
  const headers: [string, string][] = []
  const body: string[] = []
  const directives = new Map<string, string>()
  for (const line of lines) {
    if (line.startsWith('|')) body.push(line.slice(1))
    else if (line.startsWith('!')) {
      const space = `${line} `.indexOf(' ')
      directives.set(line.slice(1, space), line.slice(space + 1))
    } else headers.push([line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
  }
  world.nowMs += 1000 * Number(directives.get('later') ?? '1')
  const bytes = utf8Encode(body.join('\n'))
  if (!headers.some(([name]) => name === 'host')) headers.unshift(['host', 'localhost'])
  if (body.length > 0 && !headers.some(([name]) => name === 'content-length')) {
    headers.push(['content-length', String(bytes.length)])
  }
  const payloadHash = directives.has('unsigned') ? 'UNSIGNED-PAYLOAD' : digestHex('sha256', bytes)
  const secretAccessKey = directives.get('secret') ?? credential.secretAccessKey
  const context = { credential: { ...credential, secretAccessKey }, region, nowMs: world.nowMs }
  const signed: Pairs = directives.has('anonymous')
    ? headers
    : signHeaders({ method, target, headers, payloadHash }, context).headers
  const request = { method, target, headers: signed, body: [bytes] }
  const answer = await ask(world.handler, request)
  const rest = answer.headers.filter(([name]) => !always.includes(name))
  assert.equal(answer.headers.length - rest.length, always.length, `${start}: the usual headers`)
  const text = utf8Decode(answer.body)
    .replaceAll(/<(RequestId|HostId)>[^<]+</g, '<$1>...<')
    .replaceAll('\n', '\n|')
  const shown = [String(answer.status), ...rest.map(([name, value]) => `${name}: ${value}`)]
  if (text !== '') shown.push(`|${text}`)
  return shown.join('\n')
}

const always = ['x-amz-request-id', 'x-amz-id-2', 'date', 'server']

for (const file of readdirSync(folder).sort()) {
  if (file === 'README.txt') continue
  test(`story ${file}`, async () => {
    const world = createWorld()
    const url = new URL(file, folder)
    const script = readFileSync(url, 'utf8')
    const told: string[] = []
    for (const block of script.trimEnd().split('\n\n')) {
      const comments = block.split('\n').filter((line) => line.startsWith('#'))
      const request = block.slice(comments.join('\n').length).trimStart().split('\n----')[0]
      if (request === undefined || request === '') {
        told.push(comments.join('\n'))
        continue
      }
      const lead = comments.length === 0 ? '' : `${comments.join('\n')}\n`
      told.push(`${lead}${request}\n----\n${await run(world, request)}`)
    }
    const whole = `${told.join('\n\n')}\n`
    if (process.env.REWRITE === '1') writeFileSync(url, whole)
    else assert.equal(whole, script)
  })
}
