// Is a history of one register linearizable? Wing and Gong's search with Lowe's memory of visited
// states (Wing, Gong 1993; Lowe 2017), as in porcupine: try every operation that may come first, undo
// when stuck, never visit the same (set of done operations, value) twice.
//
// Operations whose outcome is unknown end at infinity: they may take effect at any time after their
// start, or never (then they are tried after everything else, where they cannot matter).

import { WorldFailure } from '../failures.ts'

export type RegisterOperation = {
  /** Presence: a read that saw some value, it is not known which. */
  readonly kind: 'read' | 'presence' | 'write' | 'compare-and-set'
  readonly startMs: number
  /** Infinity: the outcome is not known. */
  readonly endMs: number
  /** Read: what was seen. Write and compare-and-set: what was written. */
  readonly value: string | undefined
  readonly expected?: string | undefined
  /** Compare-and-set only: whether it took place; undefined when not known. */
  readonly isDone?: boolean | undefined
}

type Node = {
  readonly operation: RegisterOperation
  readonly number: number
  readonly isCall: boolean
  /** Of a call: its return. */
  match: Node | undefined
  previous: Node | undefined
  next: Node | undefined
}

const visitedMax = 2_000_000

/** The operations may come in any order. WorldFailure when too many of them are concurrent. */
export function isLinearizable(operations: readonly RegisterOperation[]): boolean {
  const head = buildList(operations)
  const done = new Uint8Array(Math.ceil(operations.length / 8))
  const visited = new Set<string>()
  const taken: { readonly call: Node; readonly value: string | undefined }[] = []
  let value: string | undefined
  let at = head.next
  while (head.next !== undefined) {
    if (at?.isCall) {
      const next = applied(value, at.operation)
      if (next !== undefined) {
        setBit(done, at.number, true)
        const key = `${next.value ?? '\u0000'} ${String.fromCharCode(...done)}`
        if (!visited.has(key)) {
          visited.add(key)
          if (visited.size > visitedMax) throw new WorldFailure('a history is too wide to judge')
          taken.push({ call: at, value })
          value = next.value
          lift(at)
          at = head.next
          continue
        }
        setBit(done, at.number, false)
      }
      at = at.next
      continue
    }
    // A return: its operation had to come before this point and did not fit.
    if (at !== undefined && at.operation.endMs === Number.POSITIVE_INFINITY) return true
    const last = taken.pop()
    if (last === undefined) return false
    value = last.value
    setBit(done, last.call.number, false)
    unlift(last.call)
    at = last.call.next
  }
  return true
}

function applied(
  value: string | undefined,
  operation: RegisterOperation,
): { readonly value: string | undefined } | undefined {
  if (operation.kind === 'write') return { value: operation.value }
  if (operation.kind === 'read') return operation.value === value ? { value } : undefined
  if (operation.kind === 'presence') return value === undefined ? undefined : { value }
  const holds = operation.expected === value
  if (operation.isDone !== undefined && operation.isDone !== holds) return undefined
  return { value: holds ? operation.value : value }
}

function buildList(operations: readonly RegisterOperation[]): Node {
  const nodes: { readonly atMs: number; readonly node: Node }[] = []
  operations.forEach((operation, number) => {
    const links = { previous: undefined, next: undefined }
    const back: Node = { operation, number, isCall: false, match: undefined, ...links }
    const call: Node = { operation, number, isCall: true, match: back, ...links }
    nodes.push({ atMs: operation.startMs, node: call }, { atMs: operation.endMs, node: back })
  })
  // At the same instant calls come first: such operations count as concurrent.
  nodes.sort((a, b) =>
    a.atMs === b.atMs ? Number(b.node.isCall) - Number(a.node.isCall) : a.atMs - b.atMs,
  )
  const head = { operation: {} as RegisterOperation, number: -1, isCall: false } as Node
  let last = head
  for (const { node } of nodes) {
    last.next = node
    node.previous = last
    last = node
  }
  return head
}

function lift(call: Node): void {
  unlink(call)
  if (call.match !== undefined) unlink(call.match)
}

function unlift(call: Node): void {
  if (call.match !== undefined) relink(call.match)
  relink(call)
}

function unlink(node: Node): void {
  if (node.previous !== undefined) node.previous.next = node.next
  if (node.next !== undefined) node.next.previous = node.previous
}

function relink(node: Node): void {
  if (node.previous !== undefined) node.previous.next = node
  if (node.next !== undefined) node.next.previous = node
}

function setBit(bits: Uint8Array, number: number, isSet: boolean): void {
  const byte = number >> 3
  const mask = 1 << (number & 7)
  bits[byte] = isSet ? (bits[byte] as number) | mask : (bits[byte] as number) & ~mask
}
