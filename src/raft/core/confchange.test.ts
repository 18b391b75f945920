import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Random, seededRandom } from '../../base/index.ts'
import { allVoters, type Membership, reconfigure, restoreMembership } from './confchange.ts'
import { decodeConfChange, encodeConfChange, encodeOlderConfChange } from './confchange-codec.ts'
import type { ConfChange } from './types.ts'

const kinds = ['add-voter', 'add-learner', 'remove', 'update'] as const
const transitions = ['auto', 'joint-implicit', 'joint-explicit'] as const

test('random changes keep every configuration consistent and restorable', () => {
  const random = seededRandom(3)
  let joint = 0
  for (let round = 0; round < 300; round++) {
    let membership: Membership = {
      voters: [1],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    }
    for (let step = 0; step < 20; step++) {
      const before = membership
      const next = reconfigure(membership, randomChange(random))
      if (next.kind === 'refused') continue
      membership = next.membership
      const { voters, learners, votersOutgoing, learnersNext } = membership
      assert.ok(voters.length > 0)
      const voting = new Set(allVoters(membership))
      assert.ok(learners.every((id) => !voting.has(id)))
      assert.ok(learnersNext.every((id) => votersOutgoing.includes(id) && !voters.includes(id)))
      if (votersOutgoing.length > 0) {
        joint++
        assert.deepEqual(votersOutgoing, before.voters)
      } else if (before.votersOutgoing.length === 0) {
        const changed = voters.filter((id) => !before.voters.includes(id)).length
        const gone = before.voters.filter((id) => !voters.includes(id)).length
        assert.ok(changed + gone <= 1, 'two quorums of successive configurations may not meet')
      }
      const restored = restoreMembership({ ...membership, voters: [...voters].reverse() })
      assert.ok(restored.kind === 'changed')
      assert.deepEqual(restored.membership, membership)
    }
  }
  assert.ok(joint > 100)
})

test('changes survive their encoding, and hostile payloads are refused', () => {
  const random = seededRandom(4)
  for (let round = 0; round < 500; round++) {
    const change = { ...randomChange(random), context: random.bytes(random.integer(4)) }
    const payload = encodeConfChange(change)
    assert.deepEqual(decodeConfChange({ kind: 'conf-change-v2', payload }), change)
    const damaged = payload.slice()
    if (damaged.length > 0) damaged[random.integer(damaged.length)] = random.integer(256)
    const decoded = decodeConfChange({ kind: 'conf-change-v2', payload: damaged })
    assert.ok(decoded === undefined || Array.isArray(decoded.changes))
    const noise = random.bytes(random.integer(40))
    assert.doesNotThrow(() => decodeConfChange({ kind: 'conf-change', payload: noise }))
  }
  const older = { kind: 'conf-change', payload: encodeOlderConfChange('remove', 7) } as const
  assert.deepEqual(decodeConfChange(older)?.changes, [{ kind: 'remove', nodeId: 7 }])
})

test('the configuration of a snapshot is refused when no change leads to it', () => {
  const good = {
    voters: [1, 2],
    learners: [3],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  }
  assert.equal(restoreMembership(good).kind, 'changed')
  const bad = [
    { ...good, voters: [1, 1] },
    { ...good, voters: [0] },
    { ...good, voters: [Number.NaN] },
    { ...good, voters: [] },
    { ...good, learners: [2] },
    { ...good, learnersNext: [4] },
    { ...good, votersOutgoing: [1, 4], learnersNext: [1] },
    { ...good, autoLeave: true },
  ]
  for (const state of bad) assert.equal(restoreMembership(state).kind, 'refused')
})

function randomChange(random: Random): ConfChange {
  return {
    transition: transitions[random.integer(3)] ?? 'auto',
    changes: Array.from({ length: random.integer(4) }, () => ({
      kind: kinds[random.integer(4)] ?? ('update' as const),
      nodeId: random.integer(6),
    })),
    context: new Uint8Array(0),
  }
}
