// One thread's sight of what access keeps in '/raft/system': principals, tokens and bucket policies, assembled from
// their records and kept until anything of access changes.
//
// The idea: every change of access raises 'access/counter' in its own transaction. So one small local read per new
// revision of the namespace tells whether the caches still hold, and a reading of several records is of one moment
// exactly when the counter was the same before and after. A mixture of two moments is never used: a Deny that was
// attached before an Allow must not be missed.
//
// Freshness is as in the room cluster: local answers only while the replica heard the leader within staleMsMax and has
// what this thread wrote; otherwise the leader is asked, and when it cannot be, Fault 'unavailable'. That a key or token
// does not exist is never answered locally. That a bucket has no policy is: what changes is effective within staleMsMax.

import { Fault, isFault, type Revision, revision } from '../base/index.ts'
import type { Keyspace, KeyValue } from '../keyspace/index.ts'
import { counterCodec, counterKey } from './core/records.ts'
import { parsePolicy, type Policy, type PolicyKind } from './core/policy.ts'

/** Reads one key, all within one moment. */
export type ReadRecord = (key: Uint8Array) => Promise<KeyValue | undefined>

export type SightOptions = { readonly staleMsMax: number; readonly cachedMax: number }

const askDeadlineMs = 3_000
const attemptsMax = 8

type Loaded<T> = { readonly counter: number; readonly value: T }

export class AccessSight {
  readonly #system: Keyspace
  readonly #options: SightOptions
  readonly #cache = new Map<string, unknown>()
  readonly #policies = new Map<
    string,
    { readonly modRevision: Revision; readonly policy: Policy }
  >()
  /** The counter under which the cache was filled, and the revision up to which that is known. */
  #counter = -1
  #checkedAt: Revision = revision(0)
  #wroteAt: Revision = revision(0)

  constructor(system: Keyspace, options: SightOptions) {
    this.#system = system
    this.#options = options
  }

  /** Local answers older than this are not used any more. */
  wrote(written: Revision): void {
    if (written > this.#wroteAt) this.#wroteAt = written
    this.#forget(-1)
  }

  /**
   * What `load` makes of the records. `name` is where it is kept; with `trustsAbsence`, undefined is an answer from
   * here as well.
   */
  async find<T>(
    name: string,
    load: (read: ReadRecord) => Promise<T | undefined>,
    trustsAbsence = false,
  ): Promise<T | undefined> {
    const fresh = this.#system.freshness()
    const isFresh = fresh.heardMsAgo <= this.#options.staleMsMax
    if (isFresh && fresh.revision >= this.#wroteAt) {
      if (fresh.revision !== this.#checkedAt) await this.#check(fresh.revision)
      const known = this.#cache.get(name) as { readonly value: T | undefined } | undefined
      if (known !== undefined) return known.value
      const loaded = await this.#load(load, true)
      if (loaded.value !== undefined || trustsAbsence) return this.#keep(name, loaded)
      if (await this.#asked(() => this.#isNewest(loaded.counter))) return undefined
    }
    return (await this.#asked(() => this.#load(load, false))).value
  }

  /**
   * Whether nothing changed anywhere since this counter: what is absent here is absent. One read of the leader, where
   * strangers may ask for any number of keys that do not exist. Without a counter even the founding may be missing here.
   */
  async #isNewest(counter: number): Promise<boolean> {
    return counter !== 0 && (await this.#readCounter(false)) === counter
  }

  /** Compiled once per version of its record. */
  compile(kv: KeyValue, document: string, kind: PolicyKind): Policy {
    const name = String.fromCharCode(...kv.key)
    const known = this.#policies.get(name)
    if (known?.modRevision === kv.modRevision) return known.policy
    const policy = compileStored(document, kind)
    if (this.#policies.size >= this.#options.cachedMax) this.#policies.clear()
    this.#policies.set(name, { modRevision: kv.modRevision, policy })
    return policy
  }

  async #check(at: Revision): Promise<void> {
    const counter = await this.#readCounter(true)
    if (counter !== this.#counter) this.#forget(counter)
    if (at > this.#checkedAt) this.#checkedAt = at
  }

  #forget(counter: number): void {
    this.#cache.clear()
    this.#counter = counter
  }

  #keep<T>(name: string, loaded: Loaded<T>): T {
    if (loaded.counter !== this.#counter) return loaded.value
    if (this.#cache.size >= this.#options.cachedMax) this.#cache.clear()
    this.#cache.set(name, { value: loaded.value })
    return loaded.value
  }

  async #load<T>(load: (read: ReadRecord) => Promise<T>, isLocal: boolean): Promise<Loaded<T>> {
    let before = await this.#readCounter(isLocal)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const value = await load((key) => this.#read(key, isLocal))
      const after = await this.#readCounter(isLocal)
      if (after === before) return { counter: after, value }
      before = after
    }
    throw new Fault('unavailable', 'rights change too fast to be read', { next: 'try again' })
  }

  async #asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!isFault(error) || error.code === 'corrupt') throw error
      throw new Fault('unavailable', 'the cluster cannot be asked about rights now', {
        next: 'try again once a majority of the nodes is reachable',
        cause: error,
      })
    }
  }

  async #readCounter(isLocal: boolean): Promise<number> {
    const kv = await this.#read(counterKey, isLocal)
    return kv === undefined ? 0 : counterCodec.decode(kv.value).value
  }

  async #read(key: Uint8Array, isSerializable: boolean): Promise<KeyValue | undefined> {
    const answer = await this.#system.range({ key, isSerializable }, { deadlineMs: askDeadlineMs })
    return answer.kvs[0]
  }
}

/** It was read when it was stored: what does not read now grants nothing, and nothing else does in its place. */
function compileStored(document: string, kind: PolicyKind): Policy {
  try {
    return parsePolicy(document, kind)
  } catch (error) {
    throw new Fault('corrupt', 'a stored policy is not read by this version', { cause: error })
  }
}
