import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../../base/index.ts'
import { type Json, readJson } from './json.ts'

const bounds = { bytesMax: 400, depthMax: 4, valuesMax: 30 }
const read = (text: string): Json => readJson(text, bounds)

/** With objects as objects, as JSON.parse has it. */
function plain(value: Json): unknown {
  if (value instanceof Map) {
    const members = Object.create(null) as Record<string, unknown>
    for (const [name, item] of value) members[name] = plain(item)
    return members
  }
  return Array.isArray(value) ? value.map(plain) : value
}

test('reads what JSON.parse reads', () => {
  const texts = [
    '{"a":[1,-2.5e3,true,false,null,"x\\n\\u00e9\\"/\\/"],"b":{}}',
    ' [ ] ',
    '"é😀"',
    '0',
    '{"":""}',
  ]
  for (const text of texts) {
    assert.deepEqual(JSON.stringify(plain(read(text))), JSON.stringify(JSON.parse(text)))
  }
  const proto = read('{"__proto__":{"a":1}}')
  assert.ok(proto instanceof Map && proto.has('__proto__'))
})

test('refuses what is no JSON, is ambiguous, or too much, and says where', () => {
  const table: readonly (readonly [text: string, message: RegExp])[] = [
    ['', /^character 1: not JSON: a value is missing/],
    ['{"a":1,"a":2}', /two members are called "a"/],
    ['{"a":1,}', /a member begins with its name/],
    ['{a:1}', /a member begins with its name/],
    ['[1,]', /a value is missing/],
    ['[1 2]', /"," or "\]" is missing/],
    ['{"a" 1}', /":" is missing/],
    ['01', /something follows/],
    ['1 2', /^character 3: .*something follows/],
    ['+1', /a value is missing/],
    ['NaN', /a value is missing/],
    ["'a'", /a value is missing/],
    ['"a', /does not end/],
    ['"a\\', /does not end/],
    ['"a\nb"', /a control character/],
    ['"\\x"', /a malformed escape/],
    ['"\\ud800"', /half of a character/],
    ['\ufeff1', /a value is missing/],
    ['[[[[[1]]]]]', /nested deeper than 4/],
    [`[${'1,'.repeat(30)}1]`, /more than 30 values/],
    [`"${'é'.repeat(200)}"`, /longer than 400 bytes/],
    [`"${'a'.repeat(400)}"`, /longer than 400 bytes/],
  ]
  for (const [text, message] of table) {
    assert.throws(
      () => read(text),
      (error) =>
        isFault(error, 'invalid') &&
        error.s3.code === 'MalformedPolicy' &&
        message.test(error.message),
      text,
    )
  }
})

test('on random input: agrees with JSON.parse, or refuses', () => {
  const random = seededRandom(7)
  const pieces = ['{', '}', '[', ']', ',', ':', '"a"', '"b"', '1', 'true', ' ', '"', '\\', '-']
  let read1 = 0
  for (let round = 0; round < 8_000; round++) {
    const count = 1 + random.integer(9)
    const text = Array.from({ length: count }, () => pieces[random.integer(pieces.length)]).join('')
    let value: Json
    try {
      value = read(text)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'))
      continue
    }
    read1++
    assert.equal(JSON.stringify(plain(value)), JSON.stringify(JSON.parse(text)))
  }
  assert.ok(read1 > 40)
})
