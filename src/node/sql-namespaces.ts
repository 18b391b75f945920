// SQL databases of users on this node, opened and deleted as their map says (namespace-follower.ts). The room `sql` is loaded
// with the first database.

import { Fault, isFault, type NodeId, type GroupId } from '../base/index.ts'
import {
  beginClosing,
  databaseMap,
  dropNamespace,
  listNamespaces,
  type Patience,
} from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Raft } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { LocalDatabase, SqlDatabases } from '../sql/index.ts'
import type { Store } from '../storage/index.ts'
import { NamespaceFollower } from './namespace-follower.ts'

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
  /** All members know of SQL databases: older programs would hold no replica. */
  readonly isLevelReached: () => boolean
}

const place = '/raft/sql/'

export class SqlNamespaces {
  readonly #deps: Deps
  readonly #follower: NamespaceFollower
  #loaded: Promise<SqlDatabases> | undefined

  constructor(deps: Deps) {
    this.#deps = deps
    const { rpc } = deps
    this.#follower = new NamespaceFollower({
      ...deps,
      map: databaseMap,
      events: { failed: 'node.sql_failed', waits: 'node.sql_waits' },
      opensClosing: false,
      open: async (group) => void (await (await this.#load()).open(group)),
      close: async (name) => (await this.#load()).drop(name),
    })
    rpc.serve(controlMethod.sqlExecute, async (call) => (await this.#load()).answerExecute(call))
    rpc.serve(controlMethod.sqlReplica, async (call) => (await this.#load()).answerReplica(call))
    rpc.serve(controlMethod.sqlTransaction, async (call) =>
      (await this.#load()).answerTransaction(call),
    )
    rpc.serve(controlMethod.sqlDiffers, async (call) => (await this.#load()).answerDiffers(call))
    rpc.serveStream(controlMethod.sqlCopy, async (stream, call) =>
      (await this.#load()).answerCopy(stream, call),
    )
  }

  /** It was open here and is served no more. */
  hasLeft(group: GroupId): boolean {
    return this.#follower.hasLeft(group)
  }

  /** Settles when what the map here shows is open; `waiting` ends with Fault 'cancelled'. */
  async start(waiting: Patience = {}): Promise<void> {
    await this.#follower.start(waiting)
    this.#sweep().catch((error: unknown) => {
      if (!isFault(error)) return this.#deps.host.journal.fatal('node.sql_failed', error)
      this.#deps.host.journal.event('notice', 'node.sql_sweep_waits', { what: error.message })
    })
  }

  /** Settles when nothing is being opened any more and no engine runs. */
  async close(): Promise<void> {
    await this.#follower.close()
    await (await this.#loaded)?.close()
  }

  /** The same answer however often it is asked. `short`: what follows '/raft/sql/'. */
  async create(short: string): Promise<void> {
    if (!this.#deps.isLevelReached()) {
      throw new Fault('precondition', 'not all nodes run a program that knows SQL databases', {
        next: 'finish the upgrade: atoll admin upgrade check',
      })
    }
    await this.#follower.create(`${place}${short}`)
  }

  /** With everything in it. Fault 'not-found'. */
  async drop(short: string): Promise<void> {
    const { system } = this.#deps
    const record = await beginClosing(system, `${place}${short}`, databaseMap)
    await dropNamespace(system, record, databaseMap)
    this.#follower.lookSoon()
  }

  get host(): Host {
    return this.#deps.host
  }

  monotonicMs(): number {
    return this.#deps.host.clock.monotonicMs()
  }

  async list(): Promise<readonly string[]> {
    const records = await this.#follower.list()
    return records.map(({ name }) => name.slice(place.length))
  }

  /** Fault 'not-found' for one that nobody has created. */
  async database(short: string): Promise<LocalDatabase> {
    const name = `${place}${short}`
    if ((await this.#follower.find(name)) === undefined) {
      throw new Fault('not-found', `there is no SQL database ${short}`, {
        next: databaseMap.hint(name),
      })
    }
    return (await this.#load()).database(name)
  }

  /** What was dropped while this node was away. Only what was here before the map was read can be missing from it. */
  async #sweep(): Promise<void> {
    const { host, system, folder } = this.#deps
    if ((await host.disk.list(folder)).length === 0) return
    const databases = await this.#load()
    const found = await databases.listFiles()
    const records = await listNamespaces(system, { isSerializable: false, map: databaseMap })
    const groups = records.map(({ group }) => group)
    await databases.sweep(found, groups)
  }

  #load(): Promise<SqlDatabases> {
    this.#loaded ??= import('../sql/index.ts').then(({ createSqlDatabases }) =>
      createSqlDatabases(this.#deps),
    )
    return this.#loaded
  }
}
