import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Fault, isFault } from '../base/index.ts'
import { type Cluster, newestLevel } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { NodeLevel } from './level.ts'

const outgrown = (error: unknown): boolean =>
  isFault(error, 'precondition') && /this program .* is too old/.test(error.message)

test('a program that its own replica says is too old does not start', () => {
  const level = new NodeLevel(() => assert.fail('it does not run yet'))
  level.follow(undefined)
  level.follow(newestLevel)
  assert.throws(() => level.follow(newestLevel + 1), outgrown)
  assert.equal(level.active(), newestLevel)
})

test('what is known of the level never goes back', () => {
  const level = new NodeLevel(assert.fail)
  level.follow(newestLevel)
  level.follow(undefined)
  assert.equal(level.active(), newestLevel)
})

test('a node that runs, or waits for the cluster, ends when it hears that it is outgrown', () => {
  const told: Fault[] = []
  const level = new NodeLevel((fault) => told.push(fault))
  level.onOutgrown(newestLevel + 1)
  const parts = { host: {} as Host, system: {} as Keyspace, heartbeats: undefined }
  level.keep(parts, {} as Cluster)
  level.follow(newestLevel)
  level.follow(newestLevel + 1)
  assert.equal(told.length, 2)
  assert.ok(told.every(outgrown))
})
