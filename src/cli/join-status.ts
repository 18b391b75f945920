// How a join that came to nothing ends: one exit status for each reason, so that a script can tell them apart. The
// reasons are the field `reason` of the Fault; statuses outside this table are those of the table of faults.

import { type Fault, faultTable } from '../base/index.ts'

export const joinStatuses: Readonly<
  Record<string, { readonly status: number; readonly what: string }>
> = {
  unreachable: { status: 80, what: 'nobody answers at the address' },
  pin: { status: 81, what: 'the server is not of the cluster that the token names' },
  expired: { status: 82, what: 'the token has expired' },
  used: { status: 83, what: 'the token has been used as often as it may be' },
  revoked: { status: 84, what: 'the token was revoked' },
  token: { status: 85, what: 'the cluster does not know the token, or the proof is wrong' },
  removed: { status: 96, what: 'this machine was removed from the cluster' },
  rejected: { status: 86, what: 'an operator rejected this machine' },
  pending: { status: 87, what: 'an operator has not decided yet (--no-wait)' },
  duplicate: { status: 88, what: 'the name or address belongs to a member' },
  full: { status: 89, what: 'the cluster has no place left' },
  region: { status: 90, what: 'the cluster is of another region' },
  clock: { status: 91, what: 'the clocks are too far apart' },
  version: { status: 92, what: 'the programs do not go together' },
  address: { status: 93, what: 'the cluster file has no entry for the address of this machine' },
  identity: { status: 94, what: 'the directory holds another identity (--force)' },
  discovery: { status: 95, what: 'no cluster, or several, answered on the local network' },
}

export function joinStatusOf(fault: Fault): number {
  return joinStatuses[fault.fields.reason ?? '']?.status ?? faultTable[fault.code].exitStatus
}

export function joinStatusHelp(): string {
  const rows = Object.values(joinStatuses).map(({ status, what }) => `  ${status}  ${what}`)
  return `Exit status:\n${rows.join('\n')}\n`
}
