// The answer to a batch, as it is remembered beside the effect and given again to whoever asks again.
//
//   answer   sealed record (base/sealed.ts) of kind 2: {results, refusal}
//
// How long a statement took is no part of it: that differs between replicas.

import {
  bytes,
  type Codec,
  codecOf,
  mapped,
  type MessageOf,
  message,
  nested,
  repeated,
  sealedRecord,
  text,
  uint,
} from '../../base/index.ts'
import type { SqlResult } from '../sql.ts'
import { decodeValues, encodeValues } from './values.ts'

/** mismatch: its id was used for another batch; forgotten: its id is older than what is remembered. */
export type Refusal = 'mismatch' | 'forgotten'

export type SqlAnswer = {
  readonly results: readonly SqlResult[]
  /** Present: nothing was run. */
  readonly refusal?: Refusal
}

const answerKind = 2

const resultFields = message({
  columns: repeated(text(1)),
  types: repeated(text(2)),
  rows: repeated(bytes(3)),
  changes: uint(4),
  lastInsertId: text(5),
  error: text(6),
})
const answerFields = message({ results: repeated(nested(1, resultFields)), refusal: text(2) })

export const resultMessage = resultFields

export const answerCodec: Codec<SqlAnswer> = sealedRecord(
  'sql answer',
  answerKind,
  mapped(
    codecOf(answerFields),
    ({ results, refusal }: SqlAnswer) => ({
      results: results.map(rawResult),
      refusal: refusal ?? '',
    }),
    (raw): SqlAnswer => ({
      results: raw.results.flatMap((one) => (one === undefined ? [] : [resultOf(one)])),
      ...(raw.refusal === '' ? {} : { refusal: raw.refusal as Refusal }),
    }),
  ),
)

export function rawResult(result: SqlResult): MessageOf<typeof resultFields> {
  const { columns, types, rows, changes, lastInsertId, error = '' } = result
  const id = lastInsertId === 0n ? '' : lastInsertId.toString()
  return { columns, types, rows: rows.map(encodeValues), changes, lastInsertId: id, error }
}

export function resultOf(raw: MessageOf<typeof resultFields>): SqlResult {
  const { columns, types, changes, error } = raw
  return {
    columns,
    types,
    rows: raw.rows.map(decodeValues),
    changes,
    lastInsertId: BigInt(raw.lastInsertId === '' ? 0 : raw.lastInsertId),
    ...(error === '' ? {} : { error }),
    elapsedUs: 0,
  }
}

/** What a statement that failed answers. */
export function failedResult(error: string): SqlResult {
  return { columns: [], types: [], rows: [], changes: 0, lastInsertId: 0n, error, elapsedUs: 0 }
}
