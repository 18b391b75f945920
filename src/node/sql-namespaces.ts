// SQL databases of users on this node, opened and deleted as their map says (namespace-follower.ts). The room `sql` is loaded
// with the first database.

import { Fault, type NodeId } from '../base/index.ts'
import { beginClosing, databaseMap, dropNamespace, type Patience } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Raft } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { SqlDatabase, SqlDatabases } from '../sql/index.ts'
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
  }

  /** Settles when what the map here shows is open; `waiting` ends with Fault 'cancelled'. */
  start(waiting: Patience = {}): Promise<void> {
    return this.#follower.start(waiting)
  }

  /** Settles when nothing is being opened any more and no engine runs. */
  async close(): Promise<void> {
    await this.#follower.close()
    await (await this.#loaded)?.close()
  }

  /** The same answer however often it is asked. `short`: what follows '/raft/sql/'. */
  async create(short: string): Promise<void> {
    await this.#follower.create(`${place}${short}`)
  }

  /** With everything in it. Fault 'not-found'. */
  async drop(short: string): Promise<void> {
    const { system } = this.#deps
    const record = await beginClosing(system, `${place}${short}`, databaseMap)
    await dropNamespace(system, record, databaseMap)
    this.#follower.lookSoon()
  }

  monotonicMs(): number {
    return this.#deps.host.clock.monotonicMs()
  }

  async list(): Promise<readonly string[]> {
    const records = await this.#follower.list()
    return records.map(({ name }) => name.slice(place.length))
  }

  /** Fault 'not-found' for one that nobody has created. */
  async database(short: string): Promise<SqlDatabase> {
    const name = `${place}${short}`
    if ((await this.#follower.find(name)) === undefined) {
      throw new Fault('not-found', `there is no SQL database ${short}`, {
        next: databaseMap.hint(name),
      })
    }
    return (await this.#load()).database(name)
  }

  #load(): Promise<SqlDatabases> {
    this.#loaded ??= import('../sql/index.ts').then(({ createSqlDatabases }) =>
      createSqlDatabases(this.#deps),
    )
    return this.#loaded
  }
}
