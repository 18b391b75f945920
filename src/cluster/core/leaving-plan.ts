// Who may come, go and move, decided on values alone: the member list, what the groups and the last audit said. The
// transactions that carry it out compare that the list is still the one that was decided on (leaving.ts).
//
// Rules:
// 1. Names and addresses are unique among members that are not removed.
// 2. The members that stay can hold a chunk: as many as the code has shards.
// 3. Every group keeps a majority of voters that are up, before and after.
// 4. A member is removed when it is empty: it has said so itself, under the very record that is removed.
// Rules 2 to 4 yield to force, but never so far that a group loses its only voter. What force costs is said in
// sentences, which are the objections themselves.

import { Fault, type NodeId } from '../../base/index.ts'
import type { Address } from '../../host/index.ts'
import type { Member } from '../cluster.ts'

export type Addresses = {
  readonly control: Address
  readonly bulk: Address
  readonly admin: Address
  readonly s3: Address
}

export type Newcomer = {
  /** Absent: 'node-<id>'. */
  readonly name?: string
  readonly addresses: Addresses
  readonly labels: Readonly<Record<string, string>>
  readonly caps: readonly string[]
}

/** The member that a newcomer becomes: 'joining', with the id after `lastId`. Fault 'exists'. */
export function planAddition(
  members: readonly Member[],
  lastId: NodeId,
  newcomer: Newcomer,
): Member {
  const id = (lastId + 1) as NodeId
  const name = newcomer.name ?? `node-${id}`
  const present = members.filter(isPresent)
  const namesake = present.find((member) => member.name === name)
  if (namesake !== undefined) {
    throw new Fault('exists', `the name ${name} belongs to node ${namesake.id}`, {
      next: 'give the machine another name',
    })
  }
  requireFreeAddresses(present, newcomer.addresses)
  return {
    id,
    name,
    state: 'joining',
    ...newcomer.addresses,
    labels: newcomer.labels,
    caps: newcomer.caps,
    version: '',
    capacityBytes: 0,
    replaces: undefined,
  }
}

/** The member at its new addresses; undefined when it is there already. Faults 'not-found', 'exists'. */
export function planReaddress(
  members: readonly Member[],
  id: NodeId,
  addresses: Addresses,
): Member | undefined {
  const member = findPresent(members, id)
  requireFreeAddresses(
    members.filter((other) => isPresent(other) && other.id !== id),
    addresses,
  )
  const isThere = addressKinds.every((kind) => isSame(member[kind], addresses[kind]))
  return isThere ? undefined : { ...member, ...addresses }
}

export type GroupFacts = {
  readonly name: string
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
}

export type LeavingFacts = {
  /** Removed ones too. */
  readonly members: readonly Member[]
  readonly code: { readonly dataShards: number; readonly parityShards: number }
  /** Every group, as its leader has it, or whoever answered. */
  readonly groups: readonly GroupFacts[]
  readonly isUp: (id: NodeId) => boolean
  /** What the last audit saw at the member; undefined: nobody has counted. */
  readonly held: HeldFacts | undefined
  /** It has declared itself empty under its present record. */
  readonly isDrained: boolean
}

export type HeldFacts = {
  readonly shards: number
  readonly bytes: number
  /** Chunks that could not be read without this member as things stand. */
  readonly lastCopies: number
}

export type LeavingPlan = {
  /** As it is now. */
  readonly member: Member
  /** As it shall be; undefined: it is so already. */
  readonly next: Member | undefined
  /** Sentences that say what is lost or risked. Empty: nothing. */
  readonly objections: readonly string[]
  /** Force does not help against it. */
  readonly refusal: string | undefined
}

/** Faults 'not-found', 'precondition' when it has not joined yet. */
export function planDrain(facts: LeavingFacts, id: NodeId): LeavingPlan {
  const member = findPresent(facts.members, id)
  if (member.state === 'draining') return { member, next: undefined, ...nothing }
  if (member.state === 'joining') {
    throw new Fault('precondition', `node ${id} is still joining`, {
      next: 'wait until it is online, or remove it',
    })
  }
  const next: Member = { ...member, state: 'draining' }
  const staying = stayingMembers(facts.members, id)
  const objections = [
    ...roomObjections(facts, staying, 'its shards have nowhere to go: the drain will not end'),
    ...facts.groups.flatMap((group) => quorumObjections(facts, group, id)),
  ]
  return { member, next, objections, refusal: soleVoterRefusal(facts.groups, id, staying) }
}

/** Faults 'not-found', 'precondition' when it is not draining. */
export function planDrainCancel(members: readonly Member[], id: NodeId): Member | undefined {
  const member = findPresent(members, id)
  if (member.state === 'draining') return { ...member, state: 'online' }
  if (member.state === 'joining') {
    throw new Fault('precondition', `node ${id} does not drain: it is joining`)
  }
  return undefined
}

/** A member that is removed already needs nothing. Fault 'not-found'. */
export function planRemoval(facts: LeavingFacts, id: NodeId): LeavingPlan {
  const member = findMember(facts.members, id)
  if (member.state === 'removed') return { member, next: undefined, ...nothing }
  const next: Member = { ...member, state: 'removed' }
  const staying = stayingMembers(facts.members, id)
  const isMissed = member.state !== 'draining' && member.state !== 'joining'
  const objections = [
    ...(isMissed ? roomObjections(facts, staying, 'new objects could not be stored') : []),
    ...facts.groups.flatMap((group) => quorumObjections(facts, group, id)),
    ...facts.groups.flatMap((group) => voteObjections(facts, group, id)),
    ...dataObjections(facts),
  ]
  return { member, next, objections, refusal: soleVoterRefusal(facts.groups, id, staying) }
}

/** Fault 'precondition' with all objections as one sentence, unless it is forced. */
export function requireUnopposed(
  plan: LeavingPlan,
  asked: { readonly verb: string; readonly isForced: boolean },
): void {
  const { member, objections, refusal } = plan
  if (refusal !== undefined) {
    throw new Fault('precondition', `node ${member.id} cannot be ${asked.verb}: ${refusal}`)
  }
  if (objections.length === 0 || asked.isForced) return
  const why = objections.join('; ')
  const isHolding = asked.verb === 'removed' && member.state !== 'draining'
  throw new Fault('precondition', `node ${member.id} was not ${asked.verb}: ${why}`, {
    next: isHolding
      ? `drain it first (atoll admin drain ${member.id}), or accept the loss with --force`
      : 'accept it with --force',
    fields: { canBeForced: 'yes' },
  })
}

const nothing = { objections: [], refusal: undefined } as const

/** Rule 2. */
function roomObjections(
  { code }: LeavingFacts,
  staying: readonly Member[],
  consequence: string,
): readonly string[] {
  const { dataShards, parityShards } = code
  const needed = dataShards + parityShards
  const left = staying.length
  if (left >= needed) return []
  const members = left === 1 ? 'member' : 'members'
  return [
    `${left} ${members} would stay and the code ${dataShards}+${parityShards} needs ${needed}, so ${consequence}`,
  ]
}

/** Rule 3. */
function quorumObjections(facts: LeavingFacts, group: GroupFacts, id: NodeId): readonly string[] {
  const { voters } = group
  if (!voters.includes(id)) return []
  const after = voters.filter((voter) => voter !== id)
  const up = after.filter(facts.isUp)
  if (up.length >= majority(after.length)) return []
  const what = `${up.length} of the ${after.length} voters of ${group.name} that stay are up`
  return [`${what}, so nothing could be written until more are`]
}

/**
 * Rule 3, before: nobody speaks to a removed member, and that it votes no more takes a majority of those who vote now. A
 * drain takes its vote while it still answers.
 */
function voteObjections(facts: LeavingFacts, group: GroupFacts, id: NodeId): readonly string[] {
  const { voters, name } = group
  if (!voters.includes(id) || quorumObjections(facts, group, id).length > 0) return []
  const up = voters.filter((voter) => voter !== id && facts.isUp(voter))
  if (up.length >= majority(voters.length)) return []
  return [`${name} cannot decide without its vote, so nothing could be written there any more`]
}

/** Rule 4. */
function dataObjections({ held, isDrained }: LeavingFacts): readonly string[] {
  if (isDrained || held?.shards === 0) return []
  if (held === undefined) {
    return ['it is not drained, and nobody can say now what only it holds: that would be lost']
  }
  const { shards, bytes, lastCopies } = held
  const what = `it still holds ${shards} shards (${bytes} bytes)`
  return lastCopies > 0
    ? [`${what}, and ${lastCopies} chunks cannot be read without it: their objects would be lost`]
    : [`${what}, whose chunks would lack redundancy until they are repaired`]
}

function soleVoterRefusal(
  groups: readonly GroupFacts[],
  id: NodeId,
  staying: readonly Member[],
): string | undefined {
  const sole = groups.find(({ voters }) => voters.length === 1 && voters[0] === id)
  if (sole === undefined) return undefined
  const heir = staying.find((member) => member.state === 'online')
  return heir === undefined || !sole.learners.includes(heir.id)
    ? `it is the only voter of ${sole.name}, and everything in there would be lost`
    : `it is the only voter of ${sole.name} until node ${heir.id} has caught up`
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1
}

function stayingMembers(members: readonly Member[], id: NodeId): readonly Member[] {
  return members.filter(
    (member) => isPresent(member) && member.state !== 'draining' && member.id !== id,
  )
}

const addressKinds = ['control', 'bulk', 'admin', 's3'] as const

function requireFreeAddresses(others: readonly Member[], addresses: Addresses): void {
  for (const other of others) {
    const kind = addressKinds.find((one) => isSame(other[one], addresses[one]))
    if (kind === undefined) continue
    const { host, port } = addresses[kind]
    throw new Fault('exists', `${host}:${port} is the ${kind} address of node ${other.id}`, {
      next: 'give an address that no member has',
    })
  }
}

function isSame(a: Address, b: Address): boolean {
  return a.host === b.host && a.port === b.port
}

function isPresent({ state }: Member): boolean {
  return state !== 'removed' && state !== 'unpaired' && state !== 'pending'
}

function findMember(members: readonly Member[], id: NodeId): Member {
  const member = members.find((one) => one.id === id)
  if (member !== undefined) return member
  throw new Fault('not-found', `no member has the id ${id}`, {
    next: '`atoll status` lists the members',
  })
}

function findPresent(members: readonly Member[], id: NodeId): Member {
  const member = findMember(members, id)
  if (isPresent(member)) return member
  throw new Fault('not-found', `node ${id} is no member any more: it is ${member.state}`, {
    next: '`atoll status` lists the members',
  })
}
