import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, utf8Decode } from '../../base/index.ts'
import type { Clock, Host, HttpRequest } from '../../host/index.ts'
import {
  defaultEventStreamOptions,
  EventStreams,
  type EventStreamOptions,
  type StreamedEvent,
} from './event-stream.ts'
import { createAdminHandler } from './handler.ts'

const listMax = 5

/** A list that keeps the newest listMax, a clock that the test moves, and a right that can be taken away. */
function world(change: Partial<EventStreamOptions> = {}) {
  let nowMs = 0
  let timers: { readonly atMs: number; readonly run: () => void }[] = []
  const after = (ms: number, run: () => void) => {
    const timer = { atMs: nowMs + ms, run }
    timers.push(timer)
    const cancel = (): void => {
      timers = timers.filter((one) => one !== timer)
    }
    return { cancel }
  }
  const clock = {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    after,
    sleep: (ms: number) => new Promise<void>((resolve) => void after(ms, resolve)),
  } as unknown as Clock
  const listeners = new Set<() => void>()
  const events: StreamedEvent[] = []
  const tell = (): void => {
    for (const listener of listeners) listener()
  }
  const streams = new EventStreams(
    clock,
    {
      eventsAfter: async (after, limit) =>
        events.filter(({ number }) => number > after).slice(0, limit),
      newestEvents: async (limit) => events.slice(-limit),
      onChange(changed) {
        listeners.add(changed)
        return () => listeners.delete(changed)
      },
    },
    { ...defaultEventStreamOptions, ...change },
  )
  let refusal: Fault | undefined
  const host = {
    journal: {
      event: () => undefined,
      fatal: (_event: string, error: unknown) => {
        throw error
      },
    },
  } as unknown as Host
  const handler = createAdminHandler({
    host,
    routes: streams.routes(),
    async authorise(request) {
      if (refusal !== undefined) throw refusal
      return { name: request.remoteAddress, tenant: '' }
    },
  })
  return {
    streams,
    listeners,
    tell,
    happen(count = 1) {
      for (let at = 0; at < count; at++) {
        events.push({ number: (events.at(-1)?.number ?? 0) + 1 })
        if (events.length > listMax) events.shift()
      }
      tell()
    },
    refuse(fault: Fault) {
      refusal = fault
      tell()
    },
    /** Runs what falls due, in order, and everything that follows at once. */
    async pass(ms: number) {
      const endMs = nowMs + ms
      for (;;) {
        await quiet()
        const [next] = timers.toSorted((a, b) => a.atMs - b.atMs)
        if (next === undefined || next.atMs > endMs) break
        timers = timers.filter((one) => one !== next)
        nowMs = Math.max(nowMs, next.atMs)
        next.run()
      }
      nowMs = endMs
    },
    async open(query = '', headers: HttpRequest['headers'] = [], from = 'ann') {
      const gone = new AbortController()
      const response = await handler({
        method: 'GET',
        target: `/cluster/events/stream${query}`,
        headers,
        body: (async function* () {})(),
        remoteAddress: from,
        isSecure: true,
        signal: gone.signal,
      })
      const { status, body } = response
      const heard: string[] = []
      let isOver = false
      if (body === undefined || body instanceof Uint8Array) return { status, heard, gone, body }
      const read = async (): Promise<void> => {
        for await (const bytes of body) heard.push(utf8Decode(bytes))
        isOver = true
      }
      const reading = read()
      return { status, heard, gone, body, reading, isOver: () => isOver }
    },
  }
}

/** Until nothing more happens by itself. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

const kinds = (heard: readonly string[]): readonly string[] =>
  heard.map((frame) => {
    const id = /^id: (\d+)$/m.exec(frame)?.[1]
    return id ?? /^event: (\w+)$/m.exec(frame)?.[1] ?? frame.trim().slice(0, 6)
  })

test('the newest events come first, then ready, then each as it happens', async () => {
  const { happen, open, pass } = world()
  happen(4)
  const { heard, status } = await open('?limit=2')
  await pass(0)
  assert.equal(status, 200)
  assert.deepEqual(kinds(heard), ['retry:', '3', '4', 'ready'])
  assert.equal(heard[1], 'id: 3\nevent: cluster\ndata: {"number":3}\n\n')
  happen()
  await pass(50)
  assert.deepEqual(kinds(heard).slice(4), ['5', 'changed'])
})

test('it goes on after what was heard last, and says when something is lost', async () => {
  const { happen, open, pass } = world()
  happen(4)
  const resumed = await open('?after=0', [['last-event-id', '2']])
  await pass(0)
  assert.deepEqual(kinds(resumed.heard), ['retry:', '3', '4', 'ready'])
  happen(6)
  const late = await open('', [['last-event-id', '3']])
  await pass(0)
  assert.deepEqual(kinds(late.heard), ['retry:', 'gap', '6', '7', '8', '9', '10', 'ready'])
  assert.match(late.heard[1] ?? '', /"after":3,"oldest":6/)
  // A node that is behind the one that was heard before: nothing is told twice.
  const ahead = await open('?after=12')
  await pass(0)
  happen(3)
  await pass(50)
  assert.deepEqual(kinds(ahead.heard), ['retry:', 'ready', '13', 'changed'])
  for (const wrong of ['?after=-1', '?limit=0']) assert.equal((await open(wrong)).status, 400)
})

test('a client that was slow to read hears that something is lost, and nothing once its right is gone', async () => {
  const { happen, open, pass, refuse } = world()
  happen()
  const stream = await open()
  await pass(0)
  assert.deepEqual(kinds(stream.heard), ['retry:', '1', 'ready'])
  happen(9)
  await pass(50)
  assert.deepEqual(kinds(stream.heard).slice(3), ['gap', '6', '7', '8', '9', '10', 'changed'])
  assert.match(stream.heard[3] ?? '', /"after":1,"oldest":6/)
  refuse(new Fault('denied', 'not any more'))
  await pass(50)
  assert.deepEqual(kinds(stream.heard).at(-1), 'end')
})

test('changes are told once a second at most, and silence shows that it lives', async () => {
  const { tell, open, pass } = world({ keepAliveMs: 10_000 })
  const { heard } = await open()
  await pass(0)
  for (let at = 0; at < 20; at++) {
    tell()
    await pass(100)
  }
  const told = kinds(heard).filter((kind) => kind === 'changed').length
  assert.ok(told >= 2 && told <= 3, `${told}`)
  await pass(1_000)
  heard.length = 0
  await pass(25_000)
  assert.deepEqual(kinds(heard), [':', ':'])
})

test('a right that is taken away ends it before another event', async () => {
  for (const how of ['change', 'silence']) {
    const { happen, refuse, open, pass, listeners } = world()
    const stream = await open()
    await pass(0)
    refuse(new Fault('unauthenticated', 'the session has ended'))
    if (how === 'change') happen()
    await pass(how === 'change' ? 50 : 20_000)
    assert.deepEqual(kinds(stream.heard).at(-1), 'end')
    assert.match(stream.heard.at(-1) ?? '', /"unauthenticated"/)
    assert.equal(stream.isOver?.(), true)
    assert.equal(listeners.size, 0)
  }
})

test('a client that has gone, one that never reads and a node that stops leave nothing behind', async () => {
  const { streams, listeners, open, pass, happen } = world()
  const gone = await open()
  await pass(0)
  gone.gone.abort()
  await pass(0)
  assert.equal(gone.isOver?.(), true)
  const stays = await open()
  await pass(0)
  streams.close()
  await pass(50)
  assert.equal(stays.isOver?.(), true)
  assert.equal(listeners.size, 0)
  happen()
  assert.equal((await open()).status, 503)
})

test('there is room for so many, and for so many of one caller; who goes makes room', async () => {
  const { open, pass } = world({ streamsMax: 4, perCallerMax: 2 })
  const first = await open('', [], 'ann')
  await open('', [], 'ann')
  assert.equal((await open('', [], 'ann')).status, 503)
  await open('', [], 'bob')
  await open('', [], 'cid')
  assert.equal((await open('', [], 'dan')).status, 503)
  first.gone.abort()
  await pass(50)
  assert.equal((await open('', [], 'dan')).status, 200)
})

test('an answer that nobody begins to read gives its place back', async () => {
  const { streams } = world({ streamsMax: 1 })
  const [route] = streams.routes()
  const call = {
    request: { headers: [], signal: new AbortController().signal },
    query: new Map(),
    caller: { name: 'ann', tenant: '' },
  } as unknown as Parameters<NonNullable<typeof route>['answer']>[0]
  for (let at = 0; at < 3; at++) {
    const answer = await route?.answer(call)
    assert.ok(answer?.body !== undefined && !(answer.body instanceof Uint8Array))
    await answer.body[Symbol.asyncIterator]().return?.()
  }
})
