// The simulated disk itself: what hangs while it is stalled hangs on after the stall, and ends soon once the disk recovers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../src/base/index.ts'
import { realLoop } from './main.ts'
import { World } from './world.ts'

test('an operation of a stalled disk hangs until the disk recovers', async () => {
  const world = new World({ seed: 1, loop: realLoop })
  const host = world.startHost(1)
  const disk = world.disk(1)
  const story = async (): Promise<void> => {
    disk.slowness = 20_000
    let isWritten = false
    const written = host.disk.replace('a', utf8Encode('bytes')).then(() => {
      isWritten = true
    })
    await world.sleep(1_000)
    disk.slowness = 1
    await host.disk.replace('b', utf8Encode('bytes'))
    await world.sleep(5_000)
    assert.equal(isWritten, false)
    disk.recover()
    await world.sleep(10)
    assert.equal(isWritten, true)
    await written
    await world.sleep(100_000)
    assert.deepEqual(disk.under(''), ['a', 'b'])
  }
  await world.run(story(), 600_000)
})
