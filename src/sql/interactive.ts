// Transactions that are asked one statement after the other, where this node leads. Each holds the database's one
// transaction, so that others who write wait; reads go on. What was asked is recorded, and becomes a batch with the
// transaction's own time and seed when it is committed: undone here, run once more ahead, held against what was told, and
// proposed (law 11: the batch's id is the transaction's).
//
// A transaction that nobody asks for a while, or that lasts too long, is rolled back and stops blocking others; so is one
// whose node no longer leads, because another node's entry would change what it saw.

import { equalBytes, Fault, toFault, toHex } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import { answerCodec, failedResult } from './core/answer.ts'
import {
  batchBytesMax,
  batchCodec,
  makeBatchId,
  type SqlBatch,
  seedBytes,
  statementsMax,
} from './core/entry.ts'
import type { Held, Proposer } from './proposer.ts'
import type { SqlResult, SqlStatement } from './sql.ts'

const runningMax = 256
export const idleMsDefault = 5_000
const idleMsMax = 60_000
/** However busy it is: others wait. */
const lastsMsMax = 60_000
const tooLong = `it lasted longer than ${lastsMsMax} ms`
/** For whoever holds the database before it. */
const turnMsMax = 10_000
/** Of ends that are told to who asks later. */
const endedMax = 1_024

type Running = {
  readonly key: string
  readonly held: Held
  readonly idleMs: number
  readonly endMs: number
  /** Without its statements. */
  readonly batch: SqlBatch
  readonly statements: SqlStatement[]
  readonly told: SqlResult[]
  bytes: number
  timer: Timer | undefined
  isBusy: boolean
}

export class Interactive {
  readonly #host: Host
  readonly #proposer: Proposer
  readonly #running = new Map<string, Running>()
  readonly #ended = new Map<string, string>()
  #waiting = 0
  #isClosed = false

  constructor(host: Host, proposer: Proposer) {
    this.#host = host
    this.#proposer = proposer
  }

  /**
   * Answers its id. Faults: 'not-leader'; 'overloaded', failed, when the database is held by another for too long.
   */
  async begin(idleMs = idleMsDefault): Promise<Uint8Array> {
    if (!(idleMs >= 1 && idleMs <= idleMsMax)) {
      throw new Fault('invalid', `a transaction may be idle between 1 and ${idleMsMax} ms`)
    }
    if (this.#isClosed || this.#running.size + this.#waiting >= runningMax) {
      throw new Fault('overloaded', `more than ${runningMax} transactions wait for this database`)
    }
    const { clock, random } = this.#host
    this.#waiting++
    try {
      const batch: SqlBatch = {
        id: makeBatchId(clock.wallMs(), random.bytes(10)),
        timeMs: Math.max(0, Math.floor(clock.wallMs())),
        seed: random.bytes(seedBytes),
        isAtomic: false,
        isInteractive: true,
        statements: [],
      }
      const key = toHex(batch.id)
      let lost: Fault | undefined
      const onLost = (fault: Fault): void => {
        lost = fault
        this.#lose(key, fault.message)
      }
      const held = await this.#proposer.hold(batch, { turnMs: turnMsMax, onLost })
      // Lost or closed between two steps, before anybody could hear of it here: its turn would end with its idle time.
      if (lost !== undefined || this.#isClosed) {
        await held.release()
        throw new Fault('unavailable', 'the transaction was lost as it began')
      }
      const endMs = clock.monotonicMs() + lastsMsMax
      const lists = { statements: [], told: [], bytes: 0 }
      const running = { key, held, idleMs, endMs, batch, ...lists, timer: undefined, isBusy: false }
      this.#running.set(key, running)
      this.#watch(running)
      return batch.id
    } finally {
      this.#waiting--
    }
  }

  /**
   * An error of a statement is in its result, and the transaction goes on. Faults: 'conflict', failed: the transaction has
   * ended and nothing of it is left; 'invalid'.
   */
  async step(
    id: Uint8Array,
    statements: readonly SqlStatement[],
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<readonly SqlResult[]> {
    return await this.#busy(id, async (running) => {
      const results: SqlResult[] = []
      for (const statement of statements) {
        results.push(await this.#stepOne(running, statement, deadlineMs))
      }
      return results
    })
  }

  /** Settles once committed and in this node's file. Faults: 'conflict', 'precondition', failed; 'unavailable', unknown. */
  async commit(id: Uint8Array): Promise<void> {
    const running = this.#take(id)
    const { batch, statements, told, held } = running
    if (statements.length === 0) await held.release()
    else await held.commit({ ...batch, statements }, (answer) => isAsTold(answer, told))
  }

  /** Nothing is left of it. Fault 'conflict' when it has ended before. */
  async rollback(id: Uint8Array): Promise<void> {
    await this.#take(id).held.release()
  }

  close(): void {
    this.#isClosed = true
    for (const key of [...this.#running.keys()]) this.#lose(key, 'the database was closed')
  }

  async #stepOne(
    running: Running,
    statement: SqlStatement,
    deadlineMs: number,
  ): Promise<SqlResult> {
    const { length } = batchCodec.encode({ ...running.batch, statements: [statement] })
    if (running.bytes + length > batchBytesMax || running.statements.length >= statementsMax) {
      return failedResult(`a transaction has at most ${batchBytesMax} bytes of statements`)
    }
    const leftMs = running.endMs - this.#host.clock.monotonicMs()
    if (leftMs <= 0) throw new Fault('deadline', tooLong)
    const bounded = { deadlineMs: Math.min(deadlineMs, leftMs) }
    const { result, isPure } = await running.held.step(statement, bounded)
    if (isPure) return result
    running.bytes += length
    running.statements.push(statement)
    running.told.push(result)
    return result
  }

  async #busy<T>(id: Uint8Array, run: (running: Running) => Promise<T>): Promise<T> {
    const running = this.#find(id)
    if (running.isBusy)
      throw new Fault('invalid', 'the transaction is asked for something else now')
    running.isBusy = true
    running.timer?.cancel()
    try {
      return await run(running)
    } catch (error) {
      const fault = toFault(error)
      this.#lose(running.key, fault.message)
      throw ended(fault.message)
    } finally {
      running.isBusy = false
      if (this.#running.has(running.key)) this.#watch(running)
    }
  }

  #find(id: Uint8Array): Running {
    const key = toHex(id)
    const running = this.#running.get(key)
    if (running !== undefined) return running
    throw ended(this.#ended.get(key) ?? 'this node knows no such transaction')
  }

  #take(id: Uint8Array): Running {
    const running = this.#find(id)
    if (running.isBusy)
      throw new Fault('invalid', 'the transaction is asked for something else now')
    running.timer?.cancel()
    this.#running.delete(running.key)
    return running
  }

  #watch(running: Running): void {
    const leftMs = running.endMs - this.#host.clock.monotonicMs()
    const isIdle = running.idleMs < leftMs
    const why = isIdle ? `it was idle for ${running.idleMs} ms` : tooLong
    const afterMs = Math.max(0, isIdle ? running.idleMs : leftMs)
    running.timer = this.#host.clock.after(afterMs, () => this.#lose(running.key, why))
  }

  #lose(key: string, why: string): void {
    const running = this.#running.get(key)
    if (running === undefined) return
    running.timer?.cancel()
    this.#running.delete(key)
    this.#ended.set(key, why)
    if (this.#ended.size > endedMax) {
      const [oldest] = this.#ended.keys()
      if (oldest !== undefined) this.#ended.delete(oldest)
    }
    running.held.release().catch((error: unknown) => {
      const what = toFault(error).message
      this.#host.journal.event('warning', 'sql.transaction_stays', { what })
    })
  }
}

function ended(why: string): Fault {
  return new Fault('conflict', `the transaction was rolled back: ${why}`, {
    next: 'begin it again',
  })
}

function isAsTold(answer: Uint8Array, told: readonly SqlResult[]): boolean {
  const { results, refusal } = answerCodec.decode(answer)
  if (refusal !== undefined || results.length !== told.length) return false
  return equalBytes(answerCodec.encode({ results }), answerCodec.encode({ results: told }))
}
