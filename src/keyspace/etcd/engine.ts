// The engine 'etcd': the contract of keyspaces served by an existing cluster of etcd (3.4 and later). Namespaces are
// prefixes of its one keyspace (core/names.ts), revisions are the cluster's own, mutations run once (once.ts).
//
// What is known of the cluster's revision is kept fresh by a small linearizable read, every thread for itself: the
// endpoint that answered it has applied that much, so reads that ask nobody else are made there.

import { checkNamespaceName, Fault, isFault, revision as toRevision } from '../../base/index.ts'
import type { Host, Timer } from '../../host/index.ts'
import { checkGuard } from '../core/guard.ts'
import type { FullKeyspace, FullKeyspaces, RequestOptions } from '../keyspace.ts'
import { type Attempt, attemptUntil } from './attempts.ts'
import { type ChannelOptions, EtcdChannel } from './channel.ts'
import { Space, sessionKey } from './core/names.ts'
import { plainRange } from './core/translate.ts'
import { EngineKeyspace } from './engine-keyspace.ts'
import { EngineWatches } from './engine-watch.ts'
import { etcdMethods } from './methods.ts'
import { OnceSessions } from './once.ts'

export type EtcdEngineOptions = ChannelOptions & {
  /** All keys of this product begin with it: '/atoll'. One per cluster of nodes on one cluster of etcd. */
  readonly root: string
}

const lookEveryMs = 150
const lookMsMax = 2000
const namespacesMax = 4096
const unguarded = 0

export function createEtcdKeyspaces(host: Host, options: EtcdEngineOptions): FullKeyspaces {
  return new Engine(host, options)
}

/** What the keyspaces of one thread share. */
export class Engine implements FullKeyspaces {
  readonly host: Host
  readonly channel: EtcdChannel
  readonly once: OnceSessions
  readonly watches: EngineWatches
  readonly root: string
  readonly #keyspaces = new Map<string, FullKeyspace>()
  readonly #listeners = new Set<() => void>()
  #timer: Timer | undefined
  #isLooking = false
  #revision = 0
  #heardMs = Number.NEGATIVE_INFINITY

  constructor(host: Host, options: EtcdEngineOptions) {
    if (!/^(\/[A-Za-z0-9._-]+)+$/.test(options.root)) {
      throw new Fault('invalid', `'${options.root.slice(0, 64)}' is not a prefix of keys`, {
        next: "give a path such as '/atoll'",
      })
    }
    this.host = host
    this.root = options.root
    this.channel = new EtcdChannel(host, options)
    this.once = new OnceSessions(host, this.channel, options.root)
    this.watches = new EngineWatches(this)
  }

  async open(name: string): Promise<FullKeyspace> {
    checkNamespaceName(name)
    const known = this.#keyspaces.get(name)
    if (known !== undefined) return known
    if (this.#keyspaces.size >= namespacesMax) {
      throw new Fault('overloaded', `at most ${namespacesMax} namespaces are open`)
    }
    const keyspace = new EngineKeyspace(this, new Space(this.root, name))
    this.#keyspaces.set(name, keyspace)
    this.#timer ??= this.host.clock.every(lookEveryMs, () => void this.#look())
    return keyspace
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    this.watches.close()
    await this.once.close()
    this.channel.close()
  }

  /** Repeats a read until its deadline. Nothing here is guarded: only revision 0 of a guard holds. */
  async read<T>(options: RequestOptions, attempt: (attempt: Attempt) => Promise<T>): Promise<T> {
    checkGuard(options.guard, unguarded)
    return await attemptUntil(this.host, { ...options, isMutation: false }, attempt)
  }

  async mutate<T>(options: RequestOptions, attempt: (attempt: Attempt) => Promise<T>): Promise<T> {
    checkGuard(options.guard, unguarded)
    return await attemptUntil(this.host, { ...options, isMutation: true }, attempt)
  }

  /** A revision that an answer told: the endpoint has applied it. */
  learn(revision: number): void {
    if (revision <= this.#revision) return
    this.#revision = revision
    for (const changed of this.#listeners) changed()
  }

  freshness(): ReturnType<FullKeyspace['freshness']> {
    const heardMsAgo = Math.max(0, this.host.clock.monotonicMs() - this.#heardMs)
    return { revision: toRevision(this.#revision), guard: 0, heardMsAgo }
  }

  onRevision(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => {
      this.#listeners.delete(changed)
    }
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const askedMs = this.host.clock.monotonicMs()
    try {
      const range = { ...plainRange, key: sessionKey(this.root, 0), countOnly: true }
      const limit = { ms: lookMsMax, signal: undefined }
      const { header } = await this.channel.unary(etcdMethods.range, range, limit)
      this.#heardMs = askedMs
      this.learn(header?.revision ?? 0)
    } catch (error) {
      if (!isFault(error)) this.host.journal.fatal('keyspace.engine_failed', error)
      this.host.journal.event('debug', 'keyspace.etcd_silent', { reason: error.message })
    } finally {
      this.#isLooking = false
    }
  }
}
