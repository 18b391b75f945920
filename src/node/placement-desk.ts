// Answers about placement, on the thread that has content and objects: why members hold an object or do not, and what
// repair would do. The core asks by name with JSON; it asks seldom, for people.

import { Fault, fromHex, isFault, type NodeId, toHex, utf8Encode } from '../base/index.ts'
import {
  type ClusterView,
  explainPlacement,
  firstObjectsNamespace,
  ruleOf,
  unmetLabels,
} from '../cluster/index.ts'
import type { ContentReports } from '../content/index.ts'
import type { Keyspaces } from '../keyspace/index.ts'
import type { OwnObjects } from '../objects/index.ts'

const chunksMax = 16
const itemsMax = 1_000

export type PlacementParts = {
  readonly view: ClusterView
  readonly keyspaces: Keyspaces
  readonly content: ContentReports & { runRepair(): Promise<unknown> }
  readonly objects: Pick<OwnObjects, 'locate'>
}

/** A question to the data thread; `name` and input go over the port as JSON. */
export type PlacementQuestion =
  | { readonly name: 'explain'; readonly key: string }
  | { readonly name: 'plan'; readonly after?: string | undefined; readonly limit?: number }
  | { readonly name: 'audit' }

/** Plain JSON. Fault 'invalid' for a key that names nothing. */
export async function answerPlacement(
  parts: PlacementParts,
  question: PlacementQuestion,
): Promise<unknown> {
  switch (question.name) {
    case 'explain':
      return await explain(parts, question.key)
    case 'plan': {
      const limit = Math.max(1, Math.min(itemsMax, question.limit ?? itemsMax))
      return await parts.content.planReplication({ after: question.after, limit })
    }
    case 'audit':
      return await parts.content.runRepair()
  }
}

type Place = { readonly id: Uint8Array; readonly holders: readonly NodeId[] }

/** `bucket/key` of an object, or the id of a chunk; anything else is explained as if a chunk were named like it. */
async function explain(parts: PlacementParts, key: string): Promise<unknown> {
  const { view } = parts
  const rule = ruleOf(view.settings())
  const members = view.members()
  const found = await locate(parts, key)
  const isUp = (id: NodeId): boolean => view.isUp(id)
  const chunks = found.places.map(({ id, holders }) => ({
    chunk: toHex(id),
    holders,
    nodes: explainPlacement(id, { members, rule, isUp, holders }),
  }))
  const selected = (chunks[0]?.nodes ?? []).filter(({ isChosen }) => isChosen)
  return {
    key,
    kind: found.kind,
    selected_nodes: selected.map(({ node }) => node),
    replication_factor: rule.dataShards + rule.parityShards,
    rule,
    unmet: unmetLabels(rule, members),
    chunks,
  }
}

async function locate(
  parts: PlacementParts,
  key: string,
): Promise<{
  readonly kind: 'object' | 'small' | 'chunk' | 'name'
  readonly places: readonly Place[]
}> {
  const chunk = fromHex(key)
  if (chunk?.length === 16) {
    const place = await placeOf(parts, firstObjectsNamespace, chunk)
    if (place.holders.length > 0) return { kind: 'chunk', places: [place] }
  }
  const slash = key.indexOf('/')
  if (slash > 0 && slash < key.length - 1) {
    const object = await parts.objects
      .locate(key.slice(0, slash), key.slice(slash + 1), chunksMax)
      .catch((error: unknown) => {
        if (isFault(error, 'not-found')) return undefined
        throw error
      })
    if (object !== undefined) {
      const { namespace } = object
      const places = await Promise.all(object.chunks.map(({ id }) => placeOf(parts, namespace, id)))
      return { kind: places.length === 0 ? 'small' : 'object', places }
    }
  }
  if (key.length === 0) throw new Fault('invalid', 'placement of what? Give bucket/key or a name')
  return { kind: 'name', places: [{ id: utf8Encode(key), holders: [] }] }
}

async function placeOf(
  { keyspaces, content }: PlacementParts,
  namespace: string,
  id: Uint8Array,
): Promise<Place> {
  const keyspace = await keyspaces.open(namespace)
  return { id, holders: (await content.holdersOf(id, keyspace)) ?? [] }
}
