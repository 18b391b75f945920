// Members of the group behind etcd's API that are to be something else than the cluster's plan would have them:
// kept as a learner, or left out. etcd's MemberAdd, MemberRemove and MemberPromote write these records into the
// system namespace; the leader of the group follows them (membership.ts). Everybody else follows the plan.
//
//   'etcd/member/<id>'   version 1, role 1, CRC32C 4 over both and the key

import {
  concatBytes,
  crc32c,
  Fault,
  type NodeId,
  prefixEnd,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import { type Configuration, isInStep, type Member, planMembership } from '../cluster/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { MembershipChange } from '../raft/index.ts'

export type EtcdRole = 'voter' | 'learner' | 'absent'
export type EtcdRoles = ReadonlyMap<number, EtcdRole>

const roles: readonly EtcdRole[] = ['voter', 'learner', 'absent']
const prefix = utf8Encode('etcd/member/')
const recordVersion = 1
const recordBytes = 6
const rolesMax = 1024

/** Of the node's own replica unless it is asked for the newest. */
export async function readRoles(
  system: Keyspace,
  { isNewest }: { readonly isNewest: boolean },
): Promise<EtcdRoles> {
  const request = { key: prefix, rangeEnd: prefixEnd(prefix), limit: rolesMax }
  const { kvs } = await system.range({ ...request, isSerializable: !isNewest })
  const found = new Map<number, EtcdRole>()
  for (const { key, value } of kvs) found.set(idOf(key), decodeRole(key, value))
  return found
}

/** 'voter': as the plan has it. */
export async function writeRole(system: Keyspace, id: number, role: EtcdRole): Promise<void> {
  const key = keyOf(id)
  if (role === 'voter') await system.delete(key)
  else await system.put(key, encodeRole(key, role))
}

/** What the leader of the group should change next; as planMembership, with these roles. */
export function planWithRoles(
  members: readonly Member[],
  now: Configuration,
  plan: { readonly roles: EtcdRoles; readonly votersMax: number },
): MembershipChange | undefined {
  const missing = members.filter(
    ({ id, state }) => plan.roles.get(id) === 'learner' && isPresent(state) && !isHeld(now, id),
  )
  if (missing.length > 0 && now.votersOutgoing.length === 0) {
    return { addLearners: missing.map(({ id }) => id) }
  }
  const seen = withoutRoles(members, now, plan.roles)
  return planMembership(seen.members, seen.now, plan.votersMax)
}

export function isInStepWithRoles(
  members: readonly Member[],
  now: Configuration,
  plan: { readonly roles: EtcdRoles; readonly votersMax: number },
): boolean {
  const isMissing = ({ id, state }: Member): boolean =>
    plan.roles.get(id) === 'learner' && isPresent(state) && !isHeld(now, id)
  const seen = withoutRoles(members, now, plan.roles)
  return !members.some(isMissing) && isInStep(seen.members, seen.now, plan.votersMax)
}

/** The plan sees nothing of kept learners, and takes who is left out for removed. */
function withoutRoles(members: readonly Member[], now: Configuration, chosen: EtcdRoles) {
  const isKept = (id: NodeId): boolean => chosen.get(id) === 'learner' && now.learners.includes(id)
  const planned = members
    .filter(({ id }) => !isKept(id))
    .map((member) =>
      chosen.get(member.id) === 'absent' ? { ...member, state: 'removed' as const } : member,
    )
  return {
    members: planned,
    now: { ...now, learners: now.learners.filter((id) => !isKept(id)) },
  }
}

function isHeld({ voters, learners }: Configuration, id: NodeId): boolean {
  return voters.includes(id) || learners.includes(id)
}

function isPresent(state: Member['state']): boolean {
  return state !== 'removed' && state !== 'unpaired' && state !== 'pending'
}

function keyOf(id: number): Uint8Array {
  return concatBytes([prefix, utf8Encode(String(id))])
}

function idOf(key: Uint8Array): number {
  return Number(utf8Decode(key.subarray(prefix.length)))
}

function encodeRole(key: Uint8Array, role: EtcdRole): Uint8Array {
  const record = new Uint8Array(recordBytes)
  record[0] = recordVersion
  record[1] = roles.indexOf(role)
  new DataView(record.buffer).setUint32(2, checksum(key, record))
  return record
}

function decodeRole(key: Uint8Array, record: Uint8Array): EtcdRole {
  if (record[0] !== recordVersion) {
    throw new Fault('unsupported', `a member's role of version ${record[0]} is not known`)
  }
  const role = roles[record[1] ?? roles.length]
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength)
  const isWhole = record.length === recordBytes && view.getUint32(2) === checksum(key, record)
  if (role === undefined || !isWhole) throw new Fault('corrupt', "a member's role is damaged")
  return role
}

function checksum(key: Uint8Array, record: Uint8Array): number {
  return crc32c(record.subarray(0, 2), crc32c(key)) >>> 0
}
