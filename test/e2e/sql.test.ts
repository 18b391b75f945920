// A SQL database on real processes: any node takes statements, the leader is killed in the middle of inserts, and every row
// that was acknowledged is there once on the others; a restart brings the third replica to the same digest.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createClient } from '@libsql/client/web'
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/libsql/web'
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { type Cluster, root, startCluster } from './cluster.ts'

const portOffset = 13_400
const rowsBeforeKill = 100
const rowsWanted = 300
const clients = 6

type Answered = { readonly status: number; readonly text: string }
type Results = {
  readonly results: readonly { readonly values?: readonly (readonly unknown[])[] }[]
}

describe('a SQL database', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-e2e-sql-'))
  let cluster: Cluster

  before(async () => {
    cluster = await startCluster({ portOffset, dataDir })
  })
  after(async () => {
    await cluster?.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  const ask = (
    node: number,
    line: string,
    given: {
      readonly body?: unknown
      readonly id?: string
      readonly text?: string
      readonly authorization?: string
    } = {},
  ): Promise<Answered> => {
    const [method, path] = line.split(' ')
    const { admin, dataDir: own } = cluster.node(node)
    const { hostname, port } = new URL(admin)
    const ca = readFileSync(join(dataDir, 'ca', 'authority.pem'))
    const token = readFileSync(join(own, 'identity', 'admin-token'), 'utf8').trim()
    const { id, body, text: sent = body === undefined ? undefined : JSON.stringify(body) } = given
    const basic = `Basic ${Buffer.from(`somebody:${token}`).toString('base64')}`
    const { authorization = basic } = given
    const headers = { authorization, ...(id === undefined ? {} : { 'atoll-batch-id': id }) }
    return new Promise((settle, reject) => {
      const options = { host: hostname, port, method, path, ca, headers, timeout: 20_000 }
      const asked = request(options, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          settle({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() })
        })
      })
      asked.on('timeout', () => asked.destroy(new Error('no answer')))
      asked.on('error', reject)
      asked.end(sent)
    })
  }

  const good = async (...given: Parameters<typeof ask>): Promise<Results> => {
    const { status, text } = await ask(...given)
    assert.equal(status, 200, text)
    assert.doesNotMatch(text, /"error"/)
    return JSON.parse(text) as Results
  }

  /** Acknowledged once it is; at whichever node answers, always under the same id. */
  const insert = async (row: number): Promise<void> => {
    const stamp = Buffer.alloc(6)
    stamp.writeUIntBE(Date.now(), 0, 6)
    const id = Buffer.concat([stamp, randomBytes(10)]).toString('hex')
    const body = [['INSERT INTO sold (item) VALUES (?)', row]]
    for (let attempt = 0; attempt < 60; attempt++) {
      const answered = await ask((row + attempt) % 3, 'POST /sql/shop/db/execute', {
        body,
        id,
      }).catch(() => undefined)
      if (answered?.status === 200 && !answered.text.includes('"error"')) return
      if (answered === undefined) await new Promise((resolve) => setTimeout(resolve, 100))
    }
    assert.fail(`row ${row} was never acknowledged`)
  }

  const leaderOf = async (node: number): Promise<number> => {
    const { text } = await ask(node, 'GET /sql/shop/leader')
    return Number(JSON.parse(text).id)
  }

  it('is created once, and served by every node', async () => {
    for (const node of [0, 2]) assert.equal((await ask(node, 'PUT /sql/shop')).status, 200)
    assert.equal((await ask(1, 'GET /sql')).text.trim(), '{"databases":["shop"]}')
    const table =
      'CREATE TABLE sold (number INTEGER PRIMARY KEY, item, at TEXT DEFAULT CURRENT_TIMESTAMP, luck DEFAULT (random()))'
    await good(1, 'POST /sql/shop/db/execute', { body: [table] })
    for (const node of [0, 1, 2]) {
      const { results } = await good(
        node,
        'GET /sql/shop/db/query?q=SELECT%20count(*)%20FROM%20sold&level=linearizable',
      )
      assert.deepEqual(results[0]?.values, [[0]])
    }
    assert.equal((await ask(0, 'GET /sql/nobody/status')).status, 404)
    assert.equal((await ask(0, 'PUT /sql/a%20b')).status, 400)
  })

  /** As a client of libSQL reaches a node whose certificate the cluster's own authority signed. */
  const fetchFrom = (node: number) => async (asked: Request) => {
    const { pathname } = new URL(asked.url)
    const body = await asked.text()
    const { status, text } = await ask(node, `${asked.method} ${pathname}`, {
      authorization: asked.headers.get('authorization') ?? '',
      ...(body === '' ? {} : { text: body }),
    })
    return new Response(text, { status })
  }

  it('is a database of libSQL, and of Drizzle on top of it: statements, batches, transactions', async () => {
    const { admin, dataDir: own } = cluster.node(1)
    const authToken = readFileSync(join(own, 'identity', 'admin-token'), 'utf8').trim()
    const libsql = createClient({ url: `${admin}/sql/shop/`, authToken, fetch: fetchFrom(1) })
    await libsql.execute('CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL)')
    const inserted = await libsql.batch(
      [
        { sql: 'INSERT INTO accounts VALUES (?, ?)', args: ['a', 10] },
        { sql: 'INSERT INTO accounts VALUES (:name, 5) RETURNING balance', args: { name: 'b' } },
      ],
      'write',
    )
    assert.deepEqual(inserted[1]?.rows[0]?.balance, 5)
    const refused = libsql.batch([
      'UPDATE accounts SET balance = 0',
      "INSERT INTO accounts VALUES ('a', 1)",
    ])
    await assert.rejects(refused, /UNIQUE constraint failed/)
    const transaction = await libsql.transaction('write')
    await transaction.execute("UPDATE accounts SET balance = balance - 3 WHERE name = 'a'")
    const within = await transaction.execute('SELECT sum(balance) AS total FROM accounts')
    assert.equal(within.rows[0]?.total, 12)
    await transaction.execute("UPDATE accounts SET balance = balance + 3 WHERE name = 'b'")
    await transaction.commit()
    const accounts = sqliteTable('accounts', {
      name: text('name').primaryKey(),
      balance: integer('balance').notNull(),
    })
    const orm = drizzle(libsql)
    const moved = orm.transaction(async (inner) => {
      await inner.update(accounts).set({ balance: 100 }).where(eq(accounts.name, 'a'))
      inner.rollback()
    })
    await assert.rejects(moved)
    const all = await orm.select().from(accounts).orderBy(accounts.name)
    assert.deepEqual(all, [
      { name: 'a', balance: 7 },
      { name: 'b', balance: 8 },
    ])
    libsql.close()
    const other = createClient({
      url: `${admin}/sql/shop/`,
      authToken: 'wrong',
      fetch: fetchFrom(2),
    })
    await assert.rejects(other.execute('SELECT 1'))
    other.close()
  })

  it('has a shell: statements from a pipe, an import, one line of JSON for each statement', async () => {
    const rows = join(dataDir, 'rows.csv')
    writeFileSync(
      rows,
      ['item,price', ...Array.from({ length: 1_500 }, (_, at) => `${at},2`)].join('\n'),
    )
    const script = [
      'BEGIN; UPDATE accounts SET balance = 0;',
      'ROLLBACK;',
      `.import ${rows} prices`,
      "INSERT INTO accounts VALUES ('c;', 1);",
      'SELECT sum(balance), (SELECT count(*) FROM prices)',
      'FROM accounts;',
      'SELECT absent;',
      "INSERT INTO accounts VALUES ('after the error', 1);",
    ]
    const shell = (args: readonly string[], text = '') =>
      new Promise<{ readonly status: number | null; readonly out: string; readonly err: string }>(
        (settle) => {
          const command = [join(root, 'scripts/atoll.mjs'), 'sql', ...args, '--data-dir', dataDir]
          const child = spawn(process.execPath, command, { timeout: 60_000 })
          let [out, err] = ['', '']
          child.stdout.on('data', (part) => {
            out += part
          })
          child.stderr.on('data', (part) => {
            err += part
          })
          child.on('close', (status) => settle({ status, out, err }))
          child.stdin.end(text)
        },
      )
    const piped = await shell(['shop', '--json'], script.join('\n'))
    assert.match(piped.err, /no such column: absent/)
    assert.notEqual(piped.status, 0)
    const shown = piped.out.trim().split('\n')
    assert.deepEqual(JSON.parse(shown.at(-1) ?? '').rows, [[16, 1_500]])
    const asked = await shell(['shop', 'SELECT name FROM accounts ORDER BY name'])
    assert.equal(asked.out, 'name\na\nb\nc;\n', asked.err)
    assert.match((await shell(['shop', '.tables'])).out, /^accounts\nprices\nsold\n$/)
    assert.equal((await shell([])).out, 'shop\n')
  })

  it('keeps every acknowledged row, once, when its leader is killed', async () => {
    let next = 0
    let acknowledged = 0
    let killed: Promise<number> | undefined
    const kill = async (): Promise<number> => {
      const id = await leaderOf(0)
      const position = cluster.line.nodes.findIndex((node) => node.id === id)
      await cluster.kill(position)
      return position
    }
    const client = async (): Promise<void> => {
      while (next < rowsWanted) {
        await insert(next++)
        acknowledged++
        if (acknowledged >= rowsBeforeKill) killed ??= kill()
      }
    }
    await Promise.all(Array.from({ length: clients }, client))
    const gone = await killed
    assert.ok(gone !== undefined)
    const query =
      'GET /sql/shop/db/query?level=linearizable&q=SELECT%20count(*)%2C%20count(DISTINCT%20item)%2C%20max(item)%20FROM%20sold'
    for (const node of [0, 1, 2]) {
      if (node === gone) continue
      const { results } = await good(node, query)
      assert.deepEqual(results[0]?.values, [[rowsWanted, rowsWanted, rowsWanted - 1]])
    }
  })

  it('ends equal on all nodes, the one that was killed included', async () => {
    await cluster.startMissing()
    const endMs = Date.now() + 30_000
    let seen = ''
    do {
      seen = (await ask(1, 'GET /sql/shop/replicas')).text
      const { replicas } = JSON.parse(seen) as { replicas: { applied?: number; digest?: string }[] }
      const all = replicas.map(({ applied, digest }) => (digest ? `${applied} ${digest}` : ''))
      if (all.length === 3 && !all.includes('') && new Set(all).size === 1) return
      await new Promise((resolve) => setTimeout(resolve, 200))
    } while (Date.now() < endMs)
    assert.fail(`replicas differ: ${seen}`)
  })

  it('is gone when it is dropped, and empty when it comes again', async () => {
    assert.equal((await ask(1, 'DELETE /sql/shop')).status, 200)
    assert.equal((await ask(2, 'PUT /sql/shop')).status, 200)
    const tables =
      'GET /sql/shop/db/query?level=linearizable&q=SELECT%20name%20FROM%20sqlite_schema%20WHERE%20name%20%3D%20%27sold%27'
    const { results } = await good(0, tables)
    assert.equal(results[0]?.values, undefined)
  })
})
