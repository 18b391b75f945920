// Background work of the content room on its timers: audit with repair, scrub, sweep, compaction, and the queue
// of reported damage. Each kind runs once at a time; one that fails (no leader, no disk) is journaled and
// comes again with its next turn. Queues are bounded: damage beyond them is found again by scrub and audit.

import { Fault, type NodeId, toHex } from '../base/index.ts'
import type { ClusterView } from '../cluster/index.ts'
import type { Timer } from '../host/index.ts'
import { bulkMethod } from '../rpc/index.ts'
import { type AuditReport, Auditor } from './auditor.ts'
import type {
  ContentOptions,
  ContentStatus,
  ReplicationPlan,
  ReplicationPlanRequest,
} from './content.ts'
import { callDeadlineMs, type Context } from './context.ts'
import { namespaceTag, parseShardKey, type ShardName, shardKey } from './core/records.ts'
import { shardKeysCodec } from './core/shard-requests.ts'
import type { DamageReport } from './damage.ts'
import { caught } from './faults.ts'
import { Emptying } from './emptying.ts'
import { Mover } from './mover.ts'
import { Repairer } from './repairer.ts'
import { planReplication } from './replication-plan.ts'
import { scrubShards } from './scrubber.ts'
import type { StoredShards } from './stored-shards.ts'
import { Sweeper } from './sweeper.ts'

const damagedMax = 4_096
const soonMs = 1_000
/** Rest between audits while shards are missing: others repair their share of them meanwhile. */
const recheckMs = 2_000
/** Between audits while a shard cannot be fetched yet, most often because an older one of its chunk must go first. */
const postponedMs = 10_000
const scrubPauseMs = 60_000
const freedEveryMs = 30_000
/** When the disk is low, freed space is waited for. */
const freedEveryLowMs = 5_000
/** Unless the owner says where low begins. */
const lowDiskRatio = 0.05
const lowGarbageRatio = 0.02
/** An audit takes at most this share of the time. */
const auditShare = 10

const noAudit: AuditReport = {
  chunks: 0,
  repaired: 0,
  missing: 0,
  moves: [],
  movesLeft: { shards: 0, bytes: 0 },
  holders: [],
}

export class Background {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #options: ContentOptions
  readonly #repairer: Repairer
  readonly #auditor: Auditor
  readonly #sweeper: Sweeper
  readonly #mover: Mover
  readonly #emptying: Emptying
  readonly #timers = new Map<string, Timer>()
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #damaged = new Map<string, ShardName>()
  readonly #reported = new Set<string>()
  #unsubscribe: () => void = () => undefined
  #isClosed = false
  #memberPicture: ReadonlyMap<NodeId, string> = new Map()
  /** The last audit. */
  #tookMs = 0
  /** An audit will begin within soonMs. */
  #isAuditSoon = false
  /** Changes of members seen, and how many of them the last audit began after. */
  #changes = 0
  #auditedChanges = -1
  #lastAudit: AuditReport = noAudit
  #lastAuditMs = 0
  #space = { freeBytes: 0, totalBytes: 0 }
  #repairedShards = 0
  #damagedShards = 0

  constructor(context: Context, stored: StoredShards, options: ContentOptions) {
    this.#context = context
    this.#stored = stored
    this.#options = options
    this.#repairer = new Repairer(context, stored, options.repairAfterMs)
    this.#auditor = new Auditor(context, this.#repairer)
    this.#sweeper = new Sweeper(context, stored, {
      graceMs: () => (this.#isDiskLow ? 0 : (options.freedGraceMs ?? 60_000)),
    })
    this.#mover = new Mover(context, stored, this.#repairer)
    this.#emptying = new Emptying(context, stored, this.#sweeper)
  }

  /** The member of this node drains, as far as it knows. */
  get isLeaving(): boolean {
    return this.#emptying.isLeaving
  }

  start(): void {
    if (this.#options.runsBackground === false) return
    this.#memberPicture = pictureOf(this.#context.view)
    this.#unsubscribe = this.#context.view.onChange(() => this.#maybeAuditSoon())
    this.auditSoon()
    this.#later('scrub', scrubPauseMs, () => this.#scrubSlowly())
    this.#later('freed', freedEveryMs, () => this.#deleteFreed())
    this.#later('sweep', this.#options.sweepEveryMs ?? 900_000, () => this.runSweep())
  }

  auditSoon(): void {
    if (this.#options.runsBackground === false || this.#isClosed) return
    this.#changes++
    if (this.#isAuditSoon) return
    this.#isAuditSoon = true
    this.#later('audit', soonMs, () => this.runRepair())
  }

  /** Not for labels, capacities and suspicion: they move no shard. Who went offline is named, for people. */
  #maybeAuditSoon(): void {
    const picture = pictureOf(this.#context.view)
    const before = this.#memberPicture
    this.#memberPicture = picture
    const changed = [...picture].filter(([id, standing]) => before.get(id) !== standing)
    if (changed.length === 0 && picture.size === before.size) return
    const offline = changed.filter(([, standing]) => standing.startsWith('offline'))
    if (offline.length > 0) {
      const nodes = offline.map(([id]) => id).join()
      this.#context.host.journal.event('notice', 'content.audit_begins', { offline: nodes })
    }
    this.auditSoon()
  }

  status(): ContentStatus {
    const { liveBytes, garbageBytes } = this.#stored.segments.statistics()
    return {
      chunks: this.#lastAudit.chunks,
      underReplicatedShards: this.#lastAudit.missing,
      isAuditCurrent: this.#auditedChanges === this.#changes,
      liveBytes,
      garbageBytes,
      ...this.#space,
      isDiskLow: this.#isDiskLow,
      repairedShards: this.#repairedShards,
      damagedShards: this.#damagedShards + this.#damaged.size,
      lastAuditMs: this.#lastAuditMs,
      moves: this.#mover.status(),
      holders: this.#lastAudit.holders,
    }
  }

  /** A reader met damage: the holder is asked to look, at most once until it is repaired. */
  reportDamage({ namespace, id, shard, holder }: DamageReport): void {
    const key = shardKey({ tag: namespaceTag(namespace), id, shard })
    if (holder === this.#context.self) {
      this.reportOwnDamage(key)
      return
    }
    const name = toHex(key)
    if (this.#reported.has(name) || this.#reported.size >= damagedMax) return
    this.#reported.add(name)
    void this.#askToVerify(holder, key).finally(() => this.#reported.delete(name))
  }

  /** This node's shard failed its checksum or is not here. */
  reportOwnDamage(key: Uint8Array): void {
    const name = toHex(key)
    if (this.#damaged.has(name) || this.#damaged.size >= damagedMax) return
    this.#damaged.set(name, parseShardKey(key))
    this.#context.host.journal.event('warning', 'content.shard_damaged', { shard: name })
    if (this.#options.runsBackground === false) return
    if (!this.#timers.has('damage')) this.#later('damage', soonMs, () => this.#repairDamaged())
  }

  runRepair(): Promise<{ readonly repaired: number; readonly missing: number }> {
    return this.#alone('repair', async () => {
      const startMs = this.#context.host.clock.monotonicMs()
      const changes = this.#changes
      this.#isAuditSoon = false
      try {
        const restored = await this.#restoreDamaged()
        const report = await this.#auditor.run(this.#options.namespaces)
        this.#repairedShards += report.repaired
        this.#lastAudit = { ...report, moves: [] }
        this.#mover.found(report.moves, report.movesLeft)
        if (this.#mover.hasWork) this.#later('move', 0, () => this.runMoves())
        this.#auditedChanges = changes
        this.#lastAuditMs = this.#context.host.clock.monotonicMs()
        this.#space = await this.#context.host.disk.space()
        return { repaired: restored + report.repaired, missing: report.missing }
      } finally {
        const tookMs = this.#context.host.clock.monotonicMs() - startMs
        this.#tookMs = tookMs
        const restMs =
          this.#lastAudit.missing > 0 ? recheckMs : (this.#options.auditEveryMs ?? 60_000)
        const everyMs = Math.max(restMs, auditShare * tookMs)
        if (!this.#isAuditSoon) this.#later('audit', everyMs, () => this.runRepair())
      }
    })
  }

  /** Fetches what the last audit found; an audit follows when anything was moved or is left. */
  runMoves(): Promise<{ readonly moved: number }> {
    return this.#alone('move', async () => {
      const { moved, postponed } = await this.#mover.run()
      if (moved > 0) this.auditSoon()
      else if (postponed > 0 && !this.#isAuditSoon) {
        const everyMs = Math.max(postponedMs, auditShare * this.#tookMs)
        this.#later('audit', everyMs, () => this.runRepair())
      }
      return { moved }
    })
  }

  runEmptying(): Promise<boolean> {
    return this.#alone('sweep', () => this.#emptying.look(this.#options.namespaces))
  }

  planReplication(request: ReplicationPlanRequest): Promise<ReplicationPlan> {
    const { namespaces } = this.#options
    return planReplication(this.#context, this.#repairer, { ...request, namespaces })
  }

  runScrub(): Promise<{ readonly verified: number; readonly damaged: number }> {
    return this.#alone('scrub', async () => {
      const result = await this.#scrub(0)
      await this.#repairDamaged()
      return result
    })
  }

  runSweep(): Promise<{ readonly deleted: number }> {
    return this.#alone('sweep', async () => {
      const { namespaces } = this.#options
      try {
        await this.#sweeper.raise(namespaces)
        const freed = await this.#sweeper.deleteFreed(namespaces)
        const unnamed = await this.#sweeper.deleteUnnamed(namespaces)
        await this.#compact()
        return { deleted: freed + unnamed }
      } finally {
        this.#later('sweep', this.#options.sweepEveryMs ?? 900_000, () => this.runSweep())
      }
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#auditor.stop()
    this.#mover.stop()
    this.#unsubscribe()
    for (const timer of this.#timers.values()) timer.cancel()
    await Promise.allSettled(this.#turns.values())
  }

  async #deleteFreed(): Promise<void> {
    await this.#alone('sweep', async () => {
      try {
        this.#space = await this.#context.host.disk.space()
        await this.#sweeper.deleteFreed(this.#options.namespaces)
        await this.#compact()
      } finally {
        const restMs = this.#isDiskLow ? freedEveryLowMs : freedEveryMs
        this.#later('freed', restMs, () => this.#deleteFreed())
      }
    })
  }

  /** On a disk that is nearly full every little garbage is worth the copying. */
  async #compact(): Promise<void> {
    this.#space = await this.#context.host.disk.space()
    await this.#stored.segments.compact(this.#isDiskLow ? { garbageRatio: lowGarbageRatio } : {})
  }

  get #isDiskLow(): boolean {
    const { freeBytes, totalBytes } = this.#space
    return totalBytes > 0 && freeBytes < (this.#options.lowDiskBytes ?? totalBytes * lowDiskRatio)
  }

  async #scrubSlowly(): Promise<void> {
    try {
      await this.#alone('scrub', () => this.#scrub(this.#options.scrubBytesPerSecond ?? 8_388_608))
    } finally {
      this.#later('scrub', scrubPauseMs, () => this.#scrubSlowly())
    }
  }

  #scrub(bytesPerSecond: number): Promise<{ readonly verified: number; readonly damaged: number }> {
    return scrubShards(this.#context, this.#stored, {
      bytesPerSecond,
      onDamaged: (key) => this.reportOwnDamage(key),
      isStopped: () => this.#isClosed,
    })
  }

  async #repairDamaged(): Promise<void> {
    await this.#alone('repair', () => this.#restoreDamaged())
  }

  /** Answers how many shards were made again; those that could not be stay in the queue. */
  async #restoreDamaged(): Promise<number> {
    let restored = 0
    for (const [name, { tag, id, shard }] of [...this.#damaged]) {
      let isDone = true
      let isNeeded = false
      for (const namespace of this.#options.namespaces) {
        if (this.#isClosed || namespaceTag(namespace) !== tag) continue
        const keyspace = await this.#context.table.open(namespace)
        const outcome = await this.#repairer.restoreOwn(keyspace, id, shard)
        if (outcome === 'repaired') {
          restored++
          this.#damagedShards++
        }
        if (outcome === 'failed') isDone = false
        if (outcome !== 'needless') isNeeded = true
      }
      if (!isNeeded && !this.#isClosed)
        await this.#stored.deleteDamaged(shardKey({ tag, id, shard }))
      if (isDone) this.#damaged.delete(name)
    }
    this.#repairedShards += restored
    return restored
  }

  async #askToVerify(holder: NodeId, key: Uint8Array): Promise<void> {
    try {
      const request = shardKeysCodec.encode({ keys: [key], stamp: 0 })
      const options = { deadlineMs: callDeadlineMs }
      await this.#context.rpc.call(holder, bulkMethod.shardVerify, request, options)
    } catch (error) {
      const { code } = caught(error)
      this.#context.host.journal.event('debug', 'content.verify_failed', { holder, code })
    }
  }

  /** After the run of the same kind before it, if one is under way. */
  #alone<T>(kind: string, run: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(kind) ?? Promise.resolve()
    const result = before.then(() => {
      if (this.#isClosed) throw new Fault('cancelled', 'content is closed')
      return run()
    })
    this.#turns.set(kind, result.catch(caught))
    return result
  }

  /** Replaces the timer of this name. */
  #later(name: string, ms: number, run: () => Promise<unknown>): void {
    if (this.#isClosed || this.#options.runsBackground === false) return
    this.#timers.get(name)?.cancel()
    const timer = this.#context.host.clock.after(ms, () => {
      this.#timers.delete(name)
      void run().catch((error: unknown) => {
        const { code, message } = caught(error)
        const fields = { work: name, code, why: message }
        this.#context.host.journal.event('debug', 'content.background_failed', fields)
      })
    })
    this.#timers.set(name, timer)
  }
}

/** Of each member what decides whether its shards lack a holder. */
function pictureOf(view: ClusterView): ReadonlyMap<NodeId, string> {
  return new Map(
    view.members().map(({ id, state, replaces }) => {
      const isThere = state === 'online' || state === 'suspect'
      return [id, `${isThere ? 'there' : state} ${replaces ?? 0}`]
    }),
  )
}
