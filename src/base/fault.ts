// Fault: the one way to fail that is expected (law 6). The table is closed: a code decides retry
// advice, HTTP status, S3 code, gRPC code and exit status, so that every gateway answers alike.
//
// `outcome` tells a caller of a mutating request what became of it:
//   failed   it did not happen and will not happen;
//   unknown  it may have happened; ask again with the same request id (law 11).

export type Outcome = 'failed' | 'unknown'

type FaultRow = {
  readonly httpStatus: number
  readonly s3Code: string
  /** google.rpc.Code */
  readonly grpcCode: number
  /** sysexits.h where one fits */
  readonly exitStatus: number
  readonly isRetryable: boolean
}

const row = (
  httpStatus: number,
  s3Code: string,
  grpcCode: number,
  exitStatus: number,
  isRetryable: boolean,
): FaultRow => ({ httpStatus, s3Code, grpcCode, exitStatus, isRetryable })

export const faultTable = {
  /** The request is malformed or breaks a stated rule; repeating it cannot help. */
  invalid: row(400, 'InvalidRequest', 3, 64, false),
  unauthenticated: row(403, 'AccessDenied', 16, 77, false),
  denied: row(403, 'AccessDenied', 7, 77, false),
  'not-found': row(404, 'NoSuchKey', 5, 66, false),
  exists: row(409, 'BucketAlreadyOwnedByYou', 6, 73, false),
  /** A stated precondition (compare, If-Match) does not hold. */
  precondition: row(412, 'PreconditionFailed', 9, 65, false),
  /** Two writers met; the caller may read again and retry. */
  conflict: row(409, 'OperationAborted', 10, 75, true),
  'too-large': row(400, 'EntityTooLarge', 11, 64, false),
  unsupported: row(501, 'NotImplemented', 12, 69, false),
  /** A declared limit (queue, batch, connections) is reached: slow down. */
  overloaded: row(503, 'SlowDown', 8, 75, true),
  /** No leader, too few nodes, a peer cannot be reached. */
  unavailable: row(503, 'ServiceUnavailable', 14, 69, true),
  'not-leader': row(503, 'ServiceUnavailable', 14, 69, true),
  deadline: row(503, 'RequestTimeout', 4, 75, true),
  cancelled: row(499, 'RequestTimeout', 1, 75, false),
  'no-space': row(507, 'InsufficientStorage', 8, 74, true),
  /** Bytes at rest or on the wire fail their checksum and nothing intact is left to answer from. */
  corrupt: row(500, 'InternalError', 15, 74, false),
  compacted: row(410, 'NoSuchVersion', 11, 66, false),
  internal: row(500, 'InternalError', 13, 70, false),
} as const satisfies Record<string, FaultRow>

export type FaultCode = keyof typeof faultTable

/** Of a text from outside; 'internal' for what is no code. */
export function faultCodeOf(text: string): FaultCode {
  return Object.hasOwn(faultTable, text) ? (text as FaultCode) : 'internal'
}

export type FaultOptions = {
  /** Defaults to 'failed'. */
  readonly outcome?: Outcome
  /** What the reader should do next; ends the message shown to people. */
  readonly next?: string
  /** Machine-readable fields, small: for example {leader: '2'}. Never a secret. */
  readonly fields?: Readonly<Record<string, string>>
  /** A more exact S3 code than the table's, for example BadDigest; the status goes with it. */
  readonly s3?: { readonly code: string; readonly status: number }
  readonly cause?: unknown
}

export class Fault extends Error {
  override name = 'Fault'
  readonly code: FaultCode
  readonly outcome: Outcome
  readonly next: string | undefined
  readonly fields: Readonly<Record<string, string>>
  readonly s3: { readonly code: string; readonly status: number }

  constructor(code: FaultCode, what: string, options: FaultOptions = {}) {
    super(what, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.outcome = options.outcome ?? 'failed'
    this.next = options.next
    this.fields = options.fields ?? {}
    const { s3Code, httpStatus } = faultTable[code]
    this.s3 = options.s3 ?? { code: s3Code, status: httpStatus }
  }
}

/** True for an expected failure, with that code when one is given. */
export function isFault(error: unknown, code?: FaultCode): error is Fault {
  return error instanceof Fault && (code === undefined || error.code === code)
}

/** What went wrong as a Fault; anything unexpected becomes 'internal' and keeps its cause. */
export function toFault(error: unknown): Fault {
  if (error instanceof Fault) return error
  const what = error instanceof Error ? error.message : String(error)
  return new Fault('internal', what, { cause: error, outcome: 'unknown' })
}
