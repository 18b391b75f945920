// What goes wrong, when, and for how long: drawn from the seed. Safety must hold whatever happens, so
// nothing is ruled out while faults run, except what no redundancy survives: bytes of more than one disk
// are never destroyed. heal() ends everything; liveness is demanded only then.

import type { Random } from '../src/base/index.ts'
import type { World } from './world.ts'

export type FaultKind =
  | 'kill'
  | 'power loss'
  | 'power loss of all'
  | 'partition'
  | 'one-way partition'
  | 'delay'
  | 'broken connection'
  | 'slow disk'
  | 'stalled disk'
  | 'full disk'
  | 'clock jump'
  | 'clock skew'
  | 'pause'
  | 'flipped bit'

export type FaultsOptions = {
  /** Read anew for every fault: the list may change. */
  readonly nodes: readonly number[]
  readonly kinds: readonly FaultKind[]
  readonly restart: (node: number) => void
  /** Files whose bytes may flip (at rest, on one node at a time). */
  readonly mayFlip?: (path: string) => boolean
  /** Who may be hit now. Default: one node of the run, while no other fault was yet. */
  readonly drawFlipped?: () => number | undefined
  /** Every other node has the bytes whole: they may flip beside other faults. */
  readonly isReplicated?: boolean
  /** Time between two faults, drawn in [0, 2 * everyMs). */
  readonly everyMs: number
}

/** What takes a fraction of a millisecond takes seconds. */
const stalledSlowness = 20_000

export class Faults {
  readonly #world: World
  readonly #options: FaultsOptions
  readonly #random: Random
  #isHealed = false
  #flippedNode: number | undefined
  /** A node has been missed: chunks may have been stored without their spare shard. */
  #mayBeShort = false

  constructor(world: World, options: FaultsOptions) {
    this.#world = world
    this.#options = options
    this.#random = world.drawRandom()
  }

  /** Draws faults for a while, then heals. */
  async run(durationMs: number): Promise<void> {
    const endMs = this.#world.nowMs + durationMs
    while (this.#world.nowMs < endMs) {
      await this.#world.sleep(this.#random.integer(2 * this.#options.everyMs))
      this.#inject(this.#pick(this.#options.kinds))
    }
    this.heal()
  }

  heal(): void {
    this.#isHealed = true
    this.#world.trace('heal')
    this.#world.network.heal()
    for (const node of this.#options.nodes) {
      const disk = this.#world.disk(node)
      disk.isFull = false
      disk.recover()
      this.#restart(node)
    }
  }

  #inject(kind: FaultKind): void {
    const world = this.#world
    const node = this.#pick(this.#options.nodes)
    const disk = world.disk(node)
    world.trace(`fault ${kind} ${node}`)
    if (kind !== 'flipped bit' && kind !== 'clock jump') this.#mayBeShort = true
    switch (kind) {
      case 'kill':
      case 'power loss':
        if (world.host(node) === undefined) return
        world.crash(node, kind === 'kill' ? 'kill' : 'power')
        this.#later(4_000, () => this.#restart(node))
        break
      case 'power loss of all':
        this.#losePowerOfAll()
        break
      case 'partition':
      case 'one-way partition':
        this.#partition(node, kind === 'partition')
        break
      case 'delay':
        world.network.extraDelayMs = 10 + this.#random.integer(200)
        this.#later(3_000, () => {
          world.network.extraDelayMs = 0
        })
        break
      case 'broken connection':
        if (!world.network.breakOne()) return
        break
      case 'slow disk':
      case 'stalled disk':
        disk.slowness = kind === 'stalled disk' ? stalledSlowness : 10 + this.#random.integer(200)
        this.#later(3_000, () => {
          disk.slowness = 1
        })
        break
      case 'full disk':
        disk.isFull = true
        this.#later(4_000, () => {
          disk.isFull = false
        })
        break
      case 'clock jump': {
        const host = world.host(node)
        if (host === undefined) return
        host.clock.jumpWall(this.#random.integer(7_200_000) - 3_600_000)
        break
      }
      case 'clock skew': {
        const host = world.host(node)
        if (host === undefined) return
        host.clock.run(0.5 + this.#random.integer(150) / 100)
        this.#later(4_000, () => host.clock.run(1))
        break
      }
      case 'pause': {
        const host = world.host(node)
        if (host === undefined) return
        host.pausedUntilMs = world.nowMs + this.#random.integer(3_000)
        break
      }
      case 'flipped bit':
        if (!this.#flip()) return
        break
    }
    world.count(`fault ${kind}`)
  }

  /**
   * At once, or after a while in which all disks are slow: then much is acknowledged to clients, if
   * anything is, that no disk holds yet.
   */
  #losePowerOfAll(): void {
    const nodes = this.#options.nodes
    const slowMs = this.#random.chance(0.5) ? 0 : this.#random.integer(600)
    if (slowMs > 0) for (const node of nodes) this.#world.disk(node).slowness = 500
    this.#later(slowMs, () => {
      for (const node of nodes) {
        this.#world.disk(node).slowness = 1
        this.#world.crash(node, 'power')
        this.#later(2_000, () => this.#restart(node))
      }
    })
  }

  /** One node against the others, one direction of its links or both. */
  #partition(node: number, isBothWays: boolean): void {
    const { network } = this.#world
    const isOutward = this.#random.chance(0.5)
    const others = this.#options.nodes.filter((other) => other !== node)
    for (const other of others) {
      if (isBothWays || isOutward) network.block(node, other)
      if (isBothWays || !isOutward) network.block(other, node)
    }
    this.#later(5_000, () => {
      for (const other of others) {
        network.unblock(node, other)
        network.unblock(other, node)
      }
    })
  }

  /**
   * All flips of a run hit one node, and only while no other fault can have left a chunk without its spare
   * shard: rot beside a missing shard is more than 2+1 promises to survive.
   */
  #flip(): boolean {
    const { mayFlip, drawFlipped, isReplicated = false } = this.#options
    if (mayFlip === undefined) return false
    if (drawFlipped !== undefined) {
      const node = drawFlipped()
      if (node === undefined || !this.#world.disk(node).flipBit(mayFlip)) return false
      // Found when the disk is read again.
      this.#world.crash(node, 'kill')
      this.#later(4_000, () => this.#restart(node))
      return true
    }
    if (this.#mayBeShort && !isReplicated) return false
    this.#flippedNode ??= this.#pick(this.#options.nodes)
    return this.#world.disk(this.#flippedNode).flipBit(mayFlip)
  }

  #restart(node: number): void {
    if (this.#world.host(node) === undefined) this.#options.restart(node)
  }

  #later(withinMs: number, run: () => void): void {
    this.#world.schedule(1 + this.#random.integer(withinMs), 'fault ends', () => {
      if (!this.#isHealed) run()
    })
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.integer(from.length)] as T
  }
}
