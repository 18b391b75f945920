// When to dial again: 50 ms, doubling to 2 s, drawn in [half, one and a half) so that nodes that lost
// each other at once do not meet again at once.

import type { Random } from '../../base/index.ts'

const firstMs = 50
const lastMs = 2_000

/** `attempt` counts failures since the last connection that worked, from 0. */
export function backoffMs(attempt: number, random: Random): number {
  const middleMs = Math.min(lastMs, firstMs * 2 ** Math.min(attempt, 16))
  return Math.floor(middleMs / 2) + random.integer(middleMs)
}
