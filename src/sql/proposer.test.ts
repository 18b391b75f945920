// Batches whose authors come back at any moment: nobody is left waiting for a run that has just ended.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { seedBytes, type SqlBatch } from './core/entry.ts'
import type { DatabaseFile } from './database-file.ts'
import { Proposer } from './proposer.ts'

const batch: SqlBatch = {
  id: new Uint8Array(16),
  timeMs: 0,
  seed: new Uint8Array(seedBytes),
  isAtomic: true,
  statements: [{ sql: 'SELECT 1' }],
}
const ran = [{ answer: new Uint8Array(0), elapsedUs: [] }]

function newProposer(): Proposer {
  const clock = { soon: (run: () => void) => queueMicrotask(run), wallMs: () => 0 }
  const host = { clock, random: { bytes: (count: number) => new Uint8Array(count) } }
  const group = {
    status: () => ({ role: 'leader', term: 1 }),
    readBarrier: async () => undefined,
    propose: async () => new Uint8Array(0),
  }
  const file = {
    engine: 'test',
    caughtUp: async () => undefined,
    runAhead: async () => ran,
    ran: async () => ran,
  }
  return new Proposer(
    host as unknown as Host,
    group as unknown as Group,
    () => file as unknown as DatabaseFile,
  )
}

test('who comes back as a run ends has a turn, whichever step that is', async () => {
  for (let steps = 0; steps < 40; steps++) {
    const proposer = newProposer()
    await proposer.execute(batch, 1)
    for (let step = 0; step < steps; step++) await Promise.resolve()
    let isAnswered = false
    void proposer.execute(batch, 1).then(() => {
      isAnswered = true
    })
    for (let step = 0; step < 200; step++) await Promise.resolve()
    assert.ok(isAnswered, `${steps} steps later`)
  }
})
