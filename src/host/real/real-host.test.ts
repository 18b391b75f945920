import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isFault } from '../../base/index.ts'
import { diskContract, httpContract, threadsContract } from '../contract.ts'
import type { Host, HttpHandler } from '../host.ts'
import { createTestAuthority } from '../testing/index.ts'
import { transportContract } from '../testing/transport-contract.ts'
import { createLoopThreads, createRealHost } from './index.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-host-`)
after(() => rmSync(root, { recursive: true, force: true }))

let hostCount = 0
function newHost(options: { blockingDisk?: boolean; lines?: string[] } = {}): Host {
  const { lines } = options
  return createRealHost({
    rootPath: `${root}/${++hostCount}`,
    journal: { format: 'json', level: 'debug', write: (line) => lines?.push(line) },
    onFatal: (_event, error) => {
      throw error
    },
    blockingDisk: options.blockingDisk === true,
  })
}

diskContract({ name: 'real', make: async () => newHost().disk })
diskContract({ name: 'real, blocking', make: async () => newHost({ blockingDisk: true }).disk })

transportContract({
  name: 'TLS',
  hasWire: true,
  async make() {
    const [ours, others] = await Promise.all([
      createTestAuthority('ours'),
      createTestAuthority('others'),
    ])
    const { network } = newHost()
    const again = await createTestAuthority('ours')
    return {
      one: network.secured(await ours.identity(1)),
      two: network.secured(await ours.identity(2)),
      strangers: {
        'a node of another cluster': network.secured(await others.identity(2)),
        'a node of the same name under another authority': network.secured(await again.identity(2)),
      },
      address: { host: '127.0.0.1', port: 0 },
      otherAddress: { host: '127.0.0.1', port: 0 },
      wire: { plain: network.plain, oversized: new Uint8Array([22, 3, 1, 255, 255, 1]) },
    }
  },
})

httpContract({
  name: 'real',
  async make() {
    const { http } = newHost()
    return {
      serve: (handler: HttpHandler) => http.serve({ host: '127.0.0.1', port: 0 }, { handler }),
      request: (address, { method, target, headers = [], body = [] }) =>
        new Promise((resolve, reject) => {
          const request = httpRequest({ ...address, method, path: target }, (response) => {
            const slices: Buffer[] = []
            response.on('data', (slice: Buffer) => slices.push(slice))
            response.on('end', () => {
              resolve({ status: response.statusCode ?? 0, body: Buffer.concat(slices) })
            })
          })
          request.on('error', reject)
          for (const [name, value] of headers) request.appendHeader(name, value)
          for (const slice of body) request.write(slice)
          request.end()
        }),
    }
  },
})

threadsContract({
  name: 'real',
  async make() {
    const { threads, disk } = newHost()
    return { threads, disk }
  },
})
threadsContract({
  name: 'on the loop',
  async make() {
    const host = newHost()
    return { threads: createLoopThreads(host), disk: host.disk }
  },
})

test('preallocate takes real blocks', async () => {
  const { disk } = newHost()
  const file = await disk.open('file', { create: true })
  await file.preallocate(3_000_000)
  await file.sync()
  await file.close()
  assert.ok(statSync(`${disk.rootPath}/file`).blocks * 512 >= 3_000_000)
})

test('a full disk is no-space, and a failed sync says that it is fatal', async () => {
  for (const blockingDisk of [false, true]) {
    const { disk } = newHost({ blockingDisk })
    symlinkSync('/dev/full', `${disk.rootPath}/full`)
    const file = await disk.open('full')
    for (const size of [10, 300_000]) {
      await assert.rejects(file.write(0, [new Uint8Array(size)]), (error) =>
        isFault(error, 'no-space'),
      )
    }
    await assert.rejects(
      file.sync(),
      (error) => isFault(error, 'internal') && error.fields.fatal === 'sync',
    )
    await file.close()
  }
})

test('a port that its holder shares is taken all the same', async () => {
  const { http, network } = newHost()
  const holder = createServer()
  await new Promise<void>((resolve) => {
    holder.listen({ host: '127.0.0.1', port: 0, reusePort: true }, resolve)
  })
  const bound = holder.address()
  assert.ok(typeof bound === 'object' && bound !== null)
  const address = { host: '127.0.0.1', port: bound.port }
  const identity = await (await createTestAuthority('ours')).identity(1)
  const handler: HttpHandler = async () => ({ status: 200, headers: [] })
  const isTaken = (error: unknown) =>
    isFault(error, 'exists') && error.fields.port === String(bound.port)
  await assert.rejects(http.serve(address, { handler }), isTaken)
  await assert.rejects(http.serve(address, { handler, sharesPort: 'first' }), isTaken)
  await assert.rejects(
    network.secured(identity).listen(address, { onConnection: () => undefined }),
    isTaken,
  )
  holder.close()
})

test('threads of one node share a port after the first has proved it free', async () => {
  const { http } = newHost()
  const handler: HttpHandler = async () => ({ status: 200, headers: [] })
  const first = await http.serve({ host: '127.0.0.1', port: 0 }, { handler, sharesPort: 'first' })
  const second = await http.serve(first.address, { handler, sharesPort: 'more' })
  await assert.rejects(http.serve(first.address, { handler, sharesPort: 'first' }), (error) =>
    isFault(error, 'exists'),
  )
  await Promise.all([first.close(), second.close()])
})

test('a certificate that names no node, or two clusters under one authority, is refused', async () => {
  const lines: string[] = []
  const { network } = newHost({ lines })
  const authority = await createTestAuthority('ours')
  const listener = await network
    .secured(await authority.identity(1))
    .listen({ host: '127.0.0.1', port: 0 }, { onConnection: () => assert.fail('accepted') })
  const uris = [
    'https://example.org/',
    `atoll://${'0'.repeat(32)}/node/2`,
    `atoll://${authority.clusterId}/node/0`,
    `atoll://${authority.clusterId}/node/2/3`,
    `atoll://${authority.clusterId}/client/laptop`,
  ]
  for (const uri of uris) {
    const identity = await authority.identity(2, { uri })
    const connection = await network
      .secured(identity)
      .connect(listener.address, { timeoutMs: 2_000 })
    await new Promise<void>((resolve) => {
      connection.onBytes = () => undefined
      connection.onClose = () => resolve()
    })
  }
  assert.ok(lines.some((line) => line.includes('network.peer_refused')))
  await listener.close()
})

test('whatever ends a thread stops the node, with the reason in the journal', async () => {
  const script = fileURLToPath(new URL('../testing/failing-thread.ts', import.meta.url))
  const reasons = {
    throw: /error thread\.failed .*thrown on purpose/,
    reject: /error thread\.failed .*rejected on purpose/,
    fatal: /error test\.fatal .*fatal on purpose/,
    exit: /error thread\.failed .*ended with status 0/,
  }
  const runs = Object.entries(reasons).map(async ([how, reason]) => {
    const child = spawn(process.execPath, [script, how, `${root}/${how}`])
    let stderr = ''
    child.stderr.on('data', (text: Buffer) => {
      stderr += text.toString()
    })
    const [status] = await once(child, 'close')
    assert.equal(status, 70, stderr)
    assert.match(stderr, reason)
  })
  await Promise.all(runs)
})

test('text lines cannot be forged by what fields hold', () => {
  const lines: string[] = []
  const host = createRealHost({
    rootPath: `${root}/journal`,
    journal: { format: 'text', level: 'notice', write: (line) => lines.push(line) },
  })
  host.journal.event('debug', 'test.hidden')
  host.journal.event('notice', 'test.shown', { name: 'a\nb error x.y', count: 3 })
  assert.equal(lines.length, 1)
  assert.match(
    lines[0] ?? '',
    /^\d\d:\d\d:\d\d\.\d{3} notice test\.shown name="a\\nb error x\.y" count=3$/,
  )
})
