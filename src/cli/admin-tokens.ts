// `atoll admin token`, `nodes`, `approve`, `reject`: what an operator asks of the node of a directory.

import * as v from 'valibot'
import { Fault } from '../base/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { askMembers, type MembersAnswer } from './own-node.ts'
import { plainNode, shortCluster, shortNode } from './short-names.ts'
import { duration, table } from './status-text.ts'
import { answer, withProgress } from './terminal.ts'

export type AskOptions = {
  readonly dataDir: string
  readonly isJson: boolean
}

const askMs = 10_000

const tokenView = v.object({
  id: v.string(),
  state: v.string(),
  createdMs: v.number(),
  expiresMs: v.number(),
  uses: v.number(),
  usesLeft: v.number(),
  name: v.optional(v.string()),
  addressPrefix: v.optional(v.string()),
  approval: v.string(),
  createdBy: v.string(),
})
const madeToken = v.object({ token: v.string(), view: tokenView })
const enrolmentView = v.object({
  fingerprint: v.string(),
  state: v.string(),
  name: v.string(),
  address: v.string(),
  member: v.optional(v.number()),
})

export type TokenFlags = {
  readonly uses: number | undefined
  readonly lifetimeSeconds: number | undefined
  readonly name: string | undefined
  readonly addressPrefix: string | undefined
  readonly approval: string | undefined
  readonly replaces: number | undefined
}

export async function createToken(
  options: AskOptions & { readonly flags: TokenFlags },
): Promise<number> {
  const body = Object.fromEntries(
    Object.entries(options.flags).filter(([, value]) => value !== undefined),
  )
  const made = v.parse(
    madeToken,
    await askNode(options, { method: 'POST', path: '/v1/tokens', body }),
  )
  if (options.isJson) answer(JSON.stringify(made))
  else {
    const { view, token } = made
    const uses = view.usesLeft === 1 ? 'one machine' : `${view.usesLeft} machines`
    const left = goodFor(view)
    answer(
      `${token}\n\n  Good for ${uses} for ${left}; it is not shown again. Its name is ${view.id}.`,
    )
  }
  return 0
}

/** Four words that buy a token on the setup page of a machine. */
export async function createPairing(options: AskOptions): Promise<number> {
  const given = await askNode(options, { method: 'POST', path: '/v1/pairings', body: {} })
  const made = v.parse(v.object({ words: v.string(), expiresMs: v.number() }), given)
  if (options.isJson) answer(JSON.stringify(made))
  else answer(`${made.words}\n\n  Good for one machine for ${goodFor(made)}, and for five tries.`)
  return 0
}

/** To the minute: what was just made for an hour is good for 60 minutes. */
function goodFor({ expiresMs }: { readonly expiresMs: number }): string {
  return duration(Math.max(0, 60_000 * Math.round((expiresMs - Date.now()) / 60_000)))
}

export async function listTokens(options: AskOptions): Promise<number> {
  const given = await askNode(options, { method: 'GET', path: '/v1/tokens' })
  const { tokens } = v.parse(v.object({ tokens: v.array(tokenView) }), given)
  if (options.isJson) answer(JSON.stringify({ tokens }))
  else {
    const rows = tokens.map(({ id, state, usesLeft, uses, expiresMs, createdBy, name }) => [
      id,
      state,
      `${usesLeft} of ${uses}`,
      state === 'open' ? duration(Math.max(0, expiresMs - Date.now())) : '-',
      name ?? 'any',
      createdBy,
    ])
    answer(table(['token', 'state', 'left', 'for', 'node', 'by'], rows).join('\n'))
  }
  return 0
}

export async function revokeToken(options: AskOptions & { readonly id: string }): Promise<number> {
  const path = `/v1/tokens/${encodeURIComponent(options.id)}`
  const given = await askNode(options, { method: 'DELETE', path })
  const { token } = v.parse(v.object({ token: tokenView }), given)
  answer(options.isJson ? JSON.stringify({ token }) : `Token ${token.id} is ${token.state}.`)
  return 0
}

export async function listNodes(options: AskOptions): Promise<number> {
  const describe = (): string => 'still waiting for an answer'
  const answered = await withProgress(
    describe,
    askFirst(findNodes(options.dataDir, undefined), ({ endpoint }) => askMembers(endpoint)),
  )
  answer(options.isJson ? JSON.stringify(answered) : nodesText(answered))
  return 0
}

function nodesText(answered: MembersAnswer): string {
  const { clusterId, region, members, waiting, epoch, targetSize } = answered
  const rows = members.map(({ id, name, state, address, caps, labels, version, epoch: held }) => [
    String(id),
    shortNode(name),
    state,
    address,
    caps.length === 0 ? 'all' : caps.join(','),
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(' '),
    version === '' ? '-' : version,
    held === epoch ? String(held) : `${held} of ${epoch}`,
  ])
  const head = ['id', 'node', 'state', 'address', 'caps', 'labels', 'version', 'settings']
  const lines = [
    `cluster ${shortCluster(clusterId)} (${clusterId}) in ${region}: ${memberCount(members.length, targetSize)}`,
    '',
    ...table(head, rows),
  ]
  for (const { name, address, fingerprint } of waiting) {
    lines.push(
      `${shortNode(name)} at ${address} waits, key ${fingerprint}: atoll admin approve ${name}`,
    )
  }
  return lines.join('\n')
}

function memberCount(count: number, targetSize: number): string {
  const members = `${count} ${count === 1 ? 'member' : 'members'}`
  return count < targetSize ? `${members} of ${targetSize}` : members
}

export async function decide(
  options: AskOptions & { readonly node: string; readonly verdict: 'approve' | 'reject' },
): Promise<number> {
  const fingerprint = await findWaiting(options, options.node)
  const path = `/v1/enrolments/${encodeURIComponent(fingerprint)}/${options.verdict}`
  const given = await askNode(options, { method: 'POST', path, body: {} })
  const { enrolment } = v.parse(v.object({ enrolment: enrolmentView }), given)
  const done =
    options.verdict === 'approve' ? 'is approved and joins when it asks next' : 'is rejected'
  answer(options.isJson ? JSON.stringify({ enrolment }) : `${shortNode(enrolment.name)} ${done}.`)
  return 0
}

/** By name, with or without 'n-', or by fingerprint; two of one name are told apart by their keys only. */
async function findWaiting(options: AskOptions, node: string): Promise<string> {
  const given = await askNode(options, { method: 'GET', path: '/v1/enrolments' })
  const { enrolments } = v.parse(v.object({ enrolments: v.array(enrolmentView) }), given)
  const waiting = enrolments.filter(({ state }) => state === 'pending')
  const digits = (text: string): string => text.toLowerCase().replaceAll(/[^0-9a-f]/g, '')
  const found = waiting.filter(
    ({ name, fingerprint }) =>
      fingerprint === node ||
      (digits(node).length === 16 && digits(fingerprint) === digits(node)) ||
      name === plainNode(node) ||
      name === node,
  )
  const [first] = found
  if (first !== undefined && found.length === 1) return first.fingerprint
  if (first === undefined) {
    const names = waiting.map(({ name }) => name).join(', ')
    throw new Fault('not-found', `no machine ${node} waits${names === '' ? '' : `; ${names} do`}`, {
      next: 'atoll admin nodes lists who waits',
    })
  }
  const keys = found.map(({ fingerprint, address }) => `${fingerprint} at ${address}`).join(', ')
  throw new Fault('conflict', `${found.length} machines call themselves ${node}: ${keys}`, {
    next: 'compare with the key that the machine shows, and give that instead of the name',
  })
}

type Call = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly body?: unknown
}

/** What the node of the directory answers, or, of a cluster on one machine, the first that does. */
export function askNode({ dataDir }: AskOptions, call: Call): Promise<unknown> {
  return askFirst(findNodes(dataDir, undefined), ({ endpoint }) =>
    askAdmin(endpoint, { ...call, timeoutMs: askMs }),
  )
}
