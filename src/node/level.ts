// Feature levels on one node: what it tells its peers, what it refuses to start with, and, on the leader, the raising.
//
// A program that the cluster has outgrown is told in three places, each for itself enough: by its own replica before
// anything listens, by the first peer it meets, and by the namespace while it runs.

import type { Fault } from '../base/index.ts'
import {
  type Cluster,
  firstLevel,
  type Heartbeats,
  levelFault,
  LevelKeeper,
  newestLevel,
} from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { RpcLevel } from '../rpc/index.ts'

export class NodeLevel implements RpcLevel {
  readonly newest = newestLevel
  readonly #onTooOld: (fault: Fault) => void
  #active = firstLevel
  #isRunning = false

  /** `onTooOld` ends the process of a node that runs already. */
  constructor(onTooOld: (fault: Fault) => void) {
    this.#onTooOld = onTooOld
  }

  active(): number {
    return this.#active
  }

  onOutgrown(active: number): void {
    const fault = levelFault(active)
    if (fault !== undefined) this.#onTooOld(fault)
  }

  /**
   * What the namespace says, as far as it is known here; never less than before. Throws the Fault of a program that the
   * cluster has outgrown while the node starts, and ends the process afterwards.
   */
  follow(level: number | undefined): void {
    const active = Math.max(this.#active, level ?? firstLevel)
    const fault = levelFault(active)
    if (fault !== undefined && !this.#isRunning) throw fault
    if (fault !== undefined) this.#onTooOld(fault)
    this.#active = active
  }

  /** Answers what ends it. Nothing is raised where another engine keeps the state: nobody hears all members there. */
  keep(
    parts: {
      readonly host: Host
      readonly system: Keyspace
      readonly heartbeats: Heartbeats | undefined
    },
    cluster: Cluster,
  ): () => Promise<void> {
    this.#isRunning = true
    const { host, system, heartbeats } = parts
    if (heartbeats === undefined) return async () => undefined
    const active = (): number => this.#active
    const rows = () => heartbeats.ownRows()
    const keeper = new LevelKeeper({ host, system, rows, active }, () => cluster.view.members())
    return async () => keeper.close()
  }
}
