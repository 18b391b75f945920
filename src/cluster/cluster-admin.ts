// Changes of the cluster's state: each one transaction on '/raft/system' whose compares state what it
// was decided on. A transaction that lost a race is decided again, a bounded number of times.

import {
  Fault,
  type NodeId,
  nodeId,
  prefixEnd,
  type Revision,
  revision,
  utf8Decode,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Compare, Keyspace, KeyValue, TxnRequest } from '../keyspace/index.ts'
import type { BucketRecord, ClusterAdmin, Member } from './cluster.ts'
import { firstObjectsNamespace } from './core/genesis.ts'
import {
  bucketCodec,
  bucketCounterKey,
  bucketKey,
  bucketPrefix,
  clusterCodec,
  clusterKey,
  counterCodec,
  memberCodec,
  memberKey,
  memberPrefix,
  nodeCounterKey,
} from './core/records.ts'

const attemptsMax = 16
const pageSize = 1_000

type Deps = { readonly host: Host; readonly system: Keyspace }

export function createClusterAdmin(deps: Deps, wrote: (written: Revision) => void): ClusterAdmin {
  const { system } = deps
  return {
    createBucket: (name, region, options) =>
      createBucket(deps, { name, region, tenant: options?.tenant ?? '', wrote }),
    async deleteBucket(record) {
      const key = bucketKey(record.name)
      const operand = bucketCodec.encode(record)
      const answer = await system.txn({
        compares: [{ key, target: 'value', result: 'equal', operand }],
        success: [{ kind: 'delete', key }],
        failure: [],
      })
      wrote(answer.revision)
      if (!answer.succeeded) {
        throw new Fault('conflict', `the bucket ${record.name} changed meanwhile`, {
          s3: { code: 'OperationAborted', status: 409 },
        })
      }
    },
    listBuckets: () => listBuckets(system),
  }
}

async function createBucket(
  { host, system }: Deps,
  request: {
    name: string
    region: string
    tenant: string
    wrote: (written: Revision) => void
  },
): Promise<BucketRecord> {
  const key = bucketKey(request.name)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await findOne(system, key)
    if (found !== undefined) throw bucketExists(bucketCodec.decode(found.value), request.tenant)
    const counter = await findOne(system, bucketCounterKey)
    const number = readCounter(counter) + 1
    const record: BucketRecord = {
      name: request.name,
      region: request.region,
      type: 'distributed',
      createdMs: host.clock.wallMs(),
      namespace: firstObjectsNamespace,
      number,
      allowsBareQuorum: true,
      tenant: request.tenant,
    }
    const answer = await system.txn({
      compares: [absent(key), unchanged(bucketCounterKey, counter)],
      success: [
        { kind: 'put', key, value: bucketCodec.encode(record) },
        { kind: 'put', key: bucketCounterKey, value: counterCodec.encode({ value: number }) },
      ],
      failure: [],
    })
    request.wrote(answer.revision)
    if (answer.succeeded) return record
  }
  throw new Fault('conflict', `too many changes at once while creating ${request.name}`)
}

function bucketExists({ name, tenant }: BucketRecord, asker: string): Fault {
  const code = tenant === asker ? 'BucketAlreadyOwnedByYou' : 'BucketAlreadyExists'
  return new Fault('exists', `the bucket ${name} exists`, { s3: { code, status: 409 } })
}

async function listBuckets(system: Keyspace): Promise<readonly BucketRecord[]> {
  const kvs = await listAll(system, bucketPrefix)
  return kvs.map((kv) => bucketCodec.decode(kv.value))
}

async function listAll(system: Keyspace, prefix: Uint8Array): Promise<readonly KeyValue[]> {
  const rangeEnd = prefixEnd(prefix)
  const all: KeyValue[] = []
  let key = prefix
  for (;;) {
    const page = await system.range({ key, rangeEnd, limit: pageSize })
    all.push(...page.kvs)
    const last = page.kvs.at(-1)
    if (!page.more || last === undefined) return all
    key = new Uint8Array([...last.key, 0])
  }
}

/** What a replacement needs to know before it has any state of its own. */
export type Replacement = {
  readonly id: NodeId
  readonly replaces: NodeId
  readonly founders: readonly NodeId[]
  /** Everybody who is not removed, the new member included. */
  readonly members: readonly Member[]
}

/**
 * Gives the place of a member whose disk is lost to a new identity: the old one becomes 'removed', the
 * new one, with the next unused id and the same addresses, 'joining', in one transaction. When `old`
 * was replaced before, its present successor is the one that is removed: an identity that may have
 * voted is never given out twice. Fault 'not-found' when there never was such a member, 'conflict' when somebody else
 * replaces it meanwhile, 'cancelled' when `signal` says that nobody waits for the answer any more.
 */
export async function replaceMember(
  system: Keyspace,
  old: NodeId,
  signal?: AbortSignal,
): Promise<Replacement> {
  let holder: NodeId | undefined
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const record = await findOne(system, clusterKey)
    if (record === undefined) throw new Fault('unavailable', 'the cluster has no state yet')
    const counter = await findOne(system, nodeCounterKey)
    const kvs = await listAll(system, memberPrefix)
    const members = kvs.map((kv) => memberCodec.decode(kv.value))
    const leaving = presentHolder(members, old)
    // Without this: (1) a replacement is asked of two nodes, the first being slow; (2) the second gives the place to 4, which
    // starts; (3) the first finds its transaction too late, begins again, and throws 4 out for 5, which nobody runs.
    holder ??= leaving.id
    if (leaving.id !== holder) {
      throw new Fault('conflict', `node ${old} was replaced by node ${leaving.id} meanwhile`)
    }
    const leavingKv = kvs.find((kv) => utf8Decode(kv.key) === `member/${leaving.id}`)
    const id = nodeId(readCounter(counter) + 1)
    const joining: Member = {
      ...leaving,
      id,
      name: `node-${id}`,
      state: 'joining',
      replaces: leaving.id,
      place: leaving.place ?? leaving.id,
    }
    // Without this: a request whose first read lasts longer than its client's patience finds the place given to 4 by the
    // client's second request, and throws 4 out.
    if (signal?.aborted === true) throw new Fault('cancelled', 'nobody waits for the replacement')
    const answer = await system.txn(swapRequest({ leaving, joining, counter, leavingKv }))
    if (!answer.succeeded) continue
    const rest = members.filter((member) => member.state !== 'removed' && member.id !== leaving.id)
    return {
      id,
      replaces: leaving.id,
      founders: clusterCodec.decode(record.value).founders.map(nodeId),
      members: [...rest, joining],
    }
  }
  throw new Fault('conflict', `too many changes at once while replacing node ${old}`)
}

function presentHolder(members: readonly Member[], old: NodeId): Member {
  let holder = members.find((member) => member.id === old)
  while (holder !== undefined && holder.state === 'removed') {
    const gone: NodeId = holder.id
    holder = members.find((member) => member.replaces === gone)
  }
  if (holder !== undefined) return holder
  throw new Fault('not-found', `no member has the id ${old}`, {
    next: '`atoll status` lists the members',
  })
}

function swapRequest(swap: {
  leaving: Member
  joining: Member
  counter: KeyValue | undefined
  leavingKv: KeyValue | undefined
}): TxnRequest {
  const { leaving, joining, counter, leavingKv } = swap
  const removed: Member = { ...leaving, state: 'removed' }
  const put = (key: Uint8Array, value: Uint8Array) => ({ kind: 'put', key, value }) as const
  return {
    compares: [
      unchanged(nodeCounterKey, counter),
      unchanged(memberKey(leaving.id), leavingKv),
      absent(memberKey(joining.id)),
    ],
    success: [
      put(nodeCounterKey, counterCodec.encode({ value: joining.id })),
      put(memberKey(leaving.id), memberCodec.encode(removed)),
      put(memberKey(joining.id), memberCodec.encode(joining)),
    ],
    failure: [],
  }
}

/**
 * Changes one member's record; `change` answers undefined for "leave it as it is". False when the
 * member is not there or removed.
 */
export async function updateMember(
  system: Keyspace,
  id: NodeId,
  change: (member: Member) => Member | undefined,
): Promise<boolean> {
  const key = memberKey(id)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await findOne(system, key)
    if (found === undefined) return false
    const member = memberCodec.decode(found.value)
    if (member.state === 'removed') return false
    const changed = change(member)
    if (changed === undefined) return true
    const answer = await system.txn({
      compares: [unchanged(key, found)],
      success: [{ kind: 'put', key, value: memberCodec.encode(changed) }],
      failure: [],
    })
    if (answer.succeeded) return true
  }
  throw new Fault('conflict', `too many changes at once of member ${id}`)
}

async function findOne(system: Keyspace, key: Uint8Array): Promise<KeyValue | undefined> {
  return (await system.range({ key })).kvs[0]
}

function readCounter(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : counterCodec.decode(kv.value).value
}

function absent(key: Uint8Array): Compare {
  return { key, target: 'create', result: 'equal', operand: 0 }
}

function unchanged(key: Uint8Array, kv: KeyValue | undefined): Compare {
  return { key, target: 'mod', result: 'equal', operand: kv?.modRevision ?? revision(0) }
}
