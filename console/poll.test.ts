import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poll } from './poll.ts'

const farMs = 3_600_000

const page = { hidden: false, addEventListener: () => {}, removeEventListener: () => {} }

/** Until nothing more happens by itself. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

function asked() {
  const answers: (() => void)[] = []
  let count = 0
  const stopping = new AbortController()
  const ask = (): Promise<number> => {
    count++
    return new Promise((resolve) => answers.push(() => resolve(farMs)))
  }
  const fail = (error: unknown): void => assert.fail(String(error))
  const now = poll(ask, { page, signal: stopping.signal, fail })
  const answer = async (): Promise<void> => {
    answers.shift()?.()
    await quiet()
  }
  return { now, answer, stop: () => stopping.abort(), count: () => count }
}

test('whoever asks while an answer is on its way is asked for once more', async () => {
  const { now, answer, stop, count } = asked()
  now()
  now()
  assert.equal(count(), 1, 'one request at a time')
  await answer()
  assert.equal(count(), 2, 'the first may be from before the change')
  await answer()
  assert.equal(count(), 2, 'and no more')
  now()
  await quiet()
  assert.equal(count(), 3, 'at once when nothing is on its way')
  stop()
  await answer()
  now()
  await quiet()
  assert.equal(count(), 3)
})
