import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, afterEach, test } from 'node:test'
import { Fault, groupId, isFault, nodeId, seededRandom, term } from '../base/index.ts'
import { createRealHost } from '../host/real/index.ts'
import {
  createLoopProcesses,
  type Host,
  type Processes,
  type ProcessProgram,
} from '../host/index.ts'
import { TestConsensus, TestNetwork, testGroup, testRaft } from '../keyspace/testing/doubles.ts'
import { controlMethod } from '../rpc/index.ts'
import { openMemoryStore, type Store } from '../storage/index.ts'
import { createSqlDatabases, type SqlDatabases } from './databases.ts'
import { entryCodec, makeBatchId } from './core/entry.ts'
import { type MoreFunctions, runEngine } from './engine/program.ts'
import { SqlMachine } from './machine.ts'
import { entryRange } from './rows.ts'
import type { SqlDatabase, SqlResult } from './sql.ts'
import { sqlTable } from './table.ts'

const folder = mkdtempSync(join(tmpdir(), 'atoll-sql-databases-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const name = '/raft/sql/test'
const endless =
  'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n'
let worlds = 0

type Node = { readonly databases: SqlDatabases; readonly host: Host; readonly store: Store }

/** Three nodes over one fake log, each with a file and engines of its own, which run on this loop; 1 leads. */
class World {
  readonly consensus = new TestConsensus()
  readonly network = new TestNetwork()
  readonly nodes = new Map<number, Node>()
  hasProcesses = false
  /** What engines of a node have beside SQLite's functions. */
  functions: (node: number) => MoreFunctions | undefined = () => undefined
  readonly told: string[] = []
  readonly #place = join(folder, String(++worlds))

  async start(): Promise<void> {
    for (const id of [1, 2, 3]) await this.startNode(id)
    this.consensus.elect(1)
  }

  /** With the store that it had. */
  async startNode(id: number, before?: Store): Promise<void> {
    const rootPath = join(this.#place, String(id))
    const real = createRealHost({
      rootPath,
      journal: { format: 'json', level: 'notice', write: (line) => void this.told.push(line) },
    })
    const host = this.hasProcesses ? real : { ...real, processes: this.#processes(id, real) }
    const store = before ?? (await openMemoryStore(host, { path: 'store', tables: [sqlTable] }))
    const self = nodeId(id)
    const raft = testRaft(host, this.consensus, { self, store })
    const rpc = this.network.rpc(self)
    const databases = createSqlDatabases({ host, raft, rpc, store, self, folder: 'sql' })
    rpc.serve(controlMethod.sqlExecute, (call) => databases.answerExecute(call))
    rpc.serve(controlMethod.sqlTransaction, (call) => databases.answerTransaction(call))
    rpc.serve(controlMethod.sqlReplica, (call) => databases.answerReplica(call))
    rpc.serve(controlMethod.sqlDiffers, (call) => databases.answerDiffers(call))
    rpc.serveStream(controlMethod.sqlCopy, (stream, call) => databases.answerCopy(stream, call))
    const founders = { voters: [1, 2, 3].map(nodeId) }
    await databases.open({ name, group: testGroup, founders })
    this.nodes.set(id, { databases, host, store })
  }

  /** Engines on this loop. */
  #processes(id: number, real: Host): Processes {
    const loop = createLoopProcesses(real)
    const functions = (node: number) => this.functions(node)
    return {
      start(program, input, options) {
        const more = functions(id)
        const run: ProcessProgram['run'] = (port, given, clock) =>
          runEngine(port, given, clock, more)
        return loop.start({ ...program, run }, input, options)
      },
    }
  }

  /** Settles once something was told in the journal. */
  async until(event: string): Promise<void> {
    const endMs = Date.now() + 15_000
    while (!this.told.some((line) => line.includes(event))) {
      assert.ok(Date.now() < endMs, `${event} was never told`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async restart(id: number): Promise<void> {
    const { databases, store } = this.node(id)
    await databases.close()
    await this.startNode(id, store)
    this.consensus.elect(this.consensus.leader)
  }

  node(id: number): Node {
    const node = this.nodes.get(id)
    assert.ok(node !== undefined)
    return node
  }

  at(id: number): SqlDatabase {
    return this.node(id).databases.database(name)
  }

  async digests(): Promise<readonly string[]> {
    const replicas = await this.at(2).replicas()
    return replicas.map((replica) => {
      assert.ok('digest' in replica, JSON.stringify(replica))
      return `${replica.applied} ${replica.digest}`
    })
  }

  async close(): Promise<void> {
    for (const { databases } of this.nodes.values()) await databases.close()
  }
}

let world = new World()
afterEach(async () => {
  await world.close()
  world = new World()
})

const rowsOf = (results: readonly SqlResult[]) => results.at(-1)?.rows
const write = async (at: SqlDatabase, ...sql: readonly string[]): Promise<readonly SqlResult[]> => {
  const { results } = await at.execute(sql.map((one) => ({ sql: one })))
  for (const { error } of results) assert.equal(error, undefined)
  return results
}

test('any node takes batches and reads, and all replicas end equal', async () => {
  await world.start()
  assert.equal(world.at(1).status().isEngineRunning, false)
  await write(
    world.at(2),
    'CREATE TABLE t (id INTEGER PRIMARY KEY, a, at DEFAULT CURRENT_TIMESTAMP)',
  )
  const many = Array.from({ length: 60 }, (_, at) =>
    write(world.at((at % 3) + 1), `INSERT INTO t (a) VALUES (random()), (${at})`),
  )
  await Promise.all(many)
  for (const id of [1, 2, 3]) {
    const results = await world
      .at(id)
      .query([{ sql: 'SELECT count(*), count(at) FROM t' }], { level: 'linearizable' })
    assert.deepEqual(rowsOf(results), [[120n, 120n]])
  }
  // Batches of one turn shared entries.
  assert.ok(world.consensus.index < 61, `${world.consensus.index} entries`)
  assert.equal(new Set(await world.digests()).size, 1)
})

test('a batch whose answer was lost is asked again and runs once', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)')
  world.network.answersLost = 1
  await write(world.at(2), 'INSERT INTO t VALUES (1)')
  world.consensus.fates.push('applied-then-lost', 'lost', 'not-yet-leader', 'refused')
  await write(world.at(3), 'INSERT INTO t VALUES (2)')
  assert.deepEqual(rowsOf(await world.at(1).query([{ sql: 'SELECT a FROM t' }])), [[1n], [2n]])
  const id = makeBatchId(1e12, seededRandom(1).bytes(10))
  const ask = (at: number) =>
    world.at(at).execute([{ sql: 'INSERT INTO t VALUES (3) RETURNING a' }], { id })
  const [first, again] = [await ask(1), await ask(2)]
  assert.deepEqual(rowsOf(again.results), rowsOf(first.results))
  const other = world.at(1).execute([{ sql: 'DELETE FROM t' }], { id })
  await assert.rejects(other, (error) => isFault(error, 'precondition'))
  assert.deepEqual(rowsOf(await world.at(1).query([{ sql: 'SELECT count(*) FROM t' }])), [[3n]])
  assert.equal(new Set(await world.digests()).size, 1)
})

test('what another leader has committed comes before what was run ahead', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
  for (let round = 0; round < 6; round++) {
    world.consensus.elect((round % 3) + 1)
    const batches = [1, 2, 3].map((id) => write(world.at(id), `INSERT INTO t (a) VALUES (${id})`))
    world.consensus.elect(((round + 1) % 3) + 1)
    await Promise.all(batches)
  }
  assert.deepEqual(rowsOf(await world.at(2).query([{ sql: 'SELECT count(*) FROM t' }])), [[18n]])
  assert.equal(new Set(await world.digests()).size, 1)
})

test('a restart goes on with the entry that is missing', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)')
  await world.restart(2)
  await write(world.at(1), 'INSERT INTO t VALUES (2)')
  await world.restart(1)
  await write(world.at(3), 'INSERT INTO t VALUES (3)')
  const results = await world.at(2).query([{ sql: 'SELECT a FROM t' }], { level: 'none' })
  assert.deepEqual(rowsOf(results), [[1n], [2n], [3n]])
  assert.equal(new Set(await world.digests()).size, 1)
})

test('a snapshot makes an equal replica, which goes on', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (hex(randomblob(200000)))')
  const from = world.consensus.replicas.get(nodeId(1))?.machine
  const { host, store } = world.node(2)
  const ends = { host, store, group: groupId(testGroup + 1), name, folder: 'sql/copy' }
  const machine = new SqlMachine(ends)
  const source = from?.snapshot()
  assert.ok(source !== undefined)
  const sink = machine.install()
  for await (const chunk of source.chunks) {
    // In pieces as a stream brings them.
    for (let at = 0; at < chunk.length; at += 100_000)
      await sink.write(chunk.subarray(at, at + 100_000))
  }
  source.close()
  store.transaction(() => sink.finish())
  await machine.file.caughtUp({ deadlineMs: 10_000 })
  assert.equal(machine.file.digest, (await world.digests())[0]?.split(' ')[1])
  const [counted] = await machine.file.query([{ sql: 'SELECT length(a) FROM t' }], {
    deadlineMs: 10_000,
  })
  assert.deepEqual(counted?.rows, [[400_000n]])
  const damaged = machine.install()
  await assert.rejects(damaged.write(Uint8Array.of(9, ...new Uint8Array(60))), (error) =>
    isFault(error, 'corrupt'),
  )
  await damaged.abort()
  const cut = machine.install()
  assert.throws(
    () => cut.finish(),
    (error) => isFault(error, 'corrupt'),
  )
  await machine.drop()
  assert.deepEqual(readdirSync(join(host.disk.rootPath, 'sql')), [String(testGroup)])
})

test('errors of statements are answers; a query changes nothing and has its deadline', async () => {
  world.hasProcesses = true
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a UNIQUE)')
  const { results } = await world
    .at(2)
    .execute([{ sql: 'INSERT INTO t VALUES (1)' }, { sql: 'INSERT INTO t VALUES (1)' }])
  assert.deepEqual(
    results.map(({ error }) => error),
    [undefined, 'UNIQUE constraint failed: t.a'],
  )
  const [refused] = await world.at(3).query([{ sql: 'DELETE FROM t' }])
  assert.match(refused?.error ?? '', /may not change/)
  const late = world.at(1).query([{ sql: endless }], { timeoutMs: 300 })
  await assert.rejects(late, (error) => isFault(error, 'deadline'))
  assert.deepEqual(rowsOf(await world.at(1).query([{ sql: 'SELECT count(*) FROM t' }])), [[0n]])
  for (const statements of [[], Array.from({ length: 70_000 }, () => ({ sql: '' }))]) {
    await assert.rejects(world.at(1).execute(statements), (error) => isFault(error, 'invalid'))
  }
  const huge = [{ sql: 'INSERT INTO t VALUES (?)', values: ['x'.repeat(2_000_000)] }]
  await assert.rejects(world.at(1).execute(huge), (error) => isFault(error, 'too-large'))
})

test('reads without a quorum: none answers while it is fresh enough, others do not', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)')
  world.consensus.refuseBarriers(2)
  const read = (level: 'none' | 'linearizable', freshMs?: number) =>
    world.at(2).query([{ sql: 'SELECT * FROM t' }], {
      level,
      timeoutMs: level === 'none' ? 10_000 : 300,
      ...(freshMs === undefined ? {} : { freshMs }),
    })
  assert.deepEqual(rowsOf(await read('none')), [])
  await assert.rejects(read('none', 1000), (error) => isFault(error, 'unavailable'))
  await assert.rejects(read('linearizable'), (error) => isFault(error, 'deadline'))
})

const isGone = (error: unknown): boolean => isFault(error, 'unavailable')
const plantedTable = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a)'
const count = [{ sql: 'SELECT a FROM t' }]

test('a replica that differs stops, and heals by a copy of the leader', async () => {
  world.functions = (node) => (database) =>
    database.function('planted', () => (node === 3 ? 9n : 7n))
  await world.start()
  await write(world.at(1), plantedTable, 'INSERT INTO t (a) VALUES (planted())')
  const startMs = Date.now()
  await world.until('sql.replica_stopped')
  assert.ok(Date.now() - startMs < 5000, 'within five seconds')
  // It may have healed already; what it never does is answer what it had.
  const early = world.at(3).query(count, { level: 'none' })
  const [first] = await early.catch((error) => (isGone(error) ? [] : Promise.reject(error)))
  assert.deepEqual(first?.rows ?? [[7n]], [[7n]])
  await write(world.at(1), 'INSERT INTO t (a) VALUES (8)')
  await world.until('sql.replica_healed')
  const results = await world.at(3).query(count, { level: 'linearizable' })
  assert.deepEqual(rowsOf(results), [[7n], [8n]])
  await write(world.at(3), 'INSERT INTO t (a) VALUES (1)')
  assert.equal(new Set(await world.digests()).size, 1)
  const { host } = world.node(3)
  assert.deepEqual(await host.disk.exists(`sql/${testGroup}/db-1.sqlite`), true)
})

test('a leader that differs gives leadership away and heals; a restart does not forget that it must', async () => {
  world.functions = (node) => (database) =>
    database.function('planted', () => (node === 1 ? 9n : 7n))
  await world.start()
  await write(world.at(1), plantedTable, 'INSERT INTO t (a) VALUES (planted())')
  await world.until('sql.replica_stopped')
  assert.equal(world.at(1).status().isWhole, false)
  await world.restart(1)
  await world.until('sql.replica_healed')
  assert.notEqual(world.consensus.leader, nodeId(1))
  const results = await world.at(1).query(count, { level: 'linearizable' })
  assert.deepEqual(rowsOf(results), [[7n]])
  assert.equal(new Set(await world.digests()).size, 1)
})

test('a function of chance is caught within five seconds, and writing stops: nobody knows who is right', async () => {
  world.functions = () => (database) => database.function('planted', () => Math.random())
  await world.start()
  const startMs = Date.now()
  await write(world.at(1), plantedTable, 'INSERT INTO t (a) VALUES (planted())')
  await world.until('sql.replicas_split')
  assert.ok(Date.now() - startMs < 5000, 'within five seconds')
  const refused = world.at(2).execute([{ sql: 'INSERT INTO t (a) VALUES (1)' }])
  await assert.rejects(refused, (error) => isFault(error, 'corrupt'))
})

test('a file that is lost or damaged is replaced by a copy', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (7)')
  const path = (node: number): string =>
    join(world.node(node).host.disk.rootPath, 'sql', String(testGroup), 'db-0.sqlite')
  await world.node(2).databases.close()
  writeFileSync(path(2), 'no database at all'.repeat(1000))
  for (const suffix of ['-wal', '-shm']) rmSync(`${path(2)}${suffix}`, { force: true })
  await world.startNode(2, world.node(2).store)
  world.consensus.elect(1)
  await write(world.at(1), 'INSERT INTO t VALUES (8)')
  await world.until('sql.replica_healed')
  assert.deepEqual(rowsOf(await world.at(2).query(count)), [[7n], [8n]])
  assert.equal(new Set(await world.digests()).size, 1)
})

test('files of databases that are not in the map any more are swept, and no other', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)')
  const { databases, host, store } = world.node(3)
  const gone = groupId(testGroup + 5)
  const machine = new SqlMachine({ host, store, group: gone, name, folder: `sql/${gone}` })
  await (await host.disk.open(`sql/${gone}/db-0.sqlite`, { create: true })).close()
  const entry = { index: 1 as never, term: term(1), payload: Uint8Array.of(1, 2, 3, 4, 5) }
  store.transaction(() => machine.apply([entry]))
  await machine.close()
  const found = await databases.listFiles()
  assert.deepEqual(found, [testGroup, gone].sort())
  await databases.sweep(found, [groupId(testGroup)])
  assert.deepEqual(readdirSync(join(host.disk.rootPath, 'sql')), [String(testGroup)])
  await databases.sweep(found, [])
  assert.deepEqual(readdirSync(join(host.disk.rootPath, 'sql')), [String(testGroup)])
  assert.deepEqual(store.keys(sqlTable, entryRange(gone, 0)), [])
})

test('a machine that has no room takes nothing, and says when it has', async () => {
  await world.start()
  const { host, store } = world.node(2)
  const group = groupId(testGroup + 9)
  const held: (() => void)[] = []
  const processes: Processes = {
    async start(program, input, options) {
      await new Promise<void>((resolve) => held.push(resolve))
      return await createLoopProcesses(host).start(program, input, options)
    },
  }
  const folder = `sql/${group}`
  await (await host.disk.open(`${folder}/lock`, { create: true })).close()
  const machine = new SqlMachine({ host: { ...host, processes }, store, group, name, folder })
  let isRoomTold = false
  machine.intake.onRoom = () => {
    isRoomTold = true
  }
  const payload = entryCodec.encode({ engine: 'test', batches: [] })
  const entries = Array.from({ length: 5000 }, (_, at) => {
    return { index: (at + 1) as never, term: term(1), payload }
  })
  const taken = store.transaction(() => machine.apply(entries)).length
  assert.equal(taken, 4096)
  assert.equal(machine.intake.isFull, true)
  machine.file.pump()
  const caughtUp = machine.file.caughtUp({ deadlineMs: 20_000 })
  while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  assert.equal(isRoomTold, false)
  held[0]?.()
  await caughtUp
  assert.equal(isRoomTold, true)
  assert.equal(machine.intake.isFull, false)
  assert.equal(store.transaction(() => machine.apply(entries.slice(taken))).length, 5000 - taken)
  await machine.close()
})

test('a dropped database is gone, and its group does nothing more', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (a)')
  const { databases, host, store } = world.node(3)
  const machine = world.consensus.replicas.get(nodeId(3))?.machine
  await databases.drop(name)
  assert.deepEqual(readdirSync(join(host.disk.rootPath, 'sql')), [])
  assert.deepEqual(store.keys(sqlTable, { start: new Uint8Array(0) }), [])
  assert.throws(
    () => databases.database(name),
    (error) => error instanceof Fault && error.code === 'not-found',
  )
  const entry = { index: 99 as never, term: term(1), payload: Uint8Array.of(1) }
  assert.equal(store.transaction(() => machine?.apply([entry]))?.length, 1)
})

const all = [{ sql: 'SELECT a FROM t ORDER BY id' }]
const isEnded = (error: unknown): boolean => isFault(error, 'conflict')

test('a transaction sees what it did, nobody else does, and others write before or after it', async () => {
  await world.start()
  await write(world.at(1), plantedTable, "CREATE TABLE moments (at DEFAULT (datetime('now')), b)")
  for (const id of [1, 2]) {
    const transaction = await world.at(id).begin()
    const [inserted, seen] = await transaction.run([
      { sql: 'INSERT INTO t (a) VALUES (random()) RETURNING a' },
      ...all,
    ])
    assert.deepEqual(seen?.rows.at(-1), inserted?.rows[0])
    const others = await world.at(3).query(all, { level: 'linearizable' })
    assert.equal(rowsOf(others)?.length, seen?.rows.length === 1 ? 0 : 2)
    const other = write(world.at(3), `INSERT INTO t (a) VALUES ('after ${id}')`)
    await transaction.run([{ sql: 'INSERT INTO moments (b) VALUES (randomblob(8))' }])
    await transaction.commit()
    await other
    const both = rowsOf(await world.at(3).query(all, { level: 'linearizable' }))
    assert.deepEqual(both?.slice(-2), [inserted?.rows[0], [`after ${id}`]])
  }
  assert.equal(new Set(await world.digests()).size, 1)
})

test('an error leaves the transaction as it was; savepoints take back what they should', async () => {
  await world.start()
  await write(world.at(1), 'CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)')
  const transaction = await world.at(2).begin()
  const run = async (...sql: readonly string[]) =>
    await transaction.run(sql.map((one) => ({ sql: one })))
  const results = await run(
    "INSERT INTO t (a) VALUES ('kept')",
    "INSERT INTO t (a) VALUES ('lost'), ('kept')",
    '/* mine */ SAVEPOINT here',
    "INSERT INTO t (a) VALUES ('taken back')",
    'ROLLBACK TO here',
    "INSERT INTO t (a) VALUES (last_insert_rowid() || ' ' || changes())",
    'RELEASE here',
    'SAVEPOINT _atoll_one',
    'BEGIN',
    'SELECT nothing',
  )
  const errors = results.map(({ error }) => error !== undefined)
  assert.deepEqual(errors, [false, true, false, false, false, false, false, true, true, true])
  await transaction.commit()
  await assert.rejects(transaction.run(all), isEnded)
  assert.deepEqual(rowsOf(await world.at(3).query(all, { level: 'linearizable' })), [
    ['kept'],
    ['2 1'],
  ])
  // Where a batch is a transaction by itself a savepoint is refused as before.
  const { results: refused } = await world.at(1).execute([{ sql: 'SAVEPOINT here' }])
  assert.match(refused[0]?.error ?? '', /batch is a transaction/)
  assert.equal(new Set(await world.digests()).size, 1)
})

test('a transaction that is rolled back, is idle, or loses its leader leaves nothing and blocks nobody', async () => {
  await world.start()
  await write(world.at(1), plantedTable)
  const insert = [{ sql: 'INSERT INTO t (a) VALUES (1)' }]
  const rolledBack = await world.at(2).begin()
  await rolledBack.run(insert)
  await rolledBack.rollback()
  const idle = await world.at(3).begin({ idleMs: 20 })
  await idle.run(insert)
  await write(world.at(2), 'INSERT INTO t (a) VALUES (2)')
  await assert.rejects(idle.run(insert), (error) => isEnded(error) && /idle/.test(String(error)))
  const moved = await world.at(3).begin()
  await moved.run(insert)
  world.consensus.elect(2)
  await write(world.at(3), 'INSERT INTO t (a) VALUES (3)')
  await assert.rejects(moved.commit(), isEnded)
  const lost = await world.at(3).begin()
  await lost
    .run([{ sql: 'INSERT OR ROLLBACK INTO t (id, a) VALUES (9, 1), (9, 2)' }])
    .catch(isEnded)
  await assert.rejects(lost.commit(), isEnded)
  assert.deepEqual(rowsOf(await world.at(1).query(all, { level: 'linearizable' })), [[2n], [3n]])
  assert.equal(new Set(await world.digests()).size, 1)
})

test('a transaction that only reads costs no entry', async () => {
  await world.start()
  await write(world.at(1), plantedTable)
  const { index } = world.consensus
  const transaction = await world.at(1).begin()
  await transaction.run(all)
  await transaction.commit()
  assert.equal(world.consensus.index, index)
})

test('a copy beside an entry that was run ahead, or a transaction, shows what is committed', async () => {
  await world.start()
  await write(world.at(1), plantedTable, 'INSERT INTO t (a) VALUES (1)')
  const machine = world.consensus.replicas.get(nodeId(1))?.machine
  assert.ok(machine instanceof SqlMachine)
  const statements = [{ sql: 'INSERT INTO t (a) VALUES (2)' }]
  const transaction = await world.at(1).begin()
  await transaction.run(statements)
  const copied = machine.file.copyTo('copy-1')
  await transaction.commit()
  await copied
  const id = makeBatchId(1e12, seededRandom(1).bytes(10))
  const batch = { id, timeMs: 1e12, seed: new Uint8Array(32), isAtomic: true, statements }
  const payload = entryCodec.encode({ engine: machine.file.engine, batches: [batch] })
  await machine.file.runAhead(payload, { deadlineMs: 10_000 })
  await machine.file.copyTo('copy-2')
  await machine.file.forget()
  const { rootPath } = world.node(1).host.disk
  const counts = ['copy-1', 'copy-2'].map((copy) => {
    const database = new DatabaseSync(join(rootPath, copy))
    const row = database.prepare('SELECT count(*) AS n FROM t').get()
    database.close()
    return row?.n
  })
  // The first may have been made before or after the transaction, never within.
  assert.ok(counts[0] === 1 || counts[0] === 2)
  assert.equal(counts[1], 2)
})
