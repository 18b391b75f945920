// The rest of one group on this node: when it begins, and what ends it. While it rests the driver does not
// tick it. Everything that concerns the group calls stir() first.

import type { GroupId, NodeId } from '../base/index.ts'
import type { Message, RawNode, RestingGroup } from './core/index.ts'
import type { Resting } from './resting.ts'

export type GroupRestEnds = {
  readonly group: GroupId
  readonly self: NodeId
  /** Stands for cluster and generation (fence.ts). */
  readonly fence: () => number
  readonly node: RawNode
  readonly resting: Resting
  /** Ticks without anything but heartbeats until a leader lets its group rest. */
  readonly idleTicksMax: number
  /** A node heard within so many ticks is alive. */
  readonly silentTicksMax: number
  /** Ticks are needed again. */
  readonly onAwake: () => void
  /** While it rested this peer's node was heard, last at this moment. */
  readonly onHeard: (peer: number, ms: number) => void
}

export class GroupRest {
  readonly #ends: GroupRestEnds
  #state: 'awake' | 'leads' | { readonly under: NodeId } = 'awake'
  #idleTicks = 0

  constructor(ends: GroupRestEnds) {
    this.#ends = ends
  }

  get isResting(): boolean {
    return this.#state !== 'awake'
  }

  /** Something happens in the group. */
  stir(): void {
    this.#idleTicks = 0
    this.rouse()
  }

  /** A message arrived. False: it says nothing that a resting leader would not know. */
  receives({ type, term, context }: Message): boolean {
    const isAnswer = type === 'heartbeat-response'
    if (isAnswer && this.#state === 'leads' && context.length === 0) {
      if (term === this.#ends.node.status().hardState.term) return false
    }
    if (isAnswer || type === 'heartbeat') this.rouse()
    else this.stir()
    return true
  }

  /** Called with every tick while awake; `isFree`: the driver waits for nothing in this group. */
  tick(isLeader: boolean, isFree: () => boolean): void {
    this.#idleTicks++
    const { node, resting, group, self, idleTicksMax } = this.#ends
    if (!isLeader || this.#idleTicks < idleTicksMax || !isFree()) return
    const isUp = (id: number): boolean => id === self || resting.isUp(id)
    if (!node.canRest(isUp)) return
    const { confState, hardState } = node.status()
    const members = [...confState.voters, ...confState.learners]
    const followers = members.filter((id) => id !== self && isUp(id))
    this.#state = 'leads'
    const fence = this.#ends.fence()
    resting.rest({ group, term: hardState.term, index: hardState.commit, fence }, followers)
  }

  restUnder(leader: NodeId, at: RestingGroup): boolean {
    if (at.fence !== this.#ends.fence()) return false
    if (!this.#ends.node.canRestUnder({ leader, term: at.term, index: at.index })) return false
    this.#state = { under: leader }
    return true
  }

  /** A leader that rests without this member, which was down, must bring it up to date now. */
  rouseFor(peer: NodeId): void {
    if (this.#state !== 'leads') return
    if (!this.#ends.resting.followersOf(this.#ends.group).includes(peer)) this.rouse()
  }

  rouse(): void {
    const state = this.#state
    if (state === 'awake') return
    this.#state = 'awake'
    const { node, resting, group, silentTicksMax, onAwake, onHeard } = this.#ends
    if (state === 'leads') {
      const recent = new Set<number>()
      for (const id of resting.followersOf(group)) {
        const { agoTicks, ms } = resting.heard(id, 'led')
        if (agoTicks < silentTicksMax) recent.add(id)
        onHeard(id, ms)
      }
      node.resumeLeader((id) => recent.has(id))
      resting.wake(group)
    } else {
      const { agoTicks, ms } = resting.heard(state.under, 'followed')
      node.resumeFollower(agoTicks)
      onHeard(state.under, ms)
      resting.refuse(group, state.under)
    }
    onAwake()
  }

  /** When the node of a peer last vouched for the rest of this group; 0 while it does not rest. */
  heardMs(peer: number): number {
    const state = this.#state
    const { resting, group } = this.#ends
    if (state === 'awake') return 0
    if (state !== 'leads') return peer === state.under ? resting.heard(peer, 'followed').ms : 0
    return resting.followersOf(group).includes(peer) ? resting.heard(peer, 'led').ms : 0
  }
}
