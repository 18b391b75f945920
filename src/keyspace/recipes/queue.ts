// A FIFO queue with a visibility timeout and dead letters.
//
//   name/tail          a mark whose revision gives the next messages their place
//   name/q/m/PLACE     a message; PLACE is the tail's revision before, and a number within the batch
//   name/q/c/PLACE     its claim, on a lease of the visibility timeout: when the lease ends, the claim is deleted
//                      in a committed revision, and the message is visible again
//   name/q/n/PLACE     one put per delivery: its version counts them
//   name/d/PLACE       a dead letter
//   name/r/LEASE       receivers that wait stand in line (line.ts); only the first looks and watches
//
// The tail's revision only grows, so places are in order of commit, whoever enqueues; a batch that finds another
// tail takes that one and tries again. A claim is a compare of the acknowledgement: of two receivers that had the same
// message, one after the other, only the one whose claim is there can take it away.

import { Fault, isFault, utf8Encode } from '../../base/index.ts'
import type { Compare, FullKeyspace, Operation } from '../keyspace.ts'
import { Claims, type Delivery, type Picked } from './claims.ts'
import {
  cancelled,
  checkBound,
  checkRecipeName,
  type Ground,
  inBackground,
  orCancelled,
  untilEvent,
} from './ground.ts'
import { type Place, rangeOf } from './line.ts'
import { standFirst, type WaitOptions, waitOf } from './lock.ts'
import type { Session } from './session.ts'

export type QueueOptions = {
  readonly name: string
  /** How long a receiver has a message for itself, at least: 2 to 43,200 s; default 30. */
  readonly visibilitySeconds?: number
  /** A message that was delivered this often without an acknowledgement becomes a dead letter; default 5. */
  readonly deliveriesMax?: number
  /**
   * Messages and dead letters beyond this are refused ('overloaded'). Producers count now and then, so several of them
   * may exceed it a little. Default 100,000.
   */
  readonly messagesMax?: number
}

export type DeadLetter = {
  readonly id: string
  readonly body: Uint8Array
}

/**
 * Contract. An enqueue that was acknowledged is delivered until it is acknowledged or dead: at least once. First deliveries
 * come in the order in which the messages were enqueued; a message that becomes visible again goes before all that
 * were enqueued later. Within the visibility timeout nobody else gets a message; a receiver that is later than
 * that finds its acknowledgement refused. Effects happen exactly once when they are part of the acknowledgement's
 * transaction.
 */
export type Queue = {
  /** The message's id. Fault 'too-large' above 256 KiB, 'overloaded' when full; outcome unknown: it may be in. */
  enqueue(body: Uint8Array): Promise<string>
  /** Waits for a message: receivers are served in the order in which they began to wait. */
  receive(session: Session, options?: WaitOptions): Promise<Delivery>
  /** As receive(), but undefined when there is none for this receiver now. */
  tryReceive(): Promise<Delivery | undefined>
  /** Messages (delivered ones too) and dead letters. */
  depth(): Promise<{ readonly messages: number; readonly dead: number }>
  /** The oldest, at most `limit` (256). */
  deadLetters(limit?: number): Promise<readonly DeadLetter[]>
  /** Takes a dead letter away; false when it is not there. */
  dropDead(id: string): Promise<boolean>
  /** Enqueues a dead letter again, at the end, as new; false when it is not there. */
  reviveDead(id: string): Promise<boolean>
}

const bodyBytesMax = 256 * 1024
const batchMessagesMax = 128
const batchBytesMax = 512 * 1024
const waitingMax = 4096
const deadPageMax = 256
const hexDigits = 14
const nothing = new Uint8Array(0)

/** Faults 'invalid' for options out of their bounds. */
export function createQueue(ground: Ground, options: QueueOptions): Queue {
  return new KeyQueue(ground, options)
}

type Waiting = {
  readonly body: Uint8Array
  readonly resolve: (id: string) => void
  readonly reject: (error: unknown) => void
}

export class KeyQueue implements Queue {
  readonly #ground: Ground
  readonly #keyspace: FullKeyspace
  readonly #name: string
  readonly #messagesMax: number
  readonly #claims: Claims
  readonly #waiting: Waiting[] = []
  #isSending = false
  /** The tail as last seen. */
  #tail = 0
  /** Messages that may be added before the next count. */
  #room = 0

  constructor(ground: Ground, options: QueueOptions) {
    const { name, visibilitySeconds = 30, deliveriesMax = 5, messagesMax = 100_000 } = options
    checkRecipeName(utf8Encode(name))
    checkBound(visibilitySeconds, 'visibilitySeconds', [2, 43_200])
    checkBound(deliveriesMax, 'deliveriesMax', [1, 1000])
    checkBound(messagesMax, 'messagesMax', [1, 10_000_000])
    this.#ground = ground
    this.#keyspace = ground.keyspace
    this.#name = name
    this.#messagesMax = messagesMax
    this.#claims = new Claims(ground, { name, visibilitySeconds, deliveriesMax })
  }

  enqueue(body: Uint8Array): Promise<string> {
    if (body.length > bodyBytesMax) {
      return Promise.reject(new Fault('too-large', `a message has at most ${bodyBytesMax} bytes`))
    }
    if (this.#waiting.length >= waitingMax) {
      return Promise.reject(new Fault('overloaded', `${waitingMax} messages wait to be enqueued`))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ body: body.slice(), resolve, reject })
      if (this.#isSending) return
      this.#isSending = true
      void this.#sendAll()
    })
  }

  async receive(session: Session, options: WaitOptions = {}): Promise<Delivery> {
    const { signal } = options
    if (signal?.aborted === true) throw cancelled()
    if (!(await this.#hasWaiters())) {
      const direct = await this.#take(undefined, signal)
      if (direct !== undefined) return direct
    }
    const line = { name: `${this.#name}/r`, value: nothing }
    const first = await standFirst(session, line, options)
    const wait = waitOf(session, signal)
    try {
      const delivery = await this.#takeWhenThere(first.place, wait.signal)
      first.giveBack()
      return delivery
    } catch (error) {
      inBackground(this.#leave(session, first))
      throw wait.faultOf(error)
    } finally {
      wait.end()
    }
  }

  tryReceive(): Promise<Delivery | undefined> {
    return this.#take(undefined, undefined)
  }

  async depth(): Promise<{ readonly messages: number; readonly dead: number }> {
    const request = (part: string) =>
      ({ kind: 'range', request: { ...this.#range(part), countOnly: true } }) as const
    const success = [request('q/m/'), request('d/')]
    const { results } = await this.#keyspace.txn({ compares: [], success, failure: [] })
    const [messages = 0, dead = 0] = results.map((result) =>
      result.kind === 'range' ? result.response.count : 0,
    )
    return { messages, dead }
  }

  async deadLetters(limit = deadPageMax): Promise<readonly DeadLetter[]> {
    checkBound(limit, 'limit', [1, deadPageMax])
    const { kvs } = await this.#keyspace.range({ ...this.#range('d/'), limit })
    const from = this.#key('d/').length
    return kvs.map(({ key, value }) => ({ id: textOf(key.subarray(from)), body: value }))
  }

  async dropDead(id: string): Promise<boolean> {
    return (await this.#keyspace.delete(this.#key(`d/${checkId(id)}`))) > 0
  }

  async reviveDead(id: string): Promise<boolean> {
    const key = this.#key(`d/${checkId(id)}`)
    for (;;) {
      const [dead] = (await this.#keyspace.range({ key })).kvs
      if (dead === undefined) return false
      const isThere: Compare = {
        key,
        target: 'create',
        result: 'equal',
        operand: dead.createRevision,
      }
      const put = this.#putAt(this.#tail, 0, dead.value)
      const success: Operation[] = [{ kind: 'delete', key }, put]
      if (await this.#append([isThere], success)) return true
    }
  }

  // ---- enqueuing ----

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch()
      try {
        await this.#mustHaveRoom(batch.length)
        const tail = await this.#send(batch.map(({ body }) => body))
        this.#room -= batch.length
        for (const [i, { resolve }] of batch.entries()) resolve(placeOf(tail, i))
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isSending = false
  }

  #nextBatch(): readonly Waiting[] {
    let bytes = 0
    let count = 0
    for (const { body } of this.#waiting) {
      bytes += body.length
      if (count > 0 && (bytes > batchBytesMax || count >= batchMessagesMax)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  /** Near the bound every batch counts; far from it, few do. */
  async #mustHaveRoom(wanted: number): Promise<void> {
    if (this.#room >= wanted) return
    const { messages, dead } = await this.depth()
    const left = this.#messagesMax - messages - dead
    if (left < wanted) {
      throw new Fault(
        'overloaded',
        `the queue ${this.#name} has ${messages} messages, ${dead} dead`,
      )
    }
    this.#room = Math.max(wanted, Math.floor(left / 8))
  }

  async #send(bodies: readonly Uint8Array[]): Promise<number> {
    for (;;) {
      const tail = this.#tail
      const puts = bodies.map((body, i) => this.#putAt(tail, i, body))
      if (await this.#append([], puts)) return tail
    }
  }

  /** False: another tail was found, or another compare does not hold. */
  async #append(compares: readonly Compare[], success: readonly Operation[]): Promise<boolean> {
    const key = this.#key('tail')
    const isTail: Compare = { key, target: 'mod', result: 'equal', operand: this.#tail }
    const answer = await this.#keyspace.txn({
      compares: [isTail, ...compares],
      success: [{ kind: 'put', key, value: nothing }, ...success],
      failure: [{ kind: 'range', request: { key } }],
    })
    const [read] = answer.results
    if (answer.succeeded) this.#tail = answer.revision
    else if (read?.kind === 'range') this.#tail = read.response.kvs[0]?.modRevision ?? 0
    return answer.succeeded
  }

  #putAt(tail: number, index: number, value: Uint8Array): Operation {
    return { kind: 'put', key: this.#key(`q/m/${placeOf(tail, index)}`), value }
  }

  // ---- receiving ----

  async #hasWaiters(): Promise<boolean> {
    const { kvs } = await this.#keyspace.range({ ...this.#range('r/'), limit: 1, keysOnly: true })
    return kvs.length > 0
  }

  /** The first visible message, claimed; undefined when there is none, or somebody else was quicker. */
  async #take(place: Place | undefined, signal: AbortSignal | undefined) {
    const picked = await this.#claims.pick()
    if (picked.kind === 'none') return undefined
    const claiming = this.#claims.claim(picked, place)
    try {
      return await orCancelled(claiming, signal)
    } catch (error) {
      // Nobody is there to take it: it is visible again at once.
      if (isFault(error, 'cancelled')) inBackground(claiming.then((one) => one?.release()))
      throw error
    }
  }

  /** As the first in line. */
  async #takeWhenThere(place: Place, signal: AbortSignal): Promise<Delivery> {
    for (;;) {
      const picked: Picked = await orCancelled(this.#claims.pick(), signal)
      if (picked.kind === 'some') {
        const claiming = this.#claims.claim(picked, place)
        const delivery = await orCancelled(claiming, signal).catch((error: unknown) => {
          if (isFault(error, 'cancelled')) inBackground(claiming.then((one) => one?.release()))
          throw error
        })
        if (delivery !== undefined) return delivery
        continue
      }
      const startRevision = picked.revision + 1
      await untilEvent(this.#ground, { ...this.#range('q/'), startRevision }, signal)
    }
  }

  async #leave(
    session: Session,
    first: { readonly place: Place; readonly giveBack: () => void },
  ): Promise<void> {
    await session.insist((options) => this.#keyspace.delete(first.place.key, options))
    first.giveBack()
  }

  #key(part: string): Uint8Array {
    return utf8Encode(`${this.#name}/${part}`)
  }

  #range(part: string) {
    return rangeOf(this.#key(part))
  }
}

/** Order of bytes is order of places. */
function placeOf(tail: number, index: number): string {
  return `${tail.toString(16).padStart(hexDigits, '0')}-${index.toString(16).padStart(2, '0')}`
}

function checkId(id: string): string {
  if (/^[0-9a-f]{14}-[0-9a-f]{2}$/.test(id)) return id
  throw new Fault('invalid', 'this is not the id of a message')
}

function textOf(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
