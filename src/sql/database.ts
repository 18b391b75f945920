// One database as its users see it on this node: batches go to whoever leads and are asked again under the same id; reads
// are answered from this node's file, behind as much as their level wants.

import {
  decodeBytes,
  encodeBytes,
  bytes,
  Fault,
  fromHex,
  message,
  type NodeId,
  repeated,
  text,
  toFault,
  toHex,
  uint,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { controlMethod, type Rpc, type RpcStream } from '../rpc/index.ts'
import { type Accusation, type Collected, Comparison } from './comparison.ts'
import { batchCodec, type SqlBatch } from './core/entry.ts'
import { Healing } from './healing.ts'
import { Interactive } from './interactive.ts'
import type { SqlMachine } from './machine.ts'
import { checkCount, executeAnswerOf, makeBatch, timeoutOf } from './requests.ts'
import { notLeader, Proposer } from './proposer.ts'
import type {
  ExecuteAnswer,
  ExecuteOptions,
  LocalDatabase,
  QueryOptions,
  RanBatch,
  SqlReplica,
  SqlResult,
  SqlStatement,
  SqlStatus,
  SqlTransaction,
  TransactionOptions,
} from './sql.ts'
import { answerTransaction, beginTransaction, type TransactionEnds } from './transactions.ts'

export type DatabaseEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly self: NodeId
  readonly name: string
  readonly group: Group
  readonly machine: SqlMachine
}

const attemptMsMax = 15_000
const replicaMsMax = 10_000
const compareMsMax = 2000
const backoffMsMin = 10
const backoffMsMax = 250

const requestFields = message({ group: uint(1), batch: bytes(2), index: uint(3) })
const accusationFields = message({ group: uint(1), index: uint(2), digest: bytes(3) })
const replicaFields = message({ applied: uint(1), digest: text(2) })
const noBatch = { batch: new Uint8Array(0), index: 0 }
const ranFields = message({ answer: bytes(1), elapsedUs: repeated(uint(2)) })

export class Database implements LocalDatabase {
  readonly name: string
  readonly #ends: DatabaseEnds
  readonly #proposer: Proposer
  readonly #comparison: Comparison
  readonly #transactions: TransactionEnds
  readonly #healing: Healing

  constructor(ends: DatabaseEnds) {
    this.name = ends.name
    this.#ends = ends
    this.#proposer = new Proposer(ends.host, ends.group, () => ends.machine.file)
    const interactive = new Interactive(ends.host, this.#proposer)
    this.#transactions = { ...ends, interactive }
    this.#healing = new Healing(ends)
    this.#comparison = new Comparison({
      ...ends,
      isLeader: () => ends.group.status().role === 'leader',
      voters: () => ends.group.status().voters,
      learners: () => ends.group.status().learners,
      collect: () => this.#collect(),
      accuse: (node, found) => this.#accuse(node, found),
    })
    ends.group.onLeadership((_, isSelf) => {
      // A database that rests has nothing new to compare, and no engine is started for it.
      if (isSelf && ends.machine.file.isRunning) this.#comparison.soon()
    })
  }

  async execute(
    statements: readonly SqlStatement[],
    options: ExecuteOptions = {},
  ): Promise<ExecuteAnswer> {
    const encoded = makeBatch(this.#ends.host, statements, options)
    const { timeoutMs } = options
    return executeAnswerOf(
      await this.executeEncoded(encoded, timeoutMs === undefined ? {} : { timeoutMs }),
    )
  }

  async executeEncoded(
    encoded: Uint8Array,
    { timeoutMs }: { readonly timeoutMs?: number } = {},
  ): Promise<RanBatch> {
    return await this.#anywhere(encoded, timeoutOf(timeoutMs))
  }

  async begin(options: TransactionOptions = {}): Promise<SqlTransaction> {
    return await beginTransaction(this.#transactions, options)
  }

  async query(
    statements: readonly SqlStatement[],
    options: QueryOptions = {},
  ): Promise<readonly SqlResult[]> {
    const { host, group, machine } = this.#ends
    checkCount(statements)
    const { level = 'leader', freshMs } = options
    const leftMs = countdown(host, timeoutOf(options.timeoutMs))
    this.#mustBeWhole()
    const { role, heardMs } = group.status()
    if (level === 'none') {
      const ageMs = host.clock.monotonicMs() - heardMs
      if (freshMs !== undefined && role !== 'leader' && ageMs > freshMs) {
        throw new Fault('unavailable', `the leader was last heard ${Math.round(ageMs)} ms ago`)
      }
    } else if (level === 'linearizable' || role !== 'leader') {
      await this.#barrier(leftMs())
    }
    await machine.file.caughtUp({ deadlineMs: leftMs() })
    return await machine.file.query(statements, { deadlineMs: leftMs() })
  }

  status(): SqlStatus {
    const { group, machine, name } = this.#ends
    const { role, isLearner, term, leader = 0, commit, voters, learners } = group.status()
    return {
      name,
      group: group.group,
      role: isLearner ? 'learner' : role,
      term,
      leader,
      commit,
      applied: machine.file.applied ?? 0,
      digest: machine.file.digest,
      voters,
      learners,
      isEngineRunning: machine.file.isRunning,
      isWhole: machine.differsAt === 0,
      differing: this.#comparison.differing,
    }
  }

  /** Where this node leads: what another one passes on. */
  async answer(encoded: Uint8Array): Promise<Uint8Array> {
    const ran = await this.#here(batchCodec.decode(encoded), encoded.length)
    return encodeBytes(ranFields, ran)
  }

  /** Where this node leads: a transaction that another one asks for. */
  async answerTransaction(request: Uint8Array): Promise<Uint8Array> {
    return await answerTransaction(this.#transactions, request)
  }

  async replicas(): Promise<readonly SqlReplica[]> {
    const { voters, learners } = this.#ends.group.status()
    const nodes = [...voters, ...learners].sort((a, b) => a - b)
    return await Promise.all(nodes.map((node) => this.#replicaOf(node)))
  }

  /** This node's, for whoever compares: it catches up first. Fault 'deadline'. */
  async replica(deadlineMs: number, index = 0): Promise<Uint8Array> {
    const { machine } = this.#ends
    this.#mustBeWhole()
    const leftMs = countdown(this.#ends.host, deadlineMs)
    if (index > machine.last) await this.#barrier(leftMs())
    await machine.file.caughtUp({ deadlineMs: leftMs() })
    const { file } = machine
    if (index === 0) {
      return encodeBytes(replicaFields, { applied: file.applied ?? 0, digest: file.digest })
    }
    const digest = await file.digestAt(index)
    if (digest === undefined) throw new Fault('not-found', 'the digest there is not known any more')
    return encodeBytes(replicaFields, { applied: index, digest: toHex(digest) })
  }

  /** What the leader has found: it is checked here before it is believed. Faults 'precondition', 'not-found'. */
  async hear(from: NodeId, request: Uint8Array): Promise<Uint8Array> {
    const { group, machine } = this.#ends
    const { index, digest } = decodeBytes(accusationFields, request)
    if (group.status().leader !== from) {
      throw new Fault('precondition', 'only who leads compares replicas')
    }
    if (machine.differsAt === 0) {
      const own = decodeBytes(replicaFields, await this.replica(compareMsMax, index))
      if (own.digest !== toHex(digest)) await machine.markDiffering(index)
    }
    return new Uint8Array(0)
  }

  /** Gives another replica a copy of this one's file. */
  async give(stream: RpcStream): Promise<void> {
    await this.#healing.give(stream)
  }

  async #collect(): Promise<Collected | undefined> {
    const { group, rpc, self, machine, host, name } = this.#ends
    try {
      const index = await this.#markHere()
      const own = decodeBytes(replicaFields, await this.replica(compareMsMax, index))
      const digests = new Map<NodeId, Uint8Array>([[self, digestOf(own.digest)]])
      const { voters, learners } = group.status()
      const request = encodeBytes(requestFields, { ...noBatch, group: group.group, index })
      const options = { deadlineMs: compareMsMax }
      const ask = async (node: NodeId): Promise<void> => {
        const told = await rpc.call(node, controlMethod.sqlReplica, request, options)
        const { applied, digest } = decodeBytes(replicaFields, told)
        // A program that does not know of indexes tells of where it stands.
        if (applied === index) digests.set(node, digestOf(digest))
      }
      const others = [...voters, ...learners].filter((node) => node !== self)
      await Promise.all(others.map((node) => ask(node).catch(() => undefined)))
      return { index, digests }
    } catch (error) {
      const what = toFault(error).message
      if (machine.differsAt === 0) {
        host.journal.event('notice', 'sql.comparison_waits', { name, what })
        this.#comparison.soon()
      }
      return undefined
    }
  }

  /** The last entry that this node's file shows. */
  async #markHere(): Promise<number> {
    const { file } = this.#ends.machine
    await file.caughtUp({ deadlineMs: compareMsMax })
    return file.applied ?? 0
  }

  async #accuse(node: NodeId, { index, digest }: Accusation): Promise<void> {
    const { group, rpc, self, machine } = this.#ends
    if (node === self) return await machine.markDiffering(index)
    const request = encodeBytes(accusationFields, { group: group.group, index, digest })
    // Who does not hear it now is found again by the next comparison.
    await rpc
      .call(node, controlMethod.sqlDiffers, request, { deadlineMs: compareMsMax })
      .catch(() => undefined)
  }

  #mustBeWhole(): void {
    if (this.#ends.machine.differsAt === 0) return
    const next = 'ask another node; this one is being replaced by a copy of the leader'
    throw new Fault('unavailable', 'this replica differs from most others', { next })
  }

  async #replicaOf(node: NodeId): Promise<SqlReplica> {
    const { group, rpc, self } = this.#ends
    try {
      const request = encodeBytes(requestFields, { ...noBatch, group: group.group })
      const told =
        node === self
          ? await this.replica(replicaMsMax)
          : await rpc.call(node, controlMethod.sqlReplica, request, { deadlineMs: replicaMsMax })
      return { node, ...decodeBytes(replicaFields, told) }
    } catch (error) {
      return { node, fault: toFault(error).message }
    }
  }

  close(): void {
    this.#comparison.close()
    this.#healing.close()
    this.#transactions.interactive.close()
  }

  #here(batch: SqlBatch, encodedBytes: number): Promise<RanBatch> {
    const { role, leader } = this.#ends.group.status()
    if (role !== 'leader') return Promise.reject(notLeader(leader))
    if (this.#comparison.isSplit) {
      return Promise.reject(new Fault('corrupt', 'replicas differ and no majority agrees'))
    }
    this.#comparison.soon()
    return this.#proposer.execute(batch, encodedBytes)
  }

  async #anywhere(encoded: Uint8Array, timeoutMs: number): Promise<RanBatch> {
    const { host } = this.#ends
    const leftMs = countdown(host, timeoutMs)
    let isUnknown = false
    for (let backoffMs = backoffMsMin; ; backoffMs = Math.min(backoffMsMax, backoffMs * 2)) {
      try {
        return await this.#once(encoded, Math.min(attemptMsMax, leftMs()))
      } catch (error) {
        const fault = toFault(error)
        if (fault.outcome === 'unknown') isUnknown = true
        const isFinal = !isPassing(fault) || leftMs() <= backoffMs
        if (isFinal && isUnknown && fault.outcome === 'failed' && isPassing(fault)) {
          throw new Fault(fault.code, fault.message, { outcome: 'unknown', cause: fault })
        }
        if (isFinal) throw fault
      }
      await host.clock.sleep(backoffMs)
    }
  }

  async #once(encoded: Uint8Array, deadlineMs: number): Promise<RanBatch> {
    const { host, group, rpc, self, name } = this.#ends
    const { leader } = group.status()
    if (leader === undefined) throw new Fault('unavailable', `${name} has no leader now`)
    if (leader === self) {
      return await new Promise((resolve, reject) => {
        const timer = host.clock.after(deadlineMs, () => {
          const options = { outcome: 'unknown' } as const
          reject(new Fault('unavailable', 'the batch waits for its turn or its quorum', options))
        })
        const ran = this.#here(batchCodec.decode(encoded), encoded.length)
        ran.then(resolve, reject).finally(() => timer.cancel())
      })
    }
    const request = encodeBytes(requestFields, { group: group.group, batch: encoded, index: 0 })
    const answer = await rpc.call(leader, controlMethod.sqlExecute, request, { deadlineMs })
    return decodeBytes(ranFields, answer)
  }

  #barrier(deadlineMs: number): Promise<void> {
    const { host, group, name } = this.#ends
    const abort = new AbortController()
    return new Promise((resolve, reject) => {
      const timer = host.clock.after(deadlineMs, () => {
        reject(new Fault('deadline', `${name}: no quorum confirmed the read in time`))
        abort.abort()
      })
      group
        .readBarrier(abort.signal)
        .then(resolve, reject)
        .finally(() => timer.cancel())
    })
  }
}

/** Of a request that another node passes on. Fault 'corrupt'. */
export function decodeRequest(request: Uint8Array) {
  return decodeBytes(requestFields, request)
}

function digestOf(text: string): Uint8Array {
  const digest = fromHex(text)
  if (digest === undefined) throw new Fault('corrupt', 'a digest is hexadecimal')
  return digest
}

/** What may be otherwise soon, on this node or another. A statement that ran too long fails for good. */
function isPassing({ code, outcome }: Fault): boolean {
  if (code === 'deadline') return outcome === 'unknown'
  return code === 'not-leader' || code === 'unavailable' || code === 'overloaded'
}

function countdown(host: Host, timeoutMs: number): () => number {
  const endMs = host.clock.monotonicMs() + timeoutMs
  return () => Math.max(1, endMs - host.clock.monotonicMs())
}
