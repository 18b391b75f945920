import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, utf8Encode } from '../../base/index.ts'
import { encodeSet, readSets } from './sets.ts'
import { command, decodeRequest, encodeRequest } from './wire.ts'

const api = '/raft/v1/raft/cron'

test('a set has the bytes of any other request, and is read from them', () => {
  const random = seededRandom(4)
  for (let round = 0; round < 300; round++) {
    const frames: Uint8Array[] = []
    const sets: { key: Uint8Array; value: Uint8Array }[] = []
    let longestMs = 0
    for (let i = 0; i < 1 + random.integer(5); i++) {
      const key = utf8Encode('k'.repeat(1 + random.integer(300)))
      const value = random.bytes(random.chance(0.2) ? 0 : random.integer(40_000))
      const timeoutMs = 1 + random.integer(3_600_000)
      const set = { key, value }
      const frame = encodeSet(utf8Encode(api), { ...set, timeoutMs })
      assert.deepEqual(frame, encodeRequest({ api, command: command.set, ...set, timeoutMs }))
      sets.push(set)
      frames.push(frame)
      longestMs = Math.max(longestMs, timeoutMs)
    }
    assert.deepEqual(readSets(frames), { api: utf8Encode(api), sets, timeoutMs: longestMs })
  }
})

test('anything else is left to the long way: other commands, namespaces, fields and bytes', () => {
  const [key, value] = [utf8Encode('key'), utf8Encode('value')]
  const good = { api, command: command.set, key, value, timeoutMs: 500 }
  const set = encodeRequest(good)
  const others = [
    { ...good, command: command.delete },
    { ...good, api: '/raft/v1/raft/other' },
    { ...good, barrierMs: 5 },
    { ...good, isForwarded: true },
    { ...good, key: new Uint8Array(0) },
    { ...good, key: utf8Encode('ü') },
    { ...good, timeoutMs: 0 },
  ]
  for (const other of others) assert.equal(readSets([set, encodeRequest(other)]), undefined)
  const random = seededRandom(6)
  for (let round = 0; round < 3_000; round++) {
    const bytes = random.chance(0.3) ? set.slice(0, random.integer(set.length)) : set.slice()
    if (bytes.length > 0) bytes[random.integer(bytes.length)] = random.integer(256)
    const read = readSets([bytes])
    if (read === undefined) continue
    try {
      const request = decodeRequest(bytes)
      assert.deepEqual(read.sets, [{ key: request.key, value: request.value }])
      assert.equal(request.command, command.set)
      assert.deepEqual(utf8Encode(request.api), read.api)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'))
      assert.throws(() => new TextDecoder('utf-8', { fatal: true }).decode(read.api))
    }
  }
})
