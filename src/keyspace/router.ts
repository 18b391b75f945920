// Where a request goes, and what happens when it does not get there: the only place of retargeting and
// retries. Reads go to this node's replica behind a read barrier, or to any member; writes go to the
// leader. A write keeps its request id through all retries, so it is applied once, and its sequence is
// closed when its asker has the answer or has given up.

import {
  decodeOutcome,
  decodeParts,
  encodeParts,
  Fault,
  type FaultCode,
  type GroupId,
  isFault,
  type NodeId,
  nodeId,
  revision as toRevision,
  toFault,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { controlMethod, Gatherer, type Rpc, type SendParts } from '../rpc/index.ts'
import type { ManyOptions, Transport, TransportOptions } from './client.ts'
import {
  callKindOf,
  decodeUpkeepAnswer,
  encodeCall,
  isLeaderKind,
  isWriteKind,
  type RequestKind,
} from './core/calls.ts'
import type { WriteKind } from './core/entry.ts'
import { readSessionExpired } from './core/sessions.ts'
import { readFaultAnswer } from './core/wire.ts'
import type { Keyspace } from './keyspace.ts'
import type { Replica } from './replica.ts'
import { Sequences } from './sequences.ts'
import { type FeedLink, type FeedReceiver, RemoteFeed, WatchFeed } from './watch-feed.ts'
import type { WatchSource } from './watch-source.ts'

/** A remote attempt that takes longer is given up and made elsewhere, with the same request id. */
const attemptMsMax = 2500
const backoffMsMin = 4
const backoffMsMax = 128
/** Attempts that follow one another without a pause, each where the last one pointed. */
const hopsMax = 2
export const inFlightMax = 4096
const jitterLimit = 1000
/** So long after it last heard of a leader a replica is passed over by requests, and by watches. */
const strandedMs = 1_500
const strandedFeedMs = 10_000
/** Of writes that share a call; a longer one has a call of its own. */
const callBytesWanted = 512 * 1024
const noBytes = new Uint8Array(0)
const pullOptions = { deadlineMs: 10_000, isSerializable: true, signal: undefined }
/** What may pass by itself soon. A full disk or a conflict is the asker's to hear of at once. */
const retriedCodes: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'not-leader',
  'unavailable',
  'overloaded',
  'deadline',
])

type Call = {
  readonly kind: RequestKind
  readonly request: Uint8Array
  /** Of a write; 0 for everything else. */
  readonly sequence: number
  /** What the replica gets: for a write with its request id, made once it is known when its session began. */
  body: Uint8Array | undefined
  readonly deadlineAtMs: number
  readonly options: TransportOptions
  attempts: number
  wasUnknown: boolean
  lastFault: Fault | undefined
}

export type RouterDependencies = {
  readonly host: Host
  readonly rpc: Rpc
  readonly self: NodeId
  readonly session: number
  readonly name: string
  readonly group: GroupId
  /** Nodes that may have a replica, asked in turn while no leader is known. */
  readonly members: readonly NodeId[]
  readonly replica: Replica | undefined
  /** Of the replica. */
  readonly source: WatchSource | undefined
}

export class Router implements Transport {
  readonly #host: Host
  readonly #rpc: Rpc
  readonly #self: NodeId
  readonly #name: string
  readonly #group: GroupId
  readonly #members: readonly NodeId[]
  readonly #replica: Replica | undefined
  readonly #sequences: Sequences
  /** Ends of attempts and pauses that a change of leader makes pointless. */
  readonly #waiting = new Set<(fault: Fault) => void>()
  readonly #revisionListeners = new Set<() => void>()
  readonly #source: WatchSource | undefined
  readonly #feeds = new Map<FeedLink, FeedReceiver>()
  readonly #forwards = new Map<NodeId, Gatherer>()
  #leader: NodeId | undefined
  #inFlight = 0
  #turn = 0
  #isClosed = false

  constructor(dependencies: RouterDependencies) {
    this.#host = dependencies.host
    this.#rpc = dependencies.rpc
    this.#self = dependencies.self
    this.#name = dependencies.name
    this.#group = dependencies.group
    this.#members = dependencies.members.filter((member) => member !== dependencies.self)
    this.#replica = dependencies.replica
    this.#source = dependencies.source
    this.#sequences = new Sequences(dependencies.session)
    this.#leader = this.#replica?.group.status().leader
    this.#replica?.group.onLeadership((leader) => this.#follow(leader))
    this.#replica?.group.onApplied(() => {
      for (const changed of this.#revisionListeners) changed()
    })
  }

  /** Fault 'overloaded' beyond inFlightMax requests. */
  async request(
    kind: RequestKind,
    body: Uint8Array,
    options: TransportOptions,
  ): Promise<Uint8Array> {
    if (this.#inFlight >= inFlightMax) {
      throw new Fault('overloaded', `${this.#name} has ${inFlightMax} requests in flight`)
    }
    this.#inFlight++
    const isWrite = isWriteKind(kind)
    const sequence = isWrite ? this.#sequences.open() : 0
    try {
      return await this.#route({
        kind,
        request: body,
        sequence,
        body: isWrite ? undefined : body,
        deadlineAtMs: this.#host.clock.monotonicMs() + options.deadlineMs,
        options,
        attempts: 0,
        wasUnknown: false,
        lastFault: undefined,
      })
    } finally {
      this.#inFlight--
      if (isWrite) this.#sequences.close(sequence)
    }
  }

  /**
   * Writes of one kind that came together, tried together; each has its own id, and what is not answered at once goes
   * on by itself.
   */
  requestAll(kind: WriteKind, requests: readonly Uint8Array[], options: ManyOptions): void {
    const { settle, ...each } = options
    const target = this.#leader
    const isReady = target !== undefined && this.#sequences.isBegun && !this.#isClosed
    const isTooMany = this.#inFlight + requests.length > inFlightMax
    if (!isReady || isTooMany || options.signal !== undefined) {
      for (const [i, request] of requests.entries()) {
        void this.request(kind, request, each)
          .catch(toFault)
          .then((outcome) => settle(i, outcome))
      }
      return
    }
    this.#inFlight += requests.length
    const deadlineAtMs = this.#host.clock.monotonicMs() + options.deadlineMs
    const calls: Call[] = []
    for (const request of requests) {
      const sequence = this.#sequences.open()
      const body = this.#sequences.encode(kind, sequence, request)
      const asked = { kind, request, sequence, body, deadlineAtMs, options: each }
      calls.push({ ...asked, attempts: 0, wasUnknown: false, lastFault: undefined })
    }
    void this.#runAll(calls, target, options)
  }

  freshness(): ReturnType<Keyspace['freshness']> {
    if (this.#replica === undefined)
      return { revision: toRevision(0), guard: 0, heardMsAgo: Infinity }
    const { heardMs } = this.#replica.group.status()
    const { record, guard } = this.#replica.machine.state
    return {
      revision: toRevision(record.revision),
      guard: guard.revision,
      heardMsAgo: Math.max(0, this.#host.clock.monotonicMs() - heardMs),
    }
  }

  onRevision(changed: () => void): () => void {
    this.#revisionListeners.add(changed)
    return () => {
      this.#revisionListeners.delete(changed)
    }
  }

  openFeed(receiver: FeedReceiver): FeedLink {
    const feed =
      this.#source === undefined || this.#isStranded(strandedFeedMs)
        ? new RemoteFeed(this.#host, (body) => this.request('events', body, pullOptions))
        : new WatchFeed(this.#host, this.#source, {
            receiver,
            onRevision: (changed) => this.onRevision(changed),
          })
    this.#feeds.set(feed, receiver)
    if (this.#isClosed) this.#host.clock.soon(() => this.#endFeeds())
    return feed
  }

  /**
   * Watches of a stranded replica would never end and never be told anything: they go on elsewhere, and come back
   * when there is a leader again.
   */
  tick(): void {
    if (this.#source === undefined || this.#feeds.size === 0) return
    const isStranded = this.#isStranded(strandedFeedMs)
    for (const [feed, receiver] of this.#feeds) {
      if (feed instanceof RemoteFeed === isStranded) continue
      this.#feeds.delete(feed)
      feed.close()
      const what = isStranded ? 'is no member or hears no leader' : 'is back'
      receiver.ended(new Fault('unavailable', `the replica of this node ${what}`))
    }
  }

  close(): void {
    this.#isClosed = true
    this.#endFeeds()
    this.#wakeAll(new Fault('unavailable', 'the node is stopping', { outcome: 'unknown' }))
  }

  #endFeeds(): void {
    for (const [feed, receiver] of this.#feeds) {
      feed.close()
      receiver.ended(new Fault('unavailable', 'the node is stopping'))
    }
    this.#feeds.clear()
  }

  async #route(call: Call): Promise<Uint8Array> {
    const { sequence } = call
    for (;;) {
      this.#mustGoOn(call)
      const target = this.#target(call)
      try {
        if (target !== undefined) {
          if (call.body === undefined && !this.#sequences.isBegun) await this.#begin(call, target)
          const body = this.#bodyOf(call)
          const answer = await this.#attempt(call, body, target)
          if (sequence === 0 || !this.#maybeRenew(call, answer)) return answer
          continue
        }
      } catch (error) {
        const fault = toFault(error)
        if (!this.#note(call, target, fault)) throw asOutcome(fault, call.wasUnknown)
      }
      call.attempts++
      if (target === undefined || !this.#hasBetterTarget(call, target)) await this.#pause(call)
    }
  }

  /** A session begins with the leader's time, which is asked before its first request. */
  async #begin(call: Call, target: NodeId): Promise<void> {
    const question: Call = { ...call, kind: 'session' }
    const answer = await this.#attempt(question, noBytes, target).catch((error: unknown) => {
      const { code, message, fields } = toFault(error)
      throw new Fault(code, message, { fields, cause: error })
    })
    this.#sequences.renew(decodeUpkeepAnswer(answer).timeMs)
  }

  /** A write's id stays the same through all attempts, whatever others learn about the session. */
  #bodyOf(call: Call): Uint8Array {
    const { kind, sequence, request } = call
    call.body ??= this.#sequences.encode(kind as WriteKind, sequence, request)
    return call.body
  }

  /**
   * True when the request was refused because its session was forgotten, and may be made under a new one:
   * it was never made before. Otherwise the asker has to hear that its outcome is not known any more.
   */
  #maybeRenew(call: Call, answer: Uint8Array): boolean {
    const fault = readFaultAnswer(answer)
    const timeMs = fault === undefined ? undefined : readSessionExpired(fault)
    if (timeMs === undefined || call.wasUnknown) return false
    this.#sequences.renew(timeMs)
    call.body = undefined
    return true
  }

  #mustGoOn(call: Call): void {
    const outcome = call.wasUnknown ? 'unknown' : 'failed'
    if (call.options.signal?.aborted === true) {
      throw new Fault('cancelled', 'the request was cancelled', { outcome })
    }
    if (this.#isClosed) throw new Fault('unavailable', 'the node is stopping', { outcome })
    if (this.#host.clock.monotonicMs() < call.deadlineAtMs) return
    const last = call.lastFault
    const code = last === undefined || call.wasUnknown ? 'deadline' : last.code
    throw new Fault(code === 'not-leader' ? 'unavailable' : code, whyNot(this.#name, last), {
      outcome,
      cause: last,
    })
  }

  #target(call: Call): NodeId | undefined {
    if (!isLeaderKind(call.kind) && this.#replica !== undefined) {
      const isDamagedHere = isFault(call.lastFault, 'corrupt')
      if (isDamagedHere && this.#leader !== undefined) return this.#leader
      const isElsewhere = call.kind === 'events' || this.#isStranded(strandedMs)
      if (!isElsewhere || (call.options.isSerializable && call.kind !== 'events')) return this.#self
    }
    if (this.#leader !== undefined) return this.#leader
    // 1. The leader is elected while a request is under way to it; 2. its refusal, older than that, arrives
    // after the news and is believed; 3. nobody tells of this leader again.
    if (this.#replica !== undefined && !this.#isStranded(strandedMs)) {
      return this.#replica.group.status().leader
    }
    if (this.#members.length === 0) return undefined
    return this.#members[this.#turn++ % this.#members.length]
  }

  /**
   * The replica has been removed from its group, as its own configuration says. Or it has heard no leader for long:
   * it may have been removed, and nobody will tell it. Others are asked then, as on a node without a replica.
   */
  #isStranded(forMs: number): boolean {
    if (this.#replica === undefined) return false
    const { role, heardMs, voters, votersOutgoing, learners } = this.#replica.group.status()
    if (role === 'leader') return false
    const isMember = [voters, votersOutgoing, learners].some((ids) => ids.includes(this.#self))
    return !isMember || this.#host.clock.monotonicMs() - heardMs > forMs
  }

  /** Another target is known: no need to pause, unless nodes only point at one another. */
  #hasBetterTarget(call: Call, failed: NodeId): boolean {
    if (call.attempts > hopsMax) return false
    return this.#leader !== undefined && this.#leader !== failed
  }

  /** What a failed attempt teaches. False when trying again is pointless. */
  #note(call: Call, target: NodeId | undefined, fault: Fault): boolean {
    const isRead = !isWriteKind(call.kind)
    if (fault.outcome === 'unknown' && !isRead) call.wasUnknown = true
    // What a replica says of itself nobody else can say.
    const canAskOther =
      (call.kind === 'range' || call.kind === 'read') &&
      fault.code === 'corrupt' &&
      target === this.#self &&
      this.#leader !== this.#self
    const isFirst = !isFault(call.lastFault, 'corrupt')
    call.lastFault = fault
    if (fault.code === 'not-leader') this.#learnLeader(target, fault.fields.leader)
    else if (target !== this.#self && this.#leader === target && this.#isOnlyHeardOf(target)) {
      this.#leader = undefined
    }
    if (canAskOther) return isFirst
    return retriedCodes.has(fault.code)
  }

  /** No replica here follows it: a refusal is the only news of it. */
  #isOnlyHeardOf(leader: NodeId | undefined): boolean {
    if (this.#replica === undefined || this.#isStranded(strandedMs)) return true
    return this.#replica.group.status().leader !== leader
  }

  #learnLeader(target: NodeId | undefined, told: string | undefined): void {
    const leader = Number(told ?? '')
    if (Number.isSafeInteger(leader) && leader > 0 && leader !== target) {
      this.#leader = nodeId(leader)
    } else if (this.#leader === target) {
      this.#leader = undefined
    }
  }

  #follow(leader: NodeId | undefined): void {
    this.#leader = leader
    if (leader === undefined) return
    this.#wakeAll(new Fault('unavailable', 'the leader has changed', { outcome: 'unknown' }))
  }

  #wakeAll(fault: Fault): void {
    for (const wake of [...this.#waiting]) wake(fault)
  }

  /** Never rejects. */
  async #runAll(calls: readonly Call[], target: NodeId, options: ManyOptions): Promise<void> {
    const outcomes = await this.#attemptAll(target, calls, options.deadlineMs)
    for (let i = 0; i < calls.length; i++) {
      const [call, outcome] = [calls[i] as Call, outcomes[i] as Uint8Array | Fault]
      if (outcome instanceof Fault || this.#maybeRenew(call, outcome)) {
        void this.#goOn(call, target, outcome).then((last) => options.settle(i, last))
        continue
      }
      this.#end(call)
      options.settle(i, outcome)
    }
  }

  async #attemptAll(
    target: NodeId,
    calls: readonly Call[],
    deadlineMs: number,
  ): Promise<readonly (Uint8Array | Fault)[]> {
    const [first] = calls
    if (first === undefined) return []
    const bodies = calls.map((call) => call.body ?? noBytes)
    const isRemote = target !== this.#self
    const ms = isRemote ? Math.min(deadlineMs, attemptMsMax) : deadlineMs
    try {
      const answers = isRemote
        ? this.#forwardsTo(target).addAll(bodies)
        : this.#mustHaveReplica().writeAll(bodies)
      return await this.#settle(answers, first, { ms, isRemote })
    } catch (error) {
      return new Array(calls.length).fill(toFault(error))
    }
  }

  /** After an attempt together with others: alone, under the same id. `outcome` is an answer when the id was renewed. */
  async #goOn(
    call: Call,
    target: NodeId,
    outcome: Uint8Array | Fault,
  ): Promise<Uint8Array | Fault> {
    try {
      if (outcome instanceof Fault) {
        if (!this.#note(call, target, outcome)) return asOutcome(outcome, call.wasUnknown)
        call.attempts++
        if (!this.#hasBetterTarget(call, target)) await this.#pause(call)
      }
      return await this.#route(call)
    } catch (error) {
      return toFault(error)
    } finally {
      this.#end(call)
    }
  }

  #end(call: Call): void {
    this.#inFlight--
    this.#sequences.close(call.sequence)
  }

  #attempt(call: Call, body: Uint8Array, target: NodeId): Promise<Uint8Array> {
    const leftMs = call.deadlineAtMs - this.#host.clock.monotonicMs()
    if (target === this.#self) {
      return this.#settle(this.#attemptHere(call, body), call, { ms: leftMs, isRemote: false })
    }
    const ms = Math.min(leftMs, attemptMsMax)
    if (isWriteKind(call.kind)) {
      return this.#settle(this.#forwardsTo(target).add(body), call, { ms, isRemote: true })
    }
    const { signal, isSerializable } = call.options
    const { kind } = call
    const request = encodeCall({ group: this.#group, kind: callKindOf(kind), isSerializable, body })
    const answer = this.#rpc.call(target, controlMethod.keyspaceRequest, request, {
      deadlineMs: Math.max(1, ms),
      ...(signal === undefined ? {} : { signal }),
    })
    return this.#settle(answer, call, { ms, isRemote: true })
  }

  /** Writes for one node that come in one turn share a call. */
  #forwardsTo(target: NodeId): Gatherer {
    let forwards = this.#forwards.get(target)
    if (forwards === undefined) {
      const send: SendParts<Uint8Array | Fault> = (writes) => this.#callWrites(target, writes)
      forwards = new Gatherer(this.#host.clock, { bytesMax: callBytesWanted, send })
      this.#forwards.set(target, forwards)
    }
    return forwards
  }

  async #callWrites(
    target: NodeId,
    writes: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | Fault)[]> {
    const [only] = writes
    const isOne = writes.length === 1 && only !== undefined
    const call = isOne
      ? { kind: 'write' as const, body: only }
      : { kind: 'writes' as const, body: encodeParts(writes) }
    const request = encodeCall({ ...call, group: this.#group, isSerializable: false })
    const options = { deadlineMs: attemptMsMax }
    const answer = await this.#rpc.call(target, controlMethod.keyspaceRequest, request, options)
    return isOne ? [answer] : decodeParts(answer).map(decodeOutcome)
  }

  async #attemptHere(call: Call, body: Uint8Array): Promise<Uint8Array> {
    const replica = this.#mustHaveReplica()
    const kind = callKindOf(call.kind)
    if (kind === 'write') return replica.write(body)
    if (kind === 'events') throw new Fault('unsupported', 'a replica is watched over its feed')
    const { isSerializable, signal } = call.options
    return replica.read(kind, body, { isSerializable, signal })
  }

  #mustHaveReplica(): Replica {
    if (this.#replica !== undefined) return this.#replica
    throw new Fault('not-leader', 'this node has no replica', { fields: { leader: '' } })
  }

  /** Waits for an attempt no longer than it may take, and not beyond cancellation or a new leader. */
  #settle<T>(
    answer: Promise<T>,
    call: Call,
    limit: { readonly ms: number; readonly isRemote: boolean },
  ): Promise<T> {
    const { signal } = call.options
    return new Promise((resolve, reject) => {
      const end = (fault: Fault): void => {
        release()
        reject(fault)
      }
      const onAbort = (): void =>
        end(new Fault('cancelled', 'the request was cancelled', { outcome: 'unknown' }))
      const timer = this.#host.clock.after(limit.ms, () =>
        end(new Fault('deadline', 'no answer in time', { outcome: 'unknown' })),
      )
      const release = (): void => {
        timer.cancel()
        this.#waiting.delete(end)
        signal?.removeEventListener('abort', onAbort)
      }
      if (limit.isRemote || this.#isClosed) this.#waiting.add(end)
      signal?.addEventListener('abort', onAbort)
      answer.then(
        (settled) => {
          release()
          resolve(settled)
        },
        (error: unknown) => {
          release()
          reject(error)
        },
      )
    })
  }

  /** Until a moment has passed, a leader is known, or the request is cancelled. */
  #pause(call: Call): Promise<void> {
    const widest = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(call.attempts, 10))
    const share = 0.5 + this.#host.random.integer(jitterLimit) / jitterLimit
    const leftMs = call.deadlineAtMs - this.#host.clock.monotonicMs()
    const ms = Math.max(1, Math.min(widest * share, leftMs))
    const { signal } = call.options
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel()
        this.#waiting.delete(end)
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const timer = this.#host.clock.after(ms, end)
      this.#waiting.add(end)
      signal?.addEventListener('abort', end)
    })
  }
}

/** An earlier attempt may have succeeded, whatever the last one says. */
function asOutcome(fault: Fault, wasUnknown: boolean): Fault {
  if (!wasUnknown || fault.outcome === 'unknown') return fault
  const { code, message, fields } = fault
  return new Fault(code, message, { outcome: 'unknown', fields, cause: fault })
}

function whyNot(name: string, last: Fault | undefined): string {
  const because = last === undefined ? 'no leader is known' : last.message
  return `${name} gave no answer before the deadline: ${because}`
}
