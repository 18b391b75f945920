// What every Host must do alike: suites for Disk, Http and Threads; for networks see
// testing/transport-contract.ts. The real host and the simulator's doubles both run them; each takes a
// factory, so that a double can bring its own world.
//
// The suites assume nothing about time and nothing about bytes on the wire. `run` carries one test: a
// simulator passes a function that drives its loop until the test has ended.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type FaultCode, isFault, utf8Decode, utf8Encode } from '../base/index.ts'
import type { Address, Disk, Host, HttpHandler, Port, Threads } from './host.ts'

/** Runs one test body to its end. Default: awaits it. */
export type RunTest = (body: () => Promise<void>) => Promise<void>

export type SuiteOptions = { readonly name: string; readonly run?: RunTest }

const text = utf8Encode

export function suite(
  options: SuiteOptions & { readonly what: string },
  tests: Readonly<Record<string, () => Promise<void>>>,
): void {
  const run: RunTest = options.run ?? ((body) => body())
  describe(`${options.what} contract: ${options.name}`, () => {
    for (const [name, body] of Object.entries(tests)) {
      test(name, { timeout: 20_000 }, () => run(body))
    }
  })
}

export async function rejectsWith(code: FaultCode, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isFault(error, code), `wanted Fault ${code}, got ${String(error)}`)
    return true
  })
}

// ---- disk ----

/** `make` gives an empty disk each time. */
export function diskContract(options: SuiteOptions & { make(): Promise<Disk> }): void {
  const { make } = options
  suite({ ...options, what: 'disk' }, { ...fileTests(make), ...nameTests(make) })
}

function fileTests(make: () => Promise<Disk>): Record<string, () => Promise<void>> {
  return {
    'reads back what was written, at any position': async () => {
      const file = await (await make()).open('a/b/file', { create: true })
      await file.write(0, [text('hello '), text(''), text('world')])
      await file.write(3, [text('LO')])
      await file.sync()
      assert.equal(await file.size(), 11)
      assert.equal(utf8Decode(await file.read(0, 11)), 'helLO world')
      const [space, word] = [new Uint8Array(1), new Uint8Array(5)]
      await file.readInto(5, [space, word])
      assert.equal(utf8Decode(space), ' ')
      assert.equal(utf8Decode(word), 'world')
      assert.equal((await file.read(11, 0)).length, 0)
      await file.close()
    },
    'a read beyond the end is corrupt': async () => {
      const file = await (await make()).open('file', { create: true })
      await file.write(0, [text('abc')])
      await rejectsWith('corrupt', file.read(0, 4))
      await rejectsWith('corrupt', file.readInto(2, [new Uint8Array(1), new Uint8Array(1)]))
      await file.close()
    },
    'large writes and reads are whole': async () => {
      const file = await (await make()).open('file', { create: true })
      const parts = Array.from({ length: 40 }, (_, i) => new Uint8Array(32_771).fill(i + 1))
      await file.write(5, parts)
      const back = await file.read(5, 40 * 32_771)
      assert.ok(parts.every((part, i) => back[i * 32_771] === part[0]))
      const targets = parts.map((part) => new Uint8Array(part.length))
      await file.readInto(5, targets)
      assert.deepEqual(targets, parts)
      assert.equal(back.at(-1), 40)
      assert.deepEqual(await file.read(0, 5), new Uint8Array(5))
      await file.close()
    },
    'a write of very many parts is whole': async () => {
      const file = await (await make()).open('file', { create: true })
      const parts = Array.from({ length: 3000 }, (_, i) => new Uint8Array([i, i >> 8]))
      await file.write(1, parts)
      const back = await file.read(1, 6000)
      assert.ok(parts.every((part, i) => back[2 * i] === part[0] && back[2 * i + 1] === part[1]))
      await file.close()
    },
    'preallocate grows with zeros and keeps what is there': async () => {
      const file = await (await make()).open('file', { create: true })
      await file.write(0, [text('keep')])
      await file.preallocate(100_000)
      assert.equal(await file.size(), 100_000)
      assert.equal(utf8Decode(await file.read(0, 4)), 'keep')
      assert.ok((await file.read(4, 99_996)).every((byte) => byte === 0))
      await file.preallocate(10)
      assert.equal(await file.size(), 100_000)
      await file.truncate(2)
      assert.equal(utf8Decode(await file.read(0, 2)), 'ke')
      assert.equal(await file.size(), 2)
      await file.close()
    },
    'an opened file stays itself when its name moves': async () => {
      const disk = await make()
      const file = await disk.open('old', { create: true })
      await disk.rename('old', 'new')
      await file.write(0, [text('x')])
      await file.close()
      assert.equal(utf8Decode(await disk.read('new', 10)), 'x')
    },
    'close waits for what is under way': async () => {
      const disk = await make()
      const file = await disk.open('file', { create: true })
      const writing = file.write(0, [new Uint8Array(3_000_000).fill(7)])
      await file.close()
      await writing
      assert.equal((await disk.read('file', 4_000_000)).length, 3_000_000)
    },
  }
}

function nameTests(make: () => Promise<Disk>): Record<string, () => Promise<void>> {
  return {
    'a missing file is not found': async () => {
      const disk = await make()
      await rejectsWith('not-found', disk.open('none'))
      await rejectsWith('not-found', disk.read('none', 10))
      await rejectsWith('not-found', disk.rename('none', 'other'))
      assert.equal(await disk.exists('none'), false)
      await disk.remove('none')
    },
    'paths that leave the root are refused': async () => {
      const disk = await make()
      for (const path of ['../x', 'a/../../x', '/etc/passwd', 'a/..', 'nul\0byte']) {
        await rejectsWith('invalid', disk.open(path, { create: true }))
        await rejectsWith('invalid', disk.read(path, 1))
        await rejectsWith('invalid', disk.remove(path))
        await rejectsWith('invalid', disk.rename('a', path))
      }
    },
    'names are listed by their bytes': async () => {
      const disk = await make()
      for (const name of ['b', 'a', 'B', '\u{10000}', '\uffee', 'ab']) {
        await (await disk.open(`d/${name}`, { create: true })).close()
      }
      assert.deepEqual(await disk.list('d'), ['B', 'a', 'ab', 'b', '\uffee', '\u{10000}'])
      assert.deepEqual(await disk.list(''), ['d'])
      assert.deepEqual(await disk.list('none'), [])
    },
    'replace is whole, also when repeated at once': async () => {
      const disk = await make()
      const contents = Array.from({ length: 8 }, (_, i) => new Uint8Array(1000 + i).fill(i))
      await Promise.all(contents.map((bytes) => disk.replace('d/settings', bytes)))
      assert.deepEqual(await disk.read('d/settings', 2000), contents.at(-1))
      assert.deepEqual(await disk.list('d'), ['settings'])
    },
    'read refuses more than it was allowed': async () => {
      const disk = await make()
      await disk.replace('file', new Uint8Array(11))
      await rejectsWith('too-large', disk.read('file', 10))
      assert.equal((await disk.read('file', 11)).length, 11)
    },
    'rename replaces, remove takes directories with everything': async () => {
      const disk = await make()
      await disk.replace('a', text('new'))
      await disk.replace('sub/b', text('old'))
      await disk.rename('a', 'sub/b')
      await disk.syncDirectory('sub')
      assert.equal(utf8Decode(await disk.read('sub/b', 10)), 'new')
      assert.equal(await disk.exists('a'), false)
      await disk.remove('sub')
      assert.equal(await disk.exists('sub/b'), false)
      const space = await disk.space()
      assert.ok(space.freeBytes > 0 && space.totalBytes >= space.freeBytes)
    },
  }
}

// ---- http ----

export type HttpWorld = {
  serve(handler: HttpHandler): Promise<{ readonly address: Address; close(): Promise<void> }>
  /** A client's request; the body goes in the given slices. */
  request(
    address: Address,
    request: {
      readonly method: string
      readonly target: string
      readonly headers?: readonly (readonly [string, string])[]
      readonly body?: readonly Uint8Array[]
    },
  ): Promise<{ readonly status: number; readonly body: Uint8Array }>
}

export function httpContract(options: SuiteOptions & { make(): Promise<HttpWorld> }): void {
  const { make } = options
  suite(
    { ...options, what: 'http' },
    {
      'method, target and repeated headers arrive as they were sent': async () => {
        const world = await make()
        const server = await world.serve(async (request) => {
          const mine = request.headers
            .filter(([name]) => name === 'x-mine')
            .map(([, value]) => value)
          return {
            status: 200,
            headers: [['content-type', 'text/plain']],
            body: text(`${request.method} ${request.target} ${mine.join('|')}`),
          }
        })
        const answer = await world.request(server.address, {
          method: 'GET',
          target: '/a%2Fb/%C3%A9?x=1&y=%20',
          headers: [
            ['X-Mine', 'one'],
            ['x-mine', 'two'],
          ],
        })
        assert.equal(answer.status, 200)
        assert.equal(utf8Decode(answer.body), 'GET /a%2Fb/%C3%A9?x=1&y=%20 one|two')
        await server.close()
      },
      'a large body streams in and out in bounded slices': async () => {
        const world = await make()
        let sliceBytesMax = 0
        const server = await world.serve(async (request) => ({
          status: 200,
          headers: [],
          body: (async function* () {
            for await (const slice of request.body) {
              sliceBytesMax = Math.max(sliceBytesMax, slice.length)
              yield slice
            }
          })(),
        }))
        const body = Array.from({ length: 30 }, (_, i) => new Uint8Array(70_001).fill(i + 1))
        const answer = await world.request(server.address, { method: 'PUT', target: '/', body })
        assert.equal(answer.body.length, 30 * 70_001)
        assert.ok(body.every((slice, i) => answer.body[i * 70_001 + 70_000] === slice[0]))
        assert.ok(sliceBytesMax > 0 && sliceBytesMax <= 65_536)
        await server.close()
      },
      'an answer without a body, and one that ignores the request body': async () => {
        const world = await make()
        const server = await world.serve(async (request) => ({
          status: request.method === 'PUT' ? 403 : 204,
          headers: [],
        }))
        const body = [new Uint8Array(100_000)]
        const put = await world.request(server.address, { method: 'PUT', target: '/', body })
        assert.equal(put.status, 403)
        const gone = await world.request(server.address, { method: 'DELETE', target: '/' })
        assert.equal(gone.status, 204)
        await server.close()
      },
    },
  )
}

// ---- threads ----

/** The program the thread suite runs: answers each message reversed, and 'disk' with a file's text. */
export async function echoProgram(host: Host, port: Port, input: Uint8Array): Promise<void> {
  port.onMessage = (message) => {
    if (utf8Decode(message) === 'disk') {
      void host.disk.read('shared', 100).then((bytes) => port.send(bytes))
      return
    }
    port.send(new Uint8Array([...input, ...message.toReversed()]))
  }
}

export function threadsContract(
  options: SuiteOptions & {
    make(): Promise<{ readonly threads: Threads; readonly disk: Disk }>
  },
): void {
  const program = {
    name: 'echo',
    moduleUrl: import.meta.url,
    exportName: 'echoProgram',
    run: echoProgram,
  }
  suite(
    { ...options, what: 'threads' },
    {
      'messages arrive whole and in order, memory is not shared': async () => {
        const { threads, disk } = await options.make()
        await disk.replace('shared', text('from the same root'))
        const thread = await threads.start(program, text('>'))
        const answers = collect(thread.port, 5)
        const view = text('..abc..').subarray(2, 5)
        thread.port.send(view)
        view.fill(0)
        const moved = text('12')
        thread.port.send(moved, { transfer: true })
        assert.equal(moved.length, 0, 'a transferred view is empty afterwards')
        const large = new Uint8Array(200_000).fill(65)
        thread.port.send(large.subarray(1))
        assert.equal(large.length, 200_000, 'a copied one is not')
        thread.port.send(new Uint8Array(0))
        thread.port.send(text('disk'))
        const [first, second, third, fourth, fifth] = await answers
        assert.equal(utf8Decode(first ?? large), '>cba')
        assert.equal(utf8Decode(second ?? large), '>21')
        assert.equal(third?.length, 200_000)
        assert.equal(utf8Decode(fourth ?? large), '>')
        assert.equal(utf8Decode(fifth ?? large), 'from the same root')
        await thread.stop()
      },
    },
  )
}

function collect(port: Port, count: number): Promise<readonly Uint8Array[]> {
  return new Promise((resolve) => {
    const messages: Uint8Array[] = []
    port.onMessage = (message) => {
      messages.push(message)
      if (messages.length === count) resolve(messages)
    }
  })
}
