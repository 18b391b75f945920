// Batches of one database where this node leads: what waits becomes an entry, is run ahead, proposed, and answered once it
// is in the file. One entry at a time. After an entry that took too long each of its batches goes alone, so that only the
// guilty one fails.

import { Fault, isFault, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { entryCodec, seedBytes, type SqlBatch } from './core/entry.ts'
import type { RanEntry } from './core/engine-wire.ts'
import type { DatabaseFile } from './database-file.ts'
import type { RanBatch, SqlResult, SqlStatement } from './sql.ts'

/** The database's one transaction, for somebody who asks statement after statement (interactive.ts). */
export type Held = {
  /** Faults of DatabaseFile.step. */
  step(
    statement: SqlStatement,
    options: { readonly deadlineMs: number },
  ): Promise<{ readonly result: SqlResult; readonly isPure: boolean }>
  /**
   * What was done, as a batch with the time and seed that it was held with. Faults: 'conflict', failed, when the node has
   * ceased to lead since, or when the batch run once more answers something else than it should; 'precondition', failed, when
   * foreign keys that are deferred are broken at its end; those of execute().
   */
  commit(batch: SqlBatch, isAsTold: (answer: Uint8Array) => boolean): Promise<void>
  release(): Promise<void>
}

type Waiting = {
  readonly batch: SqlBatch
  readonly bytes: number
  isAlone: boolean
  readonly resolve: (ran: RanBatch) => void
  readonly reject: (fault: Fault) => void
}

const waitingMax = 4096
const entryBatchesMax = 64
const entryBytesWanted = 256 * 1024
const runMsMax = 10_000
const behindMsMax = 10_000

export class Proposer {
  readonly #host: Host
  readonly #group: Group
  readonly #file: () => DatabaseFile
  #waiting: Waiting[] = []
  #isRunning = false
  /** Entries and held transactions, one after the other. */
  #line: Promise<unknown> = Promise.resolve()
  /** In which everything of earlier terms is known to be in the tail. */
  #readyTerm = -1

  constructor(host: Host, group: Group, file: () => DatabaseFile) {
    this.#host = host
    this.#group = group
    this.#file = file
  }

  /**
   * Time and chance of the batch are drawn here. Faults: 'not-leader' and 'overloaded', failed; 'deadline', failed, for a batch
   * that ran too long; 'unavailable', unknown: its entry may still be committed.
   */
  execute(batch: SqlBatch, bytes: number): Promise<RanBatch> {
    if (this.#waiting.length >= waitingMax) {
      return Promise.reject(new Fault('overloaded', 'too many SQL batches wait for their turn'))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, bytes, isAlone: false, resolve, reject })
      if (this.#isRunning) return
      this.#isRunning = true
      void this.#runAll()
    })
  }

  async #runAll(): Promise<void> {
    // Batches of this turn share an entry.
    await new Promise<void>((resolve) => this.#host.clock.soon(resolve))
    while (this.#waiting.length > 0) await this.#inLine(() => this.#runSome())
    // In the same step as the last look: who comes a step later would wait for a run that is over.
    this.#isRunning = false
  }

  async #runSome(): Promise<void> {
    const taken = this.#takeSome()
    try {
      const ran = await this.#runEntry(taken.map(({ batch }) => batch))
      for (const [at, { resolve, reject }] of taken.entries()) {
        const own = ran[at]
        if (own === undefined) reject(new Fault('internal', 'the SQL engine left a batch out'))
        else resolve(own)
      }
    } catch (error) {
      this.#fail(taken, toFault(error))
    }
  }

  /**
   * Waits for its turn; nobody else writes until commit() or release(). Faults: 'not-leader'; 'overloaded' when the turn does not
   * come in time.
   */
  async hold(
    batch: SqlBatch,
    { turnMs, onLost }: { readonly turnMs: number; readonly onLost: (fault: Fault) => void },
  ): Promise<Held> {
    const end = await this.#turnWithin(turnMs)
    try {
      const file = this.#file()
      const term = await this.#prepare(file)
      await file.hold(entryCodec.encode({ engine: file.engine, batches: [batch] }), onLost)
      return {
        step: (statement, options) => file.step(statement, options),
        commit: (whole, isAsTold) =>
          this.#commitHeld(file, { batch: whole, isAsTold, term }).finally(end),
        release: () => file.release().finally(end),
      }
    } catch (error) {
      end()
      throw error
    }
  }

  /** Answers what ends the turn. */
  #turnWithin(turnMs: number): Promise<() => void> {
    return new Promise((resolve, reject) => {
      let isLate = false
      const timer = this.#host.clock.after(turnMs, () => {
        isLate = true
        reject(new Fault('overloaded', 'another transaction keeps the database for too long'))
      })
      const turn = (): Promise<void> => {
        timer.cancel()
        return isLate ? Promise.resolve() : new Promise((end) => resolve(() => end()))
      }
      void this.#inLine(turn)
    })
  }

  #inLine<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#line.then(run)
    this.#line = mine.catch(() => undefined)
    return mine
  }

  async #commitHeld(
    file: DatabaseFile,
    held: {
      readonly batch: SqlBatch
      readonly isAsTold: (answer: Uint8Array) => boolean
      readonly term: number
    },
  ): Promise<void> {
    const payload = entryCodec.encode({ engine: file.engine, batches: [held.batch] })
    const [ran] = await file.runHeldAhead(payload, { deadlineMs: runMsMax })
    const { role, term } = this.#group.status()
    const why =
      role !== 'leader' || term !== held.term
        ? 'leadership has moved meanwhile'
        : ran === undefined || !held.isAsTold(ran.answer)
          ? 'it did not answer the same when it was run once more'
          : undefined
    if (why !== undefined) {
      await file.forget()
      throw new Fault('conflict', `the transaction was rolled back: ${why}`, {
        next: 'begin it again',
      })
    }
    const [final] = await this.#propose(file, payload)
    if (final !== undefined && held.isAsTold(final.answer)) return
    throw new Fault(
      'precondition',
      'the transaction was rolled back: FOREIGN KEY constraint failed',
    )
  }

  #takeSome(): readonly Waiting[] {
    let count = 0
    let bytes = 0
    for (const { bytes: own, isAlone } of this.#waiting) {
      const isFull = count >= entryBatchesMax || bytes + own > entryBytesWanted
      if (count > 0 && (isFull || isAlone)) break
      count++
      bytes += own
      if (isAlone) break
    }
    return this.#waiting.splice(0, count)
  }

  #fail(taken: readonly Waiting[], fault: Fault): void {
    if (fault.code === 'deadline' && fault.outcome === 'failed' && taken.length > 1) {
      for (const waiting of taken) waiting.isAlone = true
      this.#waiting.unshift(...taken)
      return
    }
    for (const { reject } of taken) reject(fault)
  }

  async #runEntry(batches: readonly SqlBatch[]): Promise<RanEntry> {
    const file = this.#file()
    await this.#prepare(file)
    const { clock, random } = this.#host
    const timeMs = Math.max(0, Math.floor(clock.wallMs()))
    const drawn = batches.map((batch) => ({ ...batch, timeMs, seed: random.bytes(seedBytes) }))
    const payload = entryCodec.encode({ engine: file.engine, batches: drawn })
    await file.runAhead(payload, { deadlineMs: runMsMax })
    return await this.#propose(file, payload)
  }

  /** What was run ahead. */
  async #propose(file: DatabaseFile, payload: Uint8Array): Promise<RanEntry> {
    const ran = file.ran()
    ran.catch(() => undefined)
    try {
      await this.#group.propose(payload)
    } catch (error) {
      await file.forget()
      throw error
    }
    const late = this.#caughtUp(file).then(() => undefined)
    return (await Promise.race([ran, late])) ?? (await file.recall(payload))
  }

  /**
   * A leader's file shows everything that was committed before it leads, so that what it runs ahead comes next. Answers the term
   * of which that is true.
   */
  async #prepare(file: DatabaseFile): Promise<number> {
    const { role, term, leader } = this.#group.status()
    if (role !== 'leader') throw notLeader(leader)
    if (this.#readyTerm !== term) {
      await this.#group.readBarrier()
      this.#readyTerm = term
    }
    await this.#caughtUp(file)
    return term
  }

  async #caughtUp(file: DatabaseFile): Promise<void> {
    try {
      await file.caughtUp({ deadlineMs: behindMsMax })
    } catch (error) {
      if (!isFault(error, 'deadline')) throw error
      throw new Fault('unavailable', error.message, { outcome: 'unknown' })
    }
  }
}

export function notLeader(leader: number | undefined): Fault {
  const fields = { leader: leader === undefined ? '' : String(leader) }
  return new Fault('not-leader', 'this node does not lead the database', { fields })
}
