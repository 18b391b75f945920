// The wait for a transfer of leadership to end, one at a time per group; a new one ends the old.

import { Fault, type NodeId } from '../base/index.ts'

type Pending = {
  readonly to: NodeId
  readonly deadlineTick: number
  readonly resolve: () => void
  readonly reject: (fault: Fault) => void
}

export class Transfer {
  #pending: Pending | undefined

  get isRunning(): boolean {
    return this.#pending !== undefined
  }

  begin(to: NodeId, deadlineTick: number): Promise<void> {
    this.reject(new Fault('cancelled', 'another transfer of leadership began'))
    return new Promise((resolve, reject) => {
      this.#pending = { to, deadlineTick, resolve, reject }
    })
  }

  leaderIs(leader: NodeId | undefined): void {
    const pending = this.#pending
    if (pending === undefined || leader !== pending.to) return
    this.#pending = undefined
    pending.resolve()
  }

  tick(tick: number): void {
    if (this.#pending === undefined || this.#pending.deadlineTick > tick) return
    this.reject(
      new Fault('deadline', `node ${this.#pending.to} did not take over`, {
        outcome: 'unknown',
        next: 'see who leads, and try again',
      }),
    )
  }

  reject(fault: Fault): void {
    const pending = this.#pending
    this.#pending = undefined
    pending?.reject(fault)
  }
}

export function notVoter(node: NodeId): Fault {
  return new Fault('invalid', `node ${node} is not a voter of the group`, {
    next: 'choose one of its voters (`atoll raft members`); a learner is promoted first',
  })
}
