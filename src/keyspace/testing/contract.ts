// What every keyspace must do, whoever serves it: ours, and an etcd cluster behind the engine. Requests drawn from a
// seed are run on it and on the naive model, and the answers compared; then the refusals, word for word; then
// compaction, leases and watches. Because etcd passes it too, it says that our semantics are etcd's.
//
// Revisions are compared by their order: on a cluster of etcd other namespaces write between ours. Where the two
// differ on purpose, the difference is a name in `differences`, with its reason; the suite then asks for less.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FullKeyspace } from '../keyspace.ts'
import type { ContractWorld, Difference } from './contract-parts.ts'
import { historyTests, leaseTests } from './contract-history.ts'
import { modelTests } from './contract-model.ts'
import { refusalTests } from './contract-refusals.ts'
import { watchTests } from './contract-watches.ts'

export type ContractOptions = {
  readonly name: string
  /** A fresh namespace each time. */
  make(): Promise<ContractWorld>
  readonly differences: readonly Difference[]
}

export function keyspaceContract(options: ContractOptions): void {
  const run = async (body: (world: ContractWorld, way: FullKeyspace) => Promise<void>) => {
    const world = await options.make()
    try {
      const [way] = world.ways
      assert.ok(way !== undefined && world.ways.length > 1)
      await body(world, way)
    } finally {
      await world.close()
    }
  }
  const has = (difference: Difference): boolean => options.differences.includes(difference)
  const parts = { ...modelTests(has), ...refusalTests(), ...historyTests(has), ...leaseTests(has) }
  describe(`keyspace contract: ${options.name}`, () => {
    for (const [name, body] of Object.entries({ ...parts, ...watchTests() })) {
      it(name, { timeout: 60_000 }, () => run(body))
    }
  })
}
