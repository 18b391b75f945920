// Messages of all groups of one turn, gathered per peer: one frame each, in the order of posting.

import { type GroupId, type NodeId, nodeId } from '../base/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import { encodeFrames, type GroupMessage } from './messages.ts'

export type OutboxEnds = {
  readonly rpc: Rpc
  readonly frameBytesMax: number
  /** The peer takes nothing now: messages of this group to it are lost. */
  readonly onUnreachable: (group: GroupId, peer: NodeId) => void
}

export class Outbox {
  readonly #ends: OutboxEnds
  #waiting = new Map<number, GroupMessage[]>()

  constructor(ends: OutboxEnds) {
    this.#ends = ends
  }

  post(posted: GroupMessage): void {
    const waiting = this.#waiting.get(posted.message.to)
    if (waiting === undefined) this.#waiting.set(posted.message.to, [posted])
    else waiting.push(posted)
  }

  flush(): void {
    if (this.#waiting.size === 0) return
    const { rpc, frameBytesMax, onUnreachable } = this.#ends
    const waiting = this.#waiting
    this.#waiting = new Map()
    for (const [to, messages] of waiting) {
      const peer = nodeId(to)
      for (const frame of encodeFrames(messages, frameBytesMax)) {
        if (rpc.send(peer, controlMethod.raftMessages, frame)) continue
        for (const id of new Set(messages.map(({ group }) => group))) onUnreachable(id, peer)
        break
      }
    }
  }
}
