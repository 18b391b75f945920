// Namespaces that users open by name: each a group of its own over this node's log, store and connections. This
// follows the map in '/raft/system' (cluster/namespaces.ts): what is in it is opened here, what left it is served no
// more. A request names any namespace at any node; the keyspace routes it to the leader.
//
// The map's counter is looked at when the system namespace has changed, the map itself when the counter has. A request
// for a namespace that the map here does not show, not yet or no more, asks the leader's map.

import { Fault, type GroupId, groupId, isFault, type NodeId, nodeId } from '../base/index.ts'
import {
  askAgain,
  beginClosing,
  checkUserNamespace,
  createNamespace,
  dropNamespace,
  findNamespace,
  listNamespaces,
  type NamespaceRecord,
  type Patience,
  readMapVersion,
} from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { CoreKeyspaces, Keyspace } from '../keyspace/index.ts'
import type { Group, Raft } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'

type Deps = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly keyspaces: CoreKeyspaces
  readonly system: Keyspace
  /** Those that a new group begins with. */
  readonly members: () => readonly NodeId[]
  readonly self: NodeId
}

type Open = {
  readonly group: GroupId
  readonly ready: Promise<void>
  /** Its contents are being deleted, for which alone it is still open. */
  isClosing: boolean
}

export type NamespaceStatus = {
  readonly name: string
  readonly group: number
  readonly role: string
  readonly term: number
  /** 0: none is known here. */
  readonly leader: number
  readonly commit: number
  readonly applied: number
  readonly voters: readonly number[]
  readonly learners: readonly number[]
}

const lookAfterMs = 100
/** Groups that are opened at a time: their first writes share a sync of the log. */
const openingMax = 64
const firstPriority = 8
const otherPriority = 4
const callMsMax = 10_000
const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
const deletedAtOnce = 1000

export class UserNamespaces {
  readonly #deps: Deps
  readonly #open = new Map<string, Open>()
  /** Creations of this node follow one another: each writes the counter, and they would only refuse each other. */
  #changing: Promise<unknown> = Promise.resolve()
  #version = -1
  #timer: Timer | undefined
  #unlisten: () => void = () => undefined
  #isClosed = false

  constructor(deps: Deps) {
    this.#deps = deps
    deps.rpc.serve(controlMethod.namespaceTransfer, async ({ request }) => {
      const view = new DataView(request.buffer, request.byteOffset, request.byteLength)
      if (request.length !== 12) throw new Fault('invalid', 'a transfer names a group and a node')
      const group = view.getUint32(0) * 2 ** 32 + view.getUint32(4)
      await this.#group(group).transferLeadership(nodeId(view.getUint32(8)))
      return new Uint8Array(0)
    })
  }

  /** Settles when what the map here shows is open; `waiting` ends with Fault 'cancelled'. */
  async start(waiting: Patience = {}): Promise<void> {
    this.#unlisten = this.#deps.system.onRevision(() => this.#lookSoon())
    await askAgain(this.#deps.host, waiting, () => this.#look())
  }

  /** Settles when nothing is being opened any more: what it stands on may close then. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#unlisten()
    await Promise.allSettled([...this.#open.values()].map(({ ready }) => ready))
  }

  /** The same answer however often it is asked. */
  async create(name: string): Promise<NamespaceStatus> {
    const { system, host } = this.#deps
    const createdMs = Math.max(0, Math.floor(host.clock.wallMs()))
    const members = this.#deps.members()
    const made = this.#changing.then(() => createNamespace(system, { name, members, createdMs }))
    this.#changing = made.catch(() => undefined)
    const record = await made
    await this.#ensure(record)
    return this.#statusOf(record.name, record.group)
  }

  /** With everything in it. Fault 'not-found'. */
  async drop(name: string): Promise<void> {
    const { system, keyspaces } = this.#deps
    const record = await beginClosing(system, name)
    await this.#ensure(record)
    const open = this.#open.get(name)
    if (open?.group === record.group) open.isClosing = true
    const keyspace = await keyspaces.open(name)
    for (let more = true; more; ) {
      const page = await keyspace.range({ ...everything, limit: deletedAtOnce, keysOnly: true })
      const last = page.kvs.at(-1)
      if (last !== undefined) {
        const rangeEnd = Uint8Array.from([...last.key, 0])
        await keyspace.delete(everything.key, { rangeEnd })
      }
      more = page.more
    }
    await dropNamespace(system, record)
    this.#lookSoon()
  }

  async list(): Promise<readonly NamespaceStatus[]> {
    const records = await listNamespaces(this.#deps.system, { isSerializable: false })
    return records
      .filter((record) => !record.isClosing)
      .map((record) => this.#statusOf(record.name, record.group))
  }

  async status(name: string): Promise<NamespaceStatus> {
    const { group } = await this.#find(name)
    return this.#statusOf(name, group)
  }

  /** Faults of checkUserNamespace, 'not-found'. */
  async keyspace(name: string): Promise<Keyspace> {
    await this.#find(name)
    return await this.#deps.keyspaces.open(name)
  }

  /** Whoever is asked: the leader is told. Faults of Group.transferLeadership, 'unavailable'. */
  async transfer(name: string, to: NodeId): Promise<void> {
    const { group } = await this.#find(name)
    const own = this.#group(group)
    const { leader } = own.status()
    if (leader === undefined) throw new Fault('unavailable', `${name} has no leader now`)
    if (leader === this.#deps.self) return await own.transferLeadership(to)
    const request = new Uint8Array(12)
    const view = new DataView(request.buffer)
    view.setUint32(0, Math.floor(group / 2 ** 32))
    view.setUint32(4, group % 2 ** 32)
    view.setUint32(8, to)
    const call = { deadlineMs: callMsMax }
    await this.#deps.rpc.call(leader, controlMethod.namespaceTransfer, request, call)
  }

  #group(id: number): Group {
    const group = this.#deps.raft.group(groupId(id))
    if (group !== undefined) return group
    throw new Fault('not-found', `this node has no group ${id}`)
  }

  #statusOf(name: string, group: GroupId): NamespaceStatus {
    const status = this.#deps.raft.group(group)?.status()
    return {
      name,
      group,
      role: status === undefined ? 'opening' : status.isLearner ? 'learner' : status.role,
      term: status?.term ?? 0,
      leader: status?.leader ?? 0,
      commit: status?.commit ?? 0,
      applied: status?.applied ?? 0,
      voters: status?.voters ?? [],
      learners: status?.learners ?? [],
    }
  }

  async #find(name: string): Promise<{ readonly group: GroupId }> {
    checkUserNamespace(name)
    const open = this.#open.get(name)
    if (open !== undefined && (await this.#isShown(name, open))) {
      await open.ready
      return open
    }
    const record = await findNamespace(this.#deps.system, name)
    if (record === undefined || record.isClosing) {
      throw new Fault('not-found', `there is no namespace ${name}`, {
        next: `create it: atoll raft create ${name}`,
      })
    }
    await this.#ensure(record)
    return record
  }

  /**
   * In the map as this node has it. Otherwise the leader is asked; without that: 1. a namespace is dropped and made
   * anew elsewhere; 2. this node has not looked yet; 3. a write goes to the old group, is acknowledged, and gone.
   */
  async #isShown(name: string, { group, isClosing }: Open): Promise<boolean> {
    if (isClosing) return false
    const { system } = this.#deps
    if ((await readMapVersion(system)) === this.#version) return true
    const record = await findNamespace(system, name, { isSerializable: true })
    return record?.group === group && !record.isClosing
  }

  /** What is open here may be newer than the map as this node has it: only what the leader does not know is gone. */
  async #removeGone(shown: ReadonlyMap<string, NamespaceRecord>): Promise<void> {
    const doubtful = [...this.#open].filter(([name, { group }]) => shown.get(name)?.group !== group)
    if (doubtful.length === 0) return
    const records = await listNamespaces(this.#deps.system, { isSerializable: false })
    const groups = new Set(records.map(({ group }) => group))
    for (const [name, open] of doubtful) {
      if (groups.has(open.group) || this.#open.get(name) !== open) continue
      await open.ready.catch(() => undefined)
      if (this.#open.get(name) !== open) continue
      this.#open.delete(name)
      this.#deps.keyspaces.remove(name)
    }
  }

  #ensure(record: NamespaceRecord): Promise<void> {
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

  /**
   * Priority goes round, so that leaders are spread over the nodes. `before`: of the same name, served no more; it may
   * be opening still, and would be served after the new one.
   */
  async #openGroup(record: NamespaceRecord, before: Open | undefined): Promise<void> {
    const { name, group, voters, learners } = record
    if (before !== undefined) {
      await before.ready.catch(() => undefined)
      this.#deps.keyspaces.remove(name)
    }
    const isFirst = voters[group % Math.max(1, voters.length)] === this.#deps.self
    await this.#deps.keyspaces.add({
      name,
      group,
      founders: { voters, learners },
      hasReplica: true,
      electionPriority: isFirst ? firstPriority : otherPriority,
    })
  }

  #lookSoon(): void {
    if (this.#timer !== undefined || this.#isClosed) return
    const { host, system } = this.#deps
    this.#timer = host.clock.after(lookAfterMs, () => {
      const seen = system.freshness().revision
      const again = (): void => {
        this.#timer = undefined
        // What came after the look had read the map is told only once.
        if (system.freshness().revision !== seen) this.#lookSoon()
      }
      this.#look().then(again, (error: unknown) => {
        again()
        if (!isFault(error)) return host.journal.fatal('node.namespaces_failed', error)
        host.journal.event('debug', 'node.namespaces_wait', { reason: error.message })
        this.#lookSoon()
      })
    })
  }

  async #look(): Promise<void> {
    const { system } = this.#deps
    const version = await readMapVersion(system)
    if (version === this.#version || this.#isClosed) return
    const records = await listNamespaces(system, { isSerializable: true })
    const wanted = new Map(records.map((record) => [record.name, record]))
    for (const [name, open] of this.#open) {
      const record = wanted.get(name)
      if (record?.group === open.group) open.isClosing ||= record.isClosing
    }
    await this.#removeGone(wanted)
    const missing = records.filter(({ name }) => !this.#open.has(name))
    for (let at = 0; at < missing.length; at += openingMax) {
      const batch = missing.slice(at, at + openingMax)
      await Promise.all(batch.map((record) => this.#ensure(record)))
    }
    this.#version = version
  }
}
