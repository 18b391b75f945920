import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { isFault, seededRandom, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Compare, FullKeyspace } from '../keyspace.ts'
import { type TestDirectory, testDirectory } from '../testing/doubles.ts'
import { World } from '../testing/world.ts'
import { awaitBarrier, enterBarrier, lowerBarrier, raiseBarrier } from './barrier.ts'
import type { Ground } from './ground.ts'
import { enterLine } from './line.ts'
import { acquireLock, campaign, observeLeader, readLeader, tryLock } from './lock.ts'
import { createQueue, type QueueOptions } from './queue.ts'
import { readSchedule, type ScheduleOptions, startSchedule, type Tick } from './schedule.ts'
import { acquirePermit } from './semaphore.ts'
import { openSession, type Session } from './session.ts'
import { settle, StepClock } from './testing/step-clock.ts'

const text = utf8Encode
let directory: TestDirectory
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

type Scene = {
  readonly world: World
  readonly clock: StepClock
  readonly keyspace: FullKeyspace
  /** Of node `id`; all share the clock. */
  readonly ground: (id?: number) => Ground
  readonly session: (id?: number, ttlSeconds?: number) => Promise<Session>
}

async function inScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const world = new World(directory.host)
  await world.start()
  const clock = new StepClock()
  const ground = (id = 1): Ground => {
    return { host: { clock, random: seededRandom(id) }, keyspace: world.at(id) }
  }
  const session = (id = 1, ttlSeconds = 10) => openSession(ground(id), { ttlSeconds })
  try {
    await run({ world, clock, keyspace: world.at(2), ground, session })
  } finally {
    await world.close()
  }
}

async function isFenced(keyspace: FullKeyspace, guard: Compare): Promise<boolean> {
  const success = [{ kind: 'put', key: text('fenced'), value: text('x') }] as const
  const { succeeded } = await keyspace.txn({ compares: [guard], success, failure: [] })
  return !succeeded
}

const refused = (code: Parameters<typeof isFault>[1]) => (error: unknown) => isFault(error, code)

describe('a session', () => {
  it('lives while keepalives are answered, and ends with its lease', () =>
    inScene(async ({ clock, session, keyspace, world }) => {
      const one = await session(3)
      await clock.pass(60_000)
      assert.ok(one.isLive())
      await keyspace.leases.revoke(one.lease)
      await clock.pass(4_000)
      assert.ok(!one.isLive())
      assert.match(String(one.signal.reason), /its lease is gone/)
      assert.throws(() => one.mustBeLive(), refused('precondition'))
      const two = await session(4)
      await world.network.down.add(world.consensus.leader as never)
      assert.ok(two.isLive())
      await clock.pass(8_750)
      assert.ok(!two.isLive(), 'an eighth before its lease')
    }))

  it('that was asleep for too long is over at the first look, before any timer', () =>
    inScene(async ({ clock, session, keyspace }) => {
      const one = await session()
      const hold = await acquireLock(one, 'l')
      assert.ok(hold.isHeld())
      clock.jump(9_000)
      assert.ok(!hold.isHeld())
      assert.ok(hold.signal.aborted && one.signal.aborted)
      await settle()
      const { ids } = await keyspace.leases.list()
      assert.deepEqual(ids, [], 'it was revoked, so that others need not wait')
      await hold.release()
    }))

  it('closes: everything that hung on it is gone', () =>
    inScene(async ({ session, keyspace }) => {
      const one = await session()
      await acquireLock(one, 'l')
      await one.close()
      assert.equal((await keyspace.range({ key: text('l/'), rangeEnd: text('l0') })).kvs.length, 0)
      await assert.rejects(acquireLock(one, 'l'), refused('precondition'))
    }))
})

describe('a lock', () => {
  it('is had by one after the other, in order, with rising tokens', () =>
    inScene(async ({ session, keyspace }) => {
      const sessions = [await session(1), await session(2), await session(3), await session(4)]
      const order: number[] = []
      const tokens: number[] = []
      const works = sessions.map(async (one, i) => {
        // One after the other into the line.
        for (let turn = 0; turn < i; turn++) await settle()
        const hold = await acquireLock(one, 'l')
        order.push(i)
        tokens.push(hold.token)
        assert.ok(!(await isFenced(keyspace, hold.guard())))
        await settle()
        await hold.release()
        assert.ok(await isFenced(keyspace, hold.guard()))
        assert.ok(!hold.isHeld())
      })
      await Promise.all(works)
      assert.deepEqual(order, [0, 1, 2, 3])
      assert.deepEqual(
        tokens,
        [...tokens].sort((a, b) => a - b),
      )
    }))

  it('is refused at once when somebody has it, and when one session wants it twice', () =>
    inScene(async ({ session }) => {
      const [one, two] = [await session(1), await session(2)]
      const hold = await acquireLock(one, 'l')
      assert.equal(await tryLock(two, 'l'), undefined)
      await assert.rejects(acquireLock(one, 'l'), refused('conflict'))
      await hold.release()
      const again = await tryLock(two, 'l')
      assert.ok(again?.isHeld())
      await assert.rejects(acquireLock(one, ''), refused('invalid'))
    }))

  it('that is waited for no more leaves no place behind', () =>
    inScene(async ({ session, keyspace }) => {
      const [one, two, three] = [await session(1), await session(2), await session(3)]
      const hold = await acquireLock(one, 'l')
      const stopping = new AbortController()
      const waiting = acquireLock(two, 'l', { signal: stopping.signal })
      await settle()
      const third = acquireLock(three, 'l')
      await settle()
      stopping.abort()
      await assert.rejects(waiting, refused('cancelled'))
      await settle()
      assert.equal((await keyspace.range({ key: text('l/'), rangeEnd: text('l0') })).kvs.length, 2)
      await hold.release()
      assert.ok((await third).isHeld())
      const early = new AbortController()
      early.abort()
      await assert.rejects(acquireLock(two, 'l', { signal: early.signal }), refused('cancelled'))
    }))

  it('is lost when its key is deleted, and when the session dies while waiting', () =>
    inScene(async ({ session, keyspace }) => {
      const [one, two] = [await session(1), await session(2)]
      const hold = await acquireLock(one, 'l')
      const waiting = assert.rejects(acquireLock(two, 'l'), refused('precondition'))
      await settle()
      await keyspace.leases.revoke(two.lease)
      await hold.release()
      await waiting
      const again = await acquireLock(one, 'l')
      await keyspace.delete(again.key)
      await settle()
      assert.ok(again.signal.aborted && !again.isHeld())
      assert.ok(one.isLive())
      assert.ok((await acquireLock(one, 'l')).token > again.token)
    }))

  it('stands in the same line as etcd programs', () =>
    inScene(async ({ session, keyspace }) => {
      const lease = (await keyspace.leases.grant({ ttlSeconds: 30 })).id
      const theirs = await enterLine(keyspace, { name: text('l'), lease, value: text('') })
      assert.equal(utf8Decode(theirs.key), `l/${lease.toString(16)}`)
      const waiting = acquireLock(await session(), 'l')
      await settle()
      await keyspace.delete(theirs.key)
      assert.ok((await waiting).isHeld())
    }))
})

describe('an election', () => {
  it('is won by one; everybody sees who, and what it announces', () =>
    inScene(async ({ session, keyspace, ground }) => {
      const [one, two] = [await session(1), await session(2)]
      assert.equal(await readLeader(keyspace, 'e'), undefined)
      const stopping = new AbortController()
      const seen: string[] = []
      const observing = (async () => {
        for await (const { value } of observeLeader(ground(4), 'e', stopping.signal)) {
          seen.push(utf8Decode(value))
        }
      })()
      const first = await campaign(one, { name: 'e', value: text('one') })
      const second = campaign(two, { name: 'e', value: text('two') })
      await settle()
      await first.announce(text('one, again'))
      await settle()
      assert.equal((await readLeader(keyspace, 'e'))?.token, first.token)
      await first.release()
      const next = await second
      assert.ok(next.token > first.token)
      await assert.rejects(first.announce(text('late')), refused('precondition'))
      while (seen.length < 3) await settle()
      stopping.abort()
      await observing
      assert.deepEqual(seen, ['one', 'one, again', 'two'])
    }))
})

describe('a semaphore', () => {
  it('gives so many permits and no more, in order', () =>
    inScene(async ({ session, keyspace }) => {
      const sessions = await Promise.all([1, 2, 3, 4, 1].map((id) => session(id)))
      const asked = { name: 's', permits: 2 }
      const order: number[] = []
      let [now, most] = [0, 0]
      await Promise.all(
        sessions.map(async (one, i) => {
          for (let turn = 0; turn < 2 * i; turn++) await settle()
          const permit = await acquirePermit(one, asked)
          order.push(i)
          most = Math.max(most, ++now)
          for (let turn = 0; turn < 3; turn++) await settle()
          now--
          await permit.release()
        }),
      )
      assert.equal(most, 2)
      assert.deepEqual(order, [0, 1, 2, 3, 4])
      const range = { key: text('s/'), rangeEnd: text('s0') }
      assert.deepEqual(
        (await keyspace.range(range)).kvs.map(({ key }) => utf8Decode(key)),
        ['s/limit'],
      )
      const [one, two] = sessions as [Session, Session]
      await assert.rejects(acquirePermit(one, { name: 's', permits: 3 }), refused('conflict'))
      await acquirePermit(one, { name: 't', permits: 1 })
      await assert.rejects(acquirePermit(one, { name: 't', permits: 1 }), refused('conflict'))
      const stopping = new AbortController()
      const { signal } = stopping
      const waiting = acquirePermit(two, { name: 't', permits: 1 }, { signal })
      await settle()
      stopping.abort()
      await assert.rejects(waiting, refused('cancelled'))
      await settle()
      assert.equal((await keyspace.range({ key: text('t/'), rangeEnd: text('t0') })).kvs.length, 2)
      await keyspace.leases.revoke(one.lease)
      assert.ok((await acquirePermit(two, { name: 't', permits: 1 })).isHeld())
    }))
})

describe('barriers', () => {
  it('a simple one stops everybody until it is lowered', () =>
    inScene(async ({ session, ground }) => {
      await awaitBarrier(ground(), 'b')
      await raiseBarrier(ground(), 'b')
      await assert.rejects(raiseBarrier(ground(), 'b'), refused('exists'))
      let isThrough = false
      const waiting = awaitBarrier(ground(4), 'b').then(() => {
        isThrough = true
      })
      await settle()
      assert.ok(!isThrough)
      await lowerBarrier(ground(2), 'b')
      await waiting
      const one = await session()
      await raiseBarrier(ground(), 'b', { session: one })
      const again = awaitBarrier(ground(3), 'b')
      await one.close()
      await again
    }))

  it('a double one: together in, together out, round after round', () =>
    inScene(async ({ session }) => {
      const sessions = await Promise.all([1, 2, 3].map((id) => session(id)))
      const log: string[] = []
      await Promise.all(
        sessions.map(async (one, i) => {
          for (let round = 0; round < 3; round++) {
            for (let turn = 0; turn < i; turn++) await settle()
            log.push(`in ${round}`)
            const entered = await enterBarrier(one, { name: 'd', count: 3 })
            log.push(`on ${round}`)
            for (let turn = 0; turn < 2 - i; turn++) await settle()
            log.push(`out ${round}`)
            await entered.leave()
            log.push(`off ${round}`)
          }
        }),
      )
      for (const round of [0, 1, 2]) {
        const at = (what: string) =>
          log.flatMap((line, i) => (line === `${what} ${round}` ? [i] : []))
        assert.equal(at('off').length, 3)
        assert.ok(Math.max(...at('in')) < Math.min(...at('on')), log.join())
        assert.ok(Math.max(...at('out')) < Math.min(...at('off')), log.join())
      }
    }))

  it('a double one goes on without members whose sessions end', () =>
    inScene(async ({ session, keyspace }) => {
      const [one, two, three] = [await session(1), await session(2), await session(3)]
      const asked = { name: 'd', count: 2 }
      const [a, b] = await Promise.all([enterBarrier(one, asked), enterBarrier(two, asked)])
      assert.equal(a.round, b.round)
      const late = enterBarrier(three, asked)
      const leaving = a.leave()
      await settle()
      await keyspace.leases.revoke(two.lease)
      await leaving
      await settle()
      const again = enterBarrier(one, asked)
      assert.equal((await again).round, (await late).round)
      await assert.rejects(enterBarrier(one, asked), refused('conflict'))
    }))
})

describe('a queue', () => {
  const options: QueueOptions = { name: 'q', visibilitySeconds: 10, deliveriesMax: 2 }
  const body = ({ body: bytes }: { readonly body: Uint8Array }) => utf8Decode(bytes)

  it('gives messages in order, each to one', () =>
    inScene(async ({ ground, session }) => {
      const queues = [1, 2, 4].map((id) => createQueue(ground(id), options))
      for (let i = 0; i < 30; i++) await queues[i % 3]?.enqueue(text(`${i}`))
      const many = Array.from({ length: 300 }, (_, i) => queues[0]?.enqueue(text(`${30 + i}`)))
      await Promise.all(many)
      const got: string[] = []
      for (let i = 0; i < 330; i++) {
        const one = await queues[i % 3]?.tryReceive()
        assert.ok(one !== undefined && one.attempt === 1)
        got.push(body(one))
        await one.acknowledge()
        await assert.rejects(one.acknowledge(), refused('precondition'))
      }
      assert.deepEqual(
        got,
        Array.from({ length: 330 }, (_, i) => `${i}`),
      )
      assert.equal(await queues[0]?.tryReceive(), undefined)
      assert.deepEqual(await queues[0]?.depth(), { messages: 0, dead: 0 })
      const sessions = await Promise.all([1, 2, 3].map((id) => session(id)))
      const order: number[] = []
      const waits = sessions.map(async (one, i) => {
        for (let turn = 0; turn < i; turn++) await settle()
        const delivery = await queues[i]?.receive(one)
        order.push(i)
        await delivery?.acknowledge()
      })
      for (let turn = 0; turn < 5; turn++) await settle()
      for (const value of ['x', 'y', 'z']) await queues[2]?.enqueue(text(value))
      await Promise.all(waits)
      assert.deepEqual(order, [0, 1, 2], 'who waited first is served first')
    }))

  it('gives a message again when its time is over, and buries it at last', () =>
    inScene(async ({ ground, keyspace }) => {
      const queue = createQueue(ground(), options)
      await queue.enqueue(text('m'))
      await queue.enqueue(text('n'))
      const first = await queue.tryReceive()
      assert.ok(first)
      const lease = (await keyspace.range({ key: text('q/q/c/'), rangeEnd: text('q/q/c0') })).kvs[0]
        ?.lease
      await keyspace.leases.revoke(lease ?? 0)
      const second = await queue.tryReceive()
      assert.deepEqual([second && body(second), second?.attempt], ['m', 2])
      assert.ok(second && second.token > first.token)
      await assert.rejects(first.acknowledge(), refused('precondition'))
      await assert.rejects(first.extend(), refused('precondition'))
      await second.extend()
      await second.release()
      const third = await queue.tryReceive()
      assert.equal(third, undefined, 'it was buried: look again')
      const next = await queue.tryReceive()
      assert.equal(next && body(next), 'n')
      const [dead] = await queue.deadLetters()
      assert.equal(dead && body(dead), 'm')
      assert.deepEqual(await queue.depth(), { messages: 1, dead: 1 })
      assert.equal(await queue.reviveDead(dead?.id ?? ''), true)
      assert.equal(await queue.reviveDead(dead?.id ?? ''), false)
      const revived = await queue.tryReceive()
      assert.deepEqual([revived && body(revived), revived?.attempt], ['m', 1])
      await assert.rejects(queue.dropDead('x/../y'), refused('invalid'))
    }))

  it('acknowledges and acts in one transaction', () =>
    inScene(async ({ ground, keyspace }) => {
      const queue = createQueue(ground(), options)
      await queue.enqueue(text('m'))
      const delivery = await queue.tryReceive()
      await delivery?.acknowledge([{ kind: 'put', key: text('done'), value: text('yes') }])
      assert.equal((await keyspace.range({ key: text('done') })).kvs.length, 1)
    }))

  it('has bounds, and a wait that can be given up', () =>
    inScene(async ({ ground, session }) => {
      const queue = createQueue(ground(), { ...options, messagesMax: 3 })
      await assert.rejects(queue.enqueue(new Uint8Array(300_000)), refused('too-large'))
      for (const value of ['1', '2', '3']) await queue.enqueue(text(value))
      await assert.rejects(queue.enqueue(text('4')), refused('overloaded'))
      for (let i = 0; i < 3; i++) await (await queue.tryReceive())?.acknowledge()
      const stopping = new AbortController()
      const one = await session()
      const waiting = queue.receive(one, { signal: stopping.signal })
      await settle()
      stopping.abort()
      await assert.rejects(waiting, refused('cancelled'))
      await settle()
      const again = queue.receive(one)
      await settle()
      await queue.enqueue(text('4'))
      assert.equal(body(await again), '4')
      for (const bad of [{ visibilitySeconds: 1 }, { deliveriesMax: 0 }, { name: '' }]) {
        assert.throws(() => createQueue(ground(), { ...options, ...bad }), refused('invalid'))
      }
    }))
})

describe('a schedule', () => {
  const rules = { name: 's', cron: '@every 10s', ttlSeconds: 5, retryMs: 1_000, attemptsMax: 2 }
  const effect = (tick: Tick) =>
    ({ kind: 'put', key: text(`effect/${tick.scheduledMs}`), value: text('') }) as const
  const effects = async (keyspace: FullKeyspace) =>
    (await keyspace.range({ key: text('effect/'), rangeEnd: text('effect0') })).kvs

  it('runs each tick once, on whatever number of nodes, across leaders', () =>
    inScene(async ({ ground, clock, keyspace }) => {
      const ran: number[] = []
      const options: ScheduleOptions = {
        ...rules,
        run: async (tick) => {
          ran.push(tick.scheduledMs)
          return [effect(tick)]
        },
      }
      const schedules = [1, 2, 3].map((id) => startSchedule(ground(id), options))
      await clock.pass(35_000)
      assert.equal(schedules.filter((one) => one.isLeading()).length, 1)
      await schedules.find((one) => one.isLeading())?.stop()
      await clock.pass(30_000)
      assert.ok(ran.length >= 5, String(ran))
      assert.equal(new Set(ran).size, ran.length)
      for (const [i, ms] of ran.entries()) assert.equal(ms, (ran[0] ?? 0) + i * 10_000)
      const done = await effects(keyspace)
      assert.deepEqual(
        done.map(({ version }) => version),
        ran.map(() => 1),
      )
      const status = await readSchedule(keyspace, 's')
      assert.deepEqual([status.decidedMs, status.running], [ran.at(-1), []])
      await Promise.all(schedules.map((one) => one.stop()))
    }))

  it('tries again what fails, and buries it when its attempts are used up', () =>
    inScene(async ({ ground, clock, keyspace }) => {
      const attempts: number[] = []
      const schedule = startSchedule(ground(), {
        ...rules,
        run: async ({ attempt }) => {
          attempts.push(attempt)
          if (attempts.length === 1 || attempts.length > 2) throw new TypeError('broken')
          return []
        },
      })
      await clock.pass(11_000)
      assert.deepEqual(attempts, [1, 2])
      await clock.pass(10_000)
      assert.deepEqual(attempts, [1, 2, 1, 2])
      const { dead } = await readSchedule(keyspace, 's')
      assert.deepEqual(
        dead.map(({ attempts: count, error }) => [count, error]),
        [[2, 'broken']],
      )
      await schedule.stop()
    }))

  it('cancels an attempt that takes too long; the next leader takes over one that was left', () =>
    inScene(async ({ ground, clock, keyspace }) => {
      const seen: string[] = []
      const options = (name: string): ScheduleOptions => ({
        ...rules,
        attemptsMax: 3,
        runMsMax: 7_000,
        run: async ({ attempt, signal }) => {
          seen.push(`${name} ${attempt}`)
          if (attempt === 3) return []
          return new Promise((_, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason))
          })
        },
      })
      const first = startSchedule(ground(1), options('a'))
      await clock.pass(500)
      const second = startSchedule(ground(3), options('b'))
      await clock.pass(18_500)
      assert.deepEqual(seen, ['a 1', 'a 2'])
      await first.stop()
      await clock.pass(3_000)
      assert.deepEqual(seen.slice(0, 3), ['a 1', 'a 2', 'b 3'])
      await second.stop()
      const { running } = await readSchedule(keyspace, 's')
      assert.deepEqual(running.length, seen.length - 3, 'only what was begun since is open')
    }))

  it('catches up as it was told: the newest late, or none; a clock set back repeats nothing', () =>
    inScene(async ({ ground, clock, keyspace }) => {
      for (const catchUp of ['once', 'skip'] as const) {
        const ran: number[] = []
        const options: ScheduleOptions = {
          ...rules,
          name: catchUp,
          catchUp,
          graceMs: 3_000,
          run: async ({ scheduledMs }) => {
            ran.push(scheduledMs)
            return []
          },
        }
        const first = startSchedule(ground(), options)
        await clock.pass(10_500)
        const { length } = ran
        await first.stop()
        const into = (clock.wallMs() % 10_000) + 1
        await clock.pass(45_000 - into)
        const second = startSchedule(ground(2), options)
        await clock.pass(1_000)
        assert.equal(ran.length - length, catchUp === 'once' ? 1 : 0)
        clock.wallOffsetMs -= 3_600_000
        await clock.pass(30_000)
        assert.equal(ran.length - length, catchUp === 'once' ? 1 : 0)
        clock.wallOffsetMs += 3_600_000
        await clock.pass(10_000)
        assert.equal(new Set(ran).size, ran.length)
        await second.stop()
        assert.ok((await readSchedule(keyspace, catchUp)).decidedMs > 0)
      }
    }))

  it('refuses bad schedules', () =>
    inScene(async ({ ground }) => {
      const run = async () => []
      for (const bad of [{ cron: 'x' }, { attemptsMax: 0 }, { graceMs: -1 }, { name: '' }]) {
        assert.throws(() => startSchedule(ground(), { ...rules, run, ...bad }), refused('invalid'))
      }
    }))
})
