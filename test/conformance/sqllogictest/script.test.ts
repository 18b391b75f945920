import assert from 'node:assert/strict'
import { test } from 'node:test'
import { differenceOf, parseScript, render } from './script.ts'

test('a file is its records, less what is for other engines, up to its halt', () => {
  const text = `# a comment
onlyif mssql
halt

hash-threshold 8

statement ok
CREATE TABLE t (
  a)

skipif sqlite
statement error
SELECT

query IT rowsort label-1
SELECT 1, 'x'
----
1
x

onlyif sqlite
halt

statement ok
SELECT 2
`
  assert.deepEqual(parseScript(text), [
    { kind: 'statement', line: 7, sql: 'CREATE TABLE t (\n  a)', isError: false },
    {
      kind: 'query',
      line: 15,
      sql: "SELECT 1, 'x'",
      types: 'IT',
      sort: 'rowsort',
      expected: ['1', 'x'],
    },
  ])
  assert.throws(() => parseScript('nonsense here'), /line 1/)
})

test('values are written as the files write them', () => {
  const rows = [
    [10n, 'b', 2n],
    [9n, '', 1.23456],
    [null, 'ä\n', null],
  ]
  assert.deepEqual(render(rows, { types: 'ITR', sort: 'nosort' }), [
    '10',
    'b',
    '2.000',
    '9',
    '(empty)',
    '1.235',
    'NULL',
    '@@',
    'NULL',
  ])
  assert.deepEqual(render(rows, { types: 'ITR', sort: 'rowsort' }).slice(0, 3), [
    '10',
    'b',
    '2.000',
  ])
  assert.deepEqual(render([['12x'], [3.9], ['x']], { types: 'I', sort: 'valuesort' }), [
    '0',
    '12',
    '3',
  ])
  assert.equal(
    differenceOf(['1', '2'], ['2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0']),
    undefined,
  )
  assert.match(
    differenceOf(['1', '3'], ['2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0']) ?? '',
    /hashing/,
  )
  assert.deepEqual(render([[-(2n ** 63n)], [-(2 ** 64)], [0.5]], { types: 'R', sort: 'nosort' }), [
    '-9223372036854776000.000',
    '-18446744073709550000.000',
    '0.500',
  ])
  assert.match(differenceOf(['1'], ['1', '2']) ?? '', /not 2/)
})
