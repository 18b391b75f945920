// A double barrier of three members, with more who want to be in. Checked: nobody is let in before three had asked;
// nobody is let out before all who were in had asked to leave or had died; rounds rise.

import { isFault, type Random } from '../../../src/base/index.ts'
import { type BarrierRound, enterBarrier, openSession } from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import type { RunningNode } from '../keyspace-cluster.ts'
import { type Exercise, type ExerciseKind, groundOf, repeat, type Stage } from '../recipes.ts'

const name = 'barrier'
const count = 3
const ttlSeconds = 2
/** A place is gone so long after its owner, though leaders change. */
const staleMs = 10_000

export const barriers: ExerciseKind = {
  name: 'barrier',
  promises: ['rounds entered', 'rounds left', 'waits given up', 'members lost'],
  create: (stage) => new Barriers(stage),
}

const never = Number.POSITIVE_INFINITY

/** Times are moments of the world, counted by its events. */
type Stay = {
  readonly node: number
  readonly askedAt: number
  /** 0: not known. */
  round: number
  enteredAt: number
  leavesAt: number
  leftAt: number
  /** From when on it may be gone without having asked. */
  mayBeGoneAt: number
  /** When it failed or its node died; its place is gone a while later at most. */
  failedMs: number
}

class Barriers implements Exercise {
  readonly #stage: Stage
  readonly #stays: Stay[] = []
  /** When somebody was let into a round first. */
  readonly #began = new Map<number, number>()

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    // Whoever was on the node's life before has died, some time before now.
    for (const stay of this.#stays) {
      if (stay.node === node.host.node && stay.leftAt === never) {
        stay.mayBeGoneAt = Math.min(stay.mayBeGoneAt, stay.askedAt)
        stay.failedMs = Math.min(stay.failedMs, this.#stage.world.nowMs)
      }
    }
    repeat(this.#stage, node, (random) => this.#own(node, random))
    if (node.host.node % 2 === 0) repeat(this.#stage, node, (random) => this.#own(node, random))
  }

  async settle(): Promise<void> {}

  #moment(): number {
    return this.#stage.world.eventCount
  }

  async #own(node: RunningNode, random: Random): Promise<void> {
    const session = await openSession(groundOf(node), { ttlSeconds })
    while (session.isLive() && !this.#stage.isOver) {
      await node.host.clock.sleep(random.integer(1_500))
      const stopping = new AbortController()
      const timer = node.host.clock.after(1_000 + random.integer(4_000), () => stopping.abort())
      const { signal } = stopping
      const stay: Stay = {
        node: node.host.node,
        askedAt: this.#moment(),
        round: 0,
        enteredAt: never,
        leavesAt: never,
        leftAt: never,
        mayBeGoneAt: never,
        failedMs: never,
      }
      this.#stays.push(stay)
      try {
        const round = await enterBarrier(session, { name, count }, { signal })
        await this.#stay(node, { stay, round, random })
      } catch (error) {
        if (!isFault(error)) throw error
        stay.mayBeGoneAt = stay.askedAt
        stay.failedMs = this.#stage.world.nowMs
        const isGivenUp = error.code === 'cancelled'
        this.#stage.world.count(isGivenUp ? 'waits given up' : 'members lost')
        await node.host.clock.sleep(200)
      } finally {
        timer.cancel()
      }
    }
    await session.close()
  }

  async #stay(
    node: RunningNode,
    of: { readonly stay: Stay; readonly round: BarrierRound; readonly random: Random },
  ): Promise<void> {
    const { stay, round, random } = of
    stay.round = round.round
    stay.enteredAt = this.#moment()
    this.#began.set(round.round, this.#began.get(round.round) ?? this.#stage.world.nowMs)
    this.#stage.world.count('rounds entered')
    await node.host.clock.sleep(50 + random.integer(500))
    stay.leavesAt = this.#moment()
    await round.leave()
    stay.leftAt = this.#moment()
    this.#stage.world.count('rounds left')
  }

  check(): void {
    const rounds = new Map<number, Stay[]>()
    for (const stay of this.#stays) {
      if (stay.round === 0) continue
      rounds.set(stay.round, [...(rounds.get(stay.round) ?? []), stay])
    }
    for (const [round, members] of rounds) {
      const first = Math.min(...members.map(({ enteredAt }) => enteredAt))
      const beganMs = this.#began.get(round) ?? 0
      const asked = this.#stays.filter((stay) => {
        const isLeft = stay.round === 0 && stay.failedMs + staleMs > beganMs
        return stay.askedAt < first && (stay.round === round || isLeft)
      })
      if (asked.length < count) {
        throw new WorldFailure(`round ${round} began with ${asked.length} who had asked`)
      }
      const out = Math.min(...members.map(({ leftAt }) => leftAt))
      for (const member of members) {
        if (member.leavesAt > out && member.mayBeGoneAt > out) {
          throw new WorldFailure(
            `round ${round}: a member on node ${member.node} was still in when another got out`,
          )
        }
      }
    }
    let [lastEnd, lastRound] = [0, 0]
    for (const [round, members] of [...rounds].sort(([a], [b]) => a - b)) {
      const first = Math.min(...members.map(({ enteredAt }) => enteredAt))
      if (first < lastEnd) throw new WorldFailure(`round ${round} came before ${lastRound}'s end`)
      lastRound = round
      lastEnd = Math.min(...members.map(({ enteredAt }) => enteredAt))
    }
  }
}
