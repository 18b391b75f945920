// One database as its users see it on this node: batches go to whoever leads and are asked again under the same id; reads
// are answered from this node's file, behind as much as their level wants.

import {
  decodeBytes,
  encodeBytes,
  bytes,
  Fault,
  message,
  type NodeId,
  repeated,
  text,
  toFault,
  uint,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import { Comparison } from './comparison.ts'
import { answerCodec } from './core/answer.ts'
import {
  batchBytesMax,
  batchCodec,
  idBytes,
  makeBatchId,
  type SqlBatch,
  seedBytes,
  statementsMax,
} from './core/entry.ts'
import type { SqlMachine } from './machine.ts'
import { notLeader, Proposer, type RanBatch } from './proposer.ts'
import type {
  ExecuteAnswer,
  ExecuteOptions,
  QueryOptions,
  SqlDatabase,
  SqlReplica,
  SqlResult,
  SqlStatement,
  SqlStatus,
} from './sql.ts'

export type DatabaseEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly self: NodeId
  readonly name: string
  readonly group: Group
  readonly machine: SqlMachine
}

const timeoutMsDefault = 30_000
const timeoutMsMax = 600_000
const attemptMsMax = 15_000
const replicaMsMax = 10_000
const backoffMsMin = 10
const backoffMsMax = 250

const requestFields = message({ group: uint(1), batch: bytes(2) })
const replicaFields = message({ applied: uint(1), digest: text(2) })
const ranFields = message({ answer: bytes(1), elapsedUs: repeated(uint(2)) })

export class Database implements SqlDatabase {
  readonly name: string
  readonly #ends: DatabaseEnds
  readonly #proposer: Proposer
  readonly #comparison: Comparison

  constructor(ends: DatabaseEnds) {
    this.name = ends.name
    this.#ends = ends
    this.#proposer = new Proposer(ends.host, ends.group, () => ends.machine.file)
    this.#comparison = new Comparison({
      ...ends,
      isLeader: () => ends.group.status().role === 'leader',
      replicas: () => this.replicas(),
    })
  }

  async execute(
    statements: readonly SqlStatement[],
    options: ExecuteOptions = {},
  ): Promise<ExecuteAnswer> {
    const { host } = this.#ends
    checkCount(statements)
    const id = options.id ?? makeBatchId(host.clock.wallMs(), host.random.bytes(10))
    if (id.length !== idBytes) throw new Fault('invalid', `an id has ${idBytes} bytes`)
    const { isAtomic = true } = options
    const batch: SqlBatch = { id, timeMs: 0, seed: new Uint8Array(seedBytes), isAtomic, statements }
    const encoded = batchCodec.encode(batch)
    if (encoded.length > batchBytesMax) {
      const next = 'send fewer statements at a time'
      throw new Fault('too-large', `a batch has at most ${batchBytesMax} bytes`, { next })
    }
    const ran = await this.#anywhere(batch, encoded, timeoutOf(options.timeoutMs))
    const { results, refusal } = answerCodec.decode(ran.answer)
    if (refusal === 'mismatch') {
      throw new Fault('precondition', 'the id was used for another batch')
    }
    if (refusal === 'forgotten') {
      throw new Fault('precondition', 'the id is too old to know whether its batch has run')
    }
    return {
      results: results.map((one, at) => ({ ...one, elapsedUs: ran.elapsedUs[at] ?? 0 })),
    }
  }

  async query(
    statements: readonly SqlStatement[],
    options: QueryOptions = {},
  ): Promise<readonly SqlResult[]> {
    const { host, group, machine } = this.#ends
    checkCount(statements)
    const { level = 'leader', freshMs } = options
    const leftMs = countdown(host, timeoutOf(options.timeoutMs))
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
      differing: this.#comparison.differing,
    }
  }

  /** Where this node leads: what another one passes on. */
  async answer(encoded: Uint8Array): Promise<Uint8Array> {
    const ran = await this.#here(batchCodec.decode(encoded), encoded.length)
    return encodeBytes(ranFields, ran)
  }

  async replicas(): Promise<readonly SqlReplica[]> {
    const { voters, learners } = this.#ends.group.status()
    const nodes = [...voters, ...learners].sort((a, b) => a - b)
    return await Promise.all(nodes.map((node) => this.#replicaOf(node)))
  }

  /** This node's, for whoever compares: it catches up first. Fault 'deadline'. */
  async replica(deadlineMs: number): Promise<Uint8Array> {
    const { file } = this.#ends.machine
    await file.caughtUp({ deadlineMs })
    return encodeBytes(replicaFields, { applied: file.applied ?? 0, digest: file.digest })
  }

  async #replicaOf(node: NodeId): Promise<SqlReplica> {
    const { group, rpc, self } = this.#ends
    try {
      const request = encodeBytes(requestFields, { group: group.group, batch: new Uint8Array(0) })
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
  }

  #here(batch: SqlBatch, encodedBytes: number): Promise<RanBatch> {
    const { role, leader } = this.#ends.group.status()
    if (role !== 'leader') return Promise.reject(notLeader(leader))
    this.#comparison.soon()
    return this.#proposer.execute(batch, encodedBytes)
  }

  async #anywhere(batch: SqlBatch, encoded: Uint8Array, timeoutMs: number): Promise<RanBatch> {
    const { host } = this.#ends
    const leftMs = countdown(host, timeoutMs)
    let isUnknown = false
    for (let backoffMs = backoffMsMin; ; backoffMs = Math.min(backoffMsMax, backoffMs * 2)) {
      try {
        return await this.#once(batch, encoded, Math.min(attemptMsMax, leftMs()))
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

  async #once(batch: SqlBatch, encoded: Uint8Array, deadlineMs: number): Promise<RanBatch> {
    const { host, group, rpc, self, name } = this.#ends
    const { leader } = group.status()
    if (leader === undefined) throw new Fault('unavailable', `${name} has no leader now`)
    if (leader === self) {
      const late = host.clock.sleep(deadlineMs).then((): never => {
        const options = { outcome: 'unknown' } as const
        throw new Fault('unavailable', 'the batch waits for its turn or its quorum', options)
      })
      late.catch(() => undefined)
      return await Promise.race([this.#here(batch, encoded.length), late])
    }
    const request = encodeBytes(requestFields, { group: group.group, batch: encoded })
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

/** What may be otherwise soon, on this node or another. A statement that ran too long fails for good. */
function isPassing({ code, outcome }: Fault): boolean {
  if (code === 'deadline') return outcome === 'unknown'
  return code === 'not-leader' || code === 'unavailable' || code === 'overloaded'
}

function checkCount({ length }: readonly SqlStatement[]): void {
  if (length > 0 && length <= statementsMax) return
  throw new Fault('invalid', `a request has 1 to ${statementsMax} statements, not ${length}`)
}

function timeoutOf(timeoutMs = timeoutMsDefault): number {
  if (timeoutMs > 0 && timeoutMs <= timeoutMsMax) return timeoutMs
  throw new Fault('invalid', `a timeout is between 1 and ${timeoutMsMax} ms`)
}

function countdown(host: Host, timeoutMs: number): () => number {
  const endMs = host.clock.monotonicMs() + timeoutMs
  return () => Math.max(1, endMs - host.clock.monotonicMs())
}
