// When a member that drains is empty: nothing of it is named, and nothing of it can be named any more. Only then may
// it be removed, without an object losing a shard that nobody knew of.
//
// A shard that nobody has named yet may lie here for a writer that names it later. This node takes no new shards from
// the moment it knows that it drains; so
// 1. either its disk is bare. What is not here cannot be named: whoever wrote it was told to delete it, or the
//    sweep took it, after which a transaction that names it fails (DESIGN.md);
// 2. or what is left is old. Then it stops answering touches and raises the sweep number once: every transaction
//    that carries an older number fails, its owner touches its shards again, is told that the one here is gone,
//    and strikes it from its record or repeats the upload. This is for uploads that last longer than settleMs.
// The rows of this node are counted after that, at the leader.

import type { Keyspace } from '../keyspace/index.ts'
import { countShardsOf, sweepCompare } from './chunk-table.ts'
import type { Context } from './context.ts'
import { encodeSweepNumber, sweepKey } from './core/records.ts'
import type { StoredShards } from './stored-shards.ts'
import type { Sweeper } from './sweeper.ts'

const settleMs = 60_000

export class Emptying {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #sweeper: Sweeper
  #unnamedSinceMs: number | undefined
  #isFenced = false

  constructor(context: Context, stored: StoredShards, sweeper: Sweeper) {
    this.#context = context
    this.#stored = stored
    this.#sweeper = sweeper
  }

  get isLeaving(): boolean {
    const { self, view } = this.#context
    return view.members().find((member) => member.id === self)?.state === 'draining'
  }

  /** True once this node may be removed. To be asked again and again; does the little that is left to do. */
  async look(namespaces: readonly string[]): Promise<boolean> {
    if (!this.isLeaving) {
      this.#unnamedSinceMs = undefined
      if (this.#isFenced) await this.#stored.refuseTouches(false)
      this.#isFenced = false
      return false
    }
    const keyspaces = await Promise.all(namespaces.map((name) => this.#context.table.open(name)))
    if (await this.#isNamed(keyspaces)) return false
    await this.#sweeper.deleteFreed(namespaces, 0)
    if (!this.#stored.isEmpty && !this.#isFenced) {
      const nowMs = this.#context.host.clock.monotonicMs()
      this.#unnamedSinceMs ??= nowMs
      if (nowMs - this.#unnamedSinceMs < settleMs) return false
      await this.#fence(keyspaces)
    }
    return !(await this.#isNamed(keyspaces)) && this.isLeaving
  }

  async #fence(keyspaces: readonly Keyspace[]): Promise<void> {
    await this.#stored.refuseTouches(true)
    for (const keyspace of keyspaces) {
      const seen = await this.#context.table.freshSweepNumber(keyspace)
      // Where it fails somebody else has raised the number since, which is as good.
      await keyspace.txn({
        compares: [sweepCompare(seen)],
        success: [{ kind: 'put', key: sweepKey, value: encodeSweepNumber(seen.number + 1) }],
        failure: [],
      })
    }
    this.#isFenced = true
  }

  async #isNamed(keyspaces: readonly Keyspace[]): Promise<boolean> {
    for (const keyspace of keyspaces) {
      if ((await countShardsOf(keyspace, this.#context.self)) > 0) return true
    }
    return false
  }
}
