// Routes of the registry: members as they describe themselves, their health, placement and repair.
//
//   GET  /cluster/status                  counts of members by state, the leader, settings, rule, newest events
//   GET  /cluster/nodes                   a list of descriptors: node_id, public_url, labels, capacity_bytes, free_bytes,
//                                         last_heartbeat_unix (null: none since there is a leader), status, and ours
//   PUT  /cluster/nodes/{id}              {"public_url"?, "labels"?, "capacity_bytes"?, "free_bytes"?}: 204; members only
//   POST /cluster/nodes/{id}/heartbeat    the same, or nothing: 204
//   POST /cluster/nodes/{id}/labels       {"rack": "r1", "zone": ""}: sets, and takes away what is empty; the labels then
//   PUT  /cluster/nodes/{id}/caps         {"caps": ["control", "s3"]}: what it runs, from now on; [] is all there is
//   GET  /cluster/placement/{key...}      who should hold bucket/key, who does, and why
//   GET  /cluster/placement-rule          the rule; PUT changes the fields given
//   GET  /cluster/replication/plan        what repair would do: ?after=, ?limit=
//   POST /cluster/replication/audit       audits and repairs what falls to this node now; the plan after it, "repaired", "missing"
//   GET  /cluster/events                  newest first: ?limit=, ?before=; event-stream.ts tells them as they happen

import { Fault, type NodeId, nodeId } from '../../base/index.ts'
import type { HttpResponse } from '../../host/index.ts'
import {
  type AdminCall,
  type AdminRoute,
  answerJson,
  bodyBytesMax,
  parseJson,
  readBytes as readBody,
} from './routes.ts'

export type NodeDescription = {
  readonly publicUrl?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly capacityBytes?: number
  readonly freeBytes?: number
}

/** What the routes need; answers are plain JSON. */
export type RegistryActions = {
  status(): Promise<unknown>
  nodes(): Promise<unknown>
  /** Faults 'not-found' for who is no member, 'invalid'. */
  describe(id: NodeId, told: NodeDescription): Promise<void>
  /** As describe, and counts as a heartbeat. */
  beat(id: NodeId, told: NodeDescription): Promise<void>
  label(id: NodeId, changes: Readonly<Record<string, string>>): Promise<unknown>
  /** Fault 'invalid'. */
  setCapabilities(id: NodeId, caps: readonly string[]): Promise<unknown>
  explain(key: string): Promise<unknown>
  rule(): Promise<unknown>
  /** Fields that are not given stay. Fault 'invalid'. */
  changeRule(changes: RuleChanges): Promise<unknown>
  plan(page: { readonly after?: string; readonly limit?: number }): Promise<unknown>
  audit(): Promise<unknown>
  events(page: { readonly before?: number; readonly limit: number }): Promise<unknown>
}

export type RuleChanges = {
  readonly dataShards?: number
  readonly parityShards?: number
  readonly minDistinct?: Readonly<Record<string, number>>
  readonly weights?: 'capacity' | 'equal'
  readonly repairAfterMs?: number
}

const keyCharsMax = 2_048
const urlCharsMax = 512
const eventsMax = 1_000

export function registryRoutes(actions: RegistryActions): readonly AdminRoute[] {
  return [...nodeRoutesOf(actions), ...placementRoutesOf(actions)]
}

function nodeRoutesOf(actions: RegistryActions): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/cluster/status',
      needs: 'admin:ReadClusterStatus',
      answer: async () => answerJson(200, await actions.status()),
    },
    {
      method: 'GET',
      path: '/cluster/nodes',
      needs: 'admin:ListNodes',
      answer: async () => answerJson(200, await actions.nodes()),
    },
    {
      method: 'PUT',
      path: '/cluster/nodes/{id}',
      needs: 'admin:DescribeNode',
      async answer(call) {
        await actions.describe(readId(call), readDescription(await call.body()))
        return noContent
      },
    },
    {
      method: 'POST',
      path: '/cluster/nodes/{id}/heartbeat',
      needs: 'admin:ReportHeartbeat',
      async answer(call) {
        const told = readDescription(await readOptional(call))
        // One a second in the audit log would leave no place for anything else.
        const isBeatOnly = Object.keys(told).every((name) => name === 'freeBytes')
        if (isBeatOnly) call.isNoAct()
        await actions.beat(readId(call), told)
        return noContent
      },
    },
    {
      method: 'POST',
      path: '/cluster/nodes/{id}/labels',
      needs: 'admin:LabelNode',
      async answer(call) {
        const changes = readTexts('labels', await call.body())
        return answerJson(200, await actions.label(readId(call), changes))
      },
    },
    {
      method: 'PUT',
      path: '/cluster/nodes/{id}/caps',
      needs: 'admin:SetCapabilities',
      async answer(call) {
        const caps = readCaps(await call.body())
        return answerJson(200, await actions.setCapabilities(readId(call), caps))
      },
    },
    {
      method: 'GET',
      path: '/cluster/events',
      needs: 'admin:ListEvents',
      async answer({ query }) {
        const before = readNumber(query.get('before'), 'before')
        const limit = Math.min(eventsMax, readLimit(query.get('limit')) ?? 100)
        const page = before === undefined ? { limit } : { limit, before }
        return answerJson(200, await actions.events(page))
      },
    },
  ]
}

function placementRoutesOf(actions: RegistryActions): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/cluster/placement/{key...}',
      needs: 'admin:ExplainPlacement',
      async answer({ params }) {
        const { key = '' } = params
        if (key.length > keyCharsMax) throw new Fault('too-large', 'no object has so long a key')
        return answerJson(200, await actions.explain(key))
      },
    },
    {
      method: 'GET',
      path: '/cluster/placement-rule',
      needs: 'admin:ReadPlacementRule',
      answer: async () => answerJson(200, await actions.rule()),
    },
    {
      method: 'PUT',
      path: '/cluster/placement-rule',
      needs: 'admin:SetPlacementRule',
      async answer(call) {
        return answerJson(200, await actions.changeRule(readRule(await call.body())))
      },
    },
    {
      method: 'GET',
      path: '/cluster/replication/plan',
      needs: 'admin:PlanReplication',
      async answer({ query }) {
        const after = query.get('after')
        const limit = readLimit(query.get('limit'))
        const page = {
          ...(after === undefined ? {} : { after }),
          ...(limit === undefined ? {} : { limit }),
        }
        return answerJson(200, await actions.plan(page))
      },
    },
    {
      method: 'POST',
      path: '/cluster/replication/audit',
      needs: 'admin:AuditReplication',
      answer: async () => answerJson(200, await actions.audit()),
    },
  ]
}

const noContent: HttpResponse = {
  status: 204,
  headers: [['cache-control', 'no-store']],
  body: new Uint8Array(0),
}

function readId({ params }: AdminCall): NodeId {
  const { id = '' } = params
  if (/^[1-9][0-9]{0,8}$/.test(id)) return nodeId(Number(id))
  throw new Fault('invalid', `'${id.slice(0, 40)}' is no node id: expected a whole number from 1`)
}

/** A heartbeat may have no body at all; one may come without its length (chunked, or over HTTP/2). */
async function readOptional({ request }: AdminCall): Promise<unknown> {
  const bytes = await readBody(request, bodyBytesMax)
  return bytes.length === 0 ? {} : parseJson(bytes)
}

type Given = Readonly<Record<string, unknown>>

function readObject(what: string, given: unknown): Given {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given as Given
  throw new Fault('invalid', `${what}: expected an object`)
}

function readDescription(body: unknown): NodeDescription {
  const given = readObject('the description of a node', body)
  const { public_url: url, labels } = given
  if (url !== undefined && (typeof url !== 'string' || !isUrl(url))) {
    throw new Fault('invalid', '"public_url" is a URL with http or https, or ""')
  }
  const capacityBytes = readBytes(given, 'capacity_bytes')
  const freeBytes = readBytes(given, 'free_bytes')
  return {
    ...(url === undefined ? {} : { publicUrl: url }),
    ...(labels === undefined ? {} : { labels: readTexts('labels', labels) }),
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    ...(freeBytes === undefined ? {} : { freeBytes }),
  }
}

function isUrl(url: string): boolean {
  if (url === '') return true
  const isHttp = url.startsWith('https://') || url.startsWith('http://')
  return isHttp && url.length <= urlCharsMax && URL.canParse(url)
}

function readTexts(what: string, given: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(readObject(what, given))
  const texts = entries.map(([key, value]): [string, string] => {
    if (typeof value === 'string') return [key, value]
    throw new Fault('invalid', `${what}: the value of ${key.slice(0, 80)} is no text`)
  })
  return Object.fromEntries(texts)
}

function readBytes(given: Given, name: string): number | undefined {
  const value = given[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new Fault('invalid', `"${name}" is a number of bytes`)
}

function readNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new Fault('invalid', `"${name}" is a whole number`)
}

/** None would mean all, further down. */
function readLimit(text: string | undefined): number | undefined {
  const limit = readNumber(text, 'limit')
  if (limit !== 0) return limit
  throw new Fault('invalid', '"limit" is a number from 1 on')
}

function readRule(body: unknown): RuleChanges {
  const given = readObject('a rule of placement', body)
  const { weights, min_distinct: least } = given
  if (weights !== undefined && weights !== 'capacity' && weights !== 'equal') {
    throw new Fault('invalid', '"weights" is "capacity" or "equal"')
  }
  const dataShards = readBytes(given, 'data_shards')
  const parityShards = readBytes(given, 'parity_shards')
  const repairAfterMs = readBytes(given, 'repair_after_ms')
  return {
    ...(dataShards === undefined ? {} : { dataShards }),
    ...(parityShards === undefined ? {} : { parityShards }),
    ...(least === undefined ? {} : { minDistinct: readCounts(least) }),
    ...(weights === undefined ? {} : { weights }),
    ...(repairAfterMs === undefined ? {} : { repairAfterMs }),
  }
}

function readCaps(body: unknown): readonly string[] {
  const { caps } = readObject('capabilities', body)
  if (Array.isArray(caps) && caps.every((cap) => typeof cap === 'string')) return caps
  throw new Fault('invalid', 'expected {"caps": ["control", "s3", ...]}')
}

function readCounts(given: unknown): Readonly<Record<string, number>> {
  const counts = readObject('min_distinct', given)
  return Object.fromEntries(
    Object.keys(counts).map((label) => [label, readBytes(counts, label) ?? 0]),
  )
}
