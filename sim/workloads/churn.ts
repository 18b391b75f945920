// Members that come and go: an operator moves leadership, adds and removes a spare, replaces founders, and puts an
// empty node under a new id in the place of one whose disk has changed durable bytes.
//
// Bits flip on one node at a time, and on no other until that one is replaced: what several copies lose together is
// lost. Never in the newest segment of the log: there a flipped record is not told from a torn one by anybody.

import { isFault, nodeId, type Random } from '../../src/base/index.ts'
import type { Group } from '../../src/raft/index.ts'
import { WorldFailure } from '../failures.ts'
import type { World } from '../world.ts'

export type ChurnEnds = {
  readonly world: World
  /** Who leads, as seen by itself. */
  readonly leader: () => { readonly node: number; readonly group: Group } | undefined
  /** Runs at the node, with a deadline. */
  readonly at: (node: number, run: () => Promise<unknown>) => Promise<unknown>
  readonly start: (node: number) => void
  /** The number of the first node that takes a damaged one's place. */
  readonly firstFresh: number
  /** For people: how every replica sees its group. */
  readonly describe: () => string
  /** A node that was not there before will start. */
  readonly joined: (node: number) => void
}

const settlesWithinMs = 90_000
const logSegment = /^db\/log\/log-/

/** How the replicas of nodes that run see their group. */
export function describeGroups(
  running: ReadonlyMap<number, { readonly isAlive: boolean; readonly group: Group | undefined }>,
): string {
  return [...running]
    .map(([node, { isAlive, group }]) => {
      if (group === undefined) return `${node} has no replica`
      const { role, term, commit, applied, lastIndex, voters, votersOutgoing } = group.status()
      return `${node} ${isAlive ? role : 'down'} term ${term} ${applied}/${commit}/${lastIndex} of ${voters}|${votersOutgoing}`
    })
    .join('; ')
}

export class Churn {
  /** All that may run now, founders first; the list changes in place. */
  readonly nodes: number[]
  readonly #ends: ChurnEnds
  readonly #random: Random
  readonly #spares: number
  #flipped: number | undefined
  /** No voter is gone, as the leader last said. */
  #isWhole = false
  #nextNode: number

  constructor(founders: readonly number[], spares: readonly number[], ends: ChurnEnds) {
    this.nodes = [...founders, ...spares]
    this.#spares = spares.length
    this.#ends = ends
    this.#random = ends.world.drawRandom()
    this.#nextNode = ends.firstFresh
  }

  /** Where a bit may flip now. */
  readonly flips = {
    drawNode: (): number | undefined => {
      if (!this.#isWhole) return undefined
      this.#flipped ??= this.nodes[this.#random.integer(this.nodes.length)]
      return this.#flipped
    },
    mayFlip: (path: string): boolean => {
      if (this.#flipped === undefined || !logSegment.test(path)) return false
      const segments = this.#ends.world.disk(this.#flipped).under('db/log')
      return path !== segments.filter((name) => logSegment.test(name)).at(-1)
    },
  }

  /** A node that refuses to start because its disk is damaged, if that is what happened to it. */
  maybeReplace(node: number, error: unknown): boolean {
    if (node !== this.#flipped || !isFault(error, 'corrupt')) return false
    const { world, joined, start } = this.#ends
    world.count('damaged disks refused')
    world.crash(node, 'kill')
    const fresh = this.#nextNode++
    this.nodes[this.nodes.indexOf(node)] = fresh
    this.#flipped = undefined
    this.#isWhole = false
    joined(fresh)
    world.schedule(1, 'an empty node starts', () => start(fresh))
    return true
  }

  /** Its disk is of no use any more: it never starts again. */
  isGone(node: number): boolean {
    return !this.nodes.includes(node)
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await this.#ends.world.sleep(500 + this.#random.integer(3_000))
      if (!isOver()) await this.#once()
    }
  }

  /** After the heal: the voters are all nodes that can run. */
  async settle(): Promise<void> {
    const { world } = this.#ends
    const endMs = world.nowMs + settlesWithinMs
    for (;;) {
      const leader = this.#ends.leader()
      const gone = leader === undefined ? [] : this.#goneOf(leader.group)
      const outside = leader === undefined ? [] : this.#outsideOf(leader.group)
      if (leader !== undefined && gone.length + outside.length === 0) return
      if (world.nowMs > endMs) {
        throw new WorldFailure(
          `members are not whole after the heal: gone ${gone}, missing ${outside}: ${this.#ends.describe()}`,
        )
      }
      if (leader !== undefined) await this.#change(leader, outside, gone)
      await world.sleep(100)
    }
  }

  #outsideOf(group: Group): readonly number[] {
    const { voters } = group.status()
    return this.nodes.filter((id) => !voters.some((voter) => voter === id))
  }

  #goneOf(group: Group): readonly number[] {
    const { voters, votersOutgoing } = group.status()
    return [...voters, ...votersOutgoing].filter((id) => !this.nodes.includes(id))
  }

  async #once(): Promise<void> {
    const leader = this.#ends.leader()
    if (leader === undefined) return
    const { group, node } = leader
    const { voters } = group.status()
    const gone = this.#goneOf(group)
    this.#isWhole = gone.length === 0 && voters.length > 2
    const outside = this.#outsideOf(group)
    const choice = this.#random.integer(4)
    if (choice === 0) {
      const to = voters[this.#random.integer(voters.length)]
      if (to !== undefined) await this.#try(node, () => group.transferLeadership(to))
    } else if (gone.length > 0) await this.#replaceGone(leader, gone)
    else if (outside.length > this.#spares) await this.#add(leader, outside)
    else if (outside.length === 0) {
      const victim = this.#draw(voters)
      await this.#change(leader, [], [victim])
    } else if (choice === 1) await this.#add(leader, outside)
    else await this.#change(leader, [this.#draw(outside)], [this.#draw(voters)])
  }

  async #add(
    leader: { readonly node: number; readonly group: Group },
    outside: readonly number[],
  ): Promise<void> {
    await this.#change(leader, [this.#draw(outside)], [])
  }

  async #replaceGone(
    leader: { readonly node: number; readonly group: Group },
    gone: readonly number[],
  ): Promise<void> {
    const outside = this.#outsideOf(leader.group)
    const added = outside.length > 0 ? [this.#draw(outside)] : []
    await this.#change(leader, added, gone.slice(0, 1))
  }

  async #change(
    { node, group }: { readonly node: number; readonly group: Group },
    add: readonly number[],
    remove: readonly number[],
  ): Promise<void> {
    await this.#try(node, () => {
      return group.changeMembers({ addVoters: add.map(nodeId), remove: remove.map(nodeId) })
    })
  }

  async #try(node: number, run: () => Promise<unknown>): Promise<void> {
    try {
      await this.#ends.at(node, run)
    } catch (error) {
      if (!isFault(error)) throw error
    }
  }

  #draw(from: readonly number[]): number {
    return from[this.#random.integer(from.length)] as number
  }
}
