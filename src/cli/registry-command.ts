// `atoll admin label|placement|events`: asks the registry's routes of a node, and words the answers.

import { Fault } from '../base/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { answer } from './terminal.ts'

export type RuleChange = {
  readonly data_shards?: number
  readonly parity_shards?: number
  readonly min_distinct?: Readonly<Record<string, number>>
  readonly weights?: string
  readonly repair_after_ms?: number
}

export type RegistryCommand =
  | {
      readonly kind: 'label'
      readonly node: string
      readonly labels: Readonly<Record<string, string>>
    }
  | { readonly kind: 'caps'; readonly node: string; readonly caps: readonly string[] }
  | { readonly kind: 'explain'; readonly key: string }
  | { readonly kind: 'plan' | 'audit' | 'rule' }
  | { readonly kind: 'change-rule'; readonly change: RuleChange }
  | { readonly kind: 'events'; readonly limit: number }

export type RegistryOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
}

type Call = {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: unknown
}
type Ask = (call: Call) => Promise<unknown>

const askMs = 30_000
const auditMs = 900_000

/** Settles with the exit status. The first node that answers is asked. */
export async function registryCommand(
  command: RegistryCommand,
  { dataDir, node, isJson }: RegistryOptions,
): Promise<number> {
  const timeoutMs = command.kind === 'audit' ? auditMs : askMs
  const nodes = findNodes(dataDir, node)
  const ask: Ask = (call) =>
    askFirst(nodes, ({ endpoint }) => askAdmin(endpoint, { ...call, timeoutMs }))
  const got = await ask(await callOf(command, ask))
  answer(isJson ? JSON.stringify(got) : textOf(command, got))
  return 0
}

async function callOf(command: RegistryCommand, ask: Ask): Promise<Call> {
  switch (command.kind) {
    case 'label': {
      const id = await findId(command.node, ask)
      return { method: 'POST', path: `/cluster/nodes/${id}/labels`, body: command.labels }
    }
    case 'caps': {
      const id = await findId(command.node, ask)
      return { method: 'PUT', path: `/cluster/nodes/${id}/caps`, body: { caps: command.caps } }
    }
    case 'explain': {
      const path = command.key.split('/').map(encodeURIComponent).join('/')
      return { method: 'GET', path: `/cluster/placement/${path}` }
    }
    case 'plan':
      return { method: 'GET', path: '/cluster/replication/plan' }
    case 'audit':
      return { method: 'POST', path: '/cluster/replication/audit' }
    case 'rule':
      return { method: 'GET', path: '/cluster/placement-rule' }
    case 'change-rule':
      return { method: 'PUT', path: '/cluster/placement-rule', body: command.change }
    case 'events':
      return { method: 'GET', path: `/cluster/events?limit=${command.limit}` }
  }
}

/** By number or by name. */
async function findId(node: string, ask: Ask): Promise<number> {
  if (/^[1-9][0-9]{0,8}$/.test(node)) return Number(node)
  const nodes = (await ask({ method: 'GET', path: '/cluster/nodes' })) as readonly {
    readonly node_id: number
    readonly name: string
  }[]
  const found = nodes.find(({ name }) => name === node)
  if (found !== undefined) return found.node_id
  throw new Fault('not-found', `no node is called '${node}'`, {
    next: '`atoll status` lists the nodes',
  })
}

function textOf(command: RegistryCommand, got: unknown): string {
  switch (command.kind) {
    case 'label':
      return labelsText(got as Labelled)
    case 'caps': {
      const { name, caps } = got as { readonly name: string; readonly caps: readonly string[] }
      return `${name} runs ${caps.length === 0 ? 'all there is' : caps.join(', ')}`
    }
    case 'explain':
      return explainText(got as Explained)
    case 'plan':
      return planText(got as Plan)
    case 'audit': {
      const { repaired, missing } = got as { readonly repaired: number; readonly missing: number }
      return `${repaired} shards made again here, ${missing} still missing`
    }
    case 'rule':
    case 'change-rule':
      return ruleText(got as Rule)
    case 'events':
      return eventsText(got as Events)
  }
}

type Labels = Readonly<Record<string, string>>
type Labelled = { readonly node_id: number; readonly name: string; readonly labels: Labels }
type Rule = {
  readonly data_shards: number
  readonly parity_shards: number
  readonly min_distinct: Readonly<Record<string, number>>
  readonly weights: string
  readonly repair_after_ms: number
  readonly unmet: readonly Unmet[]
}
type Unmet = { readonly label: string; readonly wanted: number; readonly found: number }
type Explained = {
  readonly key: string
  readonly kind: 'object' | 'small' | 'chunk' | 'name'
  readonly unmet: readonly Unmet[]
  readonly chunks: readonly {
    readonly chunk: string
    readonly holders: readonly number[]
    readonly nodes: readonly {
      readonly node: number
      readonly name: string
      readonly state: string
      readonly labels: Labels
      readonly isChosen: boolean
      readonly shards: readonly number[]
      readonly why: string
    }[]
  }[]
}
type Plan = {
  readonly chunks: number
  readonly under_replicated: number
  readonly items: readonly {
    readonly key: string
    readonly current: readonly number[]
    readonly missing: readonly number[]
    readonly extra: readonly number[]
  }[]
  readonly next: string | null
}
type Events = {
  readonly events: readonly {
    readonly atMs: number
    readonly kind: string
    readonly text: string
  }[]
}

const pairs = (labels: Labels): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')

function labelsText({ node_id, name, labels }: Labelled): string {
  const all = pairs(labels)
  return `node ${node_id} (${name}): ${all === '' ? 'no labels' : all}`
}

function explainText({ key, kind, unmet, chunks }: Explained): string {
  if (kind === 'small') return `${key} is small: its bytes ride with its record, on every voter`
  const head =
    kind === 'name' ? [`There is no object ${key}; a chunk of that name would be placed so:`] : []
  const parts = chunks.map(({ chunk, holders, nodes }) => {
    const rows = nodes.map(({ node, name, state, labels, isChosen, shards, why }) => {
      const held = shards.length === 0 ? '' : `holds shard ${shards.join(', ')}; `
      const facts = [state, pairs(labels)].filter((text) => text !== '').join(' ')
      return `  ${isChosen ? '+' : '-'} node ${node} (${name}, ${facts}): ${held}${why}`
    })
    const title = kind === 'name' ? [] : [`chunk ${chunk}: shards on ${holders.join(', ')}`]
    return [...title, ...rows].join('\n')
  })
  return [...head, ...parts, ...unmet.map(unmetText)].join('\n')
}

function planText({ chunks, under_replicated, items, next }: Plan): string {
  const rows = items.map(({ key, current, missing, extra }) => {
    const to =
      missing.length === 0 ? 'nobody is free to take more' : `to make: ${missing.join(', ')}`
    const leave = extra.length === 0 ? '' : `, to leave: ${extra.join(', ')}`
    return `${key}: on ${current.join(', ')}; ${to}${leave}`
  })
  const more = next === null ? [] : ['there are more']
  return [`${chunks} chunks, ${under_replicated} lack shards`, ...rows, ...more].join('\n')
}

function ruleText(rule: Rule): string {
  const least = Object.entries(rule.min_distinct).map(([label, count]) => `${label}=${count}`)
  return [
    `code          ${rule.data_shards}+${rule.parity_shards}`,
    `distinct      ${least.length === 0 ? 'no labels asked for' : least.join(' ')}`,
    `weights       ${rule.weights}`,
    `repair after  ${rule.repair_after_ms / 1000} s offline`,
    ...rule.unmet.map(unmetText),
  ].join('\n')
}

function unmetText({ label, wanted, found }: Unmet): string {
  return `! the nodes have ${found} values of ${label}, the rule asks for ${wanted}`
}

function eventsText({ events }: Events): string {
  if (events.length === 0) return 'nothing happened yet'
  return events
    .map(({ atMs, kind, text }) => `${new Date(atMs).toISOString()}  ${kind.padEnd(16)}  ${text}`)
    .join('\n')
}
