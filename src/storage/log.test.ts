import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupId, logIndex, term } from '../base/index.ts'
import { openLog } from './open-log.ts'
import { faultyHost } from './testing/faulty-host.ts'

test('what was appended is recovered, on the loop and on a thread', async () => {
  for (const ownThread of [false, true]) {
    const host = faultyHost()
    const log = await openLog(host, { path: 'log', ownThread, segmentBytes: 64 * 1024 })
    const order: number[] = []
    for (let i = 1; i <= 10; i++) {
      const entry = {
        index: logIndex(i),
        term: term(1),
        kind: 0,
        payload: new Uint8Array(i).fill(i),
      }
      log.append([{ group: groupId(3), entries: [entry] }], () => order.push(i))
    }
    await log.close()
    assert.deepEqual(order, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    const again = await openLog(host, { path: 'log', ownThread, segmentBytes: 64 * 1024 })
    assert.equal(again.recovered.get(groupId(3))?.entries.length, 10)
    const read = await again.read(groupId(3), {
      low: logIndex(4),
      high: logIndex(6),
      bytesMax: 100,
    })
    assert.deepEqual(
      read.map(({ payload }) => payload.length),
      [4, 5, 6],
    )
    await again.close()
  }
})
