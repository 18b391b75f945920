// The data-driven test format (cockroachdb/datadriven): a command line with arguments, lines of input,
// `----`, and the expected output up to a blank line; or, when the output itself has blank lines, a
// second `----` after the first and two of them at the end. `#` begins a comment between cases.

export type Argument = { readonly key: string; readonly values: readonly string[] }

export type ScriptCase = {
  /** Line of the command, from 1. */
  readonly line: number
  readonly command: string
  readonly args: readonly Argument[]
  readonly input: string
  /** Every line ends in a newline; empty when nothing is expected. */
  readonly expected: string
}

/** What is wrong with a script, as a value that only the runner catches. */
export class ScriptProblem extends Error {
  override name = 'ScriptProblem'
}

const separator = '----'

export function parseScript(text: string): readonly ScriptCase[] {
  const lines = new Lines(text)
  const cases: ScriptCase[] = []
  for (;;) {
    const start = lines.number
    const first = lines.take()
    if (first === undefined) return cases
    let directive = first.trim()
    if (directive === '' || directive.startsWith('#')) continue
    while (directive.endsWith('\\')) {
      directive = `${directive.slice(0, -1)} ${(lines.take() ?? '').trim()}`
    }
    const { command, args } = parseDirective(directive)
    if (command === 'subtest') continue
    const input = readInput(lines, start)
    cases.push({ line: start, command, args, input, expected: readExpected(lines) })
  }
}

/** `command key key=value key=(a, b)` */
function parseDirective(directive: string): { command: string; args: readonly Argument[] } {
  const [command = '', ...rest] = directive.match(/[^\s=]+=\([^)]*\)|\S+/g) ?? []
  return { command, args: rest.map(parseArgument) }
}

function parseArgument(word: string): Argument {
  const equals = word.indexOf('=')
  if (equals < 0) return { key: word, values: [] }
  const key = word.slice(0, equals)
  const value = word.slice(equals + 1)
  if (!value.startsWith('(')) return { key, values: [value] }
  const list = value.slice(1, -1)
  return { key, values: list.trim() === '' ? [] : list.split(',').map((part) => part.trim()) }
}

function readInput(lines: Lines, start: number): string {
  const input: string[] = []
  for (;;) {
    const line = lines.take()
    if (line === undefined)
      throw new ScriptProblem(`line ${start}: no ${separator} after the command`)
    if (line === separator) return input.join('\n').trim()
    input.push(line)
  }
}

function readExpected(lines: Lines): string {
  let expected = ''
  const isDouble = lines.peek() === separator
  if (isDouble) lines.take()
  for (;;) {
    const line = lines.take()
    if (line === undefined) return expected
    if (isDouble && line === separator && lines.peek() === separator) {
      lines.take()
      return expected
    }
    if (!isDouble && line.trim() === '') return expected
    expected += `${line}\n`
  }
}

class Lines {
  readonly #lines: readonly string[]
  #at = 0

  constructor(text: string) {
    const lines = text.split(/\r?\n/)
    if (lines.at(-1) === '') lines.pop()
    this.#lines = lines
  }

  /** Number of the next line, from 1. */
  get number(): number {
    return this.#at + 1
  }

  peek(): string | undefined {
    return this.#lines[this.#at]
  }

  take(): string | undefined {
    const line = this.#lines[this.#at]
    this.#at++
    return line
  }
}

/** The values of `key=...`, over all its occurrences. */
export function valuesOf(args: readonly Argument[], key: string): readonly string[] {
  return args.filter((arg) => arg.key === key).flatMap((arg) => arg.values)
}

/** Arguments without values, as numbers. */
export function plainNumbers(args: readonly Argument[]): readonly number[] {
  return args.filter((arg) => arg.values.length === 0).map((arg) => parseInteger(arg.key))
}

export function parseInteger(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new ScriptProblem(`not a number: ${text}`)
  }
  return value
}

export function parseBoolean(text: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true
  if (/^(0|f|false)$/i.test(text)) return false
  throw new ScriptProblem(`not a boolean: ${text}`)
}

/** `v1 l2 r3 u4`: changes of a configuration. */
export function parseChanges(input: string): readonly ParsedChange[] {
  if (input.trim() === '') return []
  return input
    .trim()
    .split(/\s+/)
    .map((token) => {
      if (token.length < 2) throw new ScriptProblem(`unknown token ${token}`)
      const kind = changeKinds[token[0] as string]
      if (kind === undefined) throw new ScriptProblem(`unknown input: ${token}`)
      return { kind, nodeId: parseInteger(token.slice(1)) }
    })
}

export type ParsedChange = {
  readonly kind: 'add-voter' | 'add-learner' | 'remove' | 'update'
  readonly nodeId: number
}

const changeKinds: Readonly<Record<string, ParsedChange['kind']>> = {
  v: 'add-voter',
  l: 'add-learner',
  r: 'remove',
  u: 'update',
}
