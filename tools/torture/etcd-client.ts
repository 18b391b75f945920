// The keyspace through the JSON gateway of one node: as much of etcd's API as the loads need.

import { Fault } from '../../src/base/index.ts'
import { ask, askForLines, type Outcome } from './http.ts'
import type { NodePlace } from './machines.ts'

export type Compare =
  | { readonly key: string; readonly target: 'VALUE'; readonly value: string }
  | { readonly key: string; readonly target: 'MOD' | 'CREATE'; readonly revision: number }
export type Write =
  | { readonly key: string; readonly value: string; readonly lease?: string }
  | { readonly key: string; readonly value: null }

export type Found = { readonly value: string | null; readonly modRevision: number }
export type Txn = {
  readonly succeeded: boolean
  readonly revision: number
  readonly changed: boolean
}
export type WatchLine = {
  readonly revision: number
  readonly isCreated: boolean
  /** Set when it was cancelled. */
  readonly why: string | undefined
  readonly events: readonly {
    readonly key: string
    readonly value: string | null
    readonly revision: number
  }[]
}

type JsonHeader = { readonly revision?: string }
type JsonKv = { readonly key: string; readonly value?: string; readonly mod_revision?: string }

const timeoutMs = 6_000

export async function range(place: NodePlace, key: string): Promise<Found | undefined> {
  const asked = await post<{ readonly kvs?: readonly JsonKv[] }>(place, '/v3/kv/range', {
    key: encode(key),
  })
  if (asked.kind !== 'answered') return undefined
  const kv = asked.answer.kvs?.[0]
  if (kv === undefined) return { value: null, modRevision: 0 }
  return { value: decode(kv.value ?? ''), modRevision: Number(kv.mod_revision ?? 0) }
}

export async function txn(
  place: NodePlace,
  compares: readonly Compare[],
  write: Write,
): Promise<Outcome<Txn>> {
  type JsonTxn = {
    readonly header: JsonHeader
    readonly succeeded?: boolean
    readonly responses?: readonly {
      readonly response_delete_range?: { readonly deleted?: string }
    }[]
  }
  const asked = await post<JsonTxn>(place, '/v3/kv/txn', {
    compare: compares.map(compareJson),
    success: [writeJson(write)],
    failure: [],
  })
  if (asked.kind !== 'answered') return asked
  const { header, succeeded = false, responses = [] } = asked.answer
  const deleted = Number(responses[0]?.response_delete_range?.deleted ?? 0)
  const changed = succeeded && (write.value !== null || deleted > 0)
  return {
    kind: 'answered',
    answer: { succeeded, revision: Number(header.revision ?? 0), changed },
  }
}

/** The id of a new lease; undefined when there was no answer. */
export async function grantLease(
  place: NodePlace,
  ttlSeconds: number,
): Promise<string | undefined> {
  const asked = await post<{ readonly ID?: string }>(place, '/v3/lease/grant', { TTL: ttlSeconds })
  return asked.kind === 'answered' ? asked.answer.ID : undefined
}

export async function currentRevision(place: NodePlace): Promise<number | undefined> {
  const asked = await post<{ readonly header: JsonHeader }>(place, '/v3/kv/range', {
    key: encode('none'),
  })
  return asked.kind === 'answered' ? Number(asked.answer.header.revision ?? 0) : undefined
}

/** How far the node's own replica is. */
export async function localRevision(place: NodePlace): Promise<number | undefined> {
  const asked = await post<{ readonly header: JsonHeader }>(place, '/v3/maintenance/status', {})
  return asked.kind === 'answered' ? Number(asked.answer.header.revision ?? 0) : undefined
}

/** A sum over everything that the node's replica holds at a revision. */
export async function hashAt(place: NodePlace, revision: number): Promise<string | undefined> {
  const path = '/v3/maintenance/hashkv'
  const asked = await post<{ readonly hash?: number }>(place, path, { revision })
  return asked.kind === 'answered' ? String(asked.answer.hash ?? 0) : undefined
}

export function watch(
  place: NodePlace,
  prefix: string,
  startRevision: number,
  onLine: (line: WatchLine) => void,
): { readonly ended: Promise<void>; readonly cancel: () => void } {
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
  const create_request = {
    key: encode(prefix),
    range_end: encode(end),
    start_revision: startRevision,
    progress_notify: true,
  }
  const { host, etcdPort: port } = place
  const body = Buffer.from(JSON.stringify({ create_request }))
  const asked = { host, port, method: 'POST', target: '/v3/watch', body }
  return askForLines({ ...asked, headers: headersOf(body) }, (line) => onLine(readWatchLine(line)))
}

function readWatchLine(line: string): WatchLine {
  const { result, error } = JSON.parse(line) as {
    readonly error?: { readonly message: string }
    readonly result?: {
      readonly header?: JsonHeader
      readonly created?: boolean
      readonly canceled?: boolean
      readonly cancel_reason?: string
      readonly compact_revision?: string
      readonly events?: readonly { readonly type?: string; readonly kv: JsonKv }[]
    }
  }
  const isEnded = error !== undefined || result?.canceled === true
  return {
    revision: Number(result?.header?.revision ?? 0),
    isCreated: result?.created === true,
    why: isEnded ? (error?.message ?? result?.cancel_reason ?? 'cancelled') : undefined,
    events: (result?.events ?? []).map(({ type, kv }) => ({
      key: decode(kv.key),
      value: type === 'DELETE' ? null : decode(kv.value ?? ''),
      revision: Number(kv.mod_revision ?? 0),
    })),
  }
}

async function post<T>(place: NodePlace, target: string, value: unknown): Promise<Outcome<T>> {
  const body = Buffer.from(JSON.stringify(value))
  const { host, etcdPort: port } = place
  const headers = headersOf(body)
  const asked = await ask({ host, port, method: 'POST', target, headers, body, timeoutMs })
  if (asked.kind !== 'answered') return asked
  const { status, body: text } = asked.answer
  if (status !== 200) return { kind: 'unknown', why: `${status} ${text.toString().slice(0, 200)}` }
  try {
    return { kind: 'answered', answer: JSON.parse(text.toString()) as T }
  } catch {
    throw new Fault('invalid', `${target} answers no JSON: ${text.toString().slice(0, 200)}`)
  }
}

function headersOf(body: Buffer): Readonly<Record<string, string>> {
  return { 'content-type': 'application/json', 'content-length': String(body.length) }
}

function compareJson(compare: Compare): unknown {
  const key = encode(compare.key)
  if (compare.target === 'VALUE') return { key, target: 'VALUE', value: encode(compare.value) }
  const { revision, target } = compare
  return target === 'MOD'
    ? { key, target, mod_revision: revision }
    : { key, target, create_revision: revision }
}

function writeJson(write: Write): unknown {
  const key = encode(write.key)
  if (write.value === null) return { request_delete_range: { key } }
  const { lease } = write
  const value = encode(write.value)
  return { request_put: { key, value, ...(lease === undefined ? {} : { lease }) } }
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64')
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString()
}
