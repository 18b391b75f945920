// What users ask for, checked and made into a batch, and a batch's answer as they get it: on whichever thread they are served.

import { Fault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { answerCodec } from './core/answer.ts'
import {
  batchBytesMax,
  batchCodec,
  idBytes,
  makeBatchId,
  type SqlBatch,
  seedBytes,
  statementsMax,
} from './core/entry.ts'
import type { ExecuteAnswer, ExecuteOptions, RanBatch, SqlStatement } from './sql.ts'

const timeoutMsDefault = 30_000
const timeoutMsMax = 600_000

/** Encoded. Who leads draws its time and chance. Faults 'invalid', 'too-large'. */
export function makeBatch(
  host: Pick<Host, 'clock' | 'random'>,
  statements: readonly SqlStatement[],
  options: ExecuteOptions,
): Uint8Array {
  checkCount(statements)
  const id = options.id ?? makeBatchId(host.clock.wallMs(), host.random.bytes(10))
  if (id.length !== idBytes) throw new Fault('invalid', `an id has ${idBytes} bytes`)
  const { isAtomic = true } = options
  const batch: SqlBatch = { id, timeMs: 0, seed: new Uint8Array(seedBytes), isAtomic, statements }
  const encoded = batchCodec.encode(batch)
  if (encoded.length <= batchBytesMax) return encoded
  const next = 'send fewer statements at a time'
  throw new Fault('too-large', `a batch has at most ${batchBytesMax} bytes`, { next })
}

/** Fault 'precondition' for an id that was used for something else, or is too old to be known. */
export function executeAnswerOf(ran: RanBatch): ExecuteAnswer {
  const { results, refusal } = answerCodec.decode(ran.answer)
  if (refusal === 'mismatch') {
    throw new Fault('precondition', 'the id was used for another batch')
  }
  if (refusal === 'forgotten') {
    throw new Fault('precondition', 'the id is too old to know whether its batch has run')
  }
  return { results: results.map((one, at) => ({ ...one, elapsedUs: ran.elapsedUs[at] ?? 0 })) }
}

export function checkCount({ length }: readonly SqlStatement[]): void {
  if (length > 0 && length <= statementsMax) return
  throw new Fault('invalid', `a request has 1 to ${statementsMax} statements, not ${length}`)
}

export function timeoutOf(timeoutMs = timeoutMsDefault): number {
  if (timeoutMs > 0 && timeoutMs <= timeoutMsMax) return timeoutMs
  throw new Fault('invalid', `a timeout is between 1 and ${timeoutMsMax} ms`)
}
