import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { splitStatements } from './statement-texts.ts'
import { firstWord, firstWords } from './words.ts'

test('statements end where SQLite ends them', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['', []],
    [' ; ;; -- nothing\n', []],
    ['SELECT 1', ['SELECT 1']],
    ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2']],
    ["SELECT ';''; ' ; SELECT \";\", [;], `;`", ["SELECT ';''; '", 'SELECT ";", [;], `;`']],
    ['SELECT 1 -- a; b\n; SELECT /* ; */ 2', ['SELECT 1 -- a; b', 'SELECT /* ; */ 2']],
    [
      'CREATE TEMP TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3',
      ['CREATE TEMP TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END', 'SELECT 3'],
    ],
    [
      'create trigger a after insert on t begin update t set a = case when 1 then 2 end; end; select 1',
      [
        'create trigger a after insert on t begin update t set a = case when 1 then 2 end; end',
        'select 1',
      ],
    ],
    ["SELECT 'open; ", ["SELECT 'open;"]],
    ['BEGIN; COMMIT', ['BEGIN', 'COMMIT']],
  ]
  for (const [text, expected] of cases) assert.deepEqual(splitStatements(text), expected, text)
})

test('the first words lie behind white space and comments', () => {
  assert.deepEqual(firstWords('/* a */ -- b\n ; Rollback  /**/ TO x'), ['rollback', 'to'])
  assert.equal(firstWord('(SELECT 1)'), '')
  assert.deepEqual(firstWords('/* open'), ['', ''])
})

test('any text is cut without an error, in linear time, and nothing but separators is lost', () => {
  const random = seededRandom(7)
  const pieces = [
    ';',
    "'",
    '"',
    '[',
    ']',
    '`',
    '--',
    '\n',
    '/*',
    '*/',
    ' ',
    'end',
    'create trigger',
    'a',
    'é',
  ]
  for (let round = 0; round < 2_000; round++) {
    let text = ''
    for (let i = 0; i < 30; i++) text += pieces[random.integer(pieces.length)]
    for (const one of splitStatements(text)) assert.ok(text.includes(one) && one !== '')
  }
  assert.equal(splitStatements(`${"'".repeat(400_000)}`).length, 1)
  assert.equal(splitStatements('/* '.repeat(400_000)).length, 0)
})
