// The command API of namespaces, JSON on the admin port:
//
//   GET    /raft/v1            {"namespaces": [status]}
//   GET    /raft/v1/<ns>       status: group, role here, term, leader, indexes, members
//   POST   /raft/v1/<ns>       a command, by name; <ns> is the namespace without its first slash: raft/cron
//   DELETE /raft/v1/<ns>       the namespace with everything in it
//
//   {"command": "create"}                             status; the same however often it is asked
//   {"command": "set", "key", "value"}                {"revision"}
//   {"command": "get", "key", "barrier"?}             {"found", "key", "value", "revision"}; barrier false: as this node
//                                                     has it, without asking anybody
//   {"command": "delete", "key"}                      {"deleted"}
//   {"command": "keys", "prefix"?, "after"?, "limit"?} {"keys", "more"}
//   {"command": "members"}                            {"leader", "voters", "learners"}
//   {"command": "transferLeadership", "to"}           {"leader"}
//
// Texts are UTF-8. For other bytes "keyBase64" and "valueBase64" stand for "key" and "value", in both directions.

import {
  equalBytes,
  Fault,
  nodeId,
  type NodeId,
  prefixEnd,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import type { Keyspace, KeyValue } from '../../keyspace/index.ts'
import { base64Decode, base64Encode } from '../s3/core/text.ts'

export type RaftActions = {
  list(): Promise<readonly unknown[]>
  create(name: string): Promise<unknown>
  drop(name: string): Promise<void>
  status(name: string): Promise<{
    readonly leader: number
    readonly voters: readonly number[]
    readonly learners: readonly number[]
  }>
  keyspace(name: string): Promise<Keyspace>
  transfer(name: string, to: NodeId): Promise<void>
}

const place = '/raft/v1'
const keysMax = 1000

export function isRaftPath(path: string): boolean {
  return path === place || path.startsWith(`${place}/`)
}

/** Answers plain JSON. */
export async function answerRaft(
  actions: RaftActions,
  request: {
    readonly method: string
    readonly path: string
    readonly body: () => Promise<unknown>
  },
): Promise<unknown> {
  const { method, path } = request
  if (path === place) {
    if (method === 'GET') return { namespaces: await actions.list() }
    throw new Fault('not-found', `the command API has no ${method} ${path}`)
  }
  const name = path.slice(place.length)
  if (method === 'GET') return await actions.status(name)
  if (method === 'DELETE') {
    await actions.drop(name)
    return { dropped: name }
  }
  if (method === 'POST') return await runCommand(actions, name, await request.body())
  throw new Fault('not-found', `the command API has no ${method}`)
}

type Body = Readonly<Record<string, unknown>>

async function runCommand(actions: RaftActions, name: string, given: unknown): Promise<unknown> {
  if (typeof given !== 'object' || given === null) throw new Fault('invalid', 'expected an object')
  const body = given as Body
  switch (body.command) {
    case 'create':
      return await actions.create(name)
    case 'members': {
      const { leader, voters, learners } = await actions.status(name)
      return { leader, voters, learners }
    }
    case 'transferLeadership': {
      const { to } = body
      if (typeof to !== 'number' || !Number.isSafeInteger(to) || to < 1) {
        throw new Fault('invalid', '"to" is the id of a node')
      }
      await actions.transfer(name, nodeId(to))
      return { leader: to }
    }
    case 'set':
    case 'get':
    case 'delete':
    case 'keys':
      return await runOnKeys(await actions.keyspace(name), body)
    default:
      throw new Fault(
        'invalid',
        `there is no command ${JSON.stringify(body.command)?.slice(0, 64)}`,
      )
  }
}

async function runOnKeys(keyspace: Keyspace, body: Body): Promise<unknown> {
  if (body.command === 'keys') return await listKeys(keyspace, body)
  const key = bytesOf(body, 'key')
  if (body.command === 'set') {
    return { revision: await keyspace.put(key, bytesOf(body, 'value')) }
  }
  if (body.command === 'delete') return { deleted: await keyspace.delete(key) }
  const found = await keyspace.range({ key, isSerializable: body.barrier === false })
  const [kv] = found.kvs
  if (kv === undefined) return { found: false, ...shown('key', key) }
  return {
    found: true,
    ...shown('key', key),
    ...shown('value', kv.value),
    revision: kv.modRevision,
  }
}

async function listKeys(keyspace: Keyspace, body: Body): Promise<unknown> {
  const prefix = has(body, 'prefix') ? bytesOf(body, 'prefix') : new Uint8Array(0)
  const after = has(body, 'after') ? bytesOf(body, 'after') : undefined
  const limit = body.limit ?? keysMax
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1 || limit > keysMax) {
    throw new Fault('invalid', `"limit" is a number from 1 to ${keysMax}`)
  }
  const start = prefix.length === 0 ? Uint8Array.of(0) : prefix
  const rangeEnd = prefix.length === 0 ? Uint8Array.of(0) : prefixEnd(prefix)
  const key = after === undefined ? start : Uint8Array.from([...after, 0])
  const page = await keyspace.range({ key, rangeEnd, limit, keysOnly: true })
  const isText = page.kvs.every((kv: KeyValue) => textOf(kv.key) !== undefined)
  const keys = page.kvs.map((kv) => (isText ? textOf(kv.key) : base64Encode(kv.key)))
  return { [isText ? 'keys' : 'keysBase64']: keys, more: page.more }
}

function has(body: Body, name: string): boolean {
  return body[name] !== undefined || body[`${name}Base64`] !== undefined
}

function bytesOf(body: Body, name: string): Uint8Array {
  const text = body[name]
  if (typeof text === 'string') return utf8Encode(text)
  const encoded = body[`${name}Base64`]
  const bytes = typeof encoded === 'string' ? base64Decode(encoded) : undefined
  if (bytes !== undefined) return bytes
  throw new Fault('invalid', `"${name}" is a text, or "${name}Base64" bytes in base64`)
}

function shown(name: string, bytes: Uint8Array): Record<string, string> {
  const text = textOf(bytes)
  return text === undefined ? { [`${name}Base64`]: base64Encode(bytes) } : { [name]: text }
}

/** Undefined for what is no UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  const text = utf8Decode(bytes)
  return equalBytes(utf8Encode(text), bytes) ? text : undefined
}
