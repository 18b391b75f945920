import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addSeed, decodeBatch, encodeBatch, neverSeen, startBatch } from './batch.ts'
import { isCovered, lastName, problemOfPage } from './checkers/listing.ts'
import { ObjectHistory } from './workloads/s3-history.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const never = Number.POSITIVE_INFINITY
const object = (key: string) => ({ key, etag: 'e', size: 1 })

test('a page of a list is refused when it breaks a rule of paging', () => {
  const asked = { prefix: 'a/', delimiter: '/', after: '', limit: 2 }
  const good = { objects: [object('a/1')], prefixes: ['a/b/'], isTruncated: false }
  assert.equal(problemOfPage(asked, good), undefined)
  const wrong = [
    { ...good, objects: [object('a/2'), object('a/1')], prefixes: [] },
    { ...good, objects: [object('a/1'), object('a/2')] },
    { ...good, objects: [object('b')] },
    { ...good, objects: [object('a/b/c')], prefixes: [] },
    { ...good, prefixes: ['a/b'] },
    { objects: [], prefixes: [], isTruncated: true },
  ]
  for (const page of wrong) assert.notEqual(problemOfPage(asked, page), undefined)
  assert.notEqual(problemOfPage({ ...asked, after: 'a/1' }, good), undefined)
})

test('a page says something of exactly the keys between its ends', () => {
  const asked = { prefix: '', delimiter: '/', after: 'b', limit: 2 }
  const page = { objects: [object('c')], prefixes: ['d/'], isTruncated: true }
  assert.equal(lastName(page), 'd/')
  const covered = ['a', 'b', 'bb', 'c', 'd/1', 'd/9', 'e'].filter((key) => {
    return isCovered(key, asked, page)
  })
  assert.deepEqual(covered, ['bb', 'c', 'd/1', 'd/9'])
})

test('a history of objects is refused when a list hides what is there or shows what is not', () => {
  const asked = { prefix: '', delimiter: '', after: '', limit: 10 }
  const page = { objects: [], prefixes: [], isTruncated: false }
  const story = (endMs: number): ObjectHistory => {
    const history = new ObjectHistory()
    const value = history.remember(bytes('one'))
    history.add('k/1', { kind: 'write', value, startMs: 0, endMs })
    return history
  }
  const hidden = story(5)
  hidden.sawPage(asked, page, { startMs: 6, endMs: 7 })
  assert.throws(() => hidden.check(), /not linearizable/)
  const unknown = story(never)
  unknown.sawPage(asked, page, { startMs: 6, endMs: 7 })
  unknown.check()
  const folded = { ...asked, delimiter: '/' }
  const shown = story(5)
  shown.add('k/1', { kind: 'write', value: undefined, startMs: 6, endMs: 7 })
  shown.sawPage(folded, { ...page, prefixes: ['k/'] }, { startMs: 8, endMs: 9 })
  assert.throws(() => shown.check(), /no key below it/)
})

test('a history of objects is refused for other bytes, and copies bind source and target', () => {
  const history = new ObjectHistory()
  const value = history.remember(bytes('some bytes'))
  history.add('a', { kind: 'write', value, startMs: 0, endMs: 1 })
  const span = { startMs: 2, endMs: 3 }
  history.saw('a', value, { ...span, at: 5, bytes: bytes('bytes'), size: 10 })
  assert.throws(() => history.saw('a', value, { ...span, at: 4, bytes: bytes('bytes'), size: 10 }))
  assert.throws(() => history.saw('a', 'other', { ...span, at: 0, bytes: undefined, size: 10 }))
  history.copyUnknown({ source: 'a', target: 'b', startMs: 4 })
  history.saw('b', value, { startMs: 9, endMs: 10, at: 0, bytes: undefined, size: 10 })
  history.check()
  const other = history.remember(bytes('never in a'))
  history.copied({ source: 'a', target: 'b', startMs: 11, endMs: 12 }, other)
  assert.throws(() => history.check(), /never had/)
})

test('a batch goes on where it was left, and knows what it has not seen', () => {
  const batch = startBatch('s3-7', 7)
  addSeed(batch, { isPassed: true, counts: new Map([['kill', 2]]) })
  addSeed(batch, { isPassed: false, counts: new Map([['kill', 1]]) })
  const again = decodeBatch(encodeBatch(batch), 's3-7')
  assert.deepEqual(again, { ...batch, next: 9, passed: 1, failed: [8] })
  assert.deepEqual(neverSeen(batch, ['kill', 'pause']), ['pause'])
  assert.equal(decodeBatch(encodeBatch(batch), 's3-8'), undefined)
  assert.equal(decodeBatch('', 's3-7'), undefined)
})
