// One namespace on an etcd cluster: requests translated, sent, and their answers translated back. Reads are
// repeated freely, mutations by their slot (once.ts).

import { Fault, isFault, revision as toRevision, type Revision, toHex } from '../../base/index.ts'
import { checkNumber, hasPut, isReadOnly } from '../core/check.ts'
import { nestingMax } from '../core/limits.ts'
import type {
  FullKeyspace,
  Guard,
  KeyspaceAlarm,
  KeyspaceHash,
  KeyspaceStatus,
  Leases,
  Operation,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchReceiver,
  WatchRequest,
} from '../keyspace.ts'
import { type Attempt, optionsOf } from './attempts.ts'
import { readAlarm } from './core/alarms.ts'
import type { EtcdKeyValue, EtcdOperation, EtcdTxn } from './core/messages.ts'
import { branchKey, type Space } from './core/names.ts'
import {
  noOperation,
  plainRange,
  readRange,
  readTxn,
  writeCompare,
  writeOperation,
  writePlainTxn,
  writeRange,
} from './core/translate.ts'
import { EngineLeases, ownLeasesOf } from './engine-leases.ts'
import type { Engine } from './engine.ts'
import { etcdMethods } from './methods.ts'
import type { Marked, Mutation } from './once.ts'
import { pathOf, replayTxn } from './replay.ts'

const succeededMark = Uint8Array.of(1)
const failedMark = Uint8Array.of(0)
const alarmNumbers = { 'no-space': 1, corrupt: 2 } as const
const alarmNames = [undefined, 'no-space', 'corrupt'] as const
const noBytes = new Uint8Array(0)
const getAlarms = { action: 0, member: noBytes, alarm: 0 }
const activate = 1
const deleteMsMax = 10_000
const deactivate = 2

export class EngineKeyspace implements FullKeyspace {
  readonly name: string
  readonly leases: Leases
  readonly #engine: Engine
  readonly #space: Space

  constructor(engine: Engine, space: Space) {
    this.name = space.name
    this.#engine = engine
    this.#space = space
    this.leases = new EngineLeases(engine, space)
  }

  async range(request: RangeRequest, options: RequestOptions = {}): Promise<RangeResponse> {
    const message = writeRange(this.#space, request)
    return this.#engine.read(options, async (attempt) => {
      const { channel } = this.#engine
      const known = this.#engine.freshness().revision
      let answer = await channel.unary(etcdMethods.range, message, attempt)
      // The endpoint may have changed to one that is behind what this node told already.
      if (message.serializable && (answer.header?.revision ?? 0) < known) {
        const asked = { ...message, serializable: false }
        answer = await channel.unary(etcdMethods.range, asked, attempt)
      }
      this.#engine.learn(answer.header?.revision ?? 0)
      return readRange(this.#space, answer, request)
    })
  }

  async txn(request: TxnRequest, options: RequestOptions = {}): Promise<TxnResponse> {
    if (isReadOnly(request)) return this.#readTxn(request, options)
    const space = this.#space
    const marked: Marked = { txnOf: (slot) => markTxn(space, request, { ...slot, path: '' }) }
    const mutation = this.#engine.once.open()
    try {
      return await this.#engine.mutate(options, (attempt) =>
        this.#attempt(request, { mutation, marked }, attempt),
      )
    } catch (error) {
      const isFull = isFault(error, 'no-space') && error.outcome === 'failed'
      if (!isFull || hasPut(request)) throw error
      return await this.#deleteOnce(request, options)
    } finally {
      mutation.close()
    }
  }

  async put(key: Uint8Array, value: Uint8Array, options: RequestOptions = {}): Promise<Revision> {
    return (await this.txn(single({ kind: 'put', key, value }), options)).revision
  }

  async delete(
    key: Uint8Array,
    options: RequestOptions & { readonly rangeEnd?: Uint8Array } = {},
  ): Promise<number> {
    const { rangeEnd } = options
    const range = rangeEnd === undefined ? {} : { rangeEnd }
    const result = (await this.txn(single({ kind: 'delete', key, ...range }), options)).results[0]
    if (result?.kind === 'delete') return result.deleted
    throw new Fault('corrupt', 'the answer is not one of a delete', { outcome: 'unknown' })
  }

  freshness(): ReturnType<FullKeyspace['freshness']> {
    return this.#engine.freshness()
  }

  onRevision(changed: () => void): () => void {
    return this.#engine.onRevision(changed)
  }

  watch(request: WatchRequest, receiver: WatchReceiver): Watch {
    checkNumber(request.startRevision ?? 0, 'startRevision')
    checkNumber(request.progressMs ?? 0, 'progressMs')
    return this.#engine.watches.open(this.#space, { request, receiver })
  }

  /** Of the whole cluster of etcd: all namespaces share its history. */
  async compact(
    revision: number,
    options: RequestOptions & { readonly isPhysical?: boolean } = {},
  ): Promise<Revision> {
    checkNumber(revision, 'revision')
    const message = { revision, physical: options.isPhysical === true }
    return this.#engine.mutate(options, async (attempt) => {
      try {
        const { header } = await this.#engine.channel.unary(etcdMethods.compact, message, attempt)
        return toRevision(header?.revision ?? 0)
      } catch (error) {
        // An earlier attempt did it.
        if (!attempt.isDoubtful || !isFault(error, 'compacted')) throw error
        return (await this.range({ key: oneByte, countOnly: true }, optionsOf(attempt))).revision
      }
    })
  }

  /** etcd's own digest, of the whole cluster of etcd as the endpoint has it. */
  async hash(revision: number, options: RequestOptions = {}): Promise<KeyspaceHash> {
    checkNumber(revision, 'revision')
    return this.#engine.read(options, async (attempt) => {
      const answer = await this.#engine.channel.unary(etcdMethods.hashKv, { revision }, attempt)
      const now = answer.header?.revision ?? 0
      const hashRevision = answer.hashRevision || revision || now
      return {
        revision: toRevision(now),
        hashRevision: toRevision(hashRevision),
        compacted: toRevision(Math.max(0, answer.compactRevision)),
        hash: answer.hash,
      }
    })
  }

  async status(options: RequestOptions = {}): Promise<KeyspaceStatus> {
    const { channel } = this.#engine
    const { compacted } = await this.hash(0, options)
    return this.#engine.read(options, async (attempt) => {
      const status = await channel.unary(etcdMethods.status, {}, attempt)
      const { alarms } = await channel.unary(etcdMethods.alarm, getAlarms, attempt)
      const listed = await channel.unary(etcdMethods.leases, {}, attempt)
      const names = alarms.flatMap((one) => alarmNames[readAlarm(one).alarm] ?? [])
      return {
        revision: toRevision(status.header?.revision ?? 0),
        compacted,
        usedBytes: status.dbSizeInUse || status.dbSize,
        quotaBytes: status.dbSizeQuota,
        alarms: [...new Set(names)],
        leases: ownLeasesOf(listed.leases).length,
        isDiverged: names.includes('corrupt'),
      }
    })
  }

  /** There is none: the engine serves what it is asked to whoever may ask it. */
  async guard(): Promise<Guard> {
    return { revision: 0, document: noBytes }
  }

  async setGuard(): Promise<number> {
    throw new Fault('unsupported', 'the engine etcd has no guarded document', {
      next: "give rights in etcd itself, to the engine's user",
    })
  }

  /** Of no member: it is ended by hand as those of members are. */
  async arm(alarm: KeyspaceAlarm, options: RequestOptions = {}): Promise<Revision> {
    const { channel } = this.#engine
    return this.#engine.mutate(options, async (attempt) => {
      const asked = { action: activate, member: noBytes, alarm: alarmNumbers[alarm] }
      const { header } = await channel.unary(etcdMethods.alarm, asked, attempt)
      return toRevision(header?.revision ?? 0)
    })
  }

  async disarm(alarm: KeyspaceAlarm, options: RequestOptions = {}): Promise<Revision> {
    const { channel } = this.#engine
    return this.#engine.mutate(options, async (attempt) => {
      const on = await channel.unary(etcdMethods.alarm, getAlarms, attempt)
      let revision = on.header?.revision ?? 0
      for (const one of on.alarms.map(readAlarm)) {
        if (one.alarm !== alarmNumbers[alarm]) continue
        const asked = { action: deactivate, ...one }
        const { header } = await channel.unary(etcdMethods.alarm, asked, attempt)
        revision = header?.revision ?? revision
      }
      return toRevision(revision)
    })
  }

  #readTxn(request: TxnRequest, options: RequestOptions): Promise<TxnResponse> {
    const message = writePlainTxn(this.#space, request)
    return this.#engine.read(options, async (attempt) => {
      const answer = await this.#engine.channel.unary(etcdMethods.txn, message, attempt)
      this.#engine.learn(answer.header?.revision ?? 0)
      return readTxn(this.#space, request, answer)
    })
  }

  /**
   * A full cluster refuses every put, and so the mark of a deletion, which alone makes room: it is sent without
   * one, and therefore once, and is in doubt when its answer is lost.
   */
  async #deleteOnce(request: TxnRequest, options: RequestOptions): Promise<TxnResponse> {
    const message = writePlainTxn(this.#space, request)
    const limit = { ms: options.deadlineMs ?? deleteMsMax, signal: options.signal }
    const answer = await this.#engine.channel.unary(etcdMethods.txn, message, limit)
    this.#engine.learn(answer.header?.revision ?? 0)
    return readTxn(this.#space, request, answer)
  }

  async #attempt(
    request: TxnRequest,
    { mutation, marked }: { readonly mutation: Mutation; readonly marked: Marked },
    attempt: Attempt,
  ): Promise<TxnResponse> {
    const ran = await mutation.run(marked, attempt)
    if (ran.kind === 'answer') {
      this.#engine.learn(ran.revision)
      const response = readTxn(this.#space, request, ran.response)
      return { ...response, revision: toRevision(ran.revision) }
    }
    return replayTxn(
      {
        range: (asked) => this.range(asked, optionsOf(attempt)),
        hasSucceeded: (path) => this.#branch(ran.mark, path, attempt),
      },
      request,
      ran.mark.modRevision,
    )
  }

  async #branch(mark: EtcdKeyValue, path: string, attempt: Attempt): Promise<boolean> {
    if (path === '') return mark.value[0] === succeededMark[0]
    const range = { ...plainRange, key: branchKey(mark.key, path), revision: mark.modRevision }
    const answer = await this.#engine.channel.unary(etcdMethods.range, range, attempt)
    const value = answer.kvs[0]?.value
    if (value !== undefined) return value[0] === succeededMark[0]
    throw new Fault('corrupt', `the mark of a request has no branch ${toHex(mark.key)}${path}`)
  }
}

const oneByte = Uint8Array.of(0)

function single(operation: Operation): TxnRequest {
  return { compares: [], success: [operation], failure: [] }
}

type Mark = { readonly key: Uint8Array; readonly lease: number; readonly path: string }

/** The transaction with its mark as the first write of either branch, and those inside with theirs. */
function markTxn(space: Space, request: TxnRequest, mark: Mark, depth = 0): EtcdTxn {
  if (depth >= nestingMax) throw new Fault('invalid', 'transactions are nested too deeply')
  const key = mark.path === '' ? mark.key : branchKey(mark.key, mark.path)
  const branch = (operations: readonly Operation[], value: Uint8Array): EtcdOperation[] => [
    {
      ...noOperation,
      requestPut: {
        key,
        value,
        lease: mark.lease,
        prevKv: false,
        ignoreValue: false,
        ignoreLease: false,
      },
    },
    ...operations.map((operation, at) => {
      if (operation.kind !== 'txn') return writeOperation(space, operation)
      const inner = { ...mark, path: pathOf(mark.path, at) }
      return { ...noOperation, requestTxn: markTxn(space, operation.request, inner, depth + 1) }
    }),
  ]
  return {
    compare: request.compares.map((compare) => writeCompare(space, compare)),
    success: branch(request.success, succeededMark),
    failure: branch(request.failure, failedMark),
  }
}
