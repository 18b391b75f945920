// One thread's sight of '/raft/system': members and settings kept loaded, buckets in a bounded
// cache, and the transactions that change them.
//
// Freshness (why a cut-off node never honours what was withdrawn): a cached or local answer is used only
// while this node's replica heard the leader within staleMsMax and has applied at least everything
// that this thread itself wrote. Otherwise the leader is asked (a linearizable read); when that fails,
// Fault 'unavailable'. "There is none" is never answered from the cache: a bucket made on another node
// a moment ago must be seen here.

import {
  equalBytes,
  Fault,
  type FaultCode,
  isFault,
  type NodeId,
  prefixEnd,
  type Revision,
  revision,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace, KeyValue, RequestOptions } from '../keyspace/index.ts'
import type { BucketRecord, ClusterAdmin, ClusterView, Member, Settings } from './cluster.ts'
import { createClusterAdmin } from './cluster-admin.ts'
import {
  bucketCodec,
  bucketKey,
  clusterCodec,
  clusterKey,
  memberCodec,
  memberPrefix,
  levelKey,
  placementRuleCodec,
  placementRuleKey,
} from './core/records.ts'
import { configCodec, configKey } from './core/enrolment-records.ts'
import { levelRecordOf } from './core/feature-levels.ts'

export type ClusterOptions = Patience & {
  readonly self: NodeId
  /** How old the last word of the leader may be. Default 1,000 ms. */
  readonly staleMsMax?: number
  /** How long after a change of the revision members and settings are read again. Default 100 ms. */
  readonly reloadAfterMs?: number
  /** Cached buckets at most. Default 4,096. */
  readonly cachedMax?: number
}

export type Cluster = {
  readonly view: ClusterView
  readonly admin: ClusterAdmin
  /** Every member there ever was, removed ones too. Sorted by id. */
  allMembers(): readonly Member[]
  close(): void
}

type Deps = {
  readonly host: Host
  /** '/raft/system', opened on this thread. */
  readonly system: Keyspace
  readonly isReachable: (id: NodeId) => boolean
}

const askDeadlineMs = 3_000
const patienceMs = 300_000
const againMs = 200
const passing: ReadonlySet<FaultCode> = new Set(['deadline', 'unavailable', 'overloaded'])

export type Patience = {
  /** How long a cluster that does not answer is asked again. Default five minutes. */
  readonly patienceMs?: number
  /** Ends the waiting with Fault 'cancelled'. */
  readonly signal?: AbortSignal
}

/** What is late may come with the next question; any other fault, and the last one, is the caller's. */
export async function askAgain<T>(
  { clock, journal }: Host,
  patience: Patience,
  ask: () => Promise<T>,
): Promise<T> {
  const endMs = clock.monotonicMs() + (patience.patienceMs ?? patienceMs)
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isFault(error) || !passing.has(error.code) || clock.monotonicMs() >= endMs) throw error
      journal.event('debug', 'cluster.asks_again', { reason: error.message })
    }
    await clock.sleep(againMs, patience.signal)
  }
}

/**
 * Settles once the cluster's first state is read; the caller has seen to genesis. While nodes start, leaders fall and
 * answers are late, which is no reason for a node to end: it asks again for patienceMs.
 */
export async function openCluster(deps: Deps, options: ClusterOptions): Promise<Cluster> {
  const sight = new SystemSight(deps, options)
  const until = options.signal === undefined ? {} : { signal: options.signal }
  await askAgain(deps.host, options, () => sight.load(false, until))
  sight.start()
  const view: ClusterView = {
    members: () => sight.listed,
    settings: () => sight.settings,
    isUp: (id) => id === options.self || deps.isReachable(id),
    bucket: (name) => sight.find(bucketKey(name), decodeBucket),
    onChange: (changed) => sight.onChange(changed),
  }
  return {
    view,
    admin: createClusterAdmin(deps, (written) => sight.wrote(written)),
    allMembers: () => sight.members,
    close: () => sight.close(),
  }
}

const decodeBucket = (value: Uint8Array): BucketRecord => bucketCodec.decode(value)

class SystemSight {
  members: readonly Member[] = []
  /** The same list until it changes: placement is prepared per list. */
  listed: readonly Member[] = []
  settings: Settings
  readonly #deps: Deps
  readonly #staleMsMax: number
  readonly #reloadAfterMs: number
  readonly #cachedMax: number
  readonly #cache = new Map<string, Uint8Array>()
  readonly #watchers = new Set<() => void>()
  /** The revision that cache and member list were read at. */
  #readAt: Revision = revision(0)
  /** The newest revision that this thread wrote: local answers older than it are not used. */
  #wroteAt: Revision = revision(0)
  #loaded: readonly KeyValue[] = []
  #timer: { cancel(): void } | undefined
  #unlisten: (() => void) | undefined
  #isClosed = false

  constructor(deps: Deps, options: ClusterOptions) {
    this.#deps = deps
    this.#staleMsMax = options.staleMsMax ?? 1_000
    this.#reloadAfterMs = options.reloadAfterMs ?? 100
    this.#cachedMax = options.cachedMax ?? 4_096
    const unknown = '' as Settings['clusterId']
    this.settings = { clusterId: unknown, region: '', dataShards: 1, parityShards: 0 }
  }

  start(): void {
    this.#unlisten = this.#deps.system.onRevision(() => this.#reloadSoon())
    this.#reloadSoon()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#unlisten?.()
    this.#watchers.clear()
  }

  onChange(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => {
      this.#watchers.delete(changed)
    }
  }

  wrote(written: Revision): void {
    if (written > this.#wroteAt) this.#wroteAt = written
    this.#cache.clear()
  }

  async find<T>(key: Uint8Array, decode: (value: Uint8Array) => T): Promise<T | undefined> {
    const name = String.fromCharCode(...key)
    const fresh = this.#deps.system.freshness()
    const isUsable = fresh.heardMsAgo <= this.#staleMsMax && fresh.revision >= this.#wroteAt
    if (isUsable) {
      if (fresh.revision !== this.#readAt) this.#forget(fresh.revision)
      const cached = this.#cache.get(name)
      if (cached !== undefined) return decode(cached)
      const local = await this.#read(key, true)
      if (local !== undefined) return decode(this.#keep(name, local, fresh.revision))
    }
    const asked = await this.#ask(key)
    return asked === undefined ? undefined : decode(asked)
  }

  /** Reads members and settings. Serializable reads are enough: a change is told. */
  async load(isSerializable: boolean, options: RequestOptions = {}): Promise<void> {
    const request = { isSerializable }
    const { system } = this.#deps
    const rangeEnd = prefixEnd(memberPrefix)
    const [cluster, listed, rule, level, config] = await Promise.all([
      system.range({ key: clusterKey, ...request }, options),
      system.range({ key: memberPrefix, rangeEnd, ...request }, options),
      system.range({ key: placementRuleKey, ...request }, options),
      system.range({ key: levelKey, ...request }, options),
      system.range({ key: configKey, ...request }, options),
    ])
    const [[record], [ruled], [levelled]] = [cluster.kvs, rule.kvs, level.kvs]
    const [configured] = config.kvs
    if (record === undefined) {
      throw new Fault('unavailable', 'the cluster has no state yet', {
        next: 'start a majority of the founding nodes',
      })
    }
    const loaded = [record, ruled, levelled, configured, ...listed.kvs].filter(
      (kv) => kv !== undefined,
    )
    if (sameRecords(this.#loaded, loaded)) return
    this.#loaded = loaded
    this.settings = {
      ...settingsOf(record, ruled),
      ...servicesOf(configured),
      level: levelRecordOf(levelled).level,
    }
    this.members = listed.kvs.map((kv) => memberCodec.decode(kv.value)).sort((a, b) => a.id - b.id)
    this.listed = this.members.filter(isListed)
    for (const changed of this.#watchers) changed()
  }

  /** What changes while it waits, or is read, is read by the next time. */
  #reloadSoon(): void {
    if (this.#isClosed || this.#timer !== undefined) return
    this.#timer = this.#deps.host.clock.after(this.#reloadAfterMs, () => this.#reload())
  }

  #reload(): void {
    const readAt = this.#deps.system.freshness().revision
    const settle = (fault: unknown): void => {
      this.#timer = undefined
      if (fault !== undefined && !isFault(fault)) {
        this.#deps.host.journal.fatal('cluster.reload_failed', fault)
      }
      const isOld = this.#deps.system.freshness().revision !== readAt
      if (fault !== undefined || isOld) this.#reloadSoon()
    }
    this.load(true).then(() => settle(undefined), settle)
  }

  #forget(now: Revision): void {
    this.#cache.clear()
    this.#readAt = now
  }

  #keep(name: string, value: Uint8Array, readAt: Revision): Uint8Array {
    if (readAt !== this.#readAt) return value
    if (this.#cache.size >= this.#cachedMax) this.#cache.clear()
    this.#cache.set(name, value.slice())
    return value
  }

  async #read(key: Uint8Array, isSerializable: boolean): Promise<Uint8Array | undefined> {
    const options = { deadlineMs: askDeadlineMs }
    const answer = await this.#deps.system.range({ key, isSerializable }, options)
    return answer.kvs[0]?.value
  }

  async #ask(key: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await this.#read(key, false)
    } catch (error) {
      if (!isFault(error) || error.code === 'corrupt') throw error
      throw new Fault('unavailable', 'the cluster cannot be asked about buckets now', {
        next: 'try again once a majority of the nodes is reachable',
        cause: error,
      })
    }
  }
}

function isListed({ state }: Member): boolean {
  return state !== 'unpaired' && state !== 'pending' && state !== 'removed'
}

function settingsOf(cluster: KeyValue, ruled: KeyValue | undefined): Settings {
  const settings = clusterCodec.decode(cluster.value)
  if (ruled === undefined) return settings
  const placement = placementRuleCodec.decode(ruled.value)
  const { dataShards, parityShards } = placement
  return { ...settings, dataShards, parityShards, placement }
}

function servicesOf(configured: KeyValue | undefined): Pick<Settings, 'services'> {
  return configured === undefined
    ? {}
    : { services: configCodec.decode(configured.value).config.services }
}

function sameRecords(a: readonly KeyValue[], b: readonly KeyValue[]): boolean {
  if (a.length !== b.length) return false
  return a.every((kv, at) => {
    const other = b[at]
    return other !== undefined && equalBytes(kv.key, other.key) && equalBytes(kv.value, other.value)
  })
}
