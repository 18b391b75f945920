import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Fault, isFault, readUint64, seededRandom, uint64Bytes, utf8Encode } from '../base/index.ts'
import { createRealHost } from '../host/real/index.ts'
import { testStore } from './contract.ts'
import { openSqliteStore } from './sqlite-store.ts'
import type { StoreReader } from './store.ts'

const root = mkdtempSync(join(tmpdir(), 'atoll-store-'))
after(() => rmSync(root, { recursive: true }))
let count = 0

function freshHost() {
  const rootPath = join(root, String(count++))
  return createRealHost({ rootPath, journal: { level: 'error', format: 'text' } })
}

testStore('sqlite', () => {
  const host = freshHost()
  return (options) => openSqliteStore(host, options)
})

testStore('sqlite in small layers', () => {
  const host = freshHost()
  return (options) => openSqliteStore(host, { ...options, layerBytes: 300 })
})

testStore('sqlite with filters of keys', () => {
  const host = freshHost()
  return (options) => openSqliteStore(host, { ...options, layerBytes: 300, missesMin: 1 })
})

const options = { path: 'store.sqlite', tables: ['t'] }

test('whichever thread writes a layer, the newest value of every row stays', async () => {
  const random = seededRandom(5)
  for (let round = 0; round < 6; round++) {
    const host = freshHost()
    const small = { ...options, layerBytes: 2000 }
    let store = await openSqliteStore(host, small)
    const model = new Map<number, number>()
    for (let i = 1; i <= 3000; i++) {
      const key = random.integer(200)
      store.transaction(() => {
        if (random.chance(0.2)) store.delete('t', uint64Bytes(key))
        else store.put('t', uint64Bytes(key), uint64Bytes(i))
        if (store.get('t', uint64Bytes(key)) === undefined) model.delete(key)
        else model.set(key, i)
      })
      // Without a pause the thread gets nothing to do, and the core thread has to write by itself.
      if (random.chance(round * 0.05)) await new Promise((resolve) => setImmediate(resolve))
      if (i % 1000 === 0) assert.deepEqual(numbersOf(store), sorted(model))
    }
    await store.close()
    store = await openSqliteStore(host, small)
    assert.deepEqual(numbersOf(store), sorted(model))
    await store.close()
  }
})

test('keys are found whether they were in the file before a filter began, or came while it was made', async () => {
  const host = freshHost()
  const key = (i: number) => uint64Bytes(i)
  const filtered = { ...options, layerBytes: 20_000, missesMin: 4 }
  const count = 30_000
  let store = await openSqliteStore(host, filtered)
  const put = (from: number, to: number): void =>
    store.transaction(() => {
      for (let i = from; i < to; i++) store.put('t', key(2 * i), key(i))
    })
  put(0, count / 2)
  await store.close()
  store = await openSqliteStore(host, filtered)
  const random = seededRandom(11)
  for (let at = count / 2; at < count; at += 500) {
    put(at, at + 500)
    for (let probe = 0; probe < 200; probe++) {
      const i = random.integer(at + 500)
      assert.deepEqual(store.get('t', key(2 * i)), key(i))
      assert.equal(store.get('t', key(2 * i + 1)), undefined)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  store.transaction(() => store.delete('t', key(0)))
  await store.checkpoint()
  assert.equal(store.get('t', key(0)), undefined)
  store.transaction(() => store.put('t', key(0), key(7)))
  await store.checkpoint()
  assert.deepEqual(store.get('t', key(0)), key(7))
  await store.close()
})

test('a view sees its moment while its rows are on their way into the file', async () => {
  const store = await openSqliteStore(freshHost(), { ...options, layerBytes: 5000 })
  const write = (round: number): void => {
    for (let i = 0; i < 100; i++) {
      store.transaction(() => store.put('t', uint64Bytes(i), uint64Bytes(round)))
    }
  }
  for (let round = 1; round <= 20; round++) {
    write(round)
    const view = store.view()
    write(round + 100)
    await new Promise((resolve) => setImmediate(resolve))
    write(round + 200)
    assert.deepEqual(
      numbersOf(view).map(([, value]) => value),
      Array.from({ length: 100 }, () => round),
    )
    view.close()
  }
  await store.close()
})

function numbersOf(store: StoreReader): readonly (readonly [number, number])[] {
  return store
    .range('t', { start: new Uint8Array(0) })
    .map(({ key, value }) => [readUint64(key, 0), readUint64(value, 0)])
}

function sorted(model: ReadonlyMap<number, number>): readonly (readonly [number, number])[] {
  return [...model].sort(([a], [b]) => a - b)
}

test('views are bounded and reused', async () => {
  const store = await openSqliteStore(freshHost(), options)
  const views = [store.view(), store.view(), store.view(), store.view()]
  assert.throws(
    () => store.view(),
    (error) => isFault(error, 'overloaded'),
  )
  views[0]?.close()
  store.transaction(() => store.put('t', utf8Encode('a'), utf8Encode('b')))
  const view = store.view()
  assert.deepEqual(view.get('t', utf8Encode('a')), utf8Encode('b'))
  assert.equal(views[1]?.get('t', utf8Encode('a')), undefined)
  await store.checkpoint()
  view.close()
  for (const other of views) other.close()
  await store.close()
})

test('the WAL stays bounded under constant writing and is cut when idle', async () => {
  const host = freshHost()
  const store = await openSqliteStore(host, options)
  let most = 0
  for (let i = 0; i < 300; i++) {
    store.transaction(() => {
      for (let j = 0; j < 100; j++)
        store.put('t', uint64Bytes((i * 7919 + j * 104729) % 20_000), uint64Bytes(i))
    })
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    most = Math.max(most, statSync(`${host.disk.rootPath}/store.sqlite-wal`).size)
  }
  await store.checkpoint()
  await store.checkpoint()
  assert.ok(most < 200 * 1024 * 1024, `${most}`)
  assert.equal(statSync(`${host.disk.rootPath}/store.sqlite-wal`).size, 0)
  await store.close()
})

test('a file that is no store is refused', async () => {
  const host = freshHost()
  writeFileSync(
    `${host.disk.rootPath}/store.sqlite`,
    'this is not a database, by far not one at all',
  )
  await assert.rejects(openSqliteStore(host, options), (error) => isFault(error, 'corrupt'))
})

test('after kill -9 a prefix of the commits is there, at least through the last checkpoint', async () => {
  const host = freshHost()
  const program = `
    const { createRealHost } = await import(${JSON.stringify(new URL('../host/real/index.ts', import.meta.url).href)})
    const { openSqliteStore } = await import(${JSON.stringify(new URL('./sqlite-store.ts', import.meta.url).href)})
    setInterval(() => {}, 1000)
    const host = createRealHost({ rootPath: ${JSON.stringify(host.disk.rootPath)}, journal: { level: 'error', format: 'text' } })
    const store = await openSqliteStore(host, { path: 'store.sqlite', tables: ['t'] })
    for (let i = 1; ; i++) {
      store.transaction(() => {
        store.put('t', new Uint8Array([1]), new Uint8Array(Float64Array.of(i).buffer))
        store.put('t', new Uint8Array([2]), new Uint8Array(Float64Array.of(i).buffer))
      })
      if (i % 50 === 0) {
        await store.checkpoint()
        process.stdout.write(i + '\\n')
      }
    }`
  const file = `${host.disk.rootPath}/program.mjs`
  writeFileSync(file, program)
  const durable = await new Promise<number>((resolve) => {
    let seen = 0
    const child = execFile(process.execPath, [file])
    child.stdout?.on('data', (text: string) => {
      for (const line of text.trim().split('\n')) seen = Math.max(seen, Number(line))
      if (seen >= 500) child.kill('SIGKILL')
    })
    child.on('exit', () => resolve(seen))
  })
  const store = await openSqliteStore(host, options)
  const one = store.get('t', Uint8Array.of(1)) as Uint8Array
  const two = store.get('t', Uint8Array.of(2)) as Uint8Array
  assert.deepEqual(one, two)
  const found = new Float64Array(one.slice().buffer)[0] as number
  assert.ok(durable >= 500 && found >= durable, `${found} ${durable}`)
  await store.close()
})

test('a store that is closed on a full disk says so, and is closed', async () => {
  const host = freshHost()
  const store = await openSqliteStore(host, options)
  const key = uint64Bytes(1)
  store.transaction(() => store.put('t', key, key))
  host.disk.open = async () => {
    throw new Fault('no-space', 'the disk is full')
  }
  await assert.rejects(store.close(), (error) => isFault(error, 'no-space'))
  assert.throws(() => store.get('t', key), /not open/)
  await store.close()
})
