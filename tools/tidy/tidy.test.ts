// Each check fails on what it forbids and passes what it allows.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkAll, checkCycles, checkDocument, readSource } from './checks.ts'
import { blank, findFunctions, findImports } from './scan.ts'

function problemsOf(file: string, text: string): string[] {
  return checkAll([readSource(file, text)]).map(({ line, what }) => `${line}: ${what}`)
}
function finds(file: string, text: string, expected: RegExp): void {
  const found = problemsOf(file, text)
  assert.equal(found.length, 1, `${JSON.stringify(text)}: ${found.join('; ')}`)
  assert.match(found[0] ?? '', expected)
}
function passes(file: string, text: string): void {
  assert.deepEqual(problemsOf(file, text), [])
}

test('strings, comments, templates and regular expressions are blanked in place', () => {
  const text =
    "a('Date // x') /* Date */ + `Date $" +
    "{f('{') + `in $" +
    "{Date}`} Date` + /[/]Date'/.test(b) // Date"
  const code = blank(text)
  assert.equal(code.length, text.length)
  assert.equal(code.match(/Date/g)?.length, 1)
  assert.equal(code.indexOf('Date'), text.indexOf('in $') + 5)
  assert.match(blank('const a = b / c / Date'), /Date/)
})

test('imports are found with their kind', () => {
  const text = [
    "import { a, type B } from '../x/index.ts'",
    "import type { C } from './c.ts'",
    "import { type D, type E } from './d.ts'",
    "export { f } from './f.ts'",
    "import 'g'",
    "const h = await import('./h.ts')",
    "const i = 'import { no } from ./no.ts'",
  ].join('\n')
  const found = findImports(text, blank(text))
  assert.deepEqual(
    found.map(({ specifier, line, isType }) => [specifier, line, isType]),
    [
      ['../x/index.ts', 1, false],
      ['./c.ts', 2, true],
      ['./d.ts', 3, true],
      ['./f.ts', 4, false],
      ['g', 5, false],
      ['./h.ts', 6, false],
    ],
  )
})

test('functions are measured, nested ones for themselves', () => {
  const text = [
    'export async function outer(a: { b: number }): Promise<void> {',
    '  if (a) {',
    '    f()',
    '  }',
    '  const inner = (x: number): string => {',
    '    return x',
    '  }',
    '}',
    'class A {',
    '  get b(): number {',
    '    return 1',
    '  }',
    '}',
  ].join('\n')
  assert.deepEqual(
    findFunctions(text).map(({ name, lines }) => [name, lines]),
    [
      ['outer', 6],
      ['inner', 3],
      ['b', 3],
    ],
  )
})

test('long functions and files', () => {
  const body = (count: number): string => `function f(): void {\n${'  g()\n'.repeat(count)}}\n`
  finds('src/rpc/a.ts', body(69), /f has 71 lines/)
  passes('src/rpc/a.ts', body(68))
  finds('src/rpc/a.ts', '\n'.repeat(601), /601 lines/)
  passes('src/rpc/a.ts', '\n'.repeat(600))
})

test('doors and directions', () => {
  passes('src/raft/a.ts', "import { a } from '../base/index.ts'\nimport { b } from './b.ts'\n")
  finds(
    'src/raft/a.ts',
    "import { a } from '../base/bytes.ts'\n",
    /through src\/base\/index.ts only/,
  )
  finds('src/raft/a.ts', "import { a } from './index.ts'\n", /own door/)
  finds('src/raft/a.ts', "import { a } from '../keyspace/index.ts'\n", /may not import keyspace/)
  finds(
    'src/raft/a.ts',
    "import type { A } from '../keyspace/index.ts'\n",
    /may not import keyspace/,
  )
  finds('src/node/a.ts', "import { a } from '../host/real/index.ts'\n", /may not import/)
  passes('src/cli/a.ts', "import { a } from '../host/real/index.ts'\n")
  finds('src/nowhere/a.ts', 'const a = 1\n', /not a room/)
  finds('src/cli/a.ts', "import { a } from '../../tools/b.ts'\n", /outside of src/)
})

test('ambient names, each with its replacement', () => {
  finds('src/rpc/a.ts', 'const now = Date.now()\n', /host.clock.wallMs/)
  finds('src/rpc/a.ts', 'const a = Math.random()\n', /host.random/)
  finds('src/rpc/a.ts', 'setTimeout(a, 1)\n', /host.clock.after/)
  finds('src/rpc/a.ts', 'const a = process.env\n', /config/)
  finds('src/rpc/a.ts', 'const s = AbortSignal.timeout(5)\n', /AbortController/)
  finds('src/rpc/a.ts', 'list.sort((a, b) => a.localeCompare(b))\n', /compareBytes/)
  finds('src/rpc/a.ts', "import { readFile } from 'node:fs'\n", /belongs to host\/real/)
  passes('src/rpc/a.ts', 'const a = { process: 1, fetch: 2 }\nb.process()\n')
  passes('src/rpc/a.ts', '// Date.now() is ambient\n')
  passes('src/rpc/a.test.ts', "import { readFile } from 'node:fs'\nDate.now()\n")
  passes('src/host/real/clock.ts', 'Date.now()\n')
  passes('src/base/hash.ts', "import { hash } from 'node:crypto'\n")
  finds('src/base/codec.ts', "import { hash } from 'node:crypto'\n", /belongs to/)
})

test('purity of cores', () => {
  finds('src/raft/core/a.ts', 'export async function f(): Promise<void> {}\n', /async in a core/)
  finds('src/raft/core/a.ts', 'let count = 0\n', /mutable module state count/)
  finds(
    'src/raft/core/a.ts',
    "import { a } from '../../host/index.ts'\n",
    /nothing of host but types/,
  )
  passes('src/raft/core/a.ts', "import type { A } from '../../host/index.ts'\n")
  passes('src/raft/core/a.ts', 'export function f(): number {\n  let a = 0\n  return a\n}\n')
  passes('src/raft/a.ts', 'let count = 0\n')
})

test('names', () => {
  finds('src/rpc/peer-manager.ts', 'const a = 1\n', /"manager" in a file name/)
  finds('src/rpc/a.ts', 'class PeerService {}\n', /"service" in the name PeerService/)
  finds('src/rpc/a.ts', 'const data = 1\n', /"data" alone/)
  finds('src/rpc/a.ts', 'function handleFrame(): void {}\n', /"handle" as the verb/)
  finds('src/rpc/a.ts', 'const processAll = (a: A) => b\n', /"process" as the verb/)
  passes('src/rpc/a.ts', 'const handler = 1\nfunction domain(): void {}\nclass ProcessTable {}\n')
  passes('src/gateways/s3/a.ts', 'const commonPrefixes = 1\n')
})

test('cycles of values, not of types', () => {
  const a = readSource('src/rpc/a.ts', "import { b } from './b.ts'\n")
  const b = readSource('src/rpc/b.ts', "import { a } from './a.ts'\n")
  const typed = readSource('src/rpc/b.ts', "import type { A } from './a.ts'\n")
  assert.match(
    checkCycles([a, b])[0]?.what ?? '',
    /src\/rpc\/a.ts -> src\/rpc\/b.ts -> src\/rpc\/a.ts/,
  )
  assert.deepEqual(checkCycles([a, typed]), [])
})

test('the document and the table are held together', () => {
  const found = checkDocument(
    'd.md',
    '| Room | Imports |\n|---|---|\n| base | host |\n| attic | |\n',
  )
  assert.ok(found.some(({ what }) => what.startsWith('base imports "host" here and ""')))
  assert.ok(found.some(({ what }) => what === 'the room attic is not in tools/tidy/rooms.ts'))
  assert.ok(found.some(({ what }) => what === 'the table lacks the room raft'))
})
