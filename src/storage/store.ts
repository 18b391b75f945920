// Store: the ordered, transactional state of one node. Contract only.
//
// Tables are named when it is opened; keys and values are bytes; order is unsigned lexicographic.
// Everything is synchronous: one writer, the core thread. Crash contract (law 5): after a crash,
// reopening shows a prefix of the commits, at least through the last checkpoint() that ended.

export type StoreRow = { readonly key: Uint8Array; readonly value: Uint8Array }

export type StoreRange = {
  /** Inclusive. */
  readonly start: Uint8Array
  /** Exclusive; absent or empty: to the end of the table. */
  readonly end?: Uint8Array
  readonly limit?: number
  readonly isReverse?: boolean
}

export type StoreReader = {
  get(table: string, key: Uint8Array): Uint8Array | undefined
  /** Rows in order. Bounded by limit; the caller pages. */
  range(table: string, range: StoreRange): readonly StoreRow[]
  /** Like range, without values. */
  keys(table: string, range: StoreRange): readonly Uint8Array[]
}

/** A consistent view of one moment; writes after it are not seen. Close it soon: it pins disk space. */
export type StoreView = StoreReader & { close(): void }

export type Store = StoreReader & {
  put(table: string, key: Uint8Array, value: Uint8Array): void
  delete(table: string, key: Uint8Array): void
  /** Removes start <= key < end. */
  deleteRange(table: string, range: { readonly start: Uint8Array; readonly end: Uint8Array }): void
  /**
   * Runs `body`; its writes commit together, or not at all when it throws. Not nested. put/delete
   * outside of a transaction are refused by assertion. Reads inside see the writes made so far.
   */
  transaction<T>(body: () => T): T
  view(): StoreView
  /** When it ends, every commit before the call survives any crash. Off the writer's path. */
  checkpoint(): Promise<void>
  sizeBytes(): number
  /** So much waits to be written that commits will soon write by themselves: who can wait with more, should. */
  isBehind(): boolean
  /** With a checkpoint. Closed also when that fails: its Fault is thrown then, and what was not synced may be lost. */
  close(): Promise<void>
}

export type StoreOptions = {
  /** File (SQLite) under the host's disk root, for example 'distributed/db/node-1/store.sqlite'. */
  readonly path: string
  readonly tables: readonly string[]
  readonly cacheBytes?: number
}
