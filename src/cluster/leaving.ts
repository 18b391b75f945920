// Transactions on who is a member: adding, draining, removing, re-addressing, and the fact that a draining member is
// empty. Each compares and rewrites the member counter, as replacing does, so that of two changes that were decided
// on the same list only one passes; what was decided is core/leaving-plan.ts.
//
// 'drained/<id>' holds the mod revision of the member's record under which the member found itself empty. A drain
// that was cancelled and begun again is another revision, so an old word is worth nothing.
//
// Drains, their ends and removals are noted in the list of events, in the same transaction.

import { Fault, type NodeId, nodeId, prefixEnd, revision, type Revision } from '../base/index.ts'
import type { Compare, Keyspace, KeyValue, Operation } from '../keyspace/index.ts'
import type { Member } from './cluster.ts'
import {
  type Addresses,
  type LeavingFacts,
  type LeavingPlan,
  type Newcomer,
  planAddition,
  planDrain,
  planDrainCancel,
  planReaddress,
  planRemoval,
  requireUnopposed,
} from './core/leaving-plan.ts'
import {
  clusterCodec,
  clusterKey,
  counterCodec,
  drainedKey,
  memberCodec,
  memberKey,
  memberPrefix,
  nodeCounterKey,
} from './core/records.ts'
import { type EventText, planEvent } from './registry.ts'
import { listBelow } from './system-sight.ts'

const attemptsMax = 16
const membersMax = 4_096

/** Facts that the member list does not have: what the caller asked of the nodes just before. */
export type AskedFacts = Pick<LeavingFacts, 'groups' | 'isUp' | 'held'>

type Asked = AskedFacts & { readonly isForced: boolean; readonly atMs: number }

export type Added = {
  readonly member: Member
  readonly founders: readonly NodeId[]
  /** Everybody who is not removed, the new member included. */
  readonly members: readonly Member[]
}

/** A member that replaces nobody: 'joining', with the next id that was never used. Faults of planAddition. */
export async function addMember(system: Keyspace, newcomer: Newcomer): Promise<Added> {
  return await decide(system, 'adding a member', async (list) => {
    const member = planAddition(list.members, nodeId(list.lastId), newcomer)
    const parts = additionParts(member, list.counter)
    const record = (await system.range({ key: clusterKey })).kvs[0]
    if (record === undefined) throw new Fault('unavailable', 'the cluster has no state yet')
    const present = list.members.filter(({ state }) => state !== 'removed')
    const founders = clusterCodec.decode(record.value).founders.map(nodeId)
    return { ...parts, answer: { member, founders, members: [...present, member] } }
  })
}

/**
 * What a transaction that adds a planned member compares and writes; `counter` is the row of nodeCounterKey that the
 * plan's lastId was read from. The enrolment desk puts them into a transaction of its own.
 */
export function additionParts(
  member: Member,
  counter: KeyValue | undefined,
): { readonly compares: readonly Compare[]; readonly operations: readonly Operation[] } {
  const key = memberKey(member.id)
  return {
    compares: [
      { key: nodeCounterKey, target: 'mod', result: 'equal', operand: counter?.modRevision ?? 0 },
      { key, target: 'create', result: 'equal', operand: 0 },
    ],
    operations: [
      {
        kind: 'put',
        key: nodeCounterKey,
        value: counterCodec.encode({ value: member.id }),
      },
      { kind: 'put', key, value: memberCodec.encode(member) },
    ],
  }
}

/** Answers the plan as it was carried out. Faults of planDrain, 'precondition' with what it would cost. */
export function drainMember(system: Keyspace, id: NodeId, asked: Asked): Promise<LeavingPlan> {
  return leave(system, id, { ...asked, plan: planDrain, verb: 'drained', kind: 'member-draining' })
}

/** Answers the plan as it was carried out. Faults of planRemoval, 'precondition' with what would be lost. */
export function removeMember(system: Keyspace, id: NodeId, asked: Asked): Promise<LeavingPlan> {
  return leave(system, id, { ...asked, plan: planRemoval, verb: 'removed', kind: 'member-removed' })
}

/** It takes shards, votes and leads again. Faults of planDrainCancel. */
export async function cancelDrain(
  system: Keyspace,
  id: NodeId,
  { atMs }: { readonly atMs: number },
): Promise<void> {
  await decide(system, `cancelling the drain of node ${id}`, async (list) => {
    const next = planDrainCancel(list.members, id)
    const text = `${next?.name}: the drain was called off`
    const noted = next === undefined ? undefined : { atMs, kind: 'member-kept', node: id, text }
    return { ...changeOf(list, next), event: noted, answer: undefined }
  })
}

/** Peers dial it there as soon as they have read it. Answers whether anything changed. Faults of planReaddress. */
export function readdressMember(
  system: Keyspace,
  id: NodeId,
  addresses: (member: Member) => Addresses,
): Promise<boolean> {
  return decide(system, `re-addressing node ${id}`, async (list) => {
    const member = list.members.find((one) => one.id === id)
    const wanted = member === undefined ? noAddresses : addresses(member)
    const next = planReaddress(list.members, id, wanted)
    return { ...changeOf(list, next), answer: next !== undefined }
  })
}

const nowhere = { host: '', port: 0 }
const noAddresses: Addresses = { control: nowhere, bulk: nowhere, admin: nowhere, s3: nowhere }

/** Who drains now, as the leader knows it: a node's own copy of the list may be older than its answer to a drain. */
export async function readDraining(system: Keyspace): Promise<readonly Member[]> {
  const kvs = await listBelow(system, memberPrefix)
  return kvs.map((kv) => memberCodec.decode(kv.value)).filter(({ state }) => state === 'draining')
}

/** A member that drains. */
export type Drain = {
  readonly id: NodeId
  readonly name: string
  /** Of its record, under which it drains. */
  readonly seen: Revision
}

/** Read from the leader; undefined when the member does not drain. */
export async function readDrain(system: Keyspace, id: NodeId): Promise<Drain | undefined> {
  const kv = (await system.range({ key: memberKey(id) })).kvs[0]
  if (kv === undefined) return undefined
  const { state, name } = memberCodec.decode(kv.value)
  return state === 'draining' ? { id, name, seen: kv.modRevision } : undefined
}

/**
 * Says that the member holds nothing and can be given nothing. False when it does not drain under `seen` any more, or when
 * something else happened at the same time: look again.
 */
export async function declareDrained(
  system: Keyspace,
  { id, name, seen }: Drain,
  { atMs }: { readonly atMs: number },
): Promise<boolean> {
  const text = `${name} is empty: it can be removed`
  const noted = await planEvent(system, { atMs, kind: 'member-drained', node: id, text })
  const { succeeded } = await system.txn({
    compares: [
      { key: memberKey(id), target: 'mod', result: 'equal', operand: seen },
      ...noted.compares,
    ],
    success: [
      { kind: 'put', key: drainedKey(id), value: counterCodec.encode({ value: seen }) },
      ...noted.operations,
    ],
    failure: [],
  })
  return succeeded
}

/** Whether it has declared itself empty under its present record. */
export async function isDrained(system: Keyspace, id: NodeId): Promise<boolean> {
  const drain = await readDrain(system, id)
  return drain !== undefined && (await readDeclared(system, id)) === drain.seen
}

/** Share of the idle rate for background moves, 0.01 to 1. Fault 'invalid'. */
export async function setMovesShare(system: Keyspace, share: number): Promise<void> {
  if (!(share >= 0.01 && share <= 1)) {
    throw new Fault('invalid', `moves may use 0.01 to 1 of the idle rate, not ${share}`)
  }
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const kv = (await system.range({ key: clusterKey })).kvs[0]
    if (kv === undefined) throw new Fault('unavailable', 'the cluster has no state yet')
    const value = clusterCodec.encode({ ...clusterCodec.decode(kv.value), movesShare: share })
    const { succeeded } = await system.txn({
      compares: [{ key: clusterKey, target: 'mod', result: 'equal', operand: kv.modRevision }],
      success: [{ kind: 'put', key: clusterKey, value }],
      failure: [],
    })
    if (succeeded) return
  }
  throw new Fault('conflict', 'too many changes at once of the settings')
}

function leave(
  system: Keyspace,
  id: NodeId,
  asked: Asked & {
    readonly plan: (facts: LeavingFacts, id: NodeId) => LeavingPlan
    readonly verb: string
    /** Of the event. */
    readonly kind: string
  },
): Promise<LeavingPlan> {
  const { groups, isUp, held, verb, isForced, kind, atMs } = asked
  return decide(system, `node ${id} being ${verb}`, async (list) => {
    const record = (await system.range({ key: clusterKey })).kvs[0]
    if (record === undefined) throw new Fault('unavailable', 'the cluster has no state yet')
    const declared = await readDeclared(system, id)
    const own = list.rows.get(id)
    const plan = asked.plan(
      {
        members: list.members,
        code: clusterCodec.decode(record.value),
        groups,
        isUp,
        held,
        isDrained: own !== undefined && declared === own.modRevision,
      },
      id,
    )
    requireUnopposed(plan, { verb, isForced })
    const cost = plan.objections.length === 0 ? '' : `, by force: ${plan.objections.join('; ')}`
    const text = `${plan.member.name} ${kind === 'member-removed' ? 'was removed' : 'is being drained'}${cost}`
    const event = plan.next === undefined ? undefined : { atMs, kind, node: id, text }
    return { ...changeOf(list, plan.next), event, answer: plan }
  })
}

async function readDeclared(system: Keyspace, id: NodeId): Promise<number | undefined> {
  const kv = (await system.range({ key: drainedKey(id) })).kvs[0]
  return kv === undefined ? undefined : counterCodec.decode(kv.value).value
}

type MemberList = {
  readonly members: readonly Member[]
  readonly rows: ReadonlyMap<NodeId, KeyValue>
  readonly counter: KeyValue | undefined
  readonly lastId: number
}

type Change<T> = {
  readonly compares: readonly Compare[]
  /** Empty: it is so already. */
  readonly operations: readonly Operation[]
  /** Noted with it. */
  readonly event?: EventText | undefined
  readonly answer: T
}

/** The member is as it was decided on, and so is the list; undefined: nothing to write. */
function changeOf(
  list: MemberList,
  next: Member | undefined,
): Pick<Change<unknown>, 'compares' | 'operations'> {
  if (next === undefined) return { compares: [], operations: [] }
  const key = memberKey(next.id)
  const row = list.rows.get(next.id)
  return {
    compares: [
      {
        key: nodeCounterKey,
        target: 'mod',
        result: 'equal',
        operand: list.counter?.modRevision ?? 0,
      },
      { key, target: 'mod', result: 'equal', operand: row?.modRevision ?? revision(0) },
    ],
    operations: [
      { kind: 'put', key: nodeCounterKey, value: counterCodec.encode({ value: list.lastId }) },
      { kind: 'put', key, value: memberCodec.encode(next) },
    ],
  }
}

/** Reads the list, lets `plan` decide, writes; decided again when the list has changed meanwhile. */
async function decide<T>(
  system: Keyspace,
  what: string,
  plan: (list: MemberList) => Promise<Change<T>>,
): Promise<T> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const counter = (await system.range({ key: nodeCounterKey })).kvs[0]
    const listed = await system.range({
      key: memberPrefix,
      rangeEnd: prefixEnd(memberPrefix),
      limit: membersMax,
    })
    const rows = new Map<NodeId, KeyValue>()
    for (const kv of listed.kvs) rows.set(memberCodec.decode(kv.value).id, kv)
    const members = listed.kvs.map((kv) => memberCodec.decode(kv.value))
    const lastId = counter === undefined ? 0 : counterCodec.decode(counter.value).value
    const { compares, operations, event, answer } = await plan({ members, rows, counter, lastId })
    if (operations.length === 0) return answer
    const noted = await planEvent(system, event)
    const { succeeded } = await system.txn({
      compares: [...compares, ...noted.compares],
      success: [...operations, ...noted.operations],
      failure: [],
    })
    if (succeeded) return answer
  }
  throw new Fault('conflict', `too many changes at once: ${what}`, { next: 'try again' })
}
