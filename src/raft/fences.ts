// What this node does about messages of another fence (fence.ts): they were refused already; here it
// learns whose they are, tells its own, counts, alarms the owner, and stops a group whose own data was
// given up by a recovery. A blank replica takes the generation that it is told.
//
// Notices and alarms are sent at most once per second for each peer and group.

import { type GroupId, type NodeId, toFault, toHex } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import {
  decodeNotice,
  encodeNotice,
  type Fence,
  type FenceNotice,
  type FenceRelation,
  formatFence,
  relationOf,
} from './fence.ts'

/** What fencing needs of a group. */
export type Fenced = {
  readonly group: GroupId
  readonly fence: Fence
  /** Has no state yet. */
  readonly isBlank: boolean
  adoptGeneration(generation: number): void
  /** The data here was given up: nothing of it may be used any more. Settles when that is durable. */
  supersede(generation: number): Promise<void>
  /** Tells the owner. */
  alarm(from: NodeId, theirs: Fence, relation: FenceRelation): void
}

export type FencesEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly group: (id: GroupId) => Fenced | undefined
}

const quietMs = 1_000
const pairsMax = 65_536

export class Fences {
  readonly #ends: FencesEnds
  readonly #noticedMs = new Map<string, number>()
  readonly #alarmedMs = new Map<string, number>()
  #refused = 0

  constructor(ends: FencesEnds) {
    this.#ends = ends
  }

  /** Messages and streams refused since the start. */
  get refused(): number {
    return this.#refused
  }

  /** A message of another fence was refused; whose it was is not known yet. */
  refuse(group: Fenced, from: NodeId): void {
    this.#refused++
    this.#tell(group, from, true)
  }

  /** As `refuse`, when the fence came in full. True: taken after all, by a blank replica. */
  meet(group: Fenced, from: NodeId, theirs: Fence): boolean {
    const relation = relationOf(group.fence, theirs)
    if (relation === undefined) return true
    if (relation === 'superseded' && group.isBlank) {
      group.adoptGeneration(theirs.generation)
      return true
    }
    this.#refused++
    this.#tell(group, from, false)
    this.#conclude(group, from, { theirs, relation })
    return false
  }

  receive(from: NodeId, frame: Uint8Array): void {
    let notice: FenceNotice
    try {
      notice = decodeNotice(frame)
    } catch (error) {
      const what = toFault(error).message
      this.#ends.host.journal.event('warning', 'raft.frame_refused', { from, what })
      return
    }
    const group = this.#ends.group(notice.group)
    if (group === undefined) return
    if (notice.isAnswerWanted) this.#tell(group, from, false)
    const theirs = notice.fence
    const relation = relationOf(group.fence, theirs)
    if (relation === undefined || (relation !== 'other-cluster' && notice.isBlank)) return
    if (relation === 'superseded' && group.isBlank) group.adoptGeneration(theirs.generation)
    else this.#conclude(group, from, { theirs, relation })
  }

  #conclude(
    group: Fenced,
    from: NodeId,
    { theirs, relation }: { readonly theirs: Fence; readonly relation: FenceRelation },
  ): void {
    if (!this.#isDue(this.#alarmedMs, group, from)) return
    const fields = {
      group: group.group,
      from,
      relation,
      theirs: formatFence(theirs),
      ours: formatFence(group.fence),
      next: nextOf[relation](theirs),
    }
    this.#ends.host.journal.event('error', 'raft.foreign_refused', fields)
    const alarm = (): void => group.alarm(from, theirs, relation)
    // The owner may end the process on the alarm.
    if (relation === 'superseded') void group.supersede(theirs.generation).then(alarm)
    else alarm()
  }

  #tell(group: Fenced, to: NodeId, isAnswerWanted: boolean): void {
    if (!this.#isDue(this.#noticedMs, group, to)) return
    const { fence, isBlank } = group
    const notice = encodeNotice({ group: group.group, fence, isAnswerWanted, isBlank })
    this.#ends.rpc.send(to, controlMethod.raftMessages, notice)
  }

  #isDue(since: Map<string, number>, { group }: Fenced, peer: NodeId): boolean {
    const nowMs = this.#ends.host.clock.monotonicMs()
    const pair = `${peer} ${group}`
    if (nowMs - (since.get(pair) ?? Number.NEGATIVE_INFINITY) < quietMs) return false
    if (since.size >= pairsMax) since.clear()
    since.set(pair, nowMs)
    return true
  }
}

const nextOf: Record<FenceRelation, (theirs: Fence) => string> = {
  'other-cluster': ({ clusterId }) =>
    `two clusters use one name: decide which stays; export what is to be kept of cluster ${toHex(clusterId)}, wipe its nodes and let them join`,
  stale: () =>
    'that node holds data that a quorum recovery gave up: stop it, delete its data directory and let it join again under a new identity',
  superseded: () =>
    'the data here was given up by a quorum recovery: stop this node, delete its data directory and let it join again under a new identity',
}
