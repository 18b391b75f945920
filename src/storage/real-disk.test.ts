// The same code on real files and real threads: what the test double cannot show.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { groupId, isFault, logIndex, seededRandom, term, utf8Encode } from '../base/index.ts'
import { createRealHost } from '../host/real/index.ts'
import type { LogEntry } from './log.ts'
import { openLog } from './open-log.ts'
import { openSegments } from './open-segments.ts'

const root = mkdtempSync(join(tmpdir(), 'atoll-storage-'))
after(() => rmSync(root, { recursive: true }))
const host = createRealHost({ rootPath: root, journal: { level: 'error', format: 'text' } })

test('the log thread recovers, reads back and refuses as the loop does', async () => {
  const options = { path: 'log', segmentBytes: 256 * 1024 }
  const log = await openLog(host, options)
  const entries: LogEntry[] = []
  const waits: Promise<void>[] = []
  for (let i = 1; i <= 500; i++) {
    const payload = new Uint8Array(1000).fill(i)
    const entry = { index: logIndex(i), term: term(1), kind: 0, payload }
    entries.push(entry)
    waits.push(
      new Promise((resolve, reject) => {
        log.append([{ group: groupId(1), entries: [entry] }], (fault) =>
          fault === undefined ? resolve() : reject(fault),
        )
      }),
    )
    if (i % 50 === 0) await Promise.all(waits)
  }
  await Promise.all(waits)
  const range = { low: logIndex(3), high: logIndex(400), bytesMax: 50_000 }
  assert.deepEqual(await log.read(groupId(1), range), entries.slice(2, 52))
  await assert.rejects(log.read(groupId(2), range), (error) => isFault(error, 'compacted'))
  assert.ok(log.statistics().syncs < 100 && log.statistics().segments >= 2)
  await log.close()
  const again = await openLog(host, options)
  assert.deepEqual(again.recovered.get(groupId(1))?.entries, entries)
  await again.close()
})

test('segments on real files: interleaved writers, reopening, compaction', async () => {
  const options = { path: 'segments', fileBytesMax: 2 * 1024 * 1024 }
  const random = seededRandom(1)
  const segments = await openSegments(host, options)
  const objects = Array.from({ length: 16 }, () => random.bytes(100_000 + random.integer(300_000)))
  const key = (i: number) => utf8Encode(`object ${i}`)
  await Promise.all(
    objects.map(async (bytes, i) => {
      const write = segments.write(key(i))
      for (let at = 0; at < bytes.length; at += 65_000)
        await write.append(bytes.subarray(at, at + 65_000))
      await write.seal()
    }),
  )
  await segments.delete(objects.flatMap((_, i) => (i % 2 === 0 ? [key(i)] : [])))
  assert.ok((await segments.compact()) > 0)
  await segments.close()
  const again = await openSegments(host, options)
  assert.equal(again.statistics().objects, 8)
  for (const [i, bytes] of objects.entries()) {
    if (i % 2 === 1) assert.deepEqual(await again.read(key(i)), bytes)
    else assert.equal(again.find(key(i)), undefined)
  }
  await again.close()
})
