// The driver's side of resting groups: pulses from and to the peers, and their meaning for the groups.
// What rests and who vouches for it is decided in core/pulses.ts and core/rest.ts.

import { type GroupId, type NodeId, nodeId, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import { type Pulse, type PulseOutcome, Pulses, type RestingGroup } from './core/index.ts'
import { decodePulse, encodePulse } from './pulse-codec.ts'
import type { RaftSettings } from './settings.ts'

/** What resting needs of a group. */
export type Rester = {
  rouse(): void
  /** False when the group has something to do here, or does not follow this leader. */
  restUnder(leader: NodeId, at: RestingGroup): boolean
}

export type RestingEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly settings: RaftSettings
  readonly group: (id: GroupId) => Rester | undefined
  readonly tick: () => number
}

export class Resting {
  readonly #ends: RestingEnds
  readonly #pulses: Pulses
  #isClosed = false

  constructor(ends: RestingEnds) {
    const { host, rpc, settings } = ends
    this.#ends = ends
    this.#pulses = new Pulses({
      boot: 1 + host.random.integer(2 ** 26) * 2 ** 26 + host.random.integer(2 ** 26),
      pulseTicks: settings.pulseTicks,
      silenceTicks: settings.electionTicks,
    })
    rpc.onMessage(controlMethod.raftPulse, (from, bytes) => this.#receive(from, bytes))
  }

  isUp(peer: number): boolean {
    return this.#ends.rpc.isReachable(nodeId(peer))
  }

  rest(group: RestingGroup, followers: readonly number[]): void {
    this.#pulses.rest(group, followers, this.#now())
  }

  followersOf(group: GroupId): readonly number[] {
    return this.#pulses.followersOf(group) ?? []
  }

  wake(group: GroupId): void {
    this.#pulses.wake(group)
  }

  refuse(group: GroupId, leader: NodeId): void {
    this.#pulses.refuse(group, leader)
  }

  /** Ticks and time since the peer was last heard as `side` says. */
  heard(
    peer: number,
    side: 'led' | 'followed',
  ): { readonly agoTicks: number; readonly ms: number } {
    const { tick, ms } = this.#pulses.heard(peer, side)
    return { agoTicks: this.#ends.tick() - tick, ms }
  }

  /** Wakes the groups of nodes that were silent for too long. */
  tick(): void {
    this.#apply(this.#pulses.silent(this.#ends.tick()))
  }

  ticksUntilDue(limit: number): number {
    return this.#pulses.ticksUntilDue(this.#ends.tick(), limit)
  }

  /** Sends what is due: before the messages of the groups that were woken. */
  flush(): void {
    for (const [peer, pulse] of this.#pulses.take(this.#ends.tick())) {
      const { rpc } = this.#ends
      if (rpc.send(nodeId(peer), controlMethod.raftPulse, encodePulse(pulse))) continue
      this.#apply({ resting: [], woken: this.#pulses.failed(peer) })
    }
  }

  close(): void {
    this.#isClosed = true
  }

  #receive(from: NodeId, bytes: Uint8Array): void {
    if (this.#isClosed) return
    let pulse: Pulse
    try {
      pulse = decodePulse(bytes)
    } catch (error) {
      const what = toFault(error).message
      this.#ends.host.journal.event('warning', 'raft.pulse_refused', { from, what })
      return
    }
    const outcome = this.#pulses.receive(from, pulse, this.#now())
    this.#apply(outcome)
    for (const at of outcome.resting) {
      const id = at.group as GroupId
      const doesRest = this.#ends.group(id)?.restUnder(from, at) === true
      this.#pulses.answer(id, from, doesRest)
    }
    this.flush()
  }

  #apply({ woken }: PulseOutcome): void {
    for (const id of woken) this.#ends.group(id as GroupId)?.rouse()
  }

  #now(): { readonly tick: number; readonly ms: number } {
    return { tick: this.#ends.tick(), ms: this.#ends.host.clock.monotonicMs() }
  }
}
