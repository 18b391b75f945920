// The registry: what is recorded of members beside their coming and going (state of health, labels, capacity,
// version, public address), the rule of placement, and the list of events.
//
// Every change is one transaction on what it was decided on; with it goes its event, so that the list tells
// exactly what happened. The list is a ring of the newest eventsMax keys, to be watched like any keys.

import { Fault, type NodeId, prefixEnd, revision } from '../base/index.ts'
import type { Compare, Keyspace, KeyValue, Operation, RequestOptions } from '../keyspace/index.ts'
import type { ClusterEvent, Member, PlacementRule } from './cluster.ts'
import { hasControl } from './trust-calls.ts'
import { checkLabels, checkRule } from './core/placement-rule.ts'
import {
  counterCodec,
  eventCodec,
  eventCounterKey,
  eventKey,
  eventPrefix,
  memberCodec,
  memberKey,
  placementRuleCodec,
  placementRuleKey,
} from './core/records.ts'

export const eventsMax = 1024
const attemptsMax = 16
const capsMax = 32

export type EventText = Omit<ClusterEvent, 'number'>

/** What a member, or an operator for it, tells of itself. */
export type Descriptor = {
  readonly publicUrl?: string
  /** Replaces all labels. */
  readonly labels?: Readonly<Record<string, string>>
  readonly capacityBytes?: number
}

type Change = { readonly member: Member; readonly event?: EventText | undefined }

/**
 * Changes a member's record and notes the event with it; `decide` answers undefined for "leave it as it is", and is
 * asked again when somebody else was faster. Answers the record as it is then; undefined when there is no such
 * member or it is removed.
 */
export async function changeMember(
  system: Keyspace,
  id: NodeId,
  decide: (member: Member) => Change | undefined,
  options: RequestOptions = {},
): Promise<Member | undefined> {
  const key = memberKey(id)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = (await system.range({ key }, options)).kvs[0]
    if (found === undefined) return undefined
    const member = memberCodec.decode(found.value)
    if (member.state === 'removed') return undefined
    const change = decide(member)
    if (change === undefined) return member
    const noted = await planEvent(system, change.event)
    const request = {
      compares: [unchanged(key, found), ...noted.compares],
      success: [put(key, memberCodec.encode(change.member)), ...noted.operations],
      failure: [],
    }
    const { succeeded } = await system.txn(request, options)
    if (succeeded) return change.member
  }
  throw new Fault('conflict', `too many changes at once of member ${id}`)
}

/** Fault 'not-found' for who is no member; 'invalid' for labels and addresses that are none. */
export async function describeMember(
  system: Keyspace,
  id: NodeId,
  told: Descriptor,
): Promise<Member> {
  if (told.labels !== undefined) checkLabels(told.labels)
  const changed = await changeMember(system, id, (member) => ({
    member: {
      ...member,
      ...(told.labels === undefined ? {} : { labels: told.labels }),
      ...(told.capacityBytes === undefined ? {} : { capacityBytes: told.capacityBytes }),
      ...(told.publicUrl === undefined ? {} : { publicUrl: told.publicUrl }),
    },
  }))
  if (changed !== undefined) return changed
  throw new Fault('not-found', `no member has the id ${id}`, {
    next: '`atoll status` lists the members; a new one enrols first',
  })
}

/** Sets labels given with a value and takes away those given with ''. Faults as describeMember. */
export async function labelMember(
  system: Keyspace,
  id: NodeId,
  changes: Readonly<Record<string, string>>,
): Promise<Member> {
  const changed = await changeMember(system, id, (member) => {
    const merged = Object.entries({ ...member.labels, ...changes })
    const labels = Object.fromEntries(merged.filter(([, value]) => value !== ''))
    checkLabels(labels)
    return { member: { ...member, labels } }
  })
  if (changed !== undefined) return changed
  throw new Fault('not-found', `no member has the id ${id}`)
}

/**
 * Sets what the member runs; an empty list: all there is. Fault 'not-found'; 'invalid' for names that are none and where
 * 'control' would be taken away: who had the seal key is replaced, because nobody can tell that it forgets it.
 */
export async function setCapabilities(
  system: Keyspace,
  id: NodeId,
  { caps, atMs }: { readonly caps: readonly string[]; readonly atMs: number },
): Promise<Member> {
  checkCapabilities(caps)
  const changed = await changeMember(system, id, (member) => {
    if (hasControl(member) && !hasControl({ ...member, caps })) {
      throw new Fault('invalid', `${member.name} has the capability 'control', which stays`, {
        next: "name 'control' too, or replace the node by one without it",
      })
    }
    const text = `${member.name} runs ${caps.length === 0 ? 'all there is' : caps.join(', ')}`
    const event = { atMs, kind: 'capabilities-changed', node: id, text }
    return { member: { ...member, caps }, event }
  })
  if (changed !== undefined) return changed
  throw new Fault('not-found', `no member has the id ${id}`)
}

/** Undefined: none was set. */
export async function readPlacementRule(system: Keyspace): Promise<PlacementRule | undefined> {
  const found = await findOne(system, placementRuleKey)
  return found === undefined ? undefined : placementRuleCodec.decode(found.value)
}

/**
 * For chunks written from then on; those written before keep their own k and m. `decide` gets the rule that was set,
 * and is asked again when somebody else was faster. Fault 'invalid'.
 */
export async function changePlacementRule(
  system: Keyspace,
  decide: (rule: PlacementRule | undefined) => PlacementRule,
  atMs: number,
): Promise<PlacementRule> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await findOne(system, placementRuleKey)
    const rule = decide(found === undefined ? undefined : placementRuleCodec.decode(found.value))
    checkRule(rule)
    const text = `placement: ${rule.dataShards}+${rule.parityShards}, weights ${rule.weights}`
    const noted = await planEvent(system, { atMs, kind: 'rule-changed', node: 0, text })
    const { succeeded } = await system.txn({
      compares: [unchanged(placementRuleKey, found), ...noted.compares],
      success: [put(placementRuleKey, placementRuleCodec.encode(rule)), ...noted.operations],
      failure: [],
    })
    if (succeeded) return rule
  }
  throw new Fault('conflict', 'too many changes of the rule at once')
}

/** Newest first, `limit` at most, those before `before` only. `isSerializable`: as this node's replica has them. */
export async function listEvents(
  system: Keyspace,
  page: {
    readonly limit: number
    readonly before?: number | undefined
    readonly isSerializable: boolean
  },
): Promise<readonly ClusterEvent[]> {
  const { limit, before, isSerializable } = page
  const rangeEnd = before === undefined ? prefixEnd(eventPrefix) : eventKey(before)
  const { kvs } = await system.range({
    key: eventPrefix,
    rangeEnd,
    limit,
    isSerializable,
    isReverse: true,
  })
  return kvs.map((kv) => eventCodec.decode(kv.value))
}

/** Oldest first, `limit` at most, those after `after` only, as this node's replica has them. */
export async function listEventsAfter(
  system: Keyspace,
  page: { readonly after: number; readonly limit: number },
): Promise<readonly ClusterEvent[]> {
  const { kvs } = await system.range({
    key: eventKey(page.after + 1),
    rangeEnd: prefixEnd(eventPrefix),
    limit: page.limit,
    isSerializable: true,
  })
  return kvs.map((kv) => eventCodec.decode(kv.value))
}

type Noted = { readonly compares: readonly Compare[]; readonly operations: readonly Operation[] }

/** What a transaction needs so that it notes an event: the one that it pushes out goes. */
export async function planEvent(system: Keyspace, event: EventText | undefined): Promise<Noted> {
  if (event === undefined) return { compares: [], operations: [] }
  const found = await findOne(system, eventCounterKey)
  const number = (found === undefined ? 0 : counterCodec.decode(found.value).value) + 1
  const operations: Operation[] = [
    put(eventCounterKey, counterCodec.encode({ value: number })),
    put(eventKey(number), eventCodec.encode({ ...event, number })),
  ]
  if (number > eventsMax) operations.push({ kind: 'delete', key: eventKey(number - eventsMax) })
  return { compares: [unchanged(eventCounterKey, found)], operations }
}

function put(key: Uint8Array, value: Uint8Array): Operation {
  return { kind: 'put', key, value }
}

async function findOne(system: Keyspace, key: Uint8Array): Promise<KeyValue | undefined> {
  return (await system.range({ key })).kvs[0]
}

function unchanged(key: Uint8Array, kv: KeyValue | undefined): Compare {
  return { key, target: 'mod', result: 'equal', operand: kv?.modRevision ?? revision(0) }
}

function checkCapabilities(caps: readonly string[]): void {
  const isName = (cap: string): boolean => /^[a-z][a-z0-9-]{0,31}$/.test(cap)
  const wrong = caps.find((cap) => !isName(cap))
  if (wrong !== undefined) {
    throw new Fault('invalid', `'${wrong.slice(0, 40)}' is no name of a capability`)
  }
  if (caps.length <= capsMax && new Set(caps).size === caps.length) return
  throw new Fault('invalid', `at most ${capsMax} capabilities, each once`)
}
