// Failures as etcd words them (api/v3rpc/rpctypes/error.go): clients match on code and text. A Fault whose
// message is etcd's own keeps it; the others get the text that etcd has for their kind, or their own.

import { Fault, faultTable } from '../../../base/index.ts'

/** google.rpc.Code */
export const grpcCode = {
  ok: 0,
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const

/** In order of their numbers. */
export const codeNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const

export type EtcdError = { readonly code: number; readonly text: string }

const own = (code: number, text: string): EtcdError => ({ code, text: `etcdserver: ${text}` })
const { invalidArgument, outOfRange, failedPrecondition, unavailable, resourceExhausted } = grpcCode

export const etcdErrors = {
  emptyKey: own(invalidArgument, 'key is not provided'),
  keyNotFound: own(invalidArgument, 'key not found'),
  valueProvided: own(invalidArgument, 'value is provided'),
  leaseProvided: own(invalidArgument, 'lease is provided'),
  tooManyOperations: own(invalidArgument, 'too many operations in txn request'),
  duplicateKey: own(invalidArgument, 'duplicate key given in txn request'),
  invalidSort: own(invalidArgument, 'invalid sort option'),
  compacted: own(outOfRange, 'mvcc: required revision has been compacted'),
  futureRevision: own(outOfRange, 'mvcc: required revision is a future revision'),
  noSpace: own(resourceExhausted, 'mvcc: database space exceeded'),
  leaseNotFound: own(grpcCode.notFound, 'requested lease not found'),
  leaseExists: own(failedPrecondition, 'lease already exists'),
  leaseTtlTooLarge: own(outOfRange, 'too large lease TTL'),
  memberNotFound: own(grpcCode.notFound, 'member not found'),
  memberBadUrls: own(invalidArgument, 'given member URLs are invalid'),
  memberExists: own(failedPrecondition, 'member ID already exist'),
  peerUrlExists: own(failedPrecondition, 'Peer URLs already exists'),
  membersNotStarted: own(
    failedPrecondition,
    're-configuration failed due to not enough started members',
  ),
  memberNotLearner: own(failedPrecondition, 'can only promote a learner member'),
  learnerNotReady: own(
    failedPrecondition,
    'can only promote a learner member which is in sync with leader',
  ),
  requestTooLarge: own(invalidArgument, 'request is too large'),
  tooManyRequests: own(resourceExhausted, 'too many requests'),
  rootUserMissing: own(failedPrecondition, 'root user does not exist'),
  rootRoleMissing: own(failedPrecondition, 'root user does not have root role'),
  userExists: own(failedPrecondition, 'user name already exists'),
  userEmpty: own(invalidArgument, 'user name is empty'),
  userNotFound: own(failedPrecondition, 'user name not found'),
  roleExists: own(failedPrecondition, 'role name already exists'),
  roleNotFound: own(failedPrecondition, 'role name not found'),
  roleEmpty: own(invalidArgument, 'role name is empty'),
  roleNotGranted: own(failedPrecondition, 'role is not granted to the user'),
  permissionNotGiven: own(invalidArgument, 'permission not given'),
  permissionNotGranted: own(failedPrecondition, 'permission is not granted to the role'),
  permissionDenied: own(grpcCode.permissionDenied, 'permission denied'),
  authFailed: own(invalidArgument, 'authentication failed, invalid user ID or password'),
  authNotEnabled: own(failedPrecondition, 'authentication is not enabled'),
  authRevisionOld: own(invalidArgument, 'revision of auth store is old'),
  invalidToken: own(grpcCode.unauthenticated, 'invalid auth token'),
  invalidManagement: own(invalidArgument, 'invalid auth management'),
  noLeader: own(unavailable, 'no leader'),
  leaderChanged: own(unavailable, 'leader changed'),
  badTransferee: own(failedPrecondition, 'bad leader transferee'),
  notCapable: own(unavailable, 'not capable'),
  stopped: own(unavailable, 'server stopped'),
  timeout: own(unavailable, 'request timed out'),
  corrupt: own(grpcCode.dataLoss, 'corrupt cluster'),
  canceled: own(grpcCode.canceled, 'request canceled'),
} as const satisfies Record<string, EtcdError>

const byText = new Map<string, EtcdError>(
  Object.values(etcdErrors).map((error) => [error.text, error]),
)

/** An answer that the gateway itself decides; `toEtcdError` gives it back as it is. */
export class EtcdRefusal extends Fault {
  readonly etcd: EtcdError

  constructor(etcd: EtcdError) {
    super('invalid', etcd.text)
    this.etcd = etcd
  }
}

export function toEtcdError(fault: Fault): EtcdError {
  if (fault instanceof EtcdRefusal) return fault.etcd
  const known = byText.get(fault.message)
  if (known !== undefined) return known
  switch (fault.code) {
    case 'overloaded':
      return etcdErrors.tooManyRequests
    case 'deadline':
      return etcdErrors.timeout
    case 'unavailable':
    case 'not-leader':
      return fault.outcome === 'unknown' ? etcdErrors.leaderChanged : etcdErrors.noLeader
    case 'cancelled':
      return etcdErrors.canceled
    case 'corrupt':
      return etcdErrors.corrupt
    case 'no-space':
      return etcdErrors.noSpace
    case 'compacted':
      return etcdErrors.compacted
    case 'internal':
      return own(grpcCode.internal, 'internal error')
    default:
      return own(faultTable[fault.code].grpcCode, fault.message)
  }
}

/** HTTP status of a code, as the JSON gateway answers it. */
export function httpStatusOf(code: number): number {
  return httpStatuses[code] ?? 500
}

const httpStatuses: Readonly<Record<number, number>> = {
  0: 200,
  1: 408,
  2: 500,
  3: 400,
  4: 504,
  5: 404,
  6: 409,
  7: 403,
  8: 429,
  9: 400,
  10: 409,
  11: 400,
  12: 501,
  13: 500,
  14: 503,
  15: 500,
  16: 401,
}
