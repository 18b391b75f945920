// Changes of members on the leader, one at a time: carries out what core/admission.ts decides.
// What a leader remembers of a joiner (how far it has to come, that it was added a moment ago) is lost with
// its leadership; joiners ask again and again, so the next leader learns it anew.

import { Fault, isFault, type NodeId } from '../base/index.ts'
import type { Group } from '../raft/index.ts'
import { judgeJoin, judgeRemoval, type Progress } from './core/admission.ts'
import type { JoinRequest } from './core/wire.ts'

export type AdmissionEnds = {
  readonly self: NodeId
  readonly group: Group
  readonly isReachable: (node: NodeId) => boolean
}

type Joiner = { readonly target: number; readonly wasAddedHere: boolean }

const joinersMax = 256
const waitingMax = 64
/** Changes that one request may need: a number removed, added, promoted. */
const stepsMax = 4

export class Admissions {
  readonly #ends: AdmissionEnds
  readonly #joiners = new Map<NodeId, Joiner>()
  #term = 0
  #waiting = 0
  #last: Promise<void> = Promise.resolve()

  constructor(ends: AdmissionEnds) {
    this.#ends = ends
  }

  /** Settles with whether the node votes. Faults of core/admission.ts, 'not-leader'. */
  join(request: Pick<JoinRequest, 'node' | 'isTakenIn' | 'wantsVote'>): Promise<boolean> {
    return this.#inTurn(() => this.#join(request))
  }

  remove(node: NodeId): Promise<void> {
    return this.#inTurn(async () => {
      this.#mustLead()
      const status = this.#ends.group.status()
      const fault = judgeRemoval(node, status, this.#isAlive)
      if (fault !== undefined) throw fault
      this.#joiners.delete(node)
      await this.#ends.group.changeMembers({ remove: [node] })
    })
  }

  async #join(request: Pick<JoinRequest, 'node' | 'isTakenIn' | 'wantsVote'>): Promise<boolean> {
    for (let step = 0; step < stepsMax; step++) {
      this.#mustLead()
      const { node } = request
      const configuration = this.#ends.group.status()
      const progress = this.#progressOf(node)
      const joiner = this.#joiners.get(node)
      const verdict = judgeJoin(request, {
        configuration,
        progress,
        isAlive: this.#isAlive,
        isJustAdded: joiner?.wasAddedHere === true && progress.match === 0,
      })
      if (verdict.kind === 'refuse') throw verdict.fault
      if (verdict.kind !== 'change') return verdict.kind === 'voter'
      await this.#ends.group.changeMembers(verdict.change)
      const wasAddedHere = verdict.change.addLearners !== undefined
      this.#remember(node, { target: progress.target, wasAddedHere })
    }
    throw new Fault('conflict', 'the members are being changed by others')
  }

  readonly #isAlive = (node: NodeId): boolean =>
    node === this.#ends.self || this.#ends.isReachable(node)

  #mustLead(): void {
    const { role, leader, term } = this.#ends.group.status()
    if (role !== 'leader') {
      throw new Fault('not-leader', `node ${leader ?? 'nobody known'} leads`, {
        fields: { leader: String(leader ?? '') },
      })
    }
    if (term !== this.#term) this.#joiners.clear()
    this.#term = term
  }

  #progressOf(node: NodeId): Progress {
    const { match, commit, lastIndex } = this.#ends.group.status()
    const known = this.#joiners.get(node)
    if (known === undefined) this.#remember(node, { target: commit, wasAddedHere: false })
    return { match: match.get(node) ?? 0, target: known?.target ?? commit, lastIndex }
  }

  #remember(node: NodeId, joiner: Joiner): void {
    if (this.#joiners.size >= joinersMax) this.#joiners.clear()
    this.#joiners.set(node, joiner)
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingMax) {
      throw new Fault('overloaded', `${waitingMax} changes of members are waiting`)
    }
    this.#waiting++
    const before = this.#last
    const turn = before.then(work)
    this.#last = turn.then(
      () => undefined,
      (error: unknown) => {
        if (!isFault(error)) throw error
      },
    )
    try {
      return await turn
    } finally {
      this.#waiting--
    }
  }
}
