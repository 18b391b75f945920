// Segments: many objects packed into append-only files. Contract only.
//
// An object has a key of 1 to 64 bytes and is written in slices as they arrive, several objects at a
// time; it is visible only after seal(), durable after the sync that sealing waits for (group sync:
// all seals that wait share one fdatasync per file). Every unit of at most unitBytes carries
// its own CRC32C, checked on every read. The index key -> extents lives in memory and is recoverable
// from the files alone: after any crash every sealed-and-acknowledged object is found, every other is
// gone or whole, never half.

export type SegmentObject = {
  readonly key: Uint8Array
  readonly bytes: number
  /** A small number that travels with the object (content: sweep number); touch() changes it. */
  readonly stamp: number
}

export type SegmentWrite = {
  /**
   * Slices may have any length; the view is copied or written before the promise settles. `sum`: the
   * slice's CRC32C where the caller knows it; a slice that makes up one unit is stored under it
   * without being summed again, so that the sum vouches for the bytes from its maker on.
   */
  append(slice: Uint8Array, sum?: number): Promise<void>
  /** Durable and visible when it settles. The same key again replaces the older object. */
  seal(): Promise<void>
  /** Nothing stays visible; its bytes become garbage. */
  abort(): Promise<void>
}

/**
 * A unit as it lies on disk, with the CRC32C that it was stored under. unitHeadRoomBytes before `bytes` in its
 * buffer belong to it: a frame's header can be written there instead of copying.
 */
export type StoredUnit = { readonly bytes: Uint8Array; readonly sum: number }

export const unitHeadRoomBytes = 64

export type SegmentStatistics = {
  readonly files: number
  readonly liveBytes: number
  readonly garbageBytes: number
  readonly objects: number
}

export type Segments = {
  /** `unitBytes` of this object, at most 256 KiB: slices of that length are units of their own. */
  write(
    key: Uint8Array,
    options?: { readonly stamp?: number; readonly unitBytes?: number },
  ): SegmentWrite
  /** write + append + seal. */
  put(key: Uint8Array, bytes: Uint8Array, options?: { readonly stamp?: number }): Promise<void>
  /**
   * Like put, without waiting for the sync: visible at once, durable after the next sync(). For
   * values that a log still holds. Synchronous in effect order.
   */
  putUnsynced(key: Uint8Array, bytes: Uint8Array): Promise<void>
  sync(): Promise<void>
  /** Fault 'not-found'; Fault 'corrupt' when a unit's checksum fails (nothing of that unit is given). */
  read(
    key: Uint8Array,
    range?: { readonly at: number; readonly count: number },
  ): Promise<Uint8Array>
  /** Slices of whole units, each verified before it is given, and valid until the next is asked for. */
  stream(
    key: Uint8Array,
    range?: { readonly at: number; readonly count: number },
  ): AsyncIterable<Uint8Array>
  /**
   * Units [first, last] for a caller that checks each against its sum itself, once, where the bytes are used.
   * A unit is the caller's; recycle() gives its memory back when nobody looks at it any more, and a unit that is
   * not given back is merely collected. Faults as read(), 'corrupt' also for a damaged record header.
   */
  units(
    key: Uint8Array,
    range: { readonly first: number; readonly last: number },
  ): AsyncIterable<StoredUnit>
  recycle(unit: StoredUnit): void
  find(key: Uint8Array): SegmentObject | undefined
  /** Changes the stamp durably. Fault 'not-found'. */
  touch(keys: readonly Uint8Array[], stamp: number): Promise<void>
  /** Durable when it settles. No fault for a missing key. */
  delete(keys: readonly Uint8Array[]): Promise<void>
  /** Keys in order after `after` (exclusive), at most `limit`. */
  list(after: Uint8Array | undefined, limit: number): readonly SegmentObject[]
  /** Re-reads one object from disk and checks every unit. */
  verify(key: Uint8Array): Promise<'intact' | 'damaged' | 'missing'>
  /** Rewrites files whose garbage share exceeds ratio (default 0.3); answers bytes freed. */
  compact(options?: { readonly garbageRatio?: number }): Promise<number>
  statistics(): SegmentStatistics
  close(): Promise<void>
}

export type SegmentsOptions = {
  /** Directory under the host's disk root. */
  readonly path: string
  /** A file is closed to new objects beyond this. Default 64 MiB. */
  readonly fileBytesMax?: number
  /** Of objects whose write does not say. Default 64 KiB. */
  readonly unitBytes?: number
  /** Below this much free disk space, writes fail with Fault 'no-space' (reads and deletes go on). */
  readonly reserveBytes?: number
}
