import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Fault, revision } from '../base/index.ts'
import { createLoopPorts } from '../host/index.ts'
import type { Transport } from './client.ts'
import { decodeLaneNews, encodeLaneRequests, encodeName } from './core/lane-wire.ts'
import { LaneServer } from './lane-server.ts'
import { TestClock } from './testing/clock-host.ts'
import { type TestDirectory, testDirectory } from './testing/doubles.ts'

let directory: TestDirectory
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

const open = { id: 1, kind: 'open', namespace: 0, body: encodeName('one') } as const
const rest = { deadlineMs: 1_000, isSerializable: false, feed: 0 } as const
const cancelled = { ...rest, id: 9, kind: 'cancel', namespace: 0, body: new Uint8Array() } as const

describe('what a thread is told', () => {
  it('is fresh while it asks, seldom once it rests, and fresh again before its next answer', async () => {
    const clock = new TestClock(directory.host)
    let changed = (): void => undefined
    const transport: Transport = {
      request: () => Promise.reject(new Fault('unavailable', 'the double answers nothing')),
      freshness: () => ({ revision: revision(7), guard: revision(7), heardMsAgo: 0 }),
      onRevision: (listener) => {
        changed = listener
        return () => undefined
      },
      openFeed: () => {
        throw new Fault('unsupported', 'the double has no feeds')
      },
    }
    const [core, thread] = createLoopPorts((next) => clock.host.clock.soon(next))
    let told = 0
    let onTold = (): void => undefined
    thread.onMessage = (bytes) => {
      if (decodeLaneNews(bytes).freshness.length === 0) return
      told++
      onTold()
    }
    const server = new LaneServer(clock.host, core, { find: () => transport })
    thread.send(encodeLaneRequests([{ ...open, ...rest }]))
    await clock.jump(0)
    told = 0
    await clock.pass(2_000)
    assert.ok(told >= 4, `${told} times in the two seconds after it asked`)
    await clock.pass(1_000)
    told = 0
    await clock.pass(60_000)
    assert.equal(told, 0, 'nothing changed, and it asks nothing')

    const change = new Promise<void>((resolve) => {
      onTold = resolve
    })
    changed()
    await change
    assert.equal(told, 1, 'a change is told to who rests')

    thread.send(encodeLaneRequests([cancelled]))
    await clock.jump(0)
    assert.equal(told, 2, 'who asks again is told at once')
    await clock.pass(1_000)
    assert.ok(told > 2)
    server.close()
  })
})
