import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Fault, seededRandom } from '../../src/base/index.ts'
import { judgeLog } from './logs.ts'

const vectors = join(import.meta.dirname, '../../../shared/vectors/linearizability')
const isThere = existsSync(join(vectors, 'expected.txt'))

test('published verdicts of register logs are agreed with', {
  skip: isThere ? false : `the published logs are not at ${vectors}`,
}, () => {
  const lines = readFileSync(join(vectors, 'expected.txt'), 'utf8').trim().split('\n')
  assert.ok(lines.length > 0)
  for (const line of lines) {
    const [name = '', verdict] = line.split(/\s+/)
    const { kind } = judgeLog(readFileSync(join(vectors, name), 'utf8'))
    assert.equal(kind, verdict === 'true' ? 'ok' : 'violated', name)
  }
})

const registerLog = [
  'INFO  jepsen.util - 0\t:invoke\t:write\t3',
  'INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]',
  'INFO  jepsen.util - 0\t:ok\t:write\t3',
  'INFO  jepsen.util - 1\t:info\t:cas\t:timed-out',
  'INFO  jepsen.util - 0\t:invoke\t:read\tnil',
  'INFO  jepsen.util - 0\t:ok\t:read\t4',
  '',
]
const mapLog = [
  '{:process 0, :type :invoke, :f :put, :key "k", :value "v"}',
  '{:process 0, :type :ok, :f :put, :key "k", :value "v"}',
  '{:process 1, :type :invoke, :f :append, :key "k", :value "w"}',
  '{:process 0, :type :invoke, :f :get, :key "k", :value nil}',
  '{:process 0, :type :ok, :f :get, :key "k", :value "vw"}',
  '{:process 1, :type :ok, :f :append, :key "k", :value "w"}',
]

test('both forms are read, and what they say is judged', () => {
  assert.equal(judgeLog(registerLog.join('\n')).kind, 'ok')
  assert.equal(judgeLog(mapLog.join('\n')).kind, 'ok')
  const wrong = registerLog.join('\n').replace(':ok\t:read\t4', ':ok\t:read\tnil')
  assert.equal(judgeLog(wrong).kind, 'violated')
  const { kind, model, operations } = judgeLog(mapLog.join('\n').replace('"vw"', '"wv"'))
  assert.deepEqual([kind, model, operations], ['violated', 'key-value', 3])
})

test('a log that is not understood is refused with its line', () => {
  const broken: readonly (readonly [string, RegExp])[] = [
    ['', /no known form/],
    ['{"not": "a log"}', /no known form/],
    [`${registerLog[0]}\nINFO  jepsen.util - x`, /line 2: no event/],
    [`${registerLog[0]}\n${registerLog[0]}`, /line 2: client 0 calls twice/],
    [`${registerLog[0]}\n${registerLog[3]}`, /line 2: client 1 returns without a call/],
    [`${registerLog[0]?.replace('3', 'x')}`, /line 1: x is no value/],
    [`${mapLog[0]}\n${mapLog[1]?.replace('"k"', '"l"')}`, /line 2: the answer is of another key/],
  ]
  for (const [log, expected] of broken) {
    assert.throws(
      () => judgeLog(log),
      (error) => error instanceof Fault && expected.test(error.message),
    )
  }
})

test('damaged logs are judged or refused, never anything else', () => {
  const random = seededRandom(8)
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from((random.chance(0.5) ? registerLog : mapLog).join('\n'))
    for (let i = 0; i < 3; i++) bytes[random.integer(bytes.length)] = random.integer(128)
    try {
      judgeLog(bytes.toString('latin1'))
    } catch (error) {
      assert.ok(error instanceof Fault && error.code === 'invalid')
    }
  }
})
