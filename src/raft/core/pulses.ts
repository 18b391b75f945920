// Pulses: what two nodes tell each other about all groups that rest (rest.ts) between them. One small
// message per period and pair of nodes stands for the heartbeats of a thousand groups.
//
// Each node keeps, per peer, two sets: the groups that it leads and that rest at the peer (led), and those
// that rest here under the peer (followed). The leader's set is the truth. Its changes travel as numbered
// steps: a pulse goes from version `base` to `version`. A follower that is not at `base` has missed one,
// so it can no longer tell which groups are vouched for: it wakes all of them and says that it lost
// the set; the leader then wakes them as well and begins a new set. The life of the leader's process
// (boot) is part of the version.
//
// A follower wakes a group on its own account whenever it likes; it says so (refused) until it hears that
// the leader has woken it too.
//
// A pulse is answered by a pulse, or by the peer's own if it sends some anyway. The acknowledgement
// names the last pulse heard, so that a node that is not heard by the other is not counted as heard.

export type RestingGroup = {
  readonly group: number
  readonly term: number
  readonly index: number
  /** Stands for the group's cluster and generation: under another fence nothing rests. */
  readonly fence: number
}

export type PulseAck = {
  readonly boot: number
  readonly sequence: number
  readonly version: number
  readonly isLost: boolean
}

export type Pulse = {
  /** A random number of the sender's process. */
  readonly boot: number
  readonly sequence: number
  readonly base: number
  readonly version: number
  /** The set begins anew: it is empty but for what this pulse adds. */
  readonly isReset: boolean
  readonly isAnswerWanted: boolean
  readonly resting: readonly RestingGroup[]
  readonly woken: readonly number[]
  /** Groups of the receiver's set that do not rest at the sender. */
  readonly refused: readonly number[]
  readonly ack: PulseAck
}

/** What a pulse, or a silence, means for groups of this node. */
export type PulseOutcome = {
  /** To be asked, after the others were woken, whether they rest here from now on. */
  readonly resting: readonly RestingGroup[]
  /** No longer vouched for. */
  readonly woken: readonly number[]
}

type Led = {
  readonly groups: Set<number>
  resting: RestingGroup[]
  woken: number[]
  base: number
  version: number
  resetVersion: number
  isReset: boolean
  sequence: number
  heardSequence: number
  heardTick: number
  heardMs: number
}
type Followed = {
  readonly groups: Set<number>
  readonly refused: Set<number>
  hasNewRefused: boolean
  boot: number
  version: number
  sequence: number
  isLost: boolean
  heardTick: number
  heardMs: number
}
type Pair = { readonly led: Led; readonly followed: Followed; isAnswerDue: boolean }

export type PulsesOptions = {
  readonly boot: number
  readonly pulseTicks: number
  /** Without a word of a peer for so long its groups wake. */
  readonly silenceTicks: number
}

export type Moment = { readonly tick: number; readonly ms: number }

const nothing: PulseOutcome = { resting: [], woken: [] }

export class Pulses {
  readonly #options: PulsesOptions
  /** In the order of their ids. */
  #pairs: readonly (readonly [number, Pair])[] = []
  /** Groups that this node leads and that rest, with the followers that rest too. */
  readonly #led = new Map<number, readonly number[]>()
  #pulseTick = 0

  constructor(options: PulsesOptions) {
    this.#options = options
  }

  /** A group of this node's rests from now on, at these followers. */
  rest(group: RestingGroup, followers: readonly number[], now: Moment): void {
    this.#led.set(group.group, followers)
    for (const follower of followers) {
      const { led } = this.#pair(follower)
      if (led.groups.size === 0) {
        led.heardTick = now.tick
        led.heardMs = now.ms
      }
      led.groups.add(group.group)
      led.resting.push(group)
      led.version++
    }
  }

  /** The followers with which a group of this node's rests; undefined when it does not. */
  followersOf(group: number): readonly number[] | undefined {
    return this.#led.get(group)
  }

  /** A group of this node's rests no longer. */
  wake(group: number): void {
    const followers = this.#led.get(group)
    this.#led.delete(group)
    for (const follower of followers ?? []) {
      const { led } = this.#pair(follower)
      if (!led.groups.delete(group)) continue
      // A pulse wakes first and lets rest then.
      led.resting = led.resting.filter((untold) => untold.group !== group)
      led.woken.push(group)
      led.version++
    }
  }

  /** The answer to what receive() asked, for each group, once the woken ones were woken. */
  answer(group: number, leader: number, doesRest: boolean): void {
    const { followed } = this.#pair(leader)
    if (doesRest) {
      followed.refused.delete(group)
      followed.groups.add(group)
    } else refuse(followed, group)
  }

  /** A group rests no longer under this leader. */
  refuse(group: number, leader: number): void {
    const { followed } = this.#pair(leader)
    if (followed.groups.delete(group)) refuse(followed, group)
  }

  receive(from: number, pulse: Pulse, now: Moment): PulseOutcome {
    const pair = this.#pair(from)
    const woken = [...this.#acknowledge(pair.led, pulse, now)]
    for (const group of pulse.refused) if (pair.led.groups.has(group)) woken.push(group)
    const { followed } = pair
    const isNext = pulse.boot === followed.boot && pulse.base === followed.version
    if (!pulse.isReset && (followed.isLost || !isNext)) {
      followed.isLost = true
      followed.boot = pulse.boot
      followed.version = pulse.version
      pair.isAnswerDue = true
      return { resting: [], woken: woken.concat(clear(followed)) }
    }
    if (pulse.isReset) woken.push(...clear(followed))
    for (const group of pulse.woken) {
      followed.refused.delete(group)
      if (followed.groups.delete(group)) woken.push(group)
    }
    followed.isLost = false
    followed.boot = pulse.boot
    followed.version = pulse.version
    followed.sequence = pulse.sequence
    followed.heardTick = now.tick
    followed.heardMs = now.ms
    // Who leads groups here too sends pulses of its own, which acknowledge this one.
    if (pulse.isAnswerWanted && pair.led.groups.size === 0) pair.isAnswerDue = true
    return { resting: pulse.resting, woken }
  }

  /** The groups of nodes that were silent for too long. */
  silent(tick: number): PulseOutcome {
    let woken: number[] | undefined
    for (const [, { led, followed }] of this.#pairs) {
      for (const { groups, heardTick } of [led, followed]) {
        if (groups.size === 0 || tick - heardTick < this.#options.silenceTicks) continue
        woken ??= []
        woken.push(...groups)
      }
    }
    return woken === undefined ? nothing : { resting: [], woken }
  }

  /** Ticks until take() or silent() may have something; at most `limit`, at least 1. */
  ticksUntilDue(tick: number, limit: number): number {
    let due = tick + limit
    for (const [, { led, followed }] of this.#pairs) {
      if (led.groups.size > 0) due = Math.min(due, this.#pulseTick)
      if (followed.groups.size > 0) {
        due = Math.min(due, followed.heardTick + this.#options.silenceTicks)
      }
    }
    return Math.max(1, due - tick)
  }

  /** The pulses that are due, each with its receiver. */
  take(tick: number): readonly (readonly [number, Pulse])[] {
    const isPulseDue = tick >= this.#pulseTick
    if (isPulseDue) this.#pulseTick = tick + this.#options.pulseTicks
    let taken: (readonly [number, Pulse])[] | undefined
    for (const [peer, pair] of this.#pairs) {
      const { led, followed } = pair
      const isRegular = isPulseDue && led.groups.size > 0
      const hasNews = led.version !== led.base || followed.hasNewRefused
      if (!isRegular && !hasNews && !pair.isAnswerDue) continue
      taken ??= []
      taken.push([peer, this.#pulse(pair, isRegular)])
    }
    return taken ?? []
  }

  /** A pulse did not leave. Answers the groups that nobody can vouch for now. */
  failed(peer: number): readonly number[] {
    const { led } = this.#pair(peer)
    const woken = reset(led)
    // Nothing to tell until a group rests again: who hears no pulses wakes by itself.
    led.base = led.version
    return woken
  }

  /** When `peer` last vouched for groups that it leads (followed), or acknowledged this node's pulses (led). */
  heard(peer: number, side: 'led' | 'followed'): Moment {
    const { heardTick: tick, heardMs: ms } = this.#pair(peer)[side]
    return { tick, ms }
  }

  #acknowledge(led: Led, { ack }: Pulse, now: Moment): readonly number[] {
    if (ack.boot !== this.#options.boot) return []
    if (ack.isLost) return ack.version >= led.resetVersion && !led.isReset ? reset(led) : []
    if (ack.sequence <= led.heardSequence) return []
    led.heardSequence = ack.sequence
    led.heardTick = now.tick
    led.heardMs = now.ms
    return []
  }

  #pulse(pair: Pair, isRegular: boolean): Pulse {
    const { led, followed } = pair
    if (isRegular) led.sequence++
    const { boot, sequence, version, isLost } = followed
    const pulse: Pulse = {
      boot: this.#options.boot,
      sequence: led.sequence,
      base: led.base,
      version: led.version,
      isReset: led.isReset,
      isAnswerWanted: isRegular,
      resting: led.resting,
      woken: led.woken,
      refused: [...followed.refused],
      ack: { boot, sequence, version, isLost },
    }
    if (led.isReset) led.resetVersion = led.version
    led.isReset = false
    led.base = led.version
    led.resting = []
    led.woken = []
    followed.hasNewRefused = false
    pair.isAnswerDue = false
    return pulse
  }

  #pair(peer: number): Pair {
    for (const [id, pair] of this.#pairs) if (id === peer) return pair
    const pair: Pair = { led: newLed(), followed: newFollowed(), isAnswerDue: false }
    this.#pairs = [...this.#pairs, [peer, pair] as const].sort((a, b) => a[0] - b[0])
    return pair
  }
}

/** Begins a new set; answers what was in the old one. */
function reset(led: Led): readonly number[] {
  const groups = [...led.groups]
  led.groups.clear()
  led.resting = []
  led.woken = []
  led.version++
  led.isReset = true
  return groups
}

function clear(followed: Followed): readonly number[] {
  const groups = [...followed.groups]
  followed.groups.clear()
  followed.refused.clear()
  followed.hasNewRefused = false
  return groups
}

function refuse(followed: Followed, group: number): void {
  followed.refused.add(group)
  followed.hasNewRefused = true
}

const never = Number.NEGATIVE_INFINITY

function newLed(): Led {
  return {
    groups: new Set(),
    resting: [],
    woken: [],
    base: 0,
    version: 0,
    resetVersion: 0,
    isReset: true,
    sequence: 0,
    heardSequence: 0,
    heardTick: never,
    heardMs: 0,
  }
}

function newFollowed(): Followed {
  return {
    groups: new Set(),
    refused: new Set(),
    hasNewRefused: false,
    boot: 0,
    version: 0,
    sequence: 0,
    isLost: false,
    heardTick: never,
    heardMs: 0,
  }
}
