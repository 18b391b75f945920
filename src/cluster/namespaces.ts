// Which namespaces and SQL databases users have opened, and which of the product's own were wanted: three maps in '/raft/system' from name to group and founding members. Every change
// is one transaction that also writes the counter, so that two changes never pass each other, the bound on their
// number holds, and whoever follows the map looks at one key. A group number is never given twice: what an earlier
// namespace of the same name left behind is never taken for the new one's.

import { assert, Fault, groupId, type NodeId, prefixEnd } from '../base/index.ts'
import type { Compare, Keyspace, KeyValue, RangeRequest } from '../keyspace/index.ts'
import { planFounders } from './core/genesis.ts'
import { checkSqlDatabase, checkUserNamespace } from './core/namespace-names.ts'
import {
  counterCodec,
  databaseKey,
  databasePrefix,
  namespaceCodec,
  namespaceCounterKey,
  namespaceKey,
  namespacePrefix,
  type NamespaceRecord,
  ownNamespaceKey,
  ownNamespacePrefix,
} from './core/records.ts'

/** Each costs memory and a share of the ticks on every node. */
export const userNamespacesMax = 4096
/** Below are the groups of the product itself. */
const firstGroup = 1000
const attemptsMax = 64
const pageRows = 1000

/** Both share the counter, so that their groups never have the same number. */
export type NamespaceMap = {
  readonly key: (name: string) => Uint8Array
  readonly prefix: Uint8Array
  /** Throws for what is no name in it. */
  readonly check: (name: string) => void
  /** How one is created, for who looks for one that is not there. */
  readonly hint: (name: string) => string
}

export const userMap: NamespaceMap = {
  key: namespaceKey,
  prefix: namespacePrefix,
  check: checkUserNamespace,
  hint: (name) => `create it: atoll raft create ${name}`,
}
export const databaseMap: NamespaceMap = {
  key: databaseKey,
  prefix: databasePrefix,
  check: checkSqlDatabase,
  hint: (name) => `create it: PUT /sql/${name.split('/').at(-1)}`,
}

/** The product's own that are made when they are first wanted: of etcd's API. */
export const ownMap: NamespaceMap = {
  key: ownNamespaceKey,
  prefix: ownNamespacePrefix,
  check: (name) => assert(name === '/raft/etcd', 'only the product asks for its own namespaces'),
  hint: () => 'set etcd.api_bind: atoll admin config set etcd.api_bind :2379',
}

/** Creates it once: asked again, the record that is there is the answer. Faults of the map's check, 'overloaded'. */
export async function createNamespace(
  system: Keyspace,
  plan: { readonly name: string; readonly members: readonly NodeId[]; readonly createdMs: number },
  map: NamespaceMap = userMap,
): Promise<NamespaceRecord> {
  const { name, members, createdMs } = plan
  map.check(name)
  const key = map.key(name)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { found, counter, count } = await readForCreation(system, map, key)
    if (found?.isClosing === true) {
      throw new Fault('conflict', `${name} is being deleted`, { next: 'try again soon' })
    }
    if (found !== undefined) return found
    if (count >= userNamespacesMax) {
      throw new Fault('overloaded', `there are ${count} namespaces, and at most that many`, {
        next: 'delete one that is not needed',
      })
    }
    const group = groupId(counter.value + 1)
    const { voters, learners } = planFounders(members)
    const record = { name, group, voters, learners, createdMs, isClosing: false }
    const { succeeded } = await system.txn({
      compares: [counter.compare, { key, target: 'create', result: 'equal', operand: 0 }],
      success: [putCounter(group), { kind: 'put', key, value: namespaceCodec.encode(record) }],
      failure: [],
    })
    if (succeeded) return record
  }
  throw new Fault('conflict', `too many change namespaces at the same time as ${name}`)
}

/** Nodes serve it no more as they hear of it; its contents may be deleted. Fault 'not-found'. */
export async function beginClosing(
  system: Keyspace,
  name: string,
  map: NamespaceMap = userMap,
): Promise<NamespaceRecord> {
  const record = await findNamespace(system, name, { map })
  if (record === undefined) throw missing(map, name)
  if (record.isClosing) return record
  const closing = { ...record, isClosing: true }
  await replace(system, map, { before: record, after: closing })
  return closing
}

/** After its contents: the name is free again. */
export function dropNamespace(
  system: Keyspace,
  record: NamespaceRecord,
  map: NamespaceMap = userMap,
): Promise<void> {
  return replace(system, map, { before: record, after: undefined })
}

type FindOptions = { readonly isSerializable?: boolean; readonly map?: NamespaceMap }

/** `isSerializable`: as this node's replica has it. */
export async function findNamespace(
  system: Keyspace,
  name: string,
  { isSerializable = false, map = userMap }: FindOptions = {},
): Promise<NamespaceRecord | undefined> {
  map.check(name)
  const value = (await system.range({ key: map.key(name), isSerializable })).kvs[0]?.value
  return value === undefined ? undefined : namespaceCodec.decode(value)
}

/** In order of name. `isSerializable`: as this node's replica has it. */
export async function listNamespaces(
  system: Keyspace,
  {
    isSerializable,
    map = userMap,
  }: { readonly isSerializable: boolean; readonly map?: NamespaceMap },
): Promise<readonly NamespaceRecord[]> {
  const records: NamespaceRecord[] = []
  let key = map.prefix
  for (;;) {
    const rangeEnd = prefixEnd(map.prefix)
    const page = await system.range({ key, rangeEnd, limit: pageRows, isSerializable })
    for (const kv of page.kvs) records.push(namespaceCodec.decode(kv.value))
    const last = page.kvs.at(-1)
    if (!page.more || last === undefined) return records
    key = Uint8Array.from([...last.key, 0])
  }
}

/** Changes with every change of the map, as this node's replica has it. */
export async function readMapVersion(system: Keyspace): Promise<number> {
  const found = await system.range({
    key: namespaceCounterKey,
    isSerializable: true,
    keysOnly: true,
  })
  return found.kvs[0]?.modRevision ?? 0
}

async function replace(
  system: Keyspace,
  map: NamespaceMap,
  {
    before,
    after,
  }: { readonly before: NamespaceRecord; readonly after: NamespaceRecord | undefined },
): Promise<void> {
  const key = map.key(before.name)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const counter = await readCounter(system)
    const operand = namespaceCodec.encode(before)
    const isAsSeen: Compare = { key, target: 'value', result: 'equal', operand }
    const change =
      after === undefined
        ? ({ kind: 'delete', key } as const)
        : ({ kind: 'put', key, value: namespaceCodec.encode(after) } as const)
    const { succeeded, results } = await system.txn({
      compares: [counter.compare, isAsSeen],
      success: [putCounter(counter.value), change],
      failure: [{ kind: 'range', request: { key } }],
    })
    if (succeeded) return
    const [now] = results
    if (now?.kind === 'range' && now.response.kvs.length === 0) throw missing(map, before.name)
  }
  throw new Fault('conflict', `too many change namespaces at the same time as ${before.name}`)
}

type Counter = { readonly value: number; readonly compare: Compare }

/** In one round, so that few others change the map in between. */
async function readForCreation(system: Keyspace, map: NamespaceMap, key: Uint8Array) {
  const read = (request: RangeRequest) => ({ kind: 'range', request }) as const
  const { results } = await system.txn({
    compares: [],
    success: [
      read({ key }),
      read({ key: namespaceCounterKey }),
      read({ key: map.prefix, rangeEnd: prefixEnd(map.prefix), countOnly: true }),
    ],
    failure: [],
  })
  const [own, last, all] = results.flatMap((result) =>
    result.kind === 'range' ? [result.response] : [],
  )
  const value = own?.kvs[0]?.value
  return {
    found: value === undefined ? undefined : namespaceCodec.decode(value),
    counter: counterOf(last?.kvs[0]),
    count: all?.count ?? 0,
  }
}

async function readCounter(system: Keyspace): Promise<Counter> {
  return counterOf((await system.range({ key: namespaceCounterKey })).kvs[0])
}

function counterOf(kv: KeyValue | undefined): Counter {
  const value = kv === undefined ? firstGroup - 1 : counterCodec.decode(kv.value).value
  const operand = kv?.modRevision ?? 0
  return {
    value,
    compare: { key: namespaceCounterKey, target: 'mod', result: 'equal', operand },
  }
}

function putCounter(value: number) {
  return { kind: 'put', key: namespaceCounterKey, value: counterCodec.encode({ value }) } as const
}

function missing(map: NamespaceMap, name: string): Fault {
  return new Fault('not-found', `there is no namespace ${name}`, { next: map.hint(name) })
}
