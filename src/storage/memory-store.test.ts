import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, uint64Bytes, utf8Encode } from '../base/index.ts'
import { testStore } from './contract.ts'
import { openMemoryStore } from './memory-store.ts'
import { FaultyDisk, faultyHost } from './testing/faulty-host.ts'

testStore('memory', () => {
  let disk = new FaultyDisk()
  return async (options) => {
    disk = disk.copy()
    return openMemoryStore(faultyHost(disk), options)
  }
})

const options = { path: 'node/store', tables: ['t'] }
const counter = utf8Encode('counter')

/** Commits with checkpoints now and then; the counter's value is the number of commits. */
async function workload(disk: FaultyDisk, progress: { commits: number; durable: number }) {
  const store = await openMemoryStore(faultyHost(disk), options)
  for (let i = 0; i < 12; i++) {
    store.transaction(() => {
      progress.commits++
      store.put('t', counter, uint64Bytes(progress.commits))
      store.put('t', uint64Bytes(progress.commits), new Uint8Array(300 * 1024).fill(i))
      store.delete('t', uint64Bytes(progress.commits - 2))
    })
    if (i % 3 !== 2) continue
    const commits = progress.commits
    await store.checkpoint()
    progress.durable = commits
  }
  await store.close()
  progress.durable = progress.commits
}

test('a crash at every disk call shows a prefix at least through the last checkpoint', async () => {
  const random = seededRandom(21)
  let ended = false
  for (let call = 1; !ended; call++) {
    const disk = new FaultyDisk()
    disk.crashAtCall = call
    const progress = { commits: 0, durable: 0 }
    const run = workload(disk, progress)
    ended = await Promise.race([run.then(() => true), disk.crashed.then(() => false)])
    let survivor = disk.afterCrash(random)
    for (let again = 0; again < 2; again++) {
      const store = await openMemoryStore(faultyHost(survivor), options)
      const value = store.get('t', counter)
      const found = value === undefined ? 0 : new DataView(value.buffer).getUint32(4)
      assert.ok(found >= progress.durable, `call ${call}: ${found} < ${progress.durable}`)
      assert.ok(found <= progress.commits)
      const last = store.get('t', uint64Bytes(found))
      assert.equal(last?.length, found === 0 ? undefined : 300 * 1024)
      assert.ok(store.keys('t', { start: new Uint8Array(0) }).length <= 3)
      survivor = survivor.afterCrash(random)
    }
  }
})

test('the journal stays small beside a small state', async () => {
  const disk = new FaultyDisk()
  const store = await openMemoryStore(faultyHost(disk), options)
  for (let i = 0; i < 200; i++) {
    store.transaction(() => store.put('t', counter, new Uint8Array(100_000)))
    if (i % 5 === 0) await store.checkpoint()
  }
  assert.ok(store.sizeBytes() < 4_000_000, `${store.sizeBytes()}`)
  assert.ok(disk.usedBytes() < 4_000_000)
  await store.close()
})

test('a full disk refuses the checkpoint, and the next one makes up for it', async () => {
  const disk = new FaultyDisk()
  const store = await openMemoryStore(faultyHost(disk), options)
  store.transaction(() => store.put('t', counter, uint64Bytes(1)))
  await store.checkpoint()
  disk.bytesMax = disk.usedBytes() + 10
  store.transaction(() => store.put('t', counter, uint64Bytes(2)))
  await assert.rejects(store.checkpoint(), (error) => isFault(error, 'no-space'))
  disk.bytesMax = Number.POSITIVE_INFINITY
  await store.checkpoint()
  disk.crash()
  const again = await openMemoryStore(faultyHost(disk.afterCrash(seededRandom(1))), options)
  assert.deepEqual(again.get('t', counter), uint64Bytes(2))
})

test('a store that is closed on a full disk says so, and leaves no file open', async () => {
  const disk = new FaultyDisk()
  const open = disk.open.bind(disk)
  let openFiles = 0
  disk.open = async (path, how) => {
    const file = await open(path, how)
    openFiles++
    const close = file.close.bind(file)
    file.close = async () => {
      openFiles--
      await close()
    }
    return file
  }
  const store = await openMemoryStore(faultyHost(disk), options)
  await store.checkpoint()
  assert.equal(openFiles, 1)
  disk.bytesMax = disk.usedBytes() + 10
  store.transaction(() => store.put('t', counter, uint64Bytes(2)))
  await assert.rejects(store.close(), (error) => isFault(error, 'no-space'))
  assert.equal(openFiles, 0)
})

test('a failed sync stops the node', async () => {
  const host = faultyHost()
  const store = await openMemoryStore(host, options)
  store.transaction(() => store.put('t', counter, uint64Bytes(1)))
  host.disk.isSyncFailing = true
  await assert.rejects(store.checkpoint())
  assert.equal(host.fatal.length, 1)
})

test('a store at the top of the disk is found again', async () => {
  const disk = new FaultyDisk()
  const top = { path: 'store', tables: ['t'] }
  const store = await openMemoryStore(faultyHost(disk), top)
  store.transaction(() => store.put('t', counter, uint64Bytes(7)))
  await store.close()
  const again = await openMemoryStore(faultyHost(disk), top)
  assert.deepEqual(again.get('t', counter), uint64Bytes(7))
  await again.close()
})
