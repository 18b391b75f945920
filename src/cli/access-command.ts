// Runs one command about rights: asks the admin API of a node and words the answer.

import { askAdmin, askFirst } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { table } from './status-text.ts'
import { answer } from './terminal.ts'

export type AccessCall = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below /v1/access/. */
  readonly path: string
  readonly body?: unknown
}

export type Answer = Readonly<Record<string, unknown>>

export type AccessCommandOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
  /** What people are shown. */
  readonly show: (answer: Answer) => string
}

const askMs = 30_000

/** Settles with the exit status. */
export async function accessCommand(
  call: AccessCall,
  options: AccessCommandOptions,
): Promise<number> {
  const { isJson, show } = options
  const got = await askAccess(call, options)
  answer(isJson ? JSON.stringify(got) : show(got))
  return 0
}

/** The first node that answers is asked. */
export async function askAccess(
  call: AccessCall,
  { dataDir, node }: Pick<AccessCommandOptions, 'dataDir' | 'node'>,
): Promise<Answer> {
  const { method, body } = call
  const asked = {
    method,
    path: `/v1/access/${call.path}`,
    ...(body === undefined ? {} : { body }),
    timeoutMs: askMs,
  }
  const nodes = findNodes(dataDir, node)
  return (await askFirst(nodes, ({ endpoint }) => askAdmin(endpoint, asked))) as Answer
}

/** Rows of one list of an answer; `columns` name the members and how each is shown. */
export function listed(
  name: string,
  columns: readonly (readonly [title: string, value: (item: Answer) => string])[],
): (answer: Answer) => string {
  return (got) => {
    const items = (Array.isArray(got[name]) ? got[name] : []) as readonly Answer[]
    if (items.length === 0) return `no ${name}`
    const rows = items.map((item) => columns.map(([, value]) => value(item)))
    return table(
      columns.map(([title]) => title),
      rows,
    ).join('\n')
  }
}

export function text(member: string): (item: Answer) => string {
  return (item) => {
    const value = item[member]
    if (Array.isArray(value)) return value.length === 0 ? '-' : value.join(',')
    return value === undefined || value === '' ? '-' : String(value)
  }
}

/** A moment of a list; 0 is never. */
export function moment(member: string): (item: Answer) => string {
  return (item) => {
    const ms = Number(item[member] ?? 0)
    return ms === 0 ? '-' : new Date(ms).toISOString().replace('.000Z', 'Z')
  }
}

/** An access key with its secret, which is told once. */
export function newKey(got: Answer): string {
  return `access key: ${got.id}\nsecret:     ${got.secretAccessKey}\nThe secret is not shown again.`
}
