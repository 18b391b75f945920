// The contract of the SQL room: databases of SQLite, each a namespace '/raft/sql/NAME' with a Raft log of its own, whose
// entries are batches of statements. Any node takes requests; the leader runs a batch before it is proposed.
//
// A bigint is SQLite's INTEGER and a number its REAL, both ways: nothing is rounded and no column changes its type.

import type { LogIndex } from '../base/index.ts'

export type SqlValue = null | number | bigint | string | Uint8Array

/** One statement of SQLite's dialect. Values are for ?, ?N or, when given by name, :name, @name, $name. */
export type SqlStatement = {
  readonly sql: string
  readonly values?: readonly SqlValue[] | Readonly<Record<string, SqlValue>>
}

export type SqlResult = {
  readonly columns: readonly string[]
  /** As declared, in lower case; '' for an expression. */
  readonly types: readonly string[]
  readonly rows: readonly (readonly SqlValue[])[]
  /** Rows that the statement itself inserted, changed or deleted. */
  readonly changes: number
  readonly lastInsertId: bigint
  /** Absent: it succeeded. */
  readonly error?: string
  /** How long it ran where it ran; 0 when the answer was remembered. */
  readonly elapsedUs: number
}

/**
 * linearizable: everything acknowledged before the call is seen, on any node; leader: by the word of who leads, a round less;
 * none: this node's replica as it is.
 */
export type ReadLevel = 'linearizable' | 'leader' | 'none'

export type ExecuteOptions = {
  /**
   * 16 bytes: 6 of milliseconds since 1970, 10 of chance (makeBatchId). The same id again gives the same answer and runs
   * nothing. Absent: one is drawn.
   */
  readonly id?: Uint8Array
  /** All statements or none. Default true. False: each for itself, in one entry all the same. */
  readonly isAtomic?: boolean
  readonly timeoutMs?: number
}

export type QueryOptions = {
  /** Default 'leader'. */
  readonly level?: ReadLevel
  /** Level 'none' only: Fault 'unavailable' when the leader was not heard for so long. */
  readonly freshMs?: number
  readonly timeoutMs?: number
}

export type ExecuteAnswer = {
  /** One for each statement; an atomic batch that failed ends with the statement that did. */
  readonly results: readonly SqlResult[]
}

export type SqlStatus = {
  readonly name: string
  readonly group: number
  readonly role: string
  readonly term: number
  /** 0: none is known here. */
  readonly leader: number
  readonly commit: LogIndex
  /** Entries that this node's file shows. */
  readonly applied: number
  /** Of everything that was ever changed, hexadecimal; equal on replicas that applied the same entries. */
  readonly digest: string
  readonly voters: readonly number[]
  readonly learners: readonly number[]
  readonly isEngineRunning: boolean
  /** False: this replica was found to differ, and serves nothing until it has a copy of the leader's. */
  readonly isWhole: boolean
  /** Where this node leads: members that were found with another digest at the same index. Must be empty. */
  readonly differing: readonly number[]
}

export type TransactionOptions = {
  /** It is rolled back when nothing is asked of it for so long. Default 5 s, at most 60. */
  readonly idleMs?: number
  /** For its beginning: others may hold the database. Default 15 s. */
  readonly timeoutMs?: number
}

/**
 * A transaction that is asked statement after statement, serializable: it sees what it did itself, nobody else sees that before
 * it is committed, and nobody else writes meanwhile. It lasts at most a minute. Fault 'conflict', failed: it was rolled back, and
 * the message says why (it was idle, leadership moved); begin it again.
 */
export type SqlTransaction = {
  /**
   * Errors of statements are in the results, and leave the transaction as it was before them. Savepoints are statements; BEGIN,
   * COMMIT and ROLLBACK are not.
   */
  run(statements: readonly SqlStatement[]): Promise<readonly SqlResult[]>
  /** Settles as execute() does. Fault 'unavailable', outcome unknown: it may be committed. */
  commit(): Promise<void>
  rollback(): Promise<void>
}

/** A member's replica, once it has applied what its node knows to be committed; or why it did not say. */
export type SqlReplica =
  | { readonly node: number; readonly applied: number; readonly digest: string }
  | { readonly node: number; readonly fault: string }

/** A batch's answer as it is remembered (core/answer.ts), and how long its statements ran just now. */
export type RanBatch = { readonly answer: Uint8Array; readonly elapsedUs: readonly number[] }

export type SqlDatabase = {
  readonly name: string
  /**
   * Settles once committed and applied on the leader. Errors of statements are in the results. Faults: 'unavailable', 'deadline'
   * (outcome unknown unless it says failed), 'too-large', 'overloaded', 'precondition' for an id that was used for
   * something else or is too old to be known.
   */
  execute(statements: readonly SqlStatement[], options?: ExecuteOptions): Promise<ExecuteAnswer>
  /** Faults: 'overloaded', failed, when others hold the database for too long; 'unavailable'. */
  begin(options?: TransactionOptions): Promise<SqlTransaction>
  /** Reads only: a statement that would change something is an error in its result. */
  query(statements: readonly SqlStatement[], options?: QueryOptions): Promise<readonly SqlResult[]>
  status(): SqlStatus
  /** All members', in order of their ids. Replicas of one applied index must have one digest. */
  replicas(): Promise<readonly SqlReplica[]>
}

/** As the thread of the core has it. */
export type LocalDatabase = SqlDatabase & {
  /** Of an encoded batch (requests.ts), whose answer is not decoded. Faults as execute. */
  executeEncoded(batch: Uint8Array, options?: { readonly timeoutMs?: number }): Promise<RanBatch>
}
