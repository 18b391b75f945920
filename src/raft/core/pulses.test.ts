import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { type Pulse, Pulses } from './pulses.ts'

const silenceTicks = 10
const pulseTicks = 4

/** A leader (node 1) and a follower (node 2) with a channel between them that loses and cuts. */
class Channel {
  readonly leader = new Pulses({ boot: 1, pulseTicks, silenceTicks })
  follower = new Pulses({ boot: 2, pulseTicks, silenceTicks })
  /** What the leader takes for resting, and what the follower does. */
  readonly led = new Set<number>()
  readonly followed = new Set<number>()
  tick = 0

  wake(group: number): void {
    if (this.led.delete(group)) this.leader.wake(group)
  }

  refuse(group: number): void {
    if (this.followed.delete(group)) this.follower.refuse(group, 1)
  }

  rest(group: number): void {
    if (this.led.has(group)) return
    this.led.add(group)
    this.leader.rest({ group, term: 1, index: group, fence: 0 }, [2], this.#now())
  }

  /** One exchange; `loses` tells for each pulse whether it is lost. */
  exchange(loses: () => boolean): void {
    for (const [, pulse] of this.leader.take(this.tick)) {
      const truth = new Set(this.led)
      if (!loses()) this.#toFollower(pulse, truth)
    }
    for (const [, pulse] of this.follower.take(this.tick)) {
      if (loses()) continue
      for (const group of this.leader.receive(2, pulse, this.#now()).woken) this.wake(group)
    }
    for (const group of this.leader.silent(this.tick).woken) this.wake(group)
    for (const group of this.follower.silent(this.tick).woken) this.refuse(group)
  }

  #toFollower(pulse: Pulse, truth: ReadonlySet<number>): void {
    const { resting, woken } = this.follower.receive(1, pulse, this.#now())
    for (const group of woken) this.refuse(group)
    for (const { group } of resting) {
      const doesRest = group % 7 !== 0
      this.follower.answer(group, 1, doesRest)
      if (doesRest) this.followed.add(group)
    }
    // What matters: a pulse that the follower takes for a heartbeat was one, for all that rest here.
    if (this.follower.heard(1, 'followed').tick !== this.tick) return
    for (const group of this.followed) assert.ok(truth.has(group), `group ${group} is vouched for`)
  }

  #now(): { readonly tick: number; readonly ms: number } {
    return { tick: this.tick, ms: this.tick * 50 }
  }
}

test('a follower never takes a pulse for the heartbeat of a group that its leader woke', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed)
    const channel = new Channel()
    for (; channel.tick < 600; channel.tick++) {
      const isRough = channel.tick % 200 < 140
      for (let i = random.integer(3); i > 0; i--) channel.rest(1 + random.integer(20))
      if (random.integer(3) === 0) channel.wake(1 + random.integer(20))
      if (random.integer(6) === 0) channel.refuse(1 + random.integer(20))
      if (isRough && random.integer(80) === 0) {
        channel.follower = new Pulses({ boot: 1000 + channel.tick, pulseTicks, silenceTicks })
        channel.followed.clear()
      }
      channel.exchange(() => isRough && random.integer(5) === 0)
    }
  }
})

test('once nothing is lost any more both sides agree, and stay at rest', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed)
    const channel = new Channel()
    for (; channel.tick < 100; channel.tick++) {
      if (random.integer(2) === 0) channel.rest(1 + random.integer(20))
      else channel.wake(1 + random.integer(20))
      channel.exchange(() => random.integer(3) === 0)
    }
    for (; channel.tick < 200; channel.tick++) {
      // The set that was lost, if it was, ends with the first rest.
      if (channel.tick % 30 === 0) for (const group of [1, 2, 3, 7]) channel.rest(group)
      channel.exchange(() => false)
    }
    assert.deepEqual([...channel.followed].sort(), [...channel.led].sort())
    for (const group of [1, 2, 3]) assert.ok(channel.led.has(group), `group ${group} rests`)
    assert.ok(!channel.led.has(7), 'a group that the follower refuses does not rest')
  }
})

test('silence wakes the groups of both sides, and is no longer than asked for', () => {
  const channel = new Channel()
  channel.rest(1)
  for (; channel.tick < 20; channel.tick++) channel.exchange(() => false)
  const fromTick = channel.tick
  for (; channel.led.size + channel.followed.size > 0; channel.tick++) channel.exchange(() => true)
  assert.ok(channel.tick - fromTick <= silenceTicks, `${channel.tick - fromTick} ticks`)
})

test('a peer that hears nothing does not count as heard, although it speaks', () => {
  const channel = new Channel()
  channel.rest(1)
  for (; channel.tick < 20; channel.tick++) channel.exchange(() => false)
  let pulses = 0
  for (; channel.tick < 40; channel.tick++) channel.exchange(() => pulses++ % 2 === 0)
  assert.equal(channel.led.size, 0)
})

test('a thousand resting groups send one pulse and one answer per period', () => {
  const channel = new Channel()
  for (let group = 1; group <= 1_000; group++) if (group % 7 !== 0) channel.rest(group)
  let pulses = 0
  for (; channel.tick < 400; channel.tick++) {
    channel.exchange(() => {
      pulses++
      return false
    })
  }
  assert.ok(pulses <= (2 * 400) / pulseTicks + 2, `${pulses} pulses`)
  assert.equal(channel.followed.size, 858)
  assert.ok(channel.leader.ticksUntilDue(channel.tick, 20) <= pulseTicks)
})
