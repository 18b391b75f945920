import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkWatches, type WatchedWrite, type WatchRecord } from './watches.ts'

const writes: readonly WatchedWrite[] = [
  { key: 'a', value: '1', revision: 2, calledAt: 0 },
  { key: 'b', value: '1', revision: 3, calledAt: 1 },
  { key: 'a', value: '2', revision: 4, calledAt: 2 },
  { key: 'b', value: '2', revision: 4, calledAt: 2 },
  { key: 'a', value: null, revision: undefined, calledAt: 3 },
]
const events = {
  a2: { key: 'a', value: '1', revision: 2 },
  b3: { key: 'b', value: '1', revision: 3 },
  a4: { key: 'a', value: '2', revision: 4 },
  b4: { key: 'b', value: '2', revision: 4 },
  gone: { key: 'a', value: null, revision: 5 },
}
type Response = WatchRecord['responses'][number]

function response(
  revision: number,
  told: Response['events'],
  more: Partial<Response> = {},
): Response {
  return { at: 10 + revision, revision, events: told, isFragment: false, ...more }
}

function watch(responses: readonly Response[], more: Partial<WatchRecord> = {}): WatchRecord {
  return { name: 'w', startRevision: 1, covers: () => true, responses, ...more }
}

function breachesOf(...watches: readonly WatchRecord[]): readonly string[] {
  return checkWatches(writes, watches)
}

const { a2, b3, a4, b4, gone } = events

test('watches that keep their promises', () => {
  const whole = watch([response(2, [a2]), response(4, [b3, a4, b4]), response(5, [gone])])
  const pieces = watch([
    response(3, [a2, b3]),
    response(4, [a4], { isFragment: true }),
    response(4, [b4]),
  ])
  const late = watch([response(4, [a4, b4]), response(6, [])], { startRevision: 4 })
  const narrow = watch([response(4, [b3, b4])], { covers: (key) => key === 'b' })
  const ahead = watch([response(4, []), response(5, [gone])], { startRevision: 5 })
  assert.deepEqual(breachesOf(ahead), [], 'what was before its start is told')
  for (const one of [whole, pieces, narrow]) assert.deepEqual(breachesOf(one), [])
  assert.deepEqual(breachesOf(late), [], 'nobody saw the delete: it need not have happened')
  assert.deepEqual(breachesOf(watch([])), [], 'a watch that was told nothing promised nothing')
  assert.deepEqual(breachesOf(whole, pieces, narrow), [])
})

test('every broken promise is found', () => {
  const cases: readonly (readonly [RegExp, ...WatchRecord[]])[] = [
    [/a = "1" at 2 comes after 3/, watch([response(4, [b3, a2, a4, b4])])],
    [/is before its start at 3/, watch([response(3, [a2, b3])], { startRevision: 3 })],
    [/comes twice/, watch([response(3, [a2, a2, b3])])],
    [/b = "1" at 3 was acknowledged and is left out/, watch([response(4, [a2, a4, b4])])],
    [/was acknowledged and is left out/, watch([response(3, [])])],
    [
      /though everything up to 4 had been told/,
      watch([response(4, [a2, b3, a4]), response(4, [b4])]),
    ],
    [/told beyond 3/, watch([response(3, [a2, b3, a4, b4])])],
    [/is not its own/, watch([response(2, [a2])], { covers: (key) => key === 'b' })],
    [/nobody had written/, watch([response(2, [a2, { ...a2, key: 'c' }])])],
    [/but a = "1" at 2/, watch([response(2, [{ ...a2, value: '9' }])])],
    [/before it was asked for/, watch([response(2, [a2], { at: -1 })])],
    [/nobody had written a = deleted/, watch([response(5, [a2, b3, a4, b4, gone], { at: 2.5 })])],
    [/its revision goes back/, watch([response(3, [a2, b3]), response(2, [])])],
    [/goes back from 4 to 2/, watch([response(2, [])], { startRevision: 5 })],
    [
      /was told to another and is left out/,
      watch([response(5, [a2, b3, a4, b4, gone])]),
      watch([response(5, [a2, b3, a4, b4])]),
    ],
    [
      /a = "2" at 4 came after 1, not after 7/,
      watch([response(4, [{ ...a2, isCreate: true }, b3, { ...a4, previous: '7' }, b4])]),
    ],
    [
      /a = "2" at 4 is told as a creation, after 1/,
      watch([response(4, [a2, b3, { ...a4, previous: '1', isCreate: true }, b4])]),
    ],
    [
      /nobody had written a = deleted at 6/,
      watch([response(6, [a2, b3, a4, b4, gone, { ...gone, revision: 6 }])]),
    ],
  ]
  for (const [expected, ...watches] of cases) {
    assert.match(breachesOf(...watches).join('\n'), expected)
  }
})

test('two writes with one place are a breach by themselves', () => {
  const again = { key: 'a', value: '7', revision: 2, calledAt: 5 }
  assert.match(checkWatches([...writes, again], []).join('\n'), /two writes were acknowledged/)
})
