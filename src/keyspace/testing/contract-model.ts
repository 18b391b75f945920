// The keyspace contract against the model: requests drawn from a seed.

import assert from 'node:assert/strict'
import { type Random, seededRandom, toHex } from '../../base/index.ts'
import type { FullKeyspace, Operation, TxnRequest } from '../keyspace.ts'
import {
  type ContractWorld,
  type Tests,
  type Has,
  currentOf,
  refusalOf,
  rejects,
} from './contract-parts.ts'
import { ModelKeyspace } from './model.ts'
import { leaseIds, randomRange, randomTxn } from './requests.ts'
import { Revisions } from './revisions.ts'

export function modelTests(has: Has): Tests {
  const tests: Tests = {}
  for (const seed of [1, 2, 3, 4, 5]) {
    tests[`answers random transactions and ranges as the model does; seed ${seed}`] = (world) =>
      compareWithModel(world, seededRandom(seed), has)
  }
  return tests
}

async function compareWithModel(world: ContractWorld, random: Random, has: Has): Promise<void> {
  const model = new ModelKeyspace()
  const revisions = new Revisions(await currentOf(world.ways[0] as FullKeyspace))
  const leases = new LeaseNames(world)
  for (let round = 0; round < 120; round++) {
    const way = world.ways[random.integer(world.ways.length)] as FullKeyspace
    if (round % 10 === 5) await leases.change(model, revisions, random)
    const request = randomTxn(random, { high: model.revision, depth: 0 })
    const expected = refusalOf(model, request)
    const real = leases.rename(revisions.toRealTxn(request))
    if (expected !== undefined) {
      await rejects(way.txn(real), expected.code, expected.text)
    } else {
      const response = await way.txn(real)
      const before = model.revision
      const wanted = model.txn(request)
      if (model.revision > before) revisions.add(response.revision)
      if (!has('sharedRevisions'))
        assert.equal(response.revision, revisions.toReal(wanted.revision))
      assert.deepEqual(
        leases.showTxn(revisions.toModelTxn(response)),
        leases.showTxn(revisions.toModelTxn(wanted, true)),
      )
    }
    const range = randomRange(random, { low: 1, high: model.revision })
    const found = await way.range(revisions.toRealRange(range))
    assert.deepEqual(
      leases.showRange(revisions.toModelRange(found)),
      leases.showRange(revisions.toModelRange(model.range(range, model.revision), true)),
    )
  }
  await leases.end()
}

/** The model's leases 1, 2, ... are others on the wire, because a cluster of etcd may know those already. */
class LeaseNames {
  readonly #world: ContractWorld
  readonly #base: number
  readonly #granted = new Set<number>()

  constructor(world: ContractWorld) {
    this.#world = world
    this.#base = leaseBase
    leaseBase += 100
  }

  async change(model: ModelKeyspace, revisions: Revisions, random: Random): Promise<void> {
    const id = 1 + random.integer(leaseIds)
    const [way] = this.#world.ways
    assert.ok(way !== undefined)
    if (!model.leases.has(id)) {
      await way.leases.grant({ id: this.#base + id, ttlSeconds: 1000 })
      model.leases.set(id, 1000)
      this.#granted.add(id)
      return
    }
    const before = model.revision
    const revision = await way.leases.revoke(this.#base + id)
    model.revoke(id)
    this.#granted.delete(id)
    if (model.revision > before) revisions.add(revision)
  }

  rename(request: TxnRequest): TxnRequest {
    const operation = (one: Operation): Operation => {
      if (one.kind === 'txn') return { kind: 'txn', request: this.rename(one.request) }
      if (one.kind !== 'put' || (one.lease ?? 0) === 0) return one
      return { ...one, lease: this.#base + (one.lease ?? 0) }
    }
    return {
      compares: request.compares.map((compare) => {
        const { operand } = compare
        const isLease = compare.target === 'lease' && typeof operand === 'number' && operand > 0
        return isLease ? { ...compare, operand: this.#base + operand } : compare
      }),
      success: request.success.map(operation),
      failure: request.failure.map(operation),
    }
  }

  /** As text, with leases by the model's names. */
  showTxn(response: unknown): unknown {
    return JSON.parse(JSON.stringify(response, (name, value: unknown) => this.#show(name, value)))
  }

  showRange(response: unknown): unknown {
    return this.showTxn(response)
  }

  async end(): Promise<void> {
    for (const id of this.#granted) await this.#world.ways[0]?.leases.revoke(this.#base + id)
  }

  #show(name: string, value: unknown): unknown {
    if (value instanceof Uint8Array) return toHex(value)
    if (name === 'lease' && typeof value === 'number' && value > this.#base) {
      return value - this.#base
    }
    return value
  }
}

let leaseBase = 1000
