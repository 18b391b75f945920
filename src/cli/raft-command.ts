// `atoll raft ...` for namespaces: asks the command API of a node, and words the answers.

import { checkNamespaceName } from '../base/index.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { answer } from './terminal.ts'

export type RaftCommand =
  | { readonly kind: 'create' | 'status' | 'members' | 'drop'; readonly namespace: string }
  | { readonly kind: 'list' }
  | {
      readonly kind: 'get'
      readonly namespace: string
      readonly key: string
      readonly isLocal: boolean
    }
  | {
      readonly kind: 'set'
      readonly namespace: string
      readonly key: string
      readonly value: string
    }
  | { readonly kind: 'delete'; readonly namespace: string; readonly key: string }
  | { readonly kind: 'keys'; readonly namespace: string; readonly prefix: string }
  | { readonly kind: 'transfer'; readonly namespace: string; readonly to: number }

export type RaftCommandOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
}

const askMs = 30_000
const place = '/raft/v1'

/** Settles with the exit status. The first node that answers is asked. */
export async function raftCommand(
  command: RaftCommand,
  options: RaftCommandOptions,
): Promise<number> {
  const { dataDir, node, isJson } = options
  if (command.kind !== 'list') checkNamespaceName(command.namespace)
  const call = callOf(command)
  const got = (await askFirst(findNodes(dataDir, node), ({ endpoint }) =>
    askAdmin(endpoint, { ...call, timeoutMs: askMs }),
  )) as Answer
  answer(isJson ? JSON.stringify(got) : textOf(command, got))
  return command.kind === 'get' && got.found === false ? 1 : 0
}

type Call = {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
}

function callOf(command: RaftCommand): Call {
  if (command.kind === 'list') return { method: 'GET', path: place }
  const path = `${place}${command.namespace.split('/').map(encodeURIComponent).join('/')}`
  const post = (body: object): Call => ({ method: 'POST', path, body })
  switch (command.kind) {
    case 'status':
      return { method: 'GET', path }
    case 'drop':
      return { method: 'DELETE', path }
    case 'create':
    case 'members':
      return post({ command: command.kind })
    case 'get':
      return post({ command: 'get', key: command.key, barrier: !command.isLocal })
    case 'set':
      return post({ command: 'set', key: command.key, value: command.value })
    case 'delete':
      return post({ command: 'delete', key: command.key })
    case 'keys':
      return post({ command: 'keys', prefix: command.prefix })
    case 'transfer':
      return post({ command: 'transferLeadership', to: command.to })
  }
}

type Answer = Readonly<Record<string, unknown>>

function textOf(command: RaftCommand, got: Answer): string {
  switch (command.kind) {
    case 'list': {
      const all = got.namespaces as readonly Answer[]
      return all.length === 0 ? 'no namespaces' : all.map(statusLine).join('\n')
    }
    case 'create':
    case 'status':
      return statusLine(got)
    case 'drop':
      return `${command.namespace} is gone with everything in it`
    case 'get':
      if (got.found !== true) return '(none)'
      return String(got.value ?? got.valueBase64)
    case 'set':
      return `revision ${String(got.revision)}`
    case 'delete':
      return `${String(got.deleted)} deleted`
    case 'keys': {
      const keys = (got.keys ?? got.keysBase64) as readonly string[]
      const more = got.more === true ? ['(more)'] : []
      return [...keys, ...more].join('\n')
    }
    case 'members':
      return membersLine(got)
    case 'transfer':
      return `node ${command.to} leads ${command.namespace}`
  }
}

function statusLine(status: Answer): string {
  const { name, group, role, term, applied } = status
  return `${String(name)}  group ${String(group)}  ${String(role)}  term ${String(term)}  applied ${String(applied)}  ${membersLine(status)}`
}

function membersLine({ leader, voters, learners }: Answer): string {
  const leads = leader === 0 ? 'no leader known' : `leader ${String(leader)}`
  const others = (learners as readonly number[]).length > 0 ? `  learners ${String(learners)}` : ''
  return `${leads}  voters ${String(voters)}${others}`
}
