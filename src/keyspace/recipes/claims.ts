// The receiving half of a queue: which message is next, its claim, and what its receiver can do with it.
//
// A claim hangs on a lease of its own, whose time is the visibility timeout. The lease of a message that was
// acknowledged is used for the next one after a keepalive, which is no log entry; a lease is never shared by
// two messages at a time.

import { Fault, isFault, type Revision, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Compare, FullKeyspace, KeyValue, Operation, TxnResponse } from '../keyspace.ts'
import type { Ground } from './ground.ts'
import { isPlaced, type Place, placeLost, rangeOf } from './line.ts'

/** Messages of one queue that are with receivers at a time. */
const claimsMax = 1024
const idleLeasesMax = 16
const nothing = new Uint8Array(0)

/** A message and the right to it, until it is given up or its time is over. */
export type Delivery = {
  readonly id: string
  readonly body: Uint8Array
  /** 1 for the first time. */
  readonly attempt: number
  /** The fencing token: a later delivery of the same message has a higher one. */
  readonly token: Revision
  /** By this node's clock, on the safe side; 0: somebody else may have it. */
  leftMs(): number
  /** Of a transaction that must not run once the message may be somebody else's. */
  guard(): Compare
  /**
   * The message is done: it goes, and the operations run, in one transaction. Fault 'precondition': its time was over,
   * nothing was done. Outcome unknown: ask again, or let it be delivered again.
   */
  acknowledge(operations?: readonly Operation[]): Promise<void>
  /** Visible again at once; the delivery counts. Nothing happens when its time was over. */
  release(): Promise<void>
  /** Begins its time anew. Fault 'precondition' when it was over. */
  extend(): Promise<void>
}

export type Picked =
  | { readonly kind: 'none'; readonly revision: Revision }
  | { readonly kind: 'some'; readonly message: KeyValue; readonly id: string }

type ClaimOptions = {
  readonly name: string
  readonly visibilitySeconds: number
  readonly deliveriesMax: number
}

type Lease = { readonly id: number; readonly sentMs: number }

export class Claims {
  readonly #ground: Ground
  readonly #keyspace: FullKeyspace
  readonly #options: ClaimOptions
  readonly #idle: number[] = []
  /** No message below this place is left. */
  #head = ''

  constructor(ground: Ground, options: ClaimOptions) {
    this.#ground = ground
    this.#keyspace = ground.keyspace
    this.#options = options
  }

  /** The first message that nobody has claimed. A full house of claims is 'none'. */
  async pick(): Promise<Picked> {
    const claims = await this.#keyspace.range({
      ...this.#from('c'),
      limit: claimsMax,
      keysOnly: true,
    })
    const taken = new Set(claims.kvs.map(({ key }) => this.#idOf(key)))
    if (taken.size >= claimsMax) return { kind: 'none', revision: claims.revision }
    const limit = taken.size + 1
    const messages = await this.#keyspace.range({ ...this.#from('m'), limit, keysOnly: true })
    const [oldest] = messages.kvs
    if (oldest !== undefined) this.#head = this.#idOf(oldest.key)
    const message = messages.kvs.find(({ key }) => !taken.has(this.#idOf(key)))
    // From before the claims were read: no end of a claim falls between look and watch.
    if (message === undefined) return { kind: 'none', revision: claims.revision }
    return { kind: 'some', message, id: this.#idOf(message.key) }
  }

  /**
   * Claims it, or makes it a dead letter if it was delivered too often. undefined: look again. With a place, the receiver
   * leaves the line in the same transaction; Fault placeLost() when it is there no more.
   */
  async claim(
    picked: Picked & { readonly kind: 'some' },
    place: Place | undefined,
  ): Promise<DeliveryOf | undefined> {
    const lease = await this.#lease()
    const { id, message } = picked
    const [claimKey, countKey] = [this.#key('c', id), this.#key('n', id)]
    const free = this.#isFree(picked)
    const compares = [...free, isFew(countKey, this.#options.deliveriesMax)]
    const success: Operation[] = [
      { kind: 'put', key: claimKey, value: nothing, lease: lease.id },
      { kind: 'put', key: countKey, value: nothing },
      { kind: 'range', request: { key: message.key } },
      { kind: 'range', request: { key: countKey } },
    ]
    const failure: Operation[] = [{ kind: 'range', request: { key: countKey } }]
    const leaves = place === undefined ? [] : [{ kind: 'delete', key: place.key } as const]
    if (place !== undefined) {
      compares.push(isPlaced(place))
      failure.push({ kind: 'range', request: { key: place.key, keysOnly: true } })
    }
    const answer = await this.#claimTxn({ compares, success: [...success, ...leaves], failure })
    if (answer === undefined) return undefined
    if (answer.succeeded) return this.#deliver(picked, { lease, answer })
    this.#keepLease(lease.id)
    const [count, own] = [pairIn(answer, 0), pairIn(answer, 1)]
    if (place !== undefined && own?.createRevision !== place.revision) throw placeLost()
    if ((count?.version ?? 0) >= this.#options.deliveriesMax) await this.#bury(picked)
    return undefined
  }

  /** undefined: the lease ended before it was used. */
  async #claimTxn(request: Parameters<FullKeyspace['txn']>[0]): Promise<TxnResponse | undefined> {
    try {
      return await this.#keyspace.txn(request)
    } catch (error) {
      if (isFault(error, 'not-found')) return undefined
      throw error
    }
  }

  #deliver(
    { id }: { readonly id: string },
    claimed: { readonly lease: Lease; readonly answer: TxnResponse },
  ): DeliveryOf {
    const { lease, answer } = claimed
    return new DeliveryOf({
      id,
      body: pairIn(answer, 2)?.value ?? nothing,
      attempt: pairIn(answer, 3)?.version ?? 1,
      token: answer.revision,
      ground: this.#ground,
      keys: { message: this.#key('m', id), claim: this.#key('c', id), count: this.#key('n', id) },
      lease,
      visibilityMs: this.#options.visibilitySeconds * 1000,
      isIdle: () => this.#keepLease(lease.id),
    })
  }

  /** A dead letter, if nobody has claimed it meanwhile. */
  async #bury(picked: Picked & { readonly kind: 'some' }): Promise<void> {
    const { id, message } = picked
    const [kv] = (await this.#keyspace.range({ key: message.key })).kvs
    if (kv === undefined) return
    const countKey = this.#key('n', id)
    const dead = utf8Encode(`${this.#options.name}/d/${id}`)
    const operand = this.#options.deliveriesMax - 1
    await this.#keyspace.txn({
      compares: [
        ...this.#isFree(picked),
        { key: countKey, target: 'version', result: 'greater', operand },
      ],
      success: [
        { kind: 'delete', key: message.key },
        { kind: 'delete', key: countKey },
        { kind: 'put', key: dead, value: kv.value },
      ],
      failure: [],
    })
  }

  #isFree({ id, message }: Picked & { readonly kind: 'some' }): Compare[] {
    const { key, createRevision } = message
    return [
      { key, target: 'create', result: 'equal', operand: createRevision },
      { key: this.#key('c', id), target: 'create', result: 'equal', operand: 0 },
    ]
  }

  /** A lease without a key whose time begins now. */
  async #lease(): Promise<Lease> {
    const { leases } = this.#keyspace
    const { clock } = this.#ground.host
    for (;;) {
      const id = this.#idle.pop()
      const sentMs = clock.monotonicMs()
      if (id === undefined) {
        const { visibilitySeconds: ttlSeconds } = this.#options
        return { id: (await leases.grant({ ttlSeconds })).id, sentMs }
      }
      const { ttlSeconds } = await leases.keepAlive(id)
      if (ttlSeconds > 0) return { id, sentMs }
    }
  }

  /** One too many ends by itself. */
  #keepLease(id: number): void {
    if (this.#idle.length < idleLeasesMax) this.#idle.push(id)
  }

  /** Of claims or messages, from the first that can be there: what was deleted before costs no look. */
  #from(part: 'c' | 'm') {
    const { key, rangeEnd } = rangeOf(this.#key(part, ''))
    return this.#head === '' ? { key, rangeEnd } : { key: this.#key(part, this.#head), rangeEnd }
  }

  #key(part: 'c' | 'm' | 'n', id: string): Uint8Array {
    return utf8Encode(`${this.#options.name}/q/${part}/${id}`)
  }

  #idOf(key: Uint8Array): string {
    return utf8Decode(key.subarray(this.#key('m', '').length))
  }
}

type DeliveryParts = {
  readonly id: string
  readonly body: Uint8Array
  readonly attempt: number
  readonly token: Revision
  readonly ground: Ground
  readonly keys: {
    readonly message: Uint8Array
    readonly claim: Uint8Array
    readonly count: Uint8Array
  }
  readonly lease: Lease
  readonly visibilityMs: number
  readonly isIdle: () => void
}

class DeliveryOf implements Delivery {
  readonly id: string
  readonly body: Uint8Array
  readonly attempt: number
  readonly token: Revision
  readonly #parts: DeliveryParts
  #endsAtMs: number
  #isOver = false

  constructor(parts: DeliveryParts) {
    this.id = parts.id
    this.body = parts.body
    this.attempt = parts.attempt
    this.token = parts.token
    this.#parts = parts
    this.#endsAtMs = parts.lease.sentMs + parts.visibilityMs
  }

  leftMs(): number {
    if (this.#isOver) return 0
    return Math.max(0, this.#endsAtMs - this.#parts.ground.host.clock.monotonicMs())
  }

  guard(): Compare {
    return isPlaced({ key: this.#parts.keys.claim, revision: this.token })
  }

  async acknowledge(operations: readonly Operation[] = []): Promise<void> {
    const { message, claim, count } = this.#parts.keys
    const gone = [message, claim, count].map((key) => ({ kind: 'delete', key }) as const)
    if (!(await this.#finish([...gone, ...operations]))) throw overdue()
  }

  async release(): Promise<void> {
    await this.#finish([{ kind: 'delete', key: this.#parts.keys.claim }])
  }

  async extend(): Promise<void> {
    const { ground, lease, keys, visibilityMs } = this.#parts
    const sentMs = ground.host.clock.monotonicMs()
    const { ttlSeconds } = await ground.keyspace.leases.keepAlive(lease.id)
    const { kvs } = await ground.keyspace.range({ key: keys.claim, keysOnly: true })
    if (ttlSeconds === 0 || kvs[0]?.createRevision !== this.token) {
      this.#isOver = true
      throw overdue()
    }
    this.#endsAtMs = sentMs + visibilityMs
  }

  async #finish(success: readonly Operation[]): Promise<boolean> {
    const { ground, isIdle } = this.#parts
    const request = { compares: [this.guard()], success, failure: [] }
    const { succeeded } = await ground.keyspace.txn(request)
    // Its lease has no key any more, whichever way it went.
    if (!this.#isOver) isIdle()
    this.#isOver = true
    return succeeded
  }
}

function overdue(): Fault {
  return new Fault('precondition', 'the message was given to others: its time was over', {
    fields: { delivery: 'over' },
  })
}

/** Delivered fewer times than that. */
function isFew(key: Uint8Array, deliveriesMax: number): Compare {
  return { key, target: 'version', result: 'less', operand: deliveriesMax }
}

function pairIn({ results }: TxnResponse, at: number): KeyValue | undefined {
  const result = results[at]
  return result?.kind === 'range' ? result.response.kvs[0] : undefined
}
