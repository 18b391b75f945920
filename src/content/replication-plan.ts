// What repair would do now, for people: the chunks that lack a lasting holder, who holds them, and who is to.
//
// It is the plan that every node computes for itself (core/repair-plan.ts), read from this node's replica by pages;
// a call looks at a bounded number of chunks and says where to go on.

import { fromHex, keyAfter, type NodeId, prefixEnd, toHex } from '../base/index.ts'
import type { KeyValue } from '../keyspace/index.ts'
import type { ReplicationItem, ReplicationPlan, ReplicationPlanRequest } from './content.ts'
import type { Context } from './context.ts'
import { chunkIdBytes, chunkIdOf, chunkTable, decodeChunk, noHolder } from './core/records.ts'
import type { ClusterFacts, Repairer } from './repairer.ts'

const pageRows = 256
const chunksMax = 20_000

export async function planReplication(
  context: Context,
  repairer: Repairer,
  { namespaces, after, limit }: ReplicationPlanRequest & { readonly namespaces: readonly string[] },
): Promise<ReplicationPlan> {
  const items: ReplicationItem[] = []
  const start = readCursor(after, namespaces)
  let chunks = 0
  for (const namespace of namespaces.slice(start.namespace)) {
    const keyspace = await context.table.open(namespace)
    const rangeEnd = prefixEnd(chunkTable.chunkPrefix)
    const isFirst = namespace === namespaces[start.namespace]
    let key =
      isFirst && start.id !== undefined
        ? keyAfter(chunkTable.chunk(start.id))
        : chunkTable.chunkPrefix
    for (;;) {
      const isSerializable = keyspace.freshness().heardMsAgo <= heardMsMax
      const { kvs, more } = await keyspace.range({ key, rangeEnd, limit: pageRows, isSerializable })
      const facts = repairer.facts()
      for (const row of kvs) {
        const item = itemOf(repairer, facts, { namespace, row })
        chunks++
        if (item !== undefined) items.push(item)
        if (items.length < limit && chunks < chunksMax) continue
        return { chunks, items, next: `${namespace}:${toHex(chunkIdOf(row.key))}` }
      }
      const last = kvs.at(-1)
      if (last === undefined || !more) break
      key = keyAfter(last.key)
      await new Promise<void>((resolve) => context.host.clock.soon(resolve))
    }
  }
  return { chunks, items, next: undefined }
}

const heardMsMax = 1_000

/** Undefined for a chunk that is whole. */
function itemOf(
  repairer: Repairer,
  facts: ClusterFacts,
  { namespace, row }: { readonly namespace: string; readonly row: KeyValue },
): ReplicationItem | undefined {
  const id = chunkIdOf(row.key)
  const record = decodeChunk(row.value)
  const plan = repairer.plan(id, record, facts)
  if (plan.length === 0) return undefined
  const current = record.holders.filter((holder) => holder !== noHolder)
  const missing = plan.flatMap(({ target }): NodeId[] => (target === undefined ? [] : [target]))
  const extra = current.filter((holder) => facts.isGone(holder))
  const desired = [...current.filter((holder) => !facts.isGone(holder)), ...missing]
  return {
    namespace,
    chunk: toHex(id),
    shards: record.holders.length,
    current,
    desired,
    missing,
    extra,
  }
}

/** Anything that is no cursor begins at the beginning. */
function readCursor(
  after: string | undefined,
  namespaces: readonly string[],
): { readonly namespace: number; readonly id: Uint8Array | undefined } {
  const colon = after?.lastIndexOf(':') ?? -1
  const namespace = namespaces.indexOf(after?.slice(0, Math.max(0, colon)) ?? '')
  const id = fromHex(after?.slice(colon + 1) ?? '')
  if (namespace === -1 || id?.length !== chunkIdBytes) return { namespace: 0, id: undefined }
  return { namespace, id }
}
