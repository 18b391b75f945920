// Acts: how rights change. An act reads, decides what to write, and commits it in one transaction together with its
// audit entry, under the condition that nothing of access changed since it began to read (the counter). So no act sees
// a half-made one, limits hold exactly, and there is no change without an entry. Acts of all nodes are one after the
// other; they are rare.
//
// The audit log is bounded: each entry pushes out the one that is `auditEntriesMax` older, and every 32nd act removes
// what is too old. Who reads the log sees nothing that is too old, whether it was removed yet or not.

import {
  Fault,
  type FaultCode,
  isFault,
  prefixEnd,
  type Revision,
  revision,
  toFault,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace, KeyValue, Operation } from '../keyspace/index.ts'
import type { Actor, AuditEntry } from './access.ts'
import { auditCodec, auditKey, auditPrefix, counterCodec, counterKey } from './core/records.ts'

export type ActsDeps = {
  readonly host: Pick<Host, 'clock' | 'random' | 'journal'>
  readonly system: Keyspace
}

export type ActsOptions = {
  readonly auditEntriesMax: number
  readonly auditAgeMsMax: number
  wrote(written: Revision): void
}

export type Act = {
  readonly by: Actor
  /** 'admin:CreateUser'. */
  readonly action: string
  readonly resource: string
}

/** What an act reads and writes with. All reads are of one moment, or the act begins anew. */
export type Draft = {
  read(key: Uint8Array): Promise<KeyValue | undefined>
  /** All keys that begin with `prefix`, in order. */
  list(prefix: Uint8Array): Promise<readonly KeyValue[]>
  count(prefix: Uint8Array): Promise<number>
  put(key: Uint8Array, value: Uint8Array): void
  delete(key: Uint8Array): void
}

const attemptsMax = 16
const pageSize = 500
const textMax = 512
const pruneEvery = 32
const prunedMax = 256
/** Nobody refused the act: the cluster could not be asked. */
const undecided: ReadonlySet<FaultCode> = new Set([
  'unavailable',
  'not-leader',
  'deadline',
  'cancelled',
])
/** Refused acts entered per minute and thread; of more only the number is journaled. */
const refusalsMax = 120

export class Acts {
  readonly #deps: ActsDeps
  readonly #options: ActsOptions
  #refusals = 0
  #refusalsSinceMs = 0

  constructor(deps: ActsDeps, options: ActsOptions) {
    this.#deps = deps
    this.#options = options
  }

  /** Decides by `plan`, perhaps several times, and commits. What `plan` throws is entered as refused and thrown on. */
  async run<T>(act: Act, plan: (draft: Draft) => Promise<T>): Promise<T> {
    try {
      return await this.#commit(act, plan)
    } catch (error) {
      if (isFault(error) && error.outcome === 'failed' && !undecided.has(error.code)) {
        await this.record(act, error.code)
      }
      throw error
    }
  }

  /** An entry alone. What cannot be entered is journaled: the act itself has happened, or was refused. */
  async record(act: Act, outcome: string): Promise<void> {
    if (outcome !== 'ok' && !this.#mayEnterRefusal()) return
    try {
      await this.#commit({ ...act, outcome }, async () => undefined)
    } catch (error) {
      const { by, action, resource } = act
      this.#deps.host.journal.event('warning', 'access.act_not_entered', {
        actor: by.name,
        action,
        resource: resource.slice(0, textMax),
        outcome,
        reason: toFault(error).message,
      })
    }
  }

  async #commit<T>(
    act: Act & { readonly outcome?: string },
    plan: (draft: Draft) => Promise<T>,
  ): Promise<T> {
    const { system } = this.#deps
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const counter = await readOne(system, counterKey)
      const operations: Operation[] = []
      const result = await plan(draftOf(system, operations))
      const sequence = (counter === undefined ? 0 : counterCodec.decode(counter.value).value) + 1
      operations.push(
        { kind: 'put', key: counterKey, value: counterCodec.encode({ value: sequence }) },
        { kind: 'put', key: auditKey(sequence), value: this.#entry(act, sequence) },
        ...(await this.#pruned(sequence)),
      )
      const operand = counter?.modRevision ?? revision(0)
      const answer = await system.txn({
        compares: [{ key: counterKey, target: 'mod', result: 'equal', operand }],
        success: operations,
        failure: [],
      })
      this.#options.wrote(answer.revision)
      if (answer.succeeded) return result
    }
    throw new Fault('conflict', 'too many changes of rights at once', { next: 'try again' })
  }

  #entry(act: Act & { readonly outcome?: string }, sequence: number): Uint8Array {
    return auditCodec.encode({
      sequence,
      atMs: this.#deps.host.clock.wallMs(),
      actor: act.by.name.slice(0, textMax),
      action: act.action.slice(0, textMax),
      resource: act.resource.slice(0, textMax),
      source: act.by.source.slice(0, textMax),
      outcome: act.outcome ?? 'ok',
    })
  }

  async #pruned(sequence: number): Promise<readonly Operation[]> {
    const byCount = sequence - this.#options.auditEntriesMax + 1
    const byAge = sequence % pruneEvery === 0 ? await this.#firstYoung() : 0
    const end = Math.max(byCount, byAge)
    return end < 1 ? [] : [{ kind: 'delete', key: auditPrefix, rangeEnd: auditKey(end) }]
  }

  /** The sequence before which everything seen is too old; 0 when nothing is. */
  async #firstYoung(): Promise<number> {
    const rangeEnd = prefixEnd(auditPrefix)
    const { system } = this.#deps
    const { kvs } = await system.range({ key: auditPrefix, rangeEnd, limit: prunedMax })
    let young = 0
    for (const { value } of kvs) {
      const entry = auditCodec.decode(value)
      if (!this.isTooOld(entry)) break
      young = entry.sequence + 1
    }
    return young
  }

  isTooOld(entry: AuditEntry): boolean {
    return entry.atMs < this.#deps.host.clock.wallMs() - this.#options.auditAgeMsMax
  }

  #mayEnterRefusal(): boolean {
    const { clock, journal } = this.#deps.host
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#refusalsSinceMs >= 60_000) {
      const left = this.#refusals - refusalsMax
      if (left > 0) journal.event('warning', 'access.refusals_not_entered', { count: left })
      this.#refusalsSinceMs = nowMs
      this.#refusals = 0
    }
    return ++this.#refusals <= refusalsMax
  }
}

function draftOf(system: Keyspace, operations: Operation[]): Draft {
  return {
    read: (key) => readOne(system, key),
    list: (prefix) => listAll(system, prefix),
    async count(prefix) {
      const rangeEnd = prefixEnd(prefix)
      return (await system.range({ key: prefix, rangeEnd, countOnly: true })).count
    },
    put: (key, value) => void operations.push({ kind: 'put', key, value }),
    delete: (key) => void operations.push({ kind: 'delete', key }),
  }
}

export async function readOne(system: Keyspace, key: Uint8Array): Promise<KeyValue | undefined> {
  return (await system.range({ key })).kvs[0]
}

export async function listAll(system: Keyspace, prefix: Uint8Array): Promise<readonly KeyValue[]> {
  const rangeEnd = prefixEnd(prefix)
  const all: KeyValue[] = []
  let key = prefix
  for (;;) {
    const page = await system.range({ key, rangeEnd, limit: pageSize })
    all.push(...page.kvs)
    const last = page.kvs.at(-1)
    if (!page.more || last === undefined) return all
    key = new Uint8Array([...last.key, 0])
  }
}
