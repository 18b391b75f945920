// What the log of a database holds: entries of batches, in the order in which the leader ran them.
//
//   entry   sealed record (base/sealed.ts) of kind 1: {engine, batches}
//   batch   {id 16 bytes, timeMs, seed 32 bytes, isAtomic, statements, isInteractive}
//   id      milliseconds since 1970, 6 bytes, big-endian | chance, 10 bytes
//
// Time and chance of a batch are its own: whatever a statement asks of them is answered from here, on every replica alike.

import {
  bool,
  bytes,
  type Codec,
  codecOf,
  concatBytes,
  encodeBytes,
  Fault,
  mapped,
  type MessageOf,
  message,
  nested,
  repeated,
  sealedRecord,
  sha256,
  text,
  uint,
} from '../../base/index.ts'
import type { SqlStatement, SqlValue } from '../sql.ts'
import { decodeValues, encodeValues } from './values.ts'

export type SqlBatch = {
  readonly id: Uint8Array
  /** Milliseconds since 1970 by the clock of who leads. */
  readonly timeMs: number
  readonly seed: Uint8Array
  readonly isAtomic: boolean
  readonly statements: readonly SqlStatement[]
  /** Statements were asked one by one in an open transaction: each for itself, savepoints among them. */
  readonly isInteractive?: boolean
}

export type SqlEntry = {
  /** The engine that ran it before it was proposed (engine/connection.ts). */
  readonly engine: string
  readonly batches: readonly SqlBatch[]
}

export const idBytes = 16
export const seedBytes = 32
/** Of one batch, encoded; a proposal of raft carries it whole. */
export const batchBytesMax = 1024 * 1024
export const statementsMax = 65_536
const timeBytes = 6
const entryKind = 1

const statementFields = message({ sql: text(1), values: bytes(2), names: repeated(text(3)) })
const workFields = message({
  isAtomic: bool(4),
  statements: repeated(nested(5, statementFields)),
  isInteractive: bool(6),
})
const batchFields = message({ id: bytes(1), timeMs: uint(2), seed: bytes(3), ...workFields.fields })
const entryFields = message({ engine: text(1), batches: repeated(nested(2, batchFields)) })

export const batchCodec: Codec<SqlBatch> = mapped(codecOf(batchFields), rawBatch, batchOf)

export const entryCodec: Codec<SqlEntry> = sealedRecord(
  'sql entry',
  entryKind,
  mapped(
    codecOf(entryFields),
    ({ engine, batches }: SqlEntry) => ({ engine, batches: batches.map(rawBatch) }),
    ({ engine, batches }): SqlEntry => ({
      engine,
      batches: batches.flatMap((raw) => (raw === undefined ? [] : [batchOf(raw)])),
    }),
  ),
)

export type RawStatement = MessageOf<typeof statementFields>

export function rawStatement({ sql, values = [] }: SqlStatement): RawStatement {
  if (isList(values)) return { sql, values: encodeValues(values), names: [] }
  const names = Object.keys(values).sort()
  return { sql, values: encodeValues(names.map((name) => values[name] ?? null)), names }
}

export function statementOf({ sql, values, names }: RawStatement): SqlStatement {
  const given = decodeValues(values)
  if (names.length === 0) return { sql, values: given }
  if (names.length !== given.length) throw new Fault('corrupt', 'a statement lacks a value')
  return { sql, values: Object.fromEntries(names.map((name, at) => [name, given[at] ?? null])) }
}

export const statementMessage = statementFields

/** Tells apart two batches of one id that ask for different things. */
export function hashOfWork(batch: SqlBatch): Uint8Array {
  return sha256(encodeBytes(workFields, rawBatch(batch))).subarray(0, idBytes)
}

/** `chance`: ten bytes. */
export function makeBatchId(wallMs: number, chance: Uint8Array): Uint8Array {
  const id = new Uint8Array(timeBytes)
  const view = new DataView(id.buffer)
  const ms = Math.max(0, Math.floor(wallMs))
  view.setUint16(0, Math.floor(ms / 2 ** 32) % 2 ** 16)
  view.setUint32(2, ms % 2 ** 32)
  return concatBytes([id, chance.subarray(0, idBytes - timeBytes)])
}

/** When it was made, as its maker's clock said. */
export function timeOfId(id: Uint8Array): number {
  const view = new DataView(id.buffer, id.byteOffset, id.byteLength)
  return view.getUint16(0) * 2 ** 32 + view.getUint32(2)
}

function rawBatch({ statements, isInteractive = false, ...rest }: SqlBatch) {
  return { ...rest, isInteractive, statements: statements.map(rawStatement) }
}

function batchOf(raw: MessageOf<typeof batchFields>): SqlBatch {
  const { id, timeMs, seed, isAtomic, isInteractive } = raw
  if (id.length !== idBytes || seed.length !== seedBytes) {
    throw new Fault('corrupt', 'a SQL batch has an id of 16 bytes and a seed of 32')
  }
  const statements = raw.statements.flatMap((one) => (one === undefined ? [] : [statementOf(one)]))
  const batch = { id: id.slice(), timeMs, seed: seed.slice(), isAtomic, statements }
  return isInteractive ? { ...batch, isInteractive } : batch
}

function isList(
  values: readonly SqlValue[] | Readonly<Record<string, SqlValue>>,
): values is readonly SqlValue[] {
  return Array.isArray(values)
}
