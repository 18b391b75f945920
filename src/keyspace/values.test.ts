import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { groupId, isFault } from '../base/index.ts'
import type { Store } from '../storage/index.ts'
import { spaceOf, versionKey } from './core/rows.ts'
import { type TestDirectory, TestSegments, testDirectory, testStore } from './testing/doubles.ts'
import { ValueShelf } from './values.ts'

const key = versionKey(spaceOf(groupId(7), 1), { modRevision: 9, sub: 0 })
const value = new Uint8Array(3000).fill(5)

let directory: TestDirectory
let store: Store
before(async () => {
  directory = testDirectory()
  store = await testStore(directory.host)
  store.transaction(() => store.put('history', key, Uint8Array.of(1)))
})
after(async () => {
  await store.close()
  directory.remove()
})

function shelfWith(recover: () => Promise<Uint8Array | undefined>): {
  readonly shelf: ValueShelf
  readonly segments: TestSegments
} {
  const segments = new TestSegments()
  const onFatal = (error: unknown): void => assert.fail(String(error))
  const shelf = new ValueShelf({ host: directory.host, store, segments, onFatal, recover })
  return { shelf, segments }
}

it('asks others once for a rotten value, however many read it, and puts it back once', async () => {
  let asked = 0
  let puts = 0
  let answer: (value: Uint8Array) => void = () => {}
  const { shelf, segments } = shelfWith(() => {
    asked++
    return new Promise((resolve) => {
      answer = resolve
    })
  })
  const put = segments.put.bind(segments)
  segments.put = (...given) => {
    puts++
    return put(...given)
  }
  const reads = [shelf.read(key), shelf.read(key), shelf.read(key)]
  await Promise.allSettled([shelf.readHere(key)])
  answer(value)
  for (const read of reads) assert.deepEqual(await read, value)
  assert.deepEqual([asked, puts], [1, 1])
  assert.deepEqual(await shelf.readHere(key), value)
})

it('asks again when nobody had it', async () => {
  const answers = [undefined, value]
  const { shelf } = shelfWith(async () => answers.shift())
  await assert.rejects(shelf.read(key), (error) => isFault(error, 'corrupt'))
  assert.deepEqual(await shelf.read(key), value)
})
