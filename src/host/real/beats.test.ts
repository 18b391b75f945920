import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { everyBeat } from './beats.ts'

const turn = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('periodic work', () => {
  it('of like periods runs together, whenever it began', async () => {
    let isTurnOfFirst = false
    const together: boolean[] = []
    const first = everyBeat(40, () => {
      isTurnOfFirst = true
      setImmediate(() => {
        isTurnOfFirst = false
      })
    })
    await turn(13)
    await new Promise<void>((resolve) => {
      const keepAlive = setTimeout(() => undefined, 60_000)
      const second = everyBeat(80, () => {
        together.push(isTurnOfFirst)
        if (together.length < 5) return
        second.cancel()
        clearTimeout(keepAlive)
        resolve()
      })
    })
    first.cancel()
    assert.deepEqual(together, [true, true, true, true, true])
  })

  it('ends when it is cancelled, also within its beat', async () => {
    const runs: string[] = []
    const done = new Promise<void>((resolve) => {
      const first = everyBeat(20, () => {
        runs.push('first')
        second.cancel()
        first.cancel()
        setTimeout(resolve, 50)
      })
      const second = everyBeat(20, () => runs.push('second'))
    })
    await done
    assert.deepEqual(runs, ['first'])
  })

  it('counts once after a pause of many periods', async () => {
    let runs = 0
    const timer = everyBeat(20, () => runs++)
    const endMs = performance.now() + 210
    while (performance.now() < endMs);
    await turn(0)
    await new Promise((resolve) => setImmediate(resolve))
    timer.cancel()
    assert.equal(runs, 1)
  })
})
