// One map of namespaces in '/raft/system' (cluster/namespaces.ts), followed: what is in it is opened on this node, what left
// it is closed here. What opening and closing are is its owner's affair: a keyspace, or an SQL database.
//
// The map's counter is looked at when the system namespace has changed, the map itself when the counter has. A request
// for a namespace that the map here does not show, not yet or no more, asks the leader's map.

import { Fault, type GroupId, isFault, type NodeId } from '../base/index.ts'
import {
  askAgain,
  createNamespace,
  findNamespace,
  listNamespaces,
  type NamespaceMap,
  type NamespaceRecord,
  type Patience,
  readMapVersion,
} from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'

export type GroupToOpen = {
  readonly name: string
  readonly group: GroupId
  readonly founders: Pick<NamespaceRecord, 'voters' | 'learners'>
  readonly electionPriority: number
}

export type FollowerEnds = {
  readonly host: Host
  readonly system: Keyspace
  readonly self: NodeId
  readonly map: NamespaceMap
  /** Those that a new group begins with. */
  readonly members: () => readonly NodeId[]
  /** Names of events in the journal. */
  readonly events: { readonly failed: string; readonly waits: string }
  /** One whose closing has begun is opened, too, for what its closing needs. */
  readonly opensClosing: boolean
  readonly open: (group: GroupToOpen) => Promise<void>
  /** Once its opening has settled, and before another of its name is opened. */
  readonly close: (name: string) => void | Promise<void>
}

type Open = {
  readonly group: GroupId
  readonly ready: Promise<void>
  /** Its contents are being deleted, for which alone it is still open. */
  isClosing: boolean
}

const lookAfterMs = 100
/** A node that has not heard the leader of the system namespace for so long does not go by its own copy of a map. */
export const namespaceStaleMs = 1_000
/** Groups that are opened at a time: their first writes share a sync of the log. */
const openingMax = 64
const firstPriority = 8
const otherPriority = 4

export class NamespaceFollower {
  readonly #ends: FollowerEnds
  readonly #open = new Map<string, Open>()
  /** Creations of this node follow one another: each writes the counter, and they would only refuse each other. */
  #changing: Promise<unknown> = Promise.resolve()
  /** Groups of names that are served no more: they rest until the node stops, so there are as many in memory anyway. */
  readonly #left = new Set<GroupId>()
  #version = -1
  #timer: Timer | undefined
  #unlisten: () => void = () => undefined
  #isClosed = false

  constructor(ends: FollowerEnds) {
    this.#ends = ends
  }

  /** Settles when what the map here shows is open; `waiting` ends with Fault 'cancelled'. */
  async start(waiting: Patience = {}): Promise<void> {
    this.#unlisten = this.#ends.system.onRevision(() => this.lookSoon())
    await askAgain(this.#ends.host, waiting, () => this.#look())
  }

  /** Settles when nothing is being opened any more: what it stands on may close then. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#unlisten()
    await Promise.allSettled([...this.#open.values()].map(({ ready }) => ready))
  }

  /** It was open here and is served no more. */
  hasLeft(group: GroupId): boolean {
    return this.#left.has(group)
  }

  /** In the map, and open here. The same answer however often it is asked. */
  async create(name: string): Promise<NamespaceRecord> {
    const { system, host, map, members } = this.#ends
    const createdMs = Math.max(0, Math.floor(host.clock.wallMs()))
    const plan = { name, members: members(), createdMs }
    const made = this.#changing.then(() => createNamespace(system, plan, map))
    this.#changing = made.catch(() => undefined)
    const record = await made
    await this.ensure(record)
    return record
  }

  /** Open here for what its closing needs, and no more for requests. */
  async ensureClosing(record: NamespaceRecord): Promise<void> {
    await this.ensure(record)
    const open = this.#open.get(record.name)
    if (open?.group === record.group) open.isClosing = true
  }

  /** Its group, once it is open here; undefined where there is none, or its closing has begun. Faults of the map's check. */
  async find(name: string): Promise<GroupId | undefined> {
    const { system, map } = this.#ends
    map.check(name)
    const open = this.#open.get(name)
    if (open !== undefined && (await this.#isShown(name, open))) {
      await open.ready
      return open.group
    }
    const record = await findNamespace(system, name, { map })
    if (record === undefined || record.isClosing) return undefined
    await this.ensure(record)
    return record.group
  }

  async list(): Promise<readonly NamespaceRecord[]> {
    const { system, map } = this.#ends
    const records = await listNamespaces(system, { isSerializable: false, map })
    return records.filter(({ isClosing }) => !isClosing)
  }

  ensure(record: NamespaceRecord): Promise<void> {
    const { name, group } = record
    const known = this.#open.get(name)
    if (known?.group === group) return known.ready
    if (this.#isClosed) return Promise.reject(new Fault('unavailable', 'the node is stopping'))
    const ready = this.#openGroup(record, known)
    this.#open.set(name, { group, ready, isClosing: record.isClosing })
    ready.catch(() => {
      if (this.#open.get(name)?.ready === ready) this.#open.delete(name)
    })
    return ready
  }

  lookSoon(): void {
    if (this.#timer !== undefined || this.#isClosed) return
    const { host, system, events } = this.#ends
    this.#timer = host.clock.after(lookAfterMs, () => {
      const seen = system.freshness().revision
      const again = (): void => {
        this.#timer = undefined
        // What came after the look had read the map is told only once.
        if (system.freshness().revision !== seen) this.lookSoon()
      }
      this.#look().then(again, (error: unknown) => {
        again()
        if (!isFault(error)) return host.journal.fatal(events.failed, error)
        host.journal.event('debug', events.waits, { reason: error.message })
        this.lookSoon()
      })
    })
  }

  /**
   * In the map as this node has it, and as its leader had it a moment ago (namespaceStaleMs). Otherwise the leader is asked; without
   * that: 1. a namespace is dropped and made anew elsewhere; 2. this node has not looked yet, or hears nothing of it; 3. a write
   * goes to the old group, is acknowledged, and gone.
   */
  async #isShown(name: string, { group, isClosing }: Open): Promise<boolean> {
    if (isClosing) return false
    const { system, map } = this.#ends
    if (system.freshness().heardMsAgo > namespaceStaleMs) return false
    if ((await readMapVersion(system)) === this.#version) return true
    const record = await findNamespace(system, name, { isSerializable: true, map })
    return record?.group === group && !record.isClosing
  }

  /**
   * Priority goes round, so that leaders are spread over the nodes. `before`: of the same name, served no more; it may
   * be opening still, and would be served after the new one.
   */
  async #openGroup(record: NamespaceRecord, before: Open | undefined): Promise<void> {
    const { name, group, voters, learners } = record
    const { self, open, close } = this.#ends
    if (before !== undefined) {
      await before.ready.catch(() => undefined)
      await close(name)
      this.#left.add(before.group)
    }
    const isFirst = voters[group % Math.max(1, voters.length)] === self
    const electionPriority = isFirst ? firstPriority : otherPriority
    await open({ name, group, founders: { voters, learners }, electionPriority })
  }

  async #look(): Promise<void> {
    const { system, map, opensClosing } = this.#ends
    const version = await readMapVersion(system)
    if (version === this.#version || this.#isClosed) return
    const records = await listNamespaces(system, { isSerializable: true, map })
    const shown = new Map(records.map((record) => [record.name, record]))
    for (const [name, open] of this.#open) {
      const record = shown.get(name)
      if (record?.group === open.group) open.isClosing ||= record.isClosing
    }
    await this.#removeGone(shown)
    // One that is open under another group is newer than what the map here shows.
    const missing = records.filter(({ name, isClosing }) => {
      return !this.#open.has(name) && (opensClosing || !isClosing)
    })
    for (let at = 0; at < missing.length; at += openingMax) {
      const batch = missing.slice(at, at + openingMax)
      await Promise.all(batch.map((record) => this.ensure(record)))
    }
    this.#version = version
  }

  /** What is open here may be newer than the map as this node has it: only what the leader does not know is gone. */
  async #removeGone(shown: ReadonlyMap<string, NamespaceRecord>): Promise<void> {
    const doubtful = [...this.#open].filter(([name, { group }]) => shown.get(name)?.group !== group)
    if (doubtful.length === 0) return
    const { system, map, close } = this.#ends
    const records = await listNamespaces(system, { isSerializable: false, map })
    const groups = new Set(records.map(({ group }) => group))
    for (const [name, open] of doubtful) {
      if (groups.has(open.group) || this.#open.get(name) !== open) continue
      await open.ready.catch(() => undefined)
      if (this.#open.get(name) !== open) continue
      this.#open.delete(name)
      await close(name)
      this.#left.add(open.group)
    }
  }
}
