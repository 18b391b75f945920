// States and messages of the ballots core as small numbers: a world of the explorer is then a few numbers,
// and a step of the core that was taken once is looked up. Renaming nodes gives the symmetric state.

import {
  type BallotMessage,
  type BallotState,
  createGenesis,
  type FounderId,
  type FoundingRecord,
  type Genesis,
} from '../../src/founding/index.ts'
import { nodeId } from '../../src/base/index.ts'

export const namespace = '/raft/explored'
export const parameters = { heartbeatMs: 100, electionMs: 1_000 }

/** Node 1, 2, ... of the explorer. */
export function idOf(node: number): FounderId {
  return node.toString(16).padStart(32, '0')
}

export function nodeOf(id: FounderId): number {
  return Number.parseInt(id, 16)
}

export type Sent = { readonly from: number; readonly to: number; readonly message: BallotMessage }
/** A node: what it holds in memory, and what a crash would leave. */
export type NodeState = { readonly live: BallotState; readonly durable: FoundingRecord }

/** Gives equal values equal numbers. */
export class Interned<T> {
  readonly values: T[] = []
  readonly #numbers = new Map<string, number>()
  readonly #keyOf: (value: T) => string

  constructor(keyOf: (value: T) => string) {
    this.#keyOf = keyOf
  }

  number(value: T): number {
    const key = this.#keyOf(value)
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const next = this.values.push(value) - 1
    this.#numbers.set(key, next)
    return next
  }

  value(number: number): T {
    return this.values[number] as T
  }
}

/** Equal for equal values, whatever the order of maps. */
export function keyOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Map) return [...part].sort((a, b) => (a[0] < b[0] ? -1 : 1))
    return part ?? null
  })
}

/** A value with every node renamed; geneses get the id that their new founders give them. */
export function rename<T>(value: T, to: readonly number[]): T {
  return renamed(value, to) as T
}

function renamed(value: unknown, to: readonly number[]): unknown {
  if (typeof value === 'string') {
    if (!/^0{24}[0-9a-f]{8}$/.test(value)) return value
    return idOf(to[nodeOf(value)] ?? nodeOf(value))
  }
  if (Array.isArray(value)) return sorted(value.map((part) => renamed(part, to)))
  if (value instanceof Map) {
    return new Map([...value].map(([id, part]) => [renamed(id, to), renamed(part, to)]))
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, part]) => [name, renamedField(name, part, to)])
  const copy = Object.fromEntries(entries) as Record<string, unknown>
  return 'clusterId' in copy ? createGenesis(copy as unknown as Genesis) : copy
}

function renamedField(name: string, part: unknown, to: readonly number[]): unknown {
  const isNode = (name === 'node' || name === 'from' || name === 'to') && typeof part === 'number'
  return isNode ? nodeId(to[part] ?? part) : renamed(part, to)
}

/** Lists in states are sets, kept in order of id. */
function sorted(parts: unknown[]): unknown[] {
  const key = (part: unknown): string =>
    typeof part === 'string' ? part : ((part as { readonly id?: string }).id ?? '')
  return parts.sort((a, b) => (key(a) < key(b) ? -1 : 1))
}
