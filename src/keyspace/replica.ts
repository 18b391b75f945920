// One namespace's replica on this node: proposes writes when it leads, answers reads from its rows, and
// gives answers their long values. Retries and routing are the router's.

import {
  decodeParts,
  encodeParts,
  Fault,
  isFault,
  type NodeId,
  revision as toRevision,
  toFault,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { Gatherer } from '../rpc/index.ts'
import type { Store } from '../storage/index.ts'
import {
  type CallKind,
  encodeHashAnswer,
  encodeStatusAnswer,
  encodeUpkeepAnswer,
} from './core/calls.ts'
import { decodeVersionAt } from './value-recovery.ts'
import { checkRange } from './core/check.ts'
import {
  alarms,
  decodeMark,
  decodeUpkeep,
  decodeWrite,
  type DigestMark,
  type Entry,
  encodeAlarm,
  encodeEntry,
  encodeMark,
  encodeNumbers,
  writeKindOf,
} from './core/entry.ts'
import { EntryClock } from './core/entry-clock.ts'
import { checkGuard } from './core/guard.ts'
import { HashScan, hashOf } from './core/hash.ts'
import { responseBytesMax } from './core/limits.ts'
import { type Space, versionKey } from './core/rows.ts'
import { checkRevision, RangeScan } from './core/scan.ts'
import { readTxn } from './core/txn.ts'
import {
  type AnswerKeyValue,
  decodeAnswer,
  decodeRange,
  decodeTxn,
  encodeAnswer,
  encodeRangeResponse,
  mayHaveApart,
  readFaultAnswer,
} from './core/wire.ts'
import type {
  KeyspaceAlarm,
  KeyspaceStatus,
  KeyValue,
  OperationResult,
  TxnResponse,
} from './keyspace.ts'
import { Lessor } from './lessor.ts'
import type { KeyspaceMachine } from './machine.ts'
import type { ValueShelf } from './values.ts'

/** Rows that a read of its own looks at before it lets others run. */
const scanRowsPerTurn = 512
const seedLimit = 0x1_0000_0000
/** The alarm of the quota ends when this share of it is used at most. */
const quotaRecovery = 0.95
const entryBytesWanted = 256 * 1024
const emptyBytes = new Uint8Array(0)

export type ReadOptions = {
  readonly isSerializable: boolean
  readonly signal: AbortSignal | undefined
}

export class Replica {
  readonly group: Group
  readonly machine: KeyspaceMachine
  readonly lessor: Lessor
  readonly #host: Host
  readonly #store: Store
  readonly #values: ValueShelf
  readonly #quotaBytes: number
  readonly #clock = new EntryClock()
  /** Writes of one turn become one entry. */
  readonly #writes: Gatherer
  /** An entry about the alarm of the quota is on its way. */
  #isAlarming = false

  constructor(dependencies: {
    readonly host: Host
    readonly store: Store
    readonly values: ValueShelf
    readonly group: Group
    readonly machine: KeyspaceMachine
    readonly quotaBytes: number
  }) {
    this.#host = dependencies.host
    this.#store = dependencies.store
    this.#values = dependencies.values
    this.#quotaBytes = dependencies.quotaBytes
    this.group = dependencies.group
    this.machine = dependencies.machine
    this.#writes = new Gatherer(dependencies.host.clock, {
      bytesMax: entryBytesWanted,
      send: (writes) => this.#proposeWrites(writes),
    })
    this.lessor = new Lessor({
      host: dependencies.host,
      group: dependencies.group,
      leases: () => this.machine.state.leases,
      expire: async (ids) => {
        await this.#propose('expire', encodeNumbers(ids))
      },
    })
    const { role } = this.group.status()
    this.#lead(role === 'leader')
    this.group.onLeadership((_leader, isSelf) => this.#lead(isSelf))
  }

  /** This replica differs from most others. */
  get isDiverged(): boolean {
    return this.machine.state.divergedAt > 0
  }

  /** Proposes the bytes of a WriteRequest. Faults of Group.propose, and 'no-space'. */
  async write(write: Uint8Array): Promise<Uint8Array> {
    this.#mustTakeValues()
    writeKindOf(write)
    this.#maybeAlarm()
    return this.#finish(write, await this.#writes.add(write))
  }

  /** The same for many at the cost of one, in their order. Never rejects for what one of them did. */
  async writeAll(writes: readonly Uint8Array[]): Promise<readonly (Uint8Array | Fault)[]> {
    this.#mustTakeValues()
    this.#maybeAlarm()
    let isWhole = true
    for (const write of writes) if (writeKindOf(write) === 'compact') isWhole = false
    const answers = await this.#writes.addAll(writes)
    for (const answer of answers) {
      if (answer instanceof Uint8Array && mayHaveApart(answer)) isWhole = false
    }
    if (isWhole) return answers
    return Promise.all(
      answers.map((answer, i) =>
        answer instanceof Fault
          ? answer
          : this.#finish(writes[i] as Uint8Array, answer).catch(toFault),
      ),
    )
  }

  /** What else belongs to an answer before it is given out. */
  async #finish(write: Uint8Array, answer: Uint8Array): Promise<Uint8Array> {
    const { kind, body } = decodeWrite(write)
    if (kind === 'compact' && decodeUpkeep(body).isPhysical) await this.#sweepAfter(answer)
    return this.complete(answer)
  }

  #mustTakeValues(): void {
    if (!this.#values.isOverfull) return
    throw new Fault('no-space', 'long values wait for disk space on the leading node')
  }

  /** An answer of the state machine with its long values. */
  async complete(answer: Uint8Array): Promise<Uint8Array> {
    if (!mayHaveApart(answer)) return answer
    const { response, hasApart } = decodeAnswer(answer)
    return hasApart ? this.#complete(response) : answer
  }

  /** Answers everything that is no write and no watch. */
  async read(
    kind: Exclude<CallKind, 'write' | 'writes' | 'events'>,
    body: Uint8Array,
    options: ReadOptions,
  ): Promise<Uint8Array> {
    const { signal } = options
    if (kind === 'status') return encodeStatusAnswer(this.status())
    if (kind === 'mark') return this.#readMark(body, signal)
    if (this.isDiverged) throw divergedFault()
    switch (kind) {
      case 'value':
        return this.#values.readHere(versionKey(this.machine.state.space, decodeVersionAt(body)))
      case 'hash':
        return this.#readHash(body)
      case 'keepalive':
      case 'ttl':
      case 'leases':
        return this.#readLease(kind, body, signal)
      case 'session':
        await this.lessor.confirm(signal)
        return encodeUpkeepAnswer({
          timeMs: this.machine.state.record.timeMs || this.#nextTimeMs(),
        })
      case 'range':
      case 'read':
      case 'guard':
        if (!options.isSerializable) await this.group.readBarrier(signal)
        if (kind === 'guard') return this.#readGuard(body)
        if (kind === 'read') await this.#whole()
        return kind === 'range' ? this.#readRange(body) : this.#readTxn(body)
    }
  }

  status(): KeyspaceStatus {
    const { state } = this.machine
    return {
      revision: toRevision(state.record.revision),
      compacted: toRevision(state.record.compacted),
      usedBytes: Math.max(0, this.machine.usedBytes()),
      quotaBytes: this.#quotaBytes,
      alarms: alarms.filter((alarm) => state.showsAlarm(alarm)),
      leases: state.leases.count,
      isDiverged: this.isDiverged,
    }
  }

  /** Twice a second: the leader's duties that nobody asks for. */
  tick(): void {
    this.lessor.tick()
    if (this.lessor.isLeading && !this.isDiverged) this.#maybeAlarm()
  }

  /** Leader only: proposes to forget what is outside the window. False when there is nothing to forget. */
  async compact(window: {
    readonly ageMs: number
    readonly revisionsMax: number
  }): Promise<boolean> {
    const { state } = this.machine
    const byAge = this.machine.revisionBefore(window.ageMs)
    const floor = Math.max(byAge, state.record.revision - window.revisionsMax)
    const isExpired = state.hasExpiredSession(this.#nextTimeMs())
    if (floor <= state.record.compacted && !isExpired) return false
    const revision = Math.max(1, floor, state.record.compacted)
    await this.#propose('compact', encodeNumbers([revision]))
    return true
  }

  /** Leader only: has every replica keep its digest at one index, and answers with this one's. */
  async mark(): Promise<DigestMark> {
    return decodeMark(await this.#propose('mark', emptyBytes))
  }

  /** Leader only: tells all replicas what most of them had at a mark. */
  async giveVerdict(mark: DigestMark): Promise<void> {
    await this.#propose('verdict', encodeMark(mark), { evenIfDiverged: true })
  }

  async setAlarm(alarm: KeyspaceAlarm, isOn: boolean): Promise<void> {
    await this.#propose('alarm', encodeAlarm(alarm, isOn), { evenIfDiverged: true })
  }

  /** A diverged leader gives the lead away. Settles when it is gone; never rejects for what passes. */
  async yieldLead(to: NodeId): Promise<void> {
    try {
      await this.group.transferLeadership(to)
    } catch (error) {
      if (!isFault(error)) throw error
    }
  }

  #lead(isLeading: boolean): void {
    this.#clock.restart()
    this.lessor.lead(isLeading)
  }

  async #proposeWrites(writes: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const [only] = writes
    if (writes.length === 1 && only !== undefined) return [await this.#propose('write', only)]
    return decodeParts(await this.#propose('writes', encodeParts(writes)))
  }

  /** A diverged replica answers nothing: what it would say may be wrong. */
  async #propose(
    kind: Entry['kind'],
    body: Uint8Array,
    options: { readonly evenIfDiverged?: boolean } = {},
  ): Promise<Uint8Array> {
    if (this.isDiverged && options.evenIfDiverged !== true) {
      throw new Fault('unavailable', 'the leading replica differs from most others')
    }
    const seed = this.#host.random.integer(seedLimit)
    return this.group.propose(encodeEntry({ kind, timeMs: this.#nextTimeMs(), seed, body }))
  }

  #nextTimeMs(): number {
    return this.#clock.read({
      monotonicMs: this.#host.clock.monotonicMs(),
      wallMs: this.#host.clock.wallMs(),
      newestMs: this.machine.state.record.timeMs,
    })
  }

  /** Begins or ends the alarm of the quota; the leader's own count decides, the entry tells everybody. */
  #maybeAlarm(): void {
    const isOn = this.machine.state.hasAlarm('no-space')
    const used = this.machine.usedBytes()
    const limit = isOn ? this.#quotaBytes * quotaRecovery : this.#quotaBytes
    const isOver = this.#quotaBytes > 0 && used > limit
    if (isOver === isOn || this.#isAlarming) return
    this.#isAlarming = true
    const end = (): void => {
      this.#isAlarming = false
    }
    void this.setAlarm('no-space', isOver).then(end, (error: unknown) => {
      end()
      if (!isFault(error)) throw error
    })
  }

  /** A physical compaction is answered when its rows are gone from here. */
  async #sweepAfter(answer: Uint8Array): Promise<void> {
    if (readFaultAnswer(answer) === undefined) await this.machine.sweep()
  }

  async #readMark(body: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { index } = decodeMark(body)
    await this.group.readBarrier(signal)
    const digest = this.machine.state.markAt(index)
    if (digest === undefined) throw new Fault('not-found', 'no digest is known at this index')
    return encodeMark({ index, digest })
  }

  #readGuard(body: Uint8Array): Uint8Array {
    const { revision: known } = decodeUpkeep(body)
    const { revision, document } = this.machine.state.guard
    if (known === revision) return encodeUpkeepAnswer({ revision })
    return encodeUpkeepAnswer({ revision, document })
  }

  async #readLease(
    kind: 'keepalive' | 'ttl' | 'leases',
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const { id, withKeys, guard } = decodeUpkeep(body)
    if (kind === 'keepalive') {
      const ttlSeconds = await this.lessor.keepAlive(id, signal)
      return encodeUpkeepAnswer({ revision: this.#revision(), id, ttlSeconds })
    }
    await this.lessor.confirm(signal)
    if (withKeys) await this.#whole()
    const { leases } = this.machine.state
    checkGuard(guard, this.machine.state.guard.revision)
    const revision = this.#revision()
    if (kind === 'leases') return encodeUpkeepAnswer({ revision, ids: leases.ids() })
    const lease = leases.find(id)
    if (lease === undefined) return encodeUpkeepAnswer({ revision, id, ttlSeconds: -1 })
    const keys = withKeys ? leases.keysOf(this.#store, id) : []
    let keysBytes = 0
    for (const key of keys) keysBytes += key.length
    if (keysBytes > responseBytesMax) {
      throw new Fault('too-large', 'the keys of the lease do not fit in one answer')
    }
    const ttlSeconds = this.lessor.secondsLeft(id)
    return encodeUpkeepAnswer({
      revision,
      id,
      ttlSeconds,
      grantedTtlSeconds: lease.ttlSeconds,
      keys,
    })
  }

  async #readHash(body: Uint8Array): Promise<Uint8Array> {
    const asked = decodeUpkeep(body).revision
    const { state } = this.machine
    checkRevision(asked, state.record)
    const { space } = state
    const { revision, compacted, digestA: a, digestB: b } = state.record
    const at = asked === 0 ? revision : asked
    const unpin = this.machine.pin(at)
    try {
      let hash = hashOf({ a, b })
      if (at < revision) {
        const scan = new HashScan(this.#store, space, at)
        while (!scan.step(scanRowsPerTurn)) {
          await this.#nextTurn()
          this.#mustStillBe(space)
        }
        hash = scan.result()
      }
      return encodeHashAnswer({
        revision: toRevision(revision),
        hashRevision: toRevision(at),
        compacted: toRevision(compacted),
        hash,
      })
    } finally {
      unpin()
    }
  }

  #revision(): number {
    return this.machine.state.record.revision
  }

  async #readRange(body: Uint8Array): Promise<Uint8Array> {
    const { request, guard } = decodeRange(body)
    checkRange(request)
    const { state } = this.machine
    checkGuard(guard, state.guard.revision)
    const { space } = state
    checkRevision(request.revision ?? 0, state.record)
    const { revision } = state.record
    const at =
      request.revision === undefined || request.revision === 0 ? revision : request.revision
    const unpin = this.machine.pin(at)
    try {
      const budget = { bytes: responseBytesMax }
      const scan = new RangeScan(this.#store, request, { space, at, revision, budget })
      while (!scan.step(scanRowsPerTurn)) {
        await this.#nextTurn()
        this.#mustStillBe(space)
      }
      const response = scan.result()
      const kvs = await this.#completePairs(space, response.kvs)
      return encodeRangeResponse({ ...response, kvs })
    } finally {
      unpin()
    }
  }

  async #readTxn(body: Uint8Array): Promise<Uint8Array> {
    const { request, guard } = decodeTxn(body)
    const { state } = this.machine
    const { record, leases } = state
    checkGuard(guard, state.guard.revision)
    const outcome = readTxn(this.#store, state.space, { request, state: record, leases })
    const { response } = outcome
    if (!outcome.hasApart) return encodeAnswer(response, { hasApart: false })
    return this.#complete(response)
  }

  async #complete(response: TxnResponse): Promise<Uint8Array> {
    const { space } = this.machine.state
    const unpin = this.machine.pin(this.machine.state.record.revision)
    try {
      const whole = await this.#completeResponse(space, response)
      return encodeAnswer(whole, { hasApart: false })
    } finally {
      unpin()
    }
  }

  async #completeResponse(space: Space, response: TxnResponse): Promise<TxnResponse> {
    const results: OperationResult[] = []
    for (const result of response.results) results.push(await this.#completeResult(space, result))
    return { ...response, results }
  }

  async #completeResult(space: Space, result: OperationResult): Promise<OperationResult> {
    switch (result.kind) {
      case 'range': {
        const kvs = await this.#completePairs(space, result.response.kvs)
        return { kind: 'range', response: { ...result.response, kvs } }
      }
      case 'put': {
        if (result.previous === undefined) return result
        const [previous] = await this.#completePairs(space, [result.previous])
        return previous === undefined ? result : { kind: 'put', previous }
      }
      case 'delete':
        return { ...result, previous: await this.#completePairs(space, result.previous) }
      case 'txn':
        return { kind: 'txn', response: await this.#completeResponse(space, result.response) }
    }
  }

  async #completePairs(space: Space, pairs: readonly KeyValue[]): Promise<readonly KeyValue[]> {
    if (!pairs.some((pair) => apartSub(pair) > 0)) return pairs
    const whole: KeyValue[] = []
    for (const pair of pairs) {
      const sub = apartSub(pair)
      if (sub === 0) {
        whole.push(pair)
        continue
      }
      const { apartRevision: modRevision } = pair as AnswerKeyValue
      const value = await this.#values.read(versionKey(space, { modRevision, sub: sub - 1 }))
      whole.push({ ...pair, value, apartRevision: 0, apartSub: 0 } as AnswerKeyValue)
    }
    this.#mustStillBe(space)
    return whole
  }

  /** What looks at rows as they are, and not as of a revision, comes after an entry that is half applied. */
  async #whole(): Promise<void> {
    while (this.machine.state.isUnfinished) await this.machine.whole()
  }

  #mustStillBe(space: Space): void {
    if (this.machine.state.space === space) return
    throw new Fault('unavailable', 'a snapshot was installed while the read ran')
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#host.clock.soon(resolve))
  }
}

function apartSub(pair: KeyValue): number {
  return (pair as Partial<AnswerKeyValue>).apartSub ?? 0
}

export function divergedFault(): Fault {
  return new Fault('corrupt', 'this replica differs from most others and serves nothing', {
    next: 'Remove the replica and add it anew.',
  })
}
