// Which members can take a shard now. Membership comes from the cluster's view, reachability from rpc, and
// what a transfer has just experienced from note(): a holder that broke or stalled counts as gone for a
// while, one whose disk is full counts as up but is not chosen. Notes are hints with an end, never state.

import type { Fault, NodeId } from '../base/index.ts'
import type { ChooseHolders, ClusterView, Member, PlacementOptions } from '../cluster/index.ts'
import type { Clock } from '../host/index.ts'
import type { Rpc } from '../rpc/index.ts'

const goneMs = 10_000
const fullMs = 30_000

type Note = { readonly kind: 'gone' | 'full'; readonly untilMs: number }

export type HoldersDependencies = {
  readonly self: NodeId
  readonly clock: Clock
  readonly rpc: Rpc
  readonly view: ClusterView
  readonly chooseHolders: ChooseHolders
}

export class Holders {
  readonly #use: HoldersDependencies
  /** At most one entry per member. */
  readonly #notes = new Map<NodeId, Note>()
  #members: readonly Member[] = []
  #eligible: readonly Member[] = []
  #all: readonly Member[] = []
  #lasting: readonly Member[] = []

  constructor(use: HoldersDependencies) {
    this.#use = use
  }

  /** Connected (or self), and no transfer broke just now. */
  isUp(id: NodeId): boolean {
    if (id === this.#use.self) return true
    return this.#note(id)?.kind !== 'gone' && this.#use.rpc.isReachable(id)
  }

  /** Members that may be given new shards, whether up or not. */
  eligible(): readonly Member[] {
    const members = this.#use.view.members()
    // The same list for the same members: placement is prepared per list.
    if (members !== this.#members) this.#eligible = members.filter(takesShards)
    this.#members = members
    return this.#eligible
  }

  upCount(): number {
    return this.eligible().filter((member) => this.isUp(member.id)).length
  }

  /** Most wanted first; those that are not up, or full, come last. */
  choose(
    chunk: Uint8Array,
    count: number,
    beside: Pick<PlacementOptions, 'held' | 'shards'> = {},
  ): readonly NodeId[] {
    const members = this.eligible()
    return this.#use.chooseHolders(chunk, members, {
      ...beside,
      count: Math.min(count, members.length),
      rule: this.#use.view.settings().placement,
      isUp: (id) => this.canTake(id),
    })
  }

  /**
   * Where placement wants `count` shards of a chunk, whoever is up now. Members that are down count, so that a node
   * that restarts moves nothing; those that join do not yet.
   */
  ideal(chunk: Uint8Array, count: number): readonly NodeId[] {
    const all = this.#use.view.members()
    if (all !== this.#all) this.#lasting = all.filter(isLasting)
    this.#all = all
    return this.#use.chooseHolders(chunk, this.#lasting, {
      count: Math.min(count, this.#lasting.length),
      rule: this.#use.view.settings().placement,
      isUp: () => true,
    })
  }

  canTake(id: NodeId): boolean {
    return this.isUp(id) && !this.isFull(id)
  }

  /** It refused a shard for want of disk space a short while ago. */
  isFull(id: NodeId): boolean {
    return this.#note(id)?.kind === 'full'
  }

  /** What a transfer to or from a member ended with. */
  note(id: NodeId, fault: Fault): void {
    const nowMs = this.#use.clock.monotonicMs()
    if (fault.code === 'no-space') this.#notes.set(id, { kind: 'full', untilMs: nowMs + fullMs })
    if (fault.code === 'unavailable' || fault.code === 'deadline') {
      this.#notes.set(id, { kind: 'gone', untilMs: nowMs + goneMs })
    }
  }

  /** A transfer went well, or rpc says that it is back. */
  forget(id: NodeId): void {
    this.#notes.delete(id)
  }

  #note(id: NodeId): Note | undefined {
    const note = this.#notes.get(id)
    if (note === undefined || this.#use.clock.monotonicMs() < note.untilMs) return note
    this.#notes.delete(id)
    return undefined
  }
}

function isLasting(member: Member): boolean {
  return member.state === 'online' || member.state === 'suspect' || member.state === 'offline'
}

function takesShards(member: Member): boolean {
  return member.state === 'online' || member.state === 'suspect' || member.state === 'joining'
}
