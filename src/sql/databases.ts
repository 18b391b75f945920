// All databases of a node: opens and drops their groups, and answers what other nodes pass on.

import { decodeBytes, Fault, type GroupId, groupId, type NodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Raft } from '../raft/index.ts'
import type { IncomingCall, Rpc, RpcStream } from '../rpc/index.ts'
import type { Store } from '../storage/index.ts'
import { Database, decodeRequest } from './database.ts'
import { copyFields } from './healing.ts'
import { SqlMachine } from './machine.ts'
import { wholeRange } from './rows.ts'
import type { LocalDatabase } from './sql.ts'
import { sqlTable } from './table.ts'
import { groupOfTransaction } from './transactions.ts'

export type DatabasesEnds = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  /** With the table `sqlTable`. */
  readonly store: Store
  readonly self: NodeId
  /** Where files are, under the host's root. */
  readonly folder: string
}

export type DatabaseOptions = {
  readonly name: string
  readonly group: GroupId
  readonly founders: { readonly voters: readonly NodeId[]; readonly learners?: readonly NodeId[] }
  readonly electionPriority?: number
}

export type SqlDatabases = {
  /** Faults of Raft.open; 'unsupported' where files are none of the system's (the simulator). */
  open(options: DatabaseOptions): Promise<void>
  /** Deletes its file here. */
  drop(name: string): Promise<void>
  /** Fault 'not-found'. */
  database(name: string): LocalDatabase
  answerExecute(call: IncomingCall): Promise<Uint8Array>
  answerReplica(call: IncomingCall): Promise<Uint8Array>
  answerTransaction(call: IncomingCall): Promise<Uint8Array>
  answerDiffers(call: IncomingCall): Promise<Uint8Array>
  answerCopy(stream: RpcStream, call: IncomingCall): Promise<void>
  /**
   * Deletes what is here of databases that are not among these groups, which must be all there are: one was dropped while
   * this node was away. `found`: what listFiles() told before the groups were asked for, so that none is newer.
   */
  sweep(found: readonly GroupId[], groups: readonly GroupId[]): Promise<void>
  /** Groups of which there is something here. */
  listFiles(): Promise<readonly GroupId[]>
  close(): Promise<void>
}

type Open = { readonly database: Database; readonly machine: SqlMachine }

export function createSqlDatabases(ends: DatabasesEnds): SqlDatabases {
  return new NodeDatabases(ends)
}

class NodeDatabases implements SqlDatabases {
  readonly #ends: DatabasesEnds
  readonly #byName = new Map<string, Open>()
  readonly #byGroup = new Map<number, Open>()
  #isClosed = false

  constructor(ends: DatabasesEnds) {
    this.#ends = ends
  }

  async open({ name, group: id, founders, electionPriority }: DatabaseOptions): Promise<void> {
    const { host, raft, rpc, store, self, folder } = this.#ends
    if (host.disk.rootPath === '') {
      throw new Fault('unsupported', "SQL's files lie outside of a simulated disk")
    }
    const place = `${folder}/${id}`
    // The engine makes files, not directories.
    await (await host.disk.open(`${place}/lock`, { create: true })).close()
    const machine = new SqlMachine({ host, store, group: id, name, folder: place })
    await machine.sweep()
    const group = await raft.open({
      group: id,
      name,
      stateMachine: machine,
      founders,
      ...(electionPriority === undefined ? {} : { electionPriority }),
    })
    group.onApplied(() => machine.file.pump())
    const database = new Database({ host, rpc, self, name, group, machine })
    this.#byName.set(name, { database, machine })
    this.#byGroup.set(id, { database, machine })
  }

  async drop(name: string): Promise<void> {
    const open = this.#byName.get(name)
    if (open === undefined) return
    this.#byName.delete(name)
    this.#byGroup.delete(open.database.status().group)
    open.database.close()
    await open.machine.drop()
  }

  database(name: string): LocalDatabase {
    const open = this.#byName.get(name)
    if (open !== undefined) return open.database
    throw new Fault('not-found', `there is no SQL database ${name}`)
  }

  async answerExecute({ request }: IncomingCall): Promise<Uint8Array> {
    const { group, batch } = decodeRequest(request)
    return await this.#of(group).database.answer(batch)
  }

  async answerTransaction({ request }: IncomingCall): Promise<Uint8Array> {
    return await this.#of(groupOfTransaction(request)).database.answerTransaction(request)
  }

  async answerReplica({ request, deadlineMs }: IncomingCall): Promise<Uint8Array> {
    const { group, index } = decodeRequest(request)
    return await this.#of(group).database.replica(deadlineMs, index)
  }

  async answerDiffers({ request, from }: IncomingCall): Promise<Uint8Array> {
    const { group } = decodeBytes(copyFields, request)
    return await this.#of(group).database.hear(from, request)
  }

  async answerCopy(stream: RpcStream, { request }: IncomingCall): Promise<void> {
    const { group } = decodeBytes(copyFields, request)
    await this.#of(group).database.give(stream)
  }

  async listFiles(): Promise<readonly GroupId[]> {
    const { host, folder } = this.#ends
    const names = await host.disk.list(folder)
    return names.filter((name) => /^[1-9]\d{0,14}$/.test(name)).map((name) => groupId(Number(name)))
  }

  async sweep(found: readonly GroupId[], groups: readonly GroupId[]): Promise<void> {
    const { host, store, folder } = this.#ends
    const known = new Set(groups)
    for (const group of found) {
      if (known.has(group) || this.#byGroup.has(group)) continue
      if (this.#isClosed) return
      store.transaction(() => store.deleteRange(sqlTable, wholeRange(group)))
      await host.disk.remove(`${folder}/${group}`)
      host.journal.event('notice', 'sql.files_swept', { group })
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const all = [...this.#byName.values()]
    for (const { database } of all) database.close()
    await Promise.all(all.map(({ machine }) => machine.close()))
  }

  #of(group: number): Open {
    const open = this.#byGroup.get(groupId(group))
    if (open !== undefined) return open
    throw new Fault('unavailable', `this node has no SQL database of group ${group} open`)
  }
}
