// Judges published histories: npm run check:histories -- DIR [--seconds 60] [--explain]. Reads every log
// under DIR and prints a line per file: whether the verdict is the published one, verdict, published verdict,
// operations, time. Last `N agreed, M differed`. Published verdicts are in DIR/expected.txt (`name true`,
// `name false`) or in the name (c10-ok.txt, c10-bad.txt). Exits with 0 only when there were published
// verdicts and all were agreed with; a search that reaches its limit agrees with nothing.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { Fault } from '../src/base/index.ts'
import { isHelpGiven } from './usage.ts'
import { judgeLog, type LogVerdict } from '../sim/histories/logs.ts'

const verdictsName = 'expected.txt'
const fileBytesMax = 256 * 1024 * 1024

type Published = 'ok' | 'violated'

function main(): number {
  if (isHelpGiven(import.meta.filename)) return 0
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      explain: { type: 'boolean', default: false },
    },
  })
  const directory = positionals[0]
  if (directory === undefined || statSync(directory, { throwIfNoEntry: false }) === undefined) {
    console.log('usage: npm run check:histories -- DIR [--seconds 60] [--explain]')
    return 64
  }
  const options = { seconds: Number(values.seconds), isExplained: values.explain }
  const counts = { agreed: 0, differed: 0, unpublished: 0 }
  for (const { path, published } of logsUnder(directory)) {
    const verdict = judgeFile(path, options.seconds)
    if (published === undefined) counts.unpublished++
    else if (verdict.kind === published) counts.agreed++
    else counts.differed++
    tell(relative(directory, path), { verdict, published, isExplained: options.isExplained })
  }
  if (counts.unpublished > 0) console.log(`${counts.unpublished} without a published verdict`)
  console.log(`${counts.agreed} agreed, ${counts.differed} differed`)
  return counts.differed === 0 && counts.agreed > 0 ? 0 : 1
}

type Judged = (Pick<LogVerdict, 'model' | 'operations' | 'explanation'> & {
  readonly kind: LogVerdict['kind'] | 'unreadable'
}) & { readonly tookMs: number }

function judgeFile(path: string, seconds: number): Judged {
  const startedMs = performance.now()
  const endMs = startedMs + seconds * 1_000
  const isExpired = (): boolean => performance.now() > endMs
  try {
    const size = statSync(path, { throwIfNoEntry: false })?.size
    if (size === undefined) throw new Fault('not-found', 'the file is not there')
    if (size > fileBytesMax) throw new Fault('too-large', `more than ${fileBytesMax} bytes`)
    const stepsMax = Number.POSITIVE_INFINITY
    const verdict = judgeLog(readFileSync(path, 'utf8'), { isExpired, stepsMax })
    return { ...verdict, tookMs: performance.now() - startedMs }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    const tookMs = performance.now() - startedMs
    return { kind: 'unreadable', model: '-', operations: 0, explanation: error.message, tookMs }
  }
}

function tell(
  name: string,
  told: {
    readonly verdict: Judged
    readonly published: Published | undefined
    readonly isExplained: boolean
  },
): void {
  const { verdict, published } = told
  const isSame = verdict.kind === published
  const mark = published === undefined ? '-   ' : isSame ? 'ok  ' : 'DIFF'
  const took = `${verdict.tookMs.toFixed(1)} ms`
  console.log(
    `${mark} ${name}: ${verdict.kind}, published ${published ?? 'nowhere'}, ${verdict.model}, ${verdict.operations} operations, ${took}`,
  )
  const isShown = told.isExplained || verdict.kind === 'unknown' || verdict.kind === 'unreadable'
  if (isShown && verdict.explanation !== undefined) console.log(verdict.explanation)
}

/** Sorted; without hidden files. A log that a list of verdicts names and that is absent is there as well. */
function logsUnder(
  directory: string,
): readonly { readonly path: string; readonly published: Published | undefined }[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  const published = new Map<string, Published>()
  for (const path of files.filter((file) => basename(file) === verdictsName)) {
    for (const [name, verdict] of readVerdicts(path)) {
      published.set(join(path, '..', name), verdict)
    }
  }
  const logs = files.filter((path) => {
    return /\.(log|txt)$/.test(path) && basename(path) !== verdictsName
  })
  return [...new Set([...logs, ...published.keys()])].sort().map((path) => {
    return { path, published: published.get(path) ?? verdictOfName(path) }
  })
}

function readVerdicts(path: string): readonly (readonly [string, Published])[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, name, verdict] = /^(\S+)\s+(true|false)\s*$/.exec(line) ?? []
      return name === undefined ? [] : [[name, verdict === 'true' ? 'ok' : 'violated'] as const]
    })
}

function verdictOfName(path: string): Published | undefined {
  const [, word] = /-(ok|bad)\.\w+$/.exec(path) ?? []
  return word === undefined ? undefined : word === 'ok' ? 'ok' : 'violated'
}

process.exitCode = main()
