// Synced appends per second of the write-ahead log: one writer that waits for each append, then 64 at once, then
// 64 groups. The ratio is what group commit is worth.

import { rmSync } from 'node:fs'
import { groupId, logIndex, term } from '../src/base/index.ts'
import { createRealHost } from '../src/host/real/index.ts'
import { type GroupAppend, type Log, openLog } from '../src/storage/index.ts'
import { scratchDirectory } from './ours.ts'

const payload = new Uint8Array(256).fill(7)

export async function run(args: readonly string[]): Promise<void> {
  const seconds = Number(args[0] ?? 4)
  const rootPath = scratchDirectory('log')
  const host = createRealHost({ rootPath, journal: { format: 'text', level: 'warning' } })
  const log = await openLog(host, { path: 'log' })
  try {
    const single = await appendFor(log, 1, seconds)
    const many = await appendFor(log, 64, seconds)
    const again = await appendFor(log, 1, seconds)
    const one = (single + again) / 2
    console.log(`1 writer: ${one.toFixed(0)} synced appends/s of ${payload.length} bytes`)
    console.log(`64 writers: ${many.toFixed(0)} synced appends/s`)
    console.log(`ratio ${(many / one).toFixed(1)} (aim: at least 20)`)
  } finally {
    await log.close()
    rmSync(rootPath, { recursive: true, force: true })
  }
}

let nextGroup = 1

/** Each writer owns a group and has one append under way. */
async function appendFor(log: Log, writers: number, seconds: number): Promise<number> {
  const endMs = performance.now() + seconds * 1000
  let appends = 0
  const startedMs = performance.now()
  await Promise.all(
    Array.from({ length: writers }, async () => {
      const group = groupId(nextGroup++)
      for (let index = 1; performance.now() < endMs; index++) {
        const entry = { index: logIndex(index), term: term(1), kind: 0, payload }
        const batch: GroupAppend[] = [{ group, entries: [entry] }]
        if (index % 1000 === 0)
          batch.push({ group, cut: { index: logIndex(index - 10), term: term(1) } })
        await new Promise<void>((resolve, reject) => {
          log.append(batch, (fault) => (fault === undefined ? resolve() : reject(fault)))
        })
        appends++
      }
    }),
  )
  return appends / ((performance.now() - startedMs) / 1000)
}
