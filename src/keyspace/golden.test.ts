// Runs testdata/*.txt: commands, a line of four dashes, the whole output. REWRITE=1 records the output
// anew, to be reviewed as a difference.
//
//   put KEY VALUE [lease=N] [prev] [keepvalue] [keeplease]      del KEY [END] [prev]
//   get KEY [END] [rev=N] [limit=N] [keys] [count] [counted] [reverse] [by=TARGET] [minmod=N] ...
//   txn, then lines: if TARGET KEY[..END] OP OPERAND | then COMMAND | else COMMAND
//   compact REVISION                      sweep
//   grant ID SECONDS                      revoke ID                   expire ID
//
// \0 stands for a zero byte; VALUE may be BYTE*COUNT.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { isFault, utf8Decode, utf8Encode } from '../base/index.ts'
import { encodeNumbers } from './core/entry.ts'
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeResponse,
  TxnRequest,
} from './keyspace.ts'
import { addNeighbours, Bench } from './testing/bench.ts'
import { TestSegments, testDirectory, testStore } from './testing/doubles.ts'

const folder = new URL('./testdata/', import.meta.url)

function bytes(word: string | undefined): Uint8Array {
  assert.ok(word !== undefined, 'a word is missing')
  const many = /^(.)\*(\d+)$/.exec(word)
  if (many !== null) return utf8Encode((many[1] as string).repeat(Number(many[2])))
  return utf8Encode(word.replaceAll('\\0', '\0').replaceAll("''", ''))
}

function show(value: Uint8Array): string {
  if (value.length > 40) return `${utf8Decode(value.subarray(0, 1))}*${value.length}`
  return value.length === 0 ? "''" : utf8Decode(value).replaceAll('\0', '\\0')
}

function parseOperation(line: string): Operation {
  const [verb, ...words] = line.split(' ')
  const flags = new Set(words)
  const number = (name: string): number =>
    Number(words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ?? 0)
  const isFlag =
    /^(rev|limit|lease|by|(min|max)(mod|create))=|^(prev|keys|count(ed)?|reverse|keep(value|lease))$/
  const sortBy = words.find((word) => word.startsWith('by='))?.slice(3)
  const [key, second] = words.filter((word) => !isFlag.test(word))
  const end = second === undefined ? {} : { rangeEnd: bytes(second) }
  if (verb === 'put') {
    return {
      kind: 'put',
      key: bytes(key),
      value: bytes(second),
      lease: number('lease'),
      previous: flags.has('prev'),
      ignoreValue: flags.has('keepvalue'),
      ignoreLease: flags.has('keeplease'),
    }
  }
  if (verb === 'del') {
    return { kind: 'delete', key: bytes(key), ...end, previous: flags.has('prev') }
  }
  assert.equal(verb, 'get', line)
  return {
    kind: 'range',
    request: {
      key: bytes(key),
      ...end,
      revision: number('rev'),
      limit: number('limit'),
      keysOnly: flags.has('keys'),
      countOnly: flags.has('count'),
      isReverse: flags.has('reverse'),
      isCounted: flags.has('counted'),
      ...(sortBy === undefined ? {} : { sortBy: sortBy as 'version' }),
      minModRevision: number('minmod'),
      maxModRevision: number('maxmod'),
      minCreateRevision: number('mincreate'),
      maxCreateRevision: number('maxcreate'),
    },
  }
}

function parseCompare(line: string): Compare {
  const [target, keys = '', operator = '', operand] = line.split(' ')
  const [key, rangeEnd] = keys.split('..')
  const results = { '=': 'equal', '>': 'greater', '<': 'less', '!=': 'not-equal' } as const
  const result = results[operator as keyof typeof results]
  assert.ok(result !== undefined, line)
  return {
    key: bytes(key),
    ...(rangeEnd === undefined ? {} : { rangeEnd: bytes(rangeEnd) }),
    target: target as Compare['target'],
    result,
    operand: target === 'value' ? bytes(operand) : Number(operand),
  }
}

/** Lines of a transaction; deeper lines belong to the 'then txn' or 'else txn' above them. */
function parseTxn(lines: readonly string[]): TxnRequest {
  const compares: Compare[] = []
  const success: Operation[] = []
  const failure: Operation[] = []
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string
    const [word = '', rest = ''] = [
      line.slice(0, line.indexOf(' ')),
      line.slice(line.indexOf(' ') + 1),
    ]
    if (word === 'if') {
      compares.push(parseCompare(rest))
      continue
    }
    assert.ok(word === 'then' || word === 'else', line)
    const branch = word === 'then' ? success : failure
    if (rest !== 'txn') {
      branch.push(parseOperation(rest))
      continue
    }
    const inner: string[] = []
    while (lines[i + 1]?.startsWith('  ')) inner.push((lines[++i] as string).slice(2))
    branch.push({ kind: 'txn', request: parseTxn(inner) })
  }
  return { compares, success, failure }
}

function pairText(kv: KeyValue): string {
  const lease = kv.lease === 0 ? '' : ` lease=${kv.lease}`
  const revisions = `create=${kv.createRevision} mod=${kv.modRevision} version=${kv.version}${lease}`
  return `${show(kv.key)} = ${show(kv.value)}  ${revisions}`
}

function rangeLines(response: RangeResponse): string[] {
  const more = response.more ? ' more' : ''
  return [
    `range revision=${response.revision} count=${response.count}${more}`,
    ...response.kvs.map((kv) => `  ${pairText(kv)}`),
  ]
}

function resultLines(result: OperationResult): string[] {
  switch (result.kind) {
    case 'range':
      return rangeLines(result.response)
    case 'put':
      return result.previous === undefined
        ? ['put']
        : ['put', `  previous ${pairText(result.previous)}`]
    case 'delete':
      return [
        `delete ${result.deleted}`,
        ...result.previous.map((kv) => `  previous ${pairText(kv)}`),
      ]
    case 'txn': {
      const { revision, succeeded, results } = result.response
      const head = `txn revision=${revision} ${succeeded ? 'succeeded' : 'failed'}`
      return [head, ...results.flatMap(resultLines).map((line) => `  ${line}`)]
    }
  }
}

function runLease(bench: Bench, [, verb, number, seconds]: readonly string[]): string[] {
  const id = Number(number)
  if (verb === 'expire') {
    bench.propose('expire', encodeNumbers([id]))
    return [`revision ${bench.machine.state.record.revision}`]
  }
  if (verb === 'revoke') return [`revision ${bench.upkeep('lease-revoke', { id }).revision}`]
  const answer = bench.upkeep('lease-grant', { id, ttlSeconds: Number(seconds) })
  return [`revision ${answer.revision} lease ${answer.id} for ${answer.ttlSeconds} s`]
}

async function runCommand(bench: Bench, command: readonly string[]): Promise<string[]> {
  const [first = '', ...rest] = command
  try {
    if (first.startsWith('compact ')) {
      bench.compact(Number(first.slice(8)))
      return [`compacted ${bench.machine.state.record.compacted}`]
    }
    const lease = /^(grant|revoke|expire) (\d+) ?(\d*)$/.exec(first)
    if (lease !== null) return runLease(bench, lease)
    if (first === 'sweep') {
      await bench.machine.sweep()
      const { latest, history } = bench.rowCounts()
      return [`latest ${latest} history ${history}`]
    }
    if (first === 'txn') {
      const response = await bench.txn(parseTxn(rest))
      return resultLines({ kind: 'txn', response })
    }
    const operation = parseOperation(first)
    if (operation.kind === 'range') return rangeLines(await bench.range(operation.request))
    const response = await bench.txn({ compares: [], success: [operation], failure: [] })
    return [`revision ${response.revision}`, ...response.results.flatMap(resultLines)]
  } catch (error) {
    if (!isFault(error)) throw error
    return [`${error.code}: ${error.message}`]
  }
}

async function runScript(source: string): Promise<string> {
  const directory = testDirectory()
  const store = await testStore(directory.host)
  addNeighbours(store)
  const bench = new Bench(directory.host, store, new TestSegments())
  const output: string[] = []
  for (const block of source.trimEnd().split(/\n\n+/)) {
    const lines = block.split('\n')
    const dashes = lines.indexOf('----')
    const command = lines.slice(0, dashes === -1 ? lines.length : dashes)
    const wanted = command.filter((line) => !line.startsWith('#'))
    if (wanted.length === 0) output.push(command.join('\n'))
    else output.push([...command, '----', ...(await runCommand(bench, wanted))].join('\n'))
  }
  await bench.close()
  directory.remove()
  return `${output.join('\n\n')}\n`
}

describe('golden scripts', () => {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    it(file, async () => {
      const url = new URL(file, folder)
      const source = readFileSync(url, 'utf8')
      const output = await runScript(source)
      if (process.env.REWRITE === '1') writeFileSync(url, output)
      else assert.equal(output, source)
    })
  }
})
