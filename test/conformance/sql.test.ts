// SQL on port 4001 of three nodes: rqlite's client for JavaScript as its users have it, which writes, reads at every level and goes
// on when the node that it speaks to is killed; and files of SQLite's sqllogictest, after which all replicas are equal.

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Cluster, startCluster } from '../e2e/cluster.ts'
import { playScript } from './sqllogictest/play.ts'

type Result = { get(column: string): unknown; toArray(): unknown[] }
type Results = {
  readonly results: readonly Result[]
  hasError(): boolean
  getFirstError(): Error | undefined
  toArray(): unknown[]
}
type Options = {
  readonly level?: string
  readonly transaction?: boolean
}
type DataClient = {
  query(sql: unknown, options?: Options): Promise<Results>
  execute(sql: unknown, options?: Options): Promise<Results>
}
type Module = {
  readonly DataApiClient: new (hosts: readonly string[], options: object) => DataClient
  readonly StatusApiClient: new (
    hosts: readonly string[],
    options: object,
  ) => {
    statusAllHosts(): Promise<
      readonly { readonly response: { readonly body: Readonly<Record<string, unknown>> } }[]
    >
  }
}

const { DataApiClient, StatusApiClient } = createRequire(import.meta.url)('rqlite-js') as Module
const portOffset = 13_800

describe('SQL on its own port', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-rqlite-js-'))
  let cluster: Cluster
  let client: DataClient
  let hosts: readonly string[]
  let options: object

  before(async () => {
    cluster = await startCluster({ portOffset, dataDir, args: ['--sql'] })
    hosts = cluster.line.nodes.map(
      ({ admin }) => `http://${new URL(admin).hostname}:${4001 + portOffset}`,
    )
    const { accessKeyId: username, secretAccessKey: password } = cluster.line
    options = { authentication: { username, password }, timeout: 10_000 }
    client = new DataApiClient(hosts, options)
  })
  after(async () => {
    await cluster?.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  const good = (results: Results): Results => {
    assert.equal(results.hasError(), false, String(results.getFirstError()))
    return results
  }

  it('writes and reads', async () => {
    good(
      await client.execute([
        ['CREATE TABLE foo (id INTEGER NOT NULL PRIMARY KEY, name TEXT, weight REAL)'],
      ]),
    )
    const inserted = good(
      await client.execute(
        [
          ['INSERT INTO foo (name, weight) VALUES (?, ?)', 'fiona', 1.5],
          ['INSERT INTO foo (name) VALUES (:name)', { name: "o'hara" }],
        ],
        { transaction: true },
      ),
    )
    assert.equal(inserted.results.length, 2)
    for (const level of ['none', 'weak', 'strong', 'linearizable']) {
      const read = async (): Promise<unknown[]> =>
        good(await client.query('SELECT name, weight FROM foo ORDER BY id', { level })).toArray()
      const wanted = [
        { name: 'fiona', weight: 1.5 },
        { name: "o'hara", weight: null },
      ]
      // A replica that is behind a little may be asked at this level.
      const endMs = Date.now() + 10_000
      let seen = await read()
      while (level === 'none' && seen.length < 2 && Date.now() < endMs) seen = await read()
      assert.deepEqual(seen, wanted, level)
    }
  })

  it('is told of errors, and a transaction that fails leaves nothing', async () => {
    const failed = await client.execute(
      ["INSERT INTO foo (name) VALUES ('lost')", 'INSERT INTO nowhere VALUES (1)'],
      { transaction: true },
    )
    assert.match(String(failed.getFirstError()), /no such table: nowhere/)
    const counted = good(await client.query("SELECT count(*) AS n FROM foo WHERE name = 'lost'"))
    assert.deepEqual(counted.toArray(), [{ n: 0 }])
  })

  it('asks every node for its status', async () => {
    const told = await new StatusApiClient(hosts, options).statusAllHosts()
    assert.equal(told.length, 3)
    for (const { response } of told) assert.ok('store' in response.body)
  })

  it('is refused without the right password', async () => {
    const stranger = new DataApiClient(hosts.slice(0, 1), {
      authentication: { username: 'nobody', password: 'x' },
      retries: 0,
    })
    await assert.rejects(stranger.query('SELECT 1'), /401/)
  })

  it("answers as SQLite's own files say, and replicas end equal", async () => {
    const folder = join(import.meta.dirname, 'sqllogictest', 'files')
    const { accessKeyId: user, secretAccessKey: password } = cluster.line
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.test'))) {
      const text = readFileSync(join(folder, file), 'utf8')
      const name = file.replaceAll(/[^a-z0-9]/g, '-').slice(0, 30)
      const { failures } = await playScript({ urls: hosts, user, password }, name, text)
      assert.deepEqual(failures, [], file)
    }
  })

  it('goes on when a node is killed', async () => {
    await cluster.kill(0)
    const endMs = Date.now() + 30_000
    let answered: Results | undefined
    while (answered === undefined && Date.now() < endMs) {
      answered = await client
        .execute([['INSERT INTO foo (name) VALUES (?)', 'after']])
        .catch(() => undefined)
      if (answered?.hasError() === true) answered = undefined
    }
    assert.ok(answered !== undefined)
    const left = new DataApiClient(hosts.slice(1), options)
    const counted = good(
      await left.query('SELECT count(*) AS n FROM foo', { level: 'linearizable' }),
    )
    const [{ n }] = counted.toArray() as [{ n: number }]
    // The client asks again without an id, so that a row may be there twice.
    assert.ok(n >= 3)
  })
})
