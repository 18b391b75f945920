// SQL databases of users on this node. It follows their map in '/raft/system' as user-namespaces.ts follows the other one: what
// is in it is opened here, what left it is deleted here. The room `sql` is loaded with the first database.

import { Fault, type GroupId, isFault, type NodeId } from '../base/index.ts'
import {
  askAgain,
  beginClosing,
  createNamespace,
  databaseMap,
  dropNamespace,
  findNamespace,
  listNamespaces,
  type NamespaceRecord,
  type Patience,
  readMapVersion,
} from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Raft } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { SqlDatabase, SqlDatabases } from '../sql/index.ts'
import type { Store } from '../storage/index.ts'

type Deps = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly store: Store
  readonly system: Keyspace
  readonly self: NodeId
  /** Of all databases, under the host's root. */
  readonly folder: string
  /** Those that a new group begins with. */
  readonly members: () => readonly NodeId[]
}

type Open = { readonly group: GroupId; readonly ready: Promise<void> }

const place = '/raft/sql/'
const lookAfterMs = 100
const firstPriority = 8
const otherPriority = 4

export class SqlNamespaces {
  readonly #deps: Deps
  readonly #open = new Map<string, Open>()
  #loaded: Promise<SqlDatabases> | undefined
  #changing: Promise<unknown> = Promise.resolve()
  #version = -1
  #timer: Timer | undefined
  #unlisten: () => void = () => undefined
  #isClosed = false

  constructor(deps: Deps) {
    this.#deps = deps
    const { rpc } = deps
    rpc.serve(controlMethod.sqlExecute, async (call) => (await this.#load()).answerExecute(call))
    rpc.serve(controlMethod.sqlReplica, async (call) => (await this.#load()).answerReplica(call))
  }

  /** Settles when what the map here shows is open; `waiting` ends with Fault 'cancelled'. */
  async start(waiting: Patience = {}): Promise<void> {
    this.#unlisten = this.#deps.system.onRevision(() => this.#lookSoon())
    await askAgain(this.#deps.host, waiting, () => this.#look())
  }

  /** Settles when nothing is being opened any more and no engine runs. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#unlisten()
    await Promise.allSettled([...this.#open.values()].map(({ ready }) => ready))
    await (await this.#loaded)?.close()
  }

  /** The same answer however often it is asked. `short`: what follows '/raft/sql/'. */
  async create(short: string): Promise<void> {
    const { system, host, members } = this.#deps
    const createdMs = Math.max(0, Math.floor(host.clock.wallMs()))
    const plan = { name: `${place}${short}`, members: members(), createdMs }
    const made = this.#changing.then(() => createNamespace(system, plan, databaseMap))
    this.#changing = made.catch(() => undefined)
    await this.#ensure(await made)
  }

  /** With everything in it. Fault 'not-found'. */
  async drop(short: string): Promise<void> {
    const { system } = this.#deps
    const record = await beginClosing(system, `${place}${short}`, databaseMap)
    await dropNamespace(system, record, databaseMap)
    this.#lookSoon()
  }

  monotonicMs(): number {
    return this.#deps.host.clock.monotonicMs()
  }

  async list(): Promise<readonly string[]> {
    const options = { isSerializable: false, map: databaseMap }
    const records = await listNamespaces(this.#deps.system, options)
    return records.filter(({ isClosing }) => !isClosing).map(({ name }) => name.slice(place.length))
  }

  /** Fault 'not-found' for one that nobody has created. */
  async database(short: string): Promise<SqlDatabase> {
    const name = `${place}${short}`
    databaseMap.check(name)
    const open = this.#open.get(name)
    if (open !== undefined && (await this.#isShown(name, open))) await open.ready
    else {
      const record = await findNamespace(this.#deps.system, name, { map: databaseMap })
      if (record === undefined || record.isClosing) {
        throw new Fault('not-found', `there is no SQL database ${short}`, {
          next: databaseMap.hint(name),
        })
      }
      await this.#ensure(record)
    }
    return (await this.#load()).database(name)
  }

  /** In the map as this node has it; otherwise the leader is asked, because of the name another one may have been made. */
  async #isShown(name: string, { group }: Open): Promise<boolean> {
    const { system } = this.#deps
    if ((await readMapVersion(system)) === this.#version) return true
    const options = { isSerializable: true, map: databaseMap }
    const record = await findNamespace(system, name, options)
    return record?.group === group && !record.isClosing
  }

  #load(): Promise<SqlDatabases> {
    this.#loaded ??= import('../sql/index.ts').then(({ createSqlDatabases }) =>
      createSqlDatabases(this.#deps),
    )
    return this.#loaded
  }

  #ensure(record: NamespaceRecord): Promise<void> {
    const { name, group } = record
    const known = this.#open.get(name)
    if (known?.group === group) return known.ready
    if (this.#isClosed) return Promise.reject(new Fault('unavailable', 'the node is stopping'))
    const ready = this.#openGroup(record, known)
    this.#open.set(name, { group, ready })
    ready.catch(() => {
      if (this.#open.get(name)?.ready === ready) this.#open.delete(name)
    })
    return ready
  }

  /** Priority goes round, so that leaders are spread over the nodes. `before`: of the same name, dropped since. */
  async #openGroup(record: NamespaceRecord, before: Open | undefined): Promise<void> {
    const { name, group, voters, learners } = record
    const databases = await this.#load()
    if (before !== undefined) {
      await before.ready.catch(() => undefined)
      await databases.drop(name)
    }
    const isFirst = voters[group % Math.max(1, voters.length)] === this.#deps.self
    const electionPriority = isFirst ? firstPriority : otherPriority
    await databases.open({ name, group, founders: { voters, learners }, electionPriority })
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
        if (!isFault(error)) return host.journal.fatal('node.sql_failed', error)
        host.journal.event('debug', 'node.sql_waits', { reason: error.message })
        this.#lookSoon()
      })
    })
  }

  async #look(): Promise<void> {
    const { system } = this.#deps
    const version = await readMapVersion(system)
    if (version === this.#version || this.#isClosed) return
    const records = await listNamespaces(system, { isSerializable: true, map: databaseMap })
    const shown = records.filter(({ isClosing }) => !isClosing)
    await this.#dropGone(new Map(records.map((record) => [record.name, record])))
    await Promise.all(shown.map((record) => this.#ensure(record)))
    this.#version = version
  }

  /** What is open here may be newer than the map as this node has it: only what the leader does not know is gone. */
  async #dropGone(shown: ReadonlyMap<string, NamespaceRecord>): Promise<void> {
    const doubtful = [...this.#open].filter(([name, { group }]) => shown.get(name)?.group !== group)
    if (doubtful.length === 0) return
    const options = { isSerializable: false, map: databaseMap }
    const records = await listNamespaces(this.#deps.system, options)
    const groups = new Set(records.map(({ group }) => group))
    for (const [name, open] of doubtful) {
      if (groups.has(open.group) || this.#open.get(name) !== open) continue
      await open.ready.catch(() => undefined)
      if (this.#open.get(name) !== open) continue
      this.#open.delete(name)
      await (await this.#load()).drop(name)
    }
  }
}
