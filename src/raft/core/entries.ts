// Sizes of entries. Limits by bytes count an entry as its protocol-buffer encoding (etcd's raftpb.Entry),
// so that limits mean the same here and there; the uncommitted and inflight limits count payloads only.

import type { Entry } from './types.ts'

/** Bytes of the encoded entry. */
export function entrySize(entry: Entry): number {
  const length = entry.payload.length
  const payload = length === 0 ? 0 : 1 + varintSize(length) + length
  const kind = entry.kind === 'normal' ? 0 : 2
  return kind + 2 + varintSize(entry.term) + varintSize(entry.index) + payload
}

export function entriesSize(entries: readonly Entry[]): number {
  let size = 0
  for (const entry of entries) size += entrySize(entry)
  return size
}

export function payloadsSize(entries: readonly Entry[]): number {
  let size = 0
  for (const entry of entries) size += entry.payload.length
  return size
}

/** How many of entries[from, to) fit in maxBytes; at least one when there is one. */
export function countWithin(
  entries: readonly Entry[],
  from: number,
  to: number,
  maxBytes: number,
): number {
  let size = 0
  for (let i = from; i < to; i++) {
    size += entrySize(entries[i] as Entry)
    if (size > maxBytes) return Math.max(1, i - from)
  }
  return to - from
}

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}
