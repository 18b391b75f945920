// One stream on a connection: messages in both directions, each direction with its own credit.
//
// Credit: a message costs its length plus a fixed overhead. A side may have sent at most `window` more than the
// other has consumed; the other grants again once half a window was consumed. So memory per stream is
// bounded by the window, however slow the reader. Sending more than granted is a broken peer.
//
// Received messages sit in pooled memory that goes back when the reader asks for the next.

import { assert, type BufferPool, Fault, type NodeId } from '../base/index.ts'
import { finalFlag, frameType, messageOverheadBytes } from './core/frame.ts'
import { encodeFault } from './fault-bytes.ts'
import type { OutQueue } from './out-queue.ts'
import type { RpcStream } from './rpc.ts'

/** send() calls that wait at once; a caller that awaits each has one. */
const sendersMax = 64

export type StreamOptions = {
  readonly id: number
  readonly from: NodeId
  /** This side opened it. */
  readonly isOpener: boolean
  readonly out: OutQueue
  readonly pool: BufferPool
  /** Credit the peer starts with, and we do. */
  readonly receiveWindowBytes: number
  readonly sendWindowBytes: number
  readonly sendMessageBytesMax: number
  /** Called once, when nothing more of it will come or go; with the fault that ended it, if one did. */
  readonly onOver: (stream: Stream, fault: Fault | undefined) => void
}

type Sender = {
  readonly message: Uint8Array
  readonly onLeft: (() => void) | undefined
  resolve(): void
  reject(fault: Fault): void
}
type Step = IteratorResult<Uint8Array, undefined>
type Reader = { resolve(step: Step): void; reject(fault: Fault): void }

const sent = Promise.resolve()
const lastStep: Step = { done: true, value: undefined }

export class Stream implements RpcStream {
  readonly from: NodeId
  readonly id: number
  readonly messages: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => this.#iterate() }
  readonly #options: StreamOptions
  readonly #out: OutQueue
  #fault: Fault | undefined
  #isOver = false
  // Sending.
  #credit: number
  #senders: Sender[] = []
  /** Present while end() waits for the senders before it. */
  #ending: PromiseWithResolvers<void> | undefined
  #isWaitingForRoom = false
  #isSendEnded = false
  // Receiving.
  #arrived: Uint8Array[] = []
  #arrivedAt = 0
  #lent: Uint8Array | undefined
  #reader: Reader | undefined
  #isReceiveEnded = false
  #isDiscarding = false
  #grantedBytes: number
  #owedBytes = 0

  constructor(options: StreamOptions) {
    this.#options = options
    this.#out = options.out
    this.from = options.from
    this.id = options.id
    this.#credit = options.sendWindowBytes
    this.#grantedBytes = options.receiveWindowBytes
  }

  get isOver(): boolean {
    return this.#isOver
  }

  send(message: Uint8Array, onLeft?: () => void): Promise<void> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault)
    assert(!this.#isSendEnded, 'nothing is sent on a stream after its end')
    if (message.length > this.#options.sendMessageBytesMax) {
      return Promise.reject(new Fault('too-large', `a stream message of ${message.length} bytes`))
    }
    if (this.#senders.length === 0 && this.#canSend(message)) {
      this.#sendNow(message, onLeft)
      return sent
    }
    if (this.#senders.length >= sendersMax) {
      return Promise.reject(new Fault('overloaded', 'too many messages wait on one stream'))
    }
    return new Promise((resolve, reject) => {
      this.#senders.push({ message, onLeft, resolve, reject })
      this.#waitForRoom()
    })
  }

  async end(): Promise<void> {
    if (this.#isSendEnded) return
    if (this.#fault !== undefined) throw this.#fault
    if (this.#senders.length === 0) return this.#endSending(0)
    this.#ending ??= Promise.withResolvers<void>()
    await this.#ending.promise
  }

  fail(fault: Fault): void {
    if (this.#isOver) return
    this.#out.push({ type: frameType.reset, id: this.id }, encodeFault(fault))
    this.abandon(fault)
  }

  /** The handler has returned: nothing more is sent or read. */
  finish(): void {
    if (this.#isOver) return
    this.#discard()
    if (!this.#isSendEnded) this.#endSending(finalFlag)
    else if (!this.#isReceiveEnded) {
      this.#out.push({ type: frameType.end, id: this.id, flags: finalFlag })
    }
    this.#isReceiveEnded = true
    this.#leaveWhenOver()
  }

  /** Ends it here without telling the peer. */
  abandon(fault: Fault): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#fault ??= fault
    this.#dropArrived()
    this.#refuseSenders(fault)
    const reader = this.#reader
    this.#reader = undefined
    reader?.reject(fault)
    this.#options.onOver(this, fault)
  }

  // ---- what the connection delivers ----

  /** Throws Fault 'invalid' when the peer overruns its credit. */
  onData(payload: Uint8Array, isOwned: boolean): void {
    const cost = payload.length + messageOverheadBytes
    if (cost > this.#grantedBytes || this.#isReceiveEnded) {
      throw new Fault('invalid', `node ${this.from} sent more on a stream than it was granted`)
    }
    this.#grantedBytes -= cost
    const { pool } = this.#options
    if (this.#isDiscarding) {
      if (isOwned) pool.give(payload)
      this.#consumed(cost)
      return
    }
    const message = isOwned ? payload : pool.take(payload.length).subarray(0, payload.length)
    if (!isOwned) message.set(payload)
    const reader = this.#reader
    if (reader === undefined) {
      this.#arrived.push(message)
      return
    }
    this.#reader = undefined
    this.#lent = message
    reader.resolve({ done: false, value: message })
  }

  onEnd(flags: number): void {
    this.#isReceiveEnded = true
    if ((flags & finalFlag) !== 0) this.#stopSending()
    if (this.#arrivedAt === this.#arrived.length) this.#finishReader()
    this.#leaveWhenOver()
  }

  onCredit(bytes: number): void {
    this.#credit += bytes
    this.#pump()
  }

  // ---- sending ----

  #canSend(message: Uint8Array): boolean {
    return this.#credit >= message.length + messageOverheadBytes && this.#out.hasRoom
  }

  #sendNow(message: Uint8Array, onLeft: (() => void) | undefined): void {
    this.#credit -= message.length + messageOverheadBytes
    this.#out.push({ type: frameType.data, id: this.id }, message, onLeft)
  }

  /** Sends what may go, in order. */
  #pump(): void {
    let count = 0
    for (const sender of this.#senders) {
      if (!this.#canSend(sender.message)) break
      this.#sendNow(sender.message, sender.onLeft)
      sender.resolve()
      count++
    }
    if (count > 0) this.#senders.splice(0, count)
    if (this.#senders.length > 0) {
      this.#waitForRoom()
      return
    }
    if (this.#ending === undefined) return
    this.#endSending(0)
    this.#ending.resolve()
    this.#ending = undefined
  }

  #waitForRoom(): void {
    if (this.#isWaitingForRoom || this.#out.hasRoom) return
    this.#isWaitingForRoom = true
    this.#out.onRoom(() => {
      this.#isWaitingForRoom = false
      this.#pump()
    })
  }

  #endSending(flags: number): void {
    if (this.#isOver || this.#isSendEnded) return
    this.#isSendEnded = true
    this.#out.push({ type: frameType.end, id: this.id, flags })
    this.#leaveWhenOver()
  }

  /** The peer reads no more: what waits is refused, and so is what comes. */
  #stopSending(): void {
    if (this.#isSendEnded) return
    this.#isSendEnded = true
    const fault = new Fault('cancelled', `node ${this.from} has ended the stream`)
    this.#fault = fault
    this.#refuseSenders(fault)
  }

  #refuseSenders(fault: Fault): void {
    for (const sender of this.#senders.splice(0)) sender.reject(fault)
    this.#ending?.reject(fault)
    this.#ending = undefined
  }

  // ---- receiving ----

  #iterate(): AsyncIterator<Uint8Array, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#leaveReading()
        return Promise.resolve(lastStep)
      },
    }
  }

  #next(): Promise<Step> {
    this.#giveBack()
    const message = this.#arrived[this.#arrivedAt]
    if (message !== undefined) {
      this.#arrivedAt++
      if (this.#arrivedAt === this.#arrived.length) {
        this.#arrived = []
        this.#arrivedAt = 0
      }
      this.#lent = message
      return Promise.resolve({ done: false, value: message })
    }
    if (this.#isReceiveEnded) return Promise.resolve(lastStep)
    if (this.#fault !== undefined) return Promise.reject(this.#fault)
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }

  /** The reader stopped early: an opener ends the whole stream, a handler may still answer. */
  #leaveReading(): void {
    this.#giveBack()
    if (this.#isReceiveEnded) this.#dropArrived()
    else if (this.#options.isOpener) this.fail(new Fault('cancelled', 'the reader left the stream'))
    else this.#discard()
  }

  #discard(): void {
    this.#isDiscarding = true
    this.#giveBack()
    for (const message of this.#arrived.slice(this.#arrivedAt)) {
      this.#options.pool.give(message)
      this.#consumed(message.length + messageOverheadBytes)
    }
    this.#arrived = []
    this.#arrivedAt = 0
  }

  #dropArrived(): void {
    for (const message of this.#arrived.slice(this.#arrivedAt)) this.#options.pool.give(message)
    this.#arrived = []
    this.#arrivedAt = 0
  }

  #giveBack(): void {
    const lent = this.#lent
    if (lent === undefined) return
    this.#lent = undefined
    this.#consumed(lent.length + messageOverheadBytes)
    this.#options.pool.give(lent)
  }

  #consumed(cost: number): void {
    this.#owedBytes += cost
    if (this.#isOver || this.#isReceiveEnded) return
    if (this.#owedBytes * 2 < this.#options.receiveWindowBytes) return
    this.#grantedBytes += this.#owedBytes
    this.#out.push({ type: frameType.window, id: this.id, argument: this.#owedBytes })
    this.#owedBytes = 0
  }

  #finishReader(): void {
    const reader = this.#reader
    this.#reader = undefined
    reader?.resolve(lastStep)
  }

  #leaveWhenOver(): void {
    if (this.#isOver || !this.#isSendEnded || !this.#isReceiveEnded) return
    this.#isOver = true
    this.#options.onOver(this, undefined)
  }
}
