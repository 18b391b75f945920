import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { one, run, type Token, tokensOf, Wildcard } from './wildcard.ts'

const matches = (pattern: string, text: string): boolean =>
  new Wildcard(tokensOf(pattern)).matches(text)

/** The definition, exponential. */
function naive(pattern: readonly string[], text: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return text.length === 0
  if (first === '*') {
    return naive(rest, text) || (text.length > 0 && naive(pattern, text.slice(1)))
  }
  return text.length > 0 && (first === '?' || first === text[0]) && naive(rest, text.slice(1))
}

test('runs and single characters', () => {
  const table: readonly (readonly [pattern: string, text: string, expected: boolean])[] = [
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['**', 'anything', true],
    ['abc', 'abc', true],
    ['abc', 'abcd', false],
    ['abc', 'ABC', false],
    ['a*', 'a', true],
    ['*a', 'ba', true],
    ['ab*ba', 'aba', false],
    ['ab*ba', 'abba', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'acb', false],
    ['?', '', false],
    ['?', 'é', true],
    ['?', '😀', true],
    ['??', '😀', false],
    ['a?*', 'a', false],
    ['*?', 'x', true],
    ['a.c', 'abc', false],
    ['[a-z]', 'b', false],
    ['a\\*', 'a\\b', true],
    ['\u00e9', 'e\u0301', false],
    ['x*', 'x\n/../y', true],
  ]
  for (const [pattern, text, expected] of table) {
    assert.equal(matches(pattern, text), expected, `${pattern} of ${JSON.stringify(text)}`)
  }
})

test('as the definition has it, on random patterns and texts', () => {
  const random = seededRandom(41)
  const pick = (alphabet: string, max: number): string[] => {
    const characters = [...alphabet]
    const count = random.integer(max + 1)
    return Array.from({ length: count }, () => characters[random.integer(characters.length)] ?? '')
  }
  for (let round = 0; round < 20_000; round++) {
    const pattern = pick('ab*?😀', 7)
    const text = pick('abc😀', 8)
    const expected = naive(pattern, text)
    assert.equal(
      matches(pattern.join(''), text.join('')),
      expected,
      `${pattern.join('')} ${text.join('')}`,
    )
  }
})

test('long patterns cross the words of a state', () => {
  const random = seededRandom(42)
  for (let round = 0; round < 200; round++) {
    const pieces = Array.from({ length: 1 + random.integer(5) }, () =>
      'ab'.repeat(random.integer(40)),
    )
    const pattern = `?${pieces.join('*')}`
    const gaps = pieces.map((piece) => piece + (random.integer(2) === 0 ? '' : 'zz'))
    const text = `q${gaps.join('').replace(/zz$/, '')}`
    const byExpression = new RegExp(`^.${pieces.join('.*')}$`, 's').test(text)
    assert.equal(matches(pattern, text), byExpression)
  }
})

test('pieces are found where they first are, long ones and single characters by the automaton', () => {
  const long = 'x'.repeat(40)
  for (const [pattern, text, expected] of [
    [`a*${long}*b`, `a--${long}--b`, true],
    [`a*${long}*b`, `a--${'x'.repeat(39)}--b`, false],
    ['*a*b*', 'xxaxxbxx', true],
    ['*a**b*', 'ba', false],
    ['a*ab*b', 'aab', false],
    ['a*ab*b', 'aabb', true],
    ['*ab', 'aab', true],
    ['a*a', 'a', false],
  ] as const) {
    assert.equal(matches(pattern, text), expected, `${pattern} of ${text}`)
  }
})

test('what makes a backtracking matcher explode is bounded', () => {
  const wildcard = new Wildcard(tokensOf(`${'*a'.repeat(1_000)}*b`))
  assert.equal(wildcard.matches('a'.repeat(1_100)), false)
  assert.equal(wildcard.matches(`${'a'.repeat(1_100)}b`), true)
  const wide = new Wildcard([run, ...new Array<Token>(1_000).fill(one), 'x'])
  assert.equal(wide.matches(`${'a'.repeat(1_100)}x`), true)
  assert.equal(wide.matches('a'.repeat(1_100)), false)
})

test('literal texts hold no wildcards, and a match may begin within a text', () => {
  const literal = new Wildcard(['a*', run, '?'])
  assert.equal(literal.matches('a*b?'), true)
  assert.equal(literal.matches('axb?'), false)
  assert.equal(new Wildcard(tokensOf('b*d')).matches('abcd', 1), true)
  assert.equal(new Wildcard(tokensOf('a?c')).matches('xabc', 1), true)
  assert.equal(new Wildcard(tokensOf('bd')).matches('abd', 2), false)
})
