// Keeps the node processes that this launcher started. It reports a node that ends by itself and does
// not start it again: whoever kills a node wants it dead, and a node that stopped because its disk
// failed must not come back in a loop. `atoll up` in a second terminal starts what is missing.

import { basename, join } from 'node:path'
import type { Slot } from './formation.ts'
import { type NodeEnd, type NodeProcess, startNodeProcess } from './node-process.ts'
import type { EtcdFlags, SqlFlags } from './node-dir.ts'
import { launcherPaths } from './paths.ts'
import { askedPortOf } from './ports.ts'
import { tell, withProgress } from './terminal.ts'

export type SupervisorOptions = {
  readonly dataDir: string
  readonly dataThreads: number | undefined
  /** Present: nodes serve etcd's API, the first one on this port (ports.ts). */
  readonly etcd?: (Omit<EtcdFlags, 'port'> & { readonly port: number | undefined }) | undefined
  /** Present: nodes serve rqlite's HTTP API, the first one on this port. */
  readonly sql?: (Omit<SqlFlags, 'port'> & { readonly port: number | undefined }) | undefined
  readonly encryptionKeyFile?: string | undefined
  /** Of all nodes: each has a folder of its own in it. */
  readonly snapshotDir?: string | undefined
  readonly readLease?: { readonly clockDriftRatio: number } | undefined
  readonly log: 'json' | 'file'
}

type Kept = { readonly slot: Slot; readonly child: NodeProcess; isStopping: boolean }

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #kept = new Map<number, Kept>()
  /** Every slot that was started, whether its node still runs or not. */
  readonly #started = new Map<number, Slot>()
  #whenEmpty: (() => void) | undefined
  /** The worst end of a node that nobody asked to stop. */
  #hasLostNode = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  get hasLostNode(): boolean {
    return this.#hasLostNode
  }

  pidOf(slot: number): number | undefined {
    return this.#kept.get(slot)?.child.pid
  }

  start(slot: Slot): NodeProcess {
    const { dataDir, dataThreads, log, encryptionKeyFile, readLease } = this.#options
    const nodeDir = launcherPaths(dataDir).node(slot.slot)
    const shared = this.#options.etcd
    const etcd =
      shared === undefined ? undefined : { ...shared, port: askedPortOf(slot, 'etcd', shared.port) }
    const ofSql = this.#options.sql
    const sql =
      ofSql === undefined ? undefined : { ...ofSql, port: askedPortOf(slot, 'sql', ofSql.port) }
    const shelf = this.#options.snapshotDir
    const snapshotDir = shelf === undefined ? undefined : join(shelf, basename(nodeDir))
    const child = startNodeProcess({
      nodeDir,
      dataThreads,
      etcd,
      sql,
      encryptionKeyFile,
      snapshotDir,
      readLease,
      log,
    })
    const kept: Kept = { slot, child, isStopping: false }
    this.#kept.set(slot.slot, kept)
    this.#started.set(slot.slot, slot)
    void child.ended.then((end) => this.#ended(kept, end))
    return child
  }

  /** Settles when every node of this launcher is ready; rejects with the first failure. */
  async untilReady(slots: readonly Slot[]): Promise<void> {
    const waiting = new Map<number, NodeProcess>()
    for (const { slot, id } of slots) {
      const child = this.#kept.get(slot)?.child
      if (child !== undefined) waiting.set(id, child)
    }
    const all = [...waiting].map(async ([id, child]) => {
      await child.ready
      waiting.delete(id)
    })
    const describe = (): string =>
      `still starting: ${[...waiting].map(([id, child]) => `node ${id} waits for ${child.waitsFor()}`).join('; ')}`
    await withProgress(describe, Promise.all(all))
  }

  async stopAll(): Promise<void> {
    const running = [...this.#kept.values()]
    for (const kept of running) kept.isStopping = true
    const stopping = Promise.all(running.map((kept) => kept.child.stop()))
    await withProgress(() => `stopping ${this.#kept.size} nodes`, stopping)
  }

  /**
   * One node after the other, so that a majority stays up; those that are down first. Rejects with the
   * first that does not start, and leaves the others as they are.
   */
  async restartEach(): Promise<void> {
    const slots = [...this.#started.values()]
    const isDown = ({ slot }: Slot): boolean => !this.#kept.has(slot)
    for (const slot of [...slots.filter(isDown), ...slots.filter((one) => !isDown(one))]) {
      const kept = this.#kept.get(slot.slot)
      if (kept !== undefined) {
        kept.isStopping = true
        await kept.child.stop()
      }
      await this.start(slot).ready
    }
  }

  /** Settles when no node of this launcher runs any more. */
  untilEmpty(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenEmpty = resolve
      if (this.#kept.size === 0) resolve()
    })
  }

  #ended(kept: Kept, end: NodeEnd): void {
    const { slot, id } = kept.slot
    if (this.#kept.get(slot) === kept) this.#kept.delete(slot)
    if (!kept.isStopping) {
      this.#hasLostNode = true
      const how = end.signal === null ? `with status ${end.status}` : `by ${end.signal}`
      tell(`atoll: node ${id} (pid ${kept.child.pid}) ended ${how}; its data are kept`)
      tell(`  next: atoll up --node ${id} --data-dir ${this.#options.dataDir}`)
    }
    if (this.#kept.size === 0 && !kept.isStopping) this.#whenEmpty?.()
  }
}
