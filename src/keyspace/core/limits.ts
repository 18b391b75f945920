// Every bound of the room in one place (law 8). Those that an entry is checked against are part of the
// replicated state's rules: changing one needs a new entry version, or replicas would disagree.

export const requestBytesMax = 1_572_864
export const operationsMax = 8192
/** Transactions inside transactions; the codec's own depth allows no more. */
export const nestingMax = 6
export const keyBytesMax = 8192
/**
 * Keys that the range deletes of one transaction may remove together. A transaction that does nothing but delete
 * one range, without previous values, has no such limit (long-delete.ts).
 */
export const deletedKeysMax = 16_384
/**
 * Keys and values of one answer; ranges are cut there (`more`), previous values are refused beyond. Below
 * 1 MiB, so that the encoded answer fits in one call between nodes.
 */
export const responseBytesMax = 983_040
/** What a pair weighs in an answer beside its key and value, at most. */
export const pairOverheadBytes = 64

/** Values up to this length are kept in 'latest' as well, so that a point read takes one look-up. */
export const inlineBytesMax = 256
/** Longer values live apart: in 'pending' until they are in a segment. */
export const historyBytesMax = 1024

/** Answers that one session may have open at a time. */
export const sessionAnswersMax = 4096
export const sessionsMax = 4096
/** A session is forgotten this long (in entries' time) after its last new request. */
export const sessionExpiryMs = 600_000
/** The longest time a request may be retried: far below sessionExpiryMs, so that no retry outlives it. */
export const deadlineMsMax = 120_000

/** Keys that the sorting of one range considers. */
export const sortedKeysMax = 16_384

/** As many as one transaction may delete, so that a revoke is one revision. */
export const leaseKeysMax = deletedKeysMax
export const leasesMax = 65_536
export const leaseTtlSecondsMin = 2
export const leaseTtlSecondsMax = 9_000_000_000
/** Leases whose end one entry commits. */
export const expiredLeasesMax = 64

/** What a version weighs beside its key and value: its rows' heads and keys, in two tables. */
export const versionOverheadBytes = 128
export const quotaBytesDefault = 2 * 1024 * 1024 * 1024
/** A guard's document. */
export const guardBytesMax = 1_048_576
