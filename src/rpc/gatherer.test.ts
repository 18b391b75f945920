import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, partsMax } from '../base/index.ts'
import { Gatherer } from './gatherer.ts'

/** Turns end when the test says so. */
function setUp(send: (parts: readonly Uint8Array[]) => Promise<readonly (Uint8Array | Error)[]>) {
  const turns: (() => void)[] = []
  const sent: number[] = []
  const clock = { soon: (run: () => void) => void turns.push(run) }
  const gatherer = new Gatherer(clock, {
    bytesMax: 100,
    send: (parts) => {
      sent.push(parts.length)
      return send(parts)
    },
  })
  const endTurn = (): void => {
    for (const run of turns.splice(0)) run()
  }
  return { gatherer, sent, endTurn }
}

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value)

test('what is added in one turn is sent at its end, and each asker gets its own answer', async () => {
  const { gatherer, sent, endTurn } = setUp(async (parts) =>
    parts.map(([first]) => (first === 3 ? new Fault('conflict', 'three') : bytes(2, first))),
  )
  const answers = Promise.allSettled([1, 2, 3, 4].map((value) => gatherer.add(bytes(5, value))))
  assert.deepEqual(sent, [])
  endTurn()
  const later = gatherer.add(bytes(5, 9))
  endTurn()
  assert.deepEqual(sent, [4, 1])
  const [first, , third] = await answers
  assert.deepEqual(first, { status: 'fulfilled', value: bytes(2, 1) })
  assert.ok(third?.status === 'rejected' && (third.reason as Fault).code === 'conflict')
  assert.deepEqual(await later, bytes(2, 9))
})

test('many are added at once, in order with others, and split where a list is full', async () => {
  const { gatherer, sent, endTurn } = setUp(async (parts) =>
    parts.map(([first]) => (first === 3 ? new Fault('conflict', 'three') : bytes(2, first))),
  )
  const one = gatherer.add(bytes(40, 7))
  const many = gatherer.addAll([1, 2, 3, 4, 5].map((value) => bytes(30, value)))
  const last = gatherer.add(bytes(40, 8))
  assert.deepEqual(await gatherer.addAll([]), [])
  endTurn()
  assert.deepEqual(sent, [3, 3, 1])
  const answers = await many
  assert.deepEqual(
    answers.map((answer) => (answer instanceof Fault ? answer.code : answer[0])),
    [1, 2, 'conflict', 4, 5],
  )
  assert.deepEqual([(await one)[0], (await last)[0]], [7, 8])
  const down = setUp(async () => {
    throw new Fault('unavailable', 'nobody is there')
  })
  const failing = down.gatherer.addAll([bytes(1), bytes(1)])
  down.endTurn()
  assert.deepEqual(
    (await failing).map((answer) => answer instanceof Fault && answer.code),
    ['unavailable', 'unavailable'],
  )
})

test('a list is sent early rather than too long; one long part goes alone', async () => {
  const { gatherer, sent, endTurn } = setUp(async (parts) => parts.map(() => bytes(1)))
  const all = [60, 30, 20, 500, 1].map((length) => gatherer.add(bytes(length)))
  endTurn()
  await Promise.all(all)
  assert.deepEqual(sent, [2, 1, 1, 1])
  const many = Array.from({ length: partsMax + 1 }, () => gatherer.add(bytes(0)))
  endTurn()
  await Promise.all(many)
  assert.deepEqual(sent.slice(4), [partsMax, 1])
})

test('what fails as a whole fails for all of that turn, and for nobody else', async () => {
  let isDown = true
  const { gatherer, endTurn } = setUp(async (parts) => {
    if (isDown) throw new Fault('unavailable', 'nobody is there')
    return parts.map(() => bytes(1))
  })
  const failing = Promise.allSettled([gatherer.add(bytes(1)), gatherer.add(bytes(1))])
  endTurn()
  isDown = false
  const next = gatherer.add(bytes(1))
  endTurn()
  for (const one of await failing) {
    assert.ok(one.status === 'rejected' && (one.reason as Fault).code === 'unavailable')
  }
  assert.deepEqual(await next, bytes(1))
})
