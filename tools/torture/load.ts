// What every load has: clients that ask one node after the other until it is over, and numbers of what was answered.

import type { Random } from '../../src/base/index.ts'
import type { NodePlace } from './machines.ts'

export type Counts = Map<string, number>

export type Epoch = {
  /** Keys of the epoch begin with it. */
  readonly name: string
  readonly places: readonly NodePlace[]
  readonly random: Random
  readonly counts: Counts
  isOver: boolean
}

export type Load = {
  /** Settles when the epoch is over and nothing of this load is on its way. */
  readonly run: () => Promise<void>
  /** With every node up: reads everything from every node, and says what is wrong, if anything is. */
  readonly judge: () => Promise<readonly string[]>
  /** What must read so for ever, when nobody writes it again. */
  readonly facts: () => ReadonlyMap<string, string | null>
}

export function count(counts: Counts, kind: string, by = 1): void {
  counts.set(kind, (counts.get(kind) ?? 0) + by)
}

export function pick<T>(from: readonly T[], random: Random): T {
  return from[random.integer(from.length)] as T
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const triesMax = 60
const betweenTriesMs = 250

/** Until there is an answer; undefined when there is none in 60 tries. */
export async function insist<T>(ask: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let at = 0; at < triesMax; at++) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await sleep(betweenTriesMs)
  }
  return undefined
}
