import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Random, seededRandom } from '../../base/index.ts'
import { jointCommitted, jointVote, majorityCommitted, majorityVote, unionIds } from './quorum.ts'

test('the committed index is the highest that more than half have reached', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 3000; round++) {
    const voters = randomIds(random)
    const outgoing = random.chance(0.5) ? [] : randomIds(random)
    const indices = new Map<number, number>()
    for (const id of unionIds(voters, outgoing)) {
      if (random.chance(0.8)) indices.set(id, random.integer(6))
    }
    const acked = { ackedIndex: (id: number) => indices.get(id) }
    const naive = (ids: readonly number[]): number => {
      for (let index = 6; index >= 0; index--) {
        const reached = ids.filter((id) => (indices.get(id) ?? 0) >= index).length
        if (ids.length > 0 && reached * 2 > ids.length) return index
      }
      return Number.POSITIVE_INFINITY
    }
    assert.equal(majorityCommitted(voters, acked), naive(voters))
    assert.equal(jointCommitted(voters, outgoing, acked), Math.min(naive(voters), naive(outgoing)))
  }
})

test('a vote is decided exactly when no missing vote can change it', () => {
  const random = seededRandom(2)
  for (let round = 0; round < 3000; round++) {
    const voters = randomIds(random)
    const outgoing = random.chance(0.5) ? [] : randomIds(random)
    const all = unionIds(voters, outgoing)
    const votes = new Map<number, boolean>()
    for (const id of all) if (random.chance(0.7)) votes.set(id, random.chance(0.6))
    const missing = all.filter((id) => !votes.has(id))
    const wins = (complete: ReadonlyMap<number, boolean>): boolean =>
      [voters, outgoing].every((ids) => {
        const yes = ids.filter((id) => complete.get(id) === true).length
        return ids.length === 0 || yes * 2 > ids.length
      })
    const withAll = (vote: boolean): Map<number, boolean> =>
      new Map([...votes, ...missing.map((id) => [id, vote] as const)])
    const result = jointVote(voters, outgoing, votes)
    const best = wins(withAll(true))
    const worst = wins(withAll(false))
    assert.equal(result, worst ? 'won' : best ? 'pending' : 'lost')
  }
  assert.equal(majorityVote([], new Map()), 'won')
})

/** One to seven ascending ids of ten. */
function randomIds(random: Random): number[] {
  const ids = new Set<number>()
  const count = 1 + random.integer(7)
  while (ids.size < count) ids.add(1 + random.integer(10))
  return [...ids].sort((a, b) => a - b)
}
