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
  compareBytes,
  equalBytes,
  Fault,
  keyAfter,
  nodeId,
  type NodeId,
  prefixEnd,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import type { Keyspace, KeyValue } from '../../keyspace/index.ts'
import { base64Decode, base64Encode } from '../s3/core/text.ts'
import {
  type AdminAction,
  type AdminCall,
  type AdminMethod,
  type AdminRoute,
  answerJson,
} from './routes.ts'

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

/** A value of a namespace, in base64, with what is around it. */
const valueBytesMax = 2 * 1024 * 1024 + 64 * 1024

/** `actions` undefined: another engine keeps the state, so that there are no groups to command. */
export function raftRoutes(actions: RaftActions | undefined): readonly AdminRoute[] {
  const route = (
    method: AdminMethod,
    path: string,
    {
      needs,
      answer,
    }: { needs: AdminAction; answer: (raft: RaftActions, call: AdminCall) => Promise<unknown> },
  ): AdminRoute => ({
    method,
    path,
    needs,
    answer: async (call) => answerJson(200, await answer(requireGroups(actions), call)),
  })
  return [
    route('GET', place, {
      needs: 'admin:ListNamespaces',
      answer: async (raft) => ({ namespaces: await raft.list() }),
    }),
    route('GET', `${place}/{ns...}`, {
      needs: 'admin:ReadNamespace',
      answer: (raft, call) => raft.status(nameOf(call)),
    }),
    route('DELETE', `${place}/{ns...}`, {
      needs: 'admin:DropNamespace',
      async answer(raft, call) {
        await raft.drop(nameOf(call))
        return { dropped: nameOf(call) }
      },
    }),
    route('POST', `${place}/{ns...}`, {
      needs: 'admin:CommandNamespace',
      async answer(raft, call) {
        const body = await call.body(valueBytesMax)
        if (isOnKeys(body)) call.isNoAct()
        return runCommand(raft, nameOf(call), body)
      },
    }),
  ]
}

/** Commands that read and write what users keep there. */
function isOnKeys(body: unknown): boolean {
  const command = typeof body === 'object' && body !== null && 'command' in body && body.command
  return typeof command === 'string' && !['create', 'transferLeadership'].includes(command)
}

function requireGroups(actions: RaftActions | undefined): RaftActions {
  if (actions !== undefined) return actions
  throw new Fault('unsupported', 'namespaces are groups of nodes, which another engine replaces')
}

function nameOf({ params }: AdminCall): string {
  return `/${params.ns ?? ''}`
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
  const key = after === undefined || compareBytes(after, start) < 0 ? start : keyAfter(after)
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
