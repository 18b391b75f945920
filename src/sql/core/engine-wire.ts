// What a node and its engines say to each other, a message each: requests are numbered and answered in order.

import {
  bool,
  bytes,
  type Codec,
  codecOf,
  type Fault,
  faultCodec,
  type MessageOf,
  message,
  nested,
  repeated,
  text,
  uint,
} from '../../base/index.ts'
import type { SqlResult, SqlStatement } from '../sql.ts'
import { rawResult, resultMessage, resultOf } from './answer.ts'
import { rawStatement, statementMessage, statementOf } from './entry.ts'

/** What an engine is started with. A reader never changes the file, which the writer made. */
export type EngineInput = {
  readonly path: string
  readonly isReader: boolean
}

/**
 * open: nothing, for who wants to know where the file stands; run, commit, rollback: an entry ahead of its proposal; apply:
 * entries of the log; digest: as it was behind an entry, if that is known; hold, step: a transaction that is asked one statement
 * after the other, until rollback; query: of a reader only.
 */
export type EngineAct =
  | { readonly kind: 'open' }
  | { readonly kind: 'run'; readonly payload: Uint8Array }
  | { readonly kind: 'commit'; readonly index: number }
  | { readonly kind: 'hold'; readonly payload: Uint8Array }
  | { readonly kind: 'step'; readonly statements: readonly SqlStatement[] }
  | { readonly kind: 'rollback' }
  | {
      readonly kind: 'apply'
      readonly entries: readonly { readonly index: number; readonly payload: Uint8Array }[]
      /** Otherwise nobody waits for them here. */
      readonly wantsAnswers: boolean
    }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'digest'; readonly index: number }
  | { readonly kind: 'copy'; readonly path: string }
  | { readonly kind: 'query'; readonly statements: readonly SqlStatement[] }

export type RanEntry = readonly {
  readonly answer: Uint8Array
  readonly elapsedUs: readonly number[]
}[]

export type EngineReply = {
  readonly engine: string
  readonly applied: number
  readonly digest: Uint8Array
  /** Of run (one) and apply (each). */
  readonly entries: readonly RanEntry[]
  /** Of query, and of step (one). */
  readonly results: readonly SqlResult[]
  /** Of digest; empty: not known. */
  readonly digestAt: Uint8Array
  /** Of step: the transaction is the same without it. */
  readonly isPure: boolean
}

const actFields = message({
  number: uint(1),
  kind: text(2),
  index: uint(3),
  payloads: repeated(bytes(4)),
  indexes: repeated(uint(5)),
  wantsAnswers: bool(6),
  path: text(7),
  statements: repeated(nested(8, statementMessage)),
})
const batchFields = message({ answer: bytes(1), elapsedUs: repeated(uint(2)) })
const entryFields = message({ batches: repeated(nested(1, batchFields)) })
const replyFields = message({
  number: uint(1),
  /** An encoded Fault; empty: it succeeded. */
  fault: bytes(2),
  engine: text(3),
  applied: uint(4),
  digest: bytes(5),
  entries: repeated(nested(6, entryFields)),
  results: repeated(nested(7, resultMessage)),
  elapsedUs: repeated(uint(8)),
  digestAt: bytes(9),
  isPure: bool(10),
})

export const rawActCodec: Codec<MessageOf<typeof actFields>> = codecOf(actFields)
export const rawReplyCodec: Codec<MessageOf<typeof replyFields>> = codecOf(replyFields)

const noBytes = new Uint8Array(0)
const nothing = {
  index: 0,
  payloads: [],
  indexes: [],
  wantsAnswers: false,
  path: '',
  statements: [],
} as const

export function encodeAct(number: number, act: EngineAct): Uint8Array {
  const base = { ...nothing, number, kind: act.kind }
  if (act.kind === 'run' || act.kind === 'hold') {
    return rawActCodec.encode({ ...base, payloads: [act.payload] })
  }
  if (act.kind === 'commit' || act.kind === 'digest') {
    return rawActCodec.encode({ ...base, index: act.index })
  }
  if (act.kind === 'copy') return rawActCodec.encode({ ...base, path: act.path })
  if (act.kind === 'query' || act.kind === 'step') {
    return rawActCodec.encode({ ...base, statements: act.statements.map(rawStatement) })
  }
  if (act.kind !== 'apply') return rawActCodec.encode(base)
  return rawActCodec.encode({
    ...base,
    payloads: act.entries.map(({ payload }) => payload),
    indexes: act.entries.map(({ index }) => index),
    wantsAnswers: act.wantsAnswers,
  })
}

export function statementsOf(raw: MessageOf<typeof actFields>): readonly SqlStatement[] {
  return raw.statements.flatMap((one) => (one === undefined ? [] : [statementOf(one)]))
}

export function encodeReply(number: number, reply: EngineReply): Uint8Array {
  return rawReplyCodec.encode({
    ...reply,
    number,
    fault: noBytes,
    entries: reply.entries.map((batches) => ({ batches: [...batches] })),
    results: reply.results.map(rawResult),
    elapsedUs: reply.results.map(({ elapsedUs }) => elapsedUs),
  })
}

export function encodeFailure(number: number, fault: Fault): Uint8Array {
  const nothing = { entries: [], results: [], elapsedUs: [], digestAt: noBytes, isPure: false }
  const blank = { engine: '', applied: 0, digest: noBytes, ...nothing }
  return rawReplyCodec.encode({ ...blank, number, fault: faultCodec.encode(fault) })
}

export function replyOf(raw: MessageOf<typeof replyFields>): EngineReply {
  const { engine, applied, digest, elapsedUs, digestAt, isPure } = raw
  return {
    engine,
    applied,
    digest,
    digestAt,
    isPure,
    entries: raw.entries.map((entry) =>
      (entry?.batches ?? []).flatMap((batch) => (batch === undefined ? [] : [batch])),
    ),
    results: raw.results.flatMap((one, at) =>
      one === undefined ? [] : [{ ...resultOf(one), elapsedUs: elapsedUs[at] ?? 0 }],
    ),
  }
}
