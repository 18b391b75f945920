// etcd's errors as the keyspace's Faults. The text stays etcd's own, because callers match on it; the code is the
// one that our own keyspace gives for the same refusal. What the table does not know is told by its gRPC code.
//
// Outcome: a refusal that etcd makes before it proposes is 'failed'; one that it makes while it waits for an
// answer of its own (a timeout, a change of leader, the end of the server) is 'unknown'.

import { Fault, type FaultCode } from '../../../base/index.ts'

const texts: Readonly<Record<string, FaultCode>> = {
  'mvcc: required revision has been compacted': 'compacted',
  'mvcc: required revision is a future revision': 'invalid',
  'mvcc: database space exceeded': 'no-space',
  'requested lease not found': 'not-found',
  'lease already exists': 'precondition',
  'too large lease TTL': 'too-large',
  'request is too large': 'too-large',
  'too many requests': 'overloaded',
  'corrupt cluster': 'corrupt',
  'permission denied': 'denied',
  'invalid auth token': 'unauthenticated',
  'user name is empty': 'unauthenticated',
  'authentication failed, invalid user ID or password': 'unauthenticated',
  'no leader': 'unavailable',
}

/** By google.rpc.Code. */
const codes: Readonly<Record<number, FaultCode>> = {
  1: 'cancelled',
  3: 'invalid',
  4: 'deadline',
  5: 'not-found',
  6: 'exists',
  7: 'denied',
  8: 'overloaded',
  9: 'precondition',
  11: 'invalid',
  12: 'unsupported',
  14: 'unavailable',
  15: 'corrupt',
  16: 'unauthenticated',
}

const inDoubt: ReadonlySet<FaultCode> = new Set([
  'deadline',
  'unavailable',
  'cancelled',
  'internal',
])
const beforeProposal = new Set(['no leader', 'not capable'])
const origin = 'etcdserver: '

export function faultOf(status: { readonly code: number; readonly text: string }): Fault {
  const { code: number, text } = status
  const bare = text.startsWith(origin) ? text.slice(origin.length) : text
  const code = texts[bare] ?? codes[number] ?? 'internal'
  const isFailed = !inDoubt.has(code) || beforeProposal.has(bare)
  return new Fault(code, text === '' ? `etcd answered with code ${number}` : text, {
    outcome: isFailed ? 'failed' : 'unknown',
  })
}

/** Why a watch was cancelled, when it was not for a compaction. */
export function cancelFault(reason: string): Fault {
  return faultOf({ code: 14, text: reason === '' ? 'the watch was cancelled by etcd' : reason })
}
