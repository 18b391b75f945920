// The guard of a keyspace (keyspace.ts): one document and its revision, in a row of 'keyspaces'.
//
//   keyspaces  space, 'guard'  -> revision 8, document, sealed
//
// Requests name its revision plus one, so that zero, which costs no byte, names none.

import { concatBytes, Fault, uint64Bytes, utf8Encode } from '../../base/index.ts'
import type { Guard } from '../keyspace.ts'
import { getUint64 } from './bytes.ts'
import { guardBytesMax } from './limits.ts'
import { seal, sealedHash, unseal } from './records.ts'
import { latestKey, type RowReader, type RowWriter, type Space } from './rows.ts'

export const guardName = utf8Encode('guard')
const emptyBytes = new Uint8Array(0)

/** The guard of a state, and the hash of its row for the digest (0: there is no row). */
export type GuardRow = Guard & { readonly hash: number }

export function readGuard(rows: RowReader, space: Space): GuardRow {
  const row = rows.get('keyspaces', latestKey(space, guardName))
  return row === undefined ? { revision: 0, document: emptyBytes, hash: 0 } : decodeGuardRow(row)
}

/** Fault 'corrupt' for damaged bytes. */
export function decodeGuardRow(row: Uint8Array): GuardRow {
  const body = unseal(guardName, row)
  if (body.length < 8) throw new Fault('corrupt', 'malformed guard: it is too short')
  const document = body.slice(8)
  return { revision: getUint64(body, 0), document, hash: sealedHash(row) }
}

/** Faults 'conflict' when another document stands meanwhile, 'too-large'. */
export function replaceGuard(
  rows: RowWriter,
  space: Space,
  change: {
    readonly now: GuardRow
    readonly expected: number
    readonly document: Uint8Array
  },
): GuardRow {
  const { now, expected, document } = change
  checkGuard(expected, now.revision)
  checkDocument(document)
  const revision = now.revision + 1
  const row = seal(guardName, concatBytes([uint64Bytes(revision), document]))
  rows.put('keyspaces', latestKey(space, guardName), row)
  return { revision, document: document.slice(), hash: sealedHash(row) }
}

/** Fault 'conflict' when a request names another revision than the guard's. */
export function checkGuard(named: number | undefined, revision: number): void {
  if (named === undefined || named === revision) return
  throw new Fault('conflict', 'the guard of the keyspace has changed', {
    fields: { guard: String(revision) },
    next: 'decide again under the present guard',
  })
}

export function checkDocument(document: Uint8Array): void {
  if (document.length <= guardBytesMax) return
  throw new Fault('too-large', `a guard has at most ${guardBytesMax} bytes`)
}

export function encodeGuardRevision(guard: number | undefined): number {
  return guard === undefined ? 0 : guard + 1
}

export function decodeGuardRevision(field: number): number | undefined {
  return field === 0 ? undefined : field - 1
}
