// Read requests that wait for a quorum to confirm the leader (ReadIndex, Raft thesis 6.4). Requests are
// numbered in order of arrival; a heartbeat carries the number of the last one, a response echoes it,
// and the quorum's highest echoed number confirms every request up to it. One round serves all requests
// that came before it. Both queues are bounded: what does not fit is dropped and asked again by its
// sender.

import { readUint64, uint64Bytes } from '../../base/index.ts'
import { type AckedIndex, type Ids, jointCommitted } from './quorum.ts'
import type { Message } from './types.ts'

export type ConfirmedRead = { readonly request: Message; readonly index: number }

const waitingMax = 16_384
const noContext = new Uint8Array(0)

export class ReadQueue implements AckedIndex {
  readonly #acks = new Map<number, number>()
  #unconfirmed: ConfirmedRead[] = []
  #confirmedCount = 0
  #postponed: Message[] = []

  get isEmpty(): boolean {
    return this.#unconfirmed.length === 0 && this.#postponed.length === 0
  }

  /** Waits until the leader has committed in its term. False when the queue is full. */
  postpone(request: Message): boolean {
    if (this.#postponed.length >= waitingMax) return false
    this.#postponed.push(request)
    return true
  }

  takePostponed(): readonly Message[] {
    if (this.#postponed.length === 0) return this.#postponed
    const taken = this.#postponed
    this.#postponed = []
    return taken
  }

  /** Waits for a quorum; `index` is the commit index at arrival. False when the queue is full. */
  add(request: Message, index: number): boolean {
    if (this.#unconfirmed.length >= waitingMax) return false
    this.#unconfirmed.push({ request, index })
    return true
  }

  /** What heartbeats carry: the number of the last waiting request, or nothing. */
  heartbeatContext(): Uint8Array {
    return this.#unconfirmed.length === 0 ? noContext : uint64Bytes(this.#lastNumber)
  }

  /** A member echoed a heartbeat's context. Numbers never sent are ignored. */
  receiveAck(from: number, context: Uint8Array): void {
    if (context.length !== 8) return
    const number = readUint64(context, 0)
    if (number > this.#lastNumber) return
    this.#acks.set(from, Math.max(this.#acks.get(from) ?? 0, number))
  }

  ackedIndex(id: number): number | undefined {
    return this.#acks.get(id)
  }

  /** Takes the requests that a quorum has confirmed. */
  takeConfirmed(voters: Ids, outgoing: Ids): readonly ConfirmedRead[] {
    const confirmed = Math.min(jointCommitted(voters, outgoing, this), this.#lastNumber)
    const count = confirmed - this.#confirmedCount
    if (count <= 0) return []
    this.#confirmedCount = confirmed
    return this.#unconfirmed.splice(0, count)
  }

  get #lastNumber(): number {
    return this.#confirmedCount + this.#unconfirmed.length
  }
}
