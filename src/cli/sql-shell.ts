// `atoll sql NAME`: a shell for one database. Statements end with a semicolon; lines that begin with a dot are the shell's
// own. From a pipe it runs what it is given and stops at the first error.

import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { Fault, isFault, toFault } from '../base/index.ts'
import { cutStatements, splitStatements } from '../sql/core/statement-texts.ts'
import { askAdmin, askFirst } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { importCsv } from './sql-import.ts'
import { type Mode, modes, showResult } from './sql-show.ts'
import { SqlStream } from './sql-stream.ts'
import { answer, describeFault, tell, withProgress } from './terminal.ts'

export type SqlOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
  /** Absent: the databases are listed. */
  readonly name: string | undefined
  /** Absent: they are read from standard input. */
  readonly statements: string | undefined
  readonly act: 'use' | 'create' | 'drop'
}

const askMs = 30_000
const historyMax = 1_000
const schemaQuery =
  "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_atoll\\_%' ESCAPE '\\' AND sql IS NOT NULL"
const helpText = `.tables             the tables and views
.schema [TABLE]     how they were made
.import FILE TABLE  rows of a CSV file; a table that is not there is made from its first line
.mode ${modes.join('|')}   how rows are shown
.timer on|off       how long each statement took, here and in the engine
.status             how this node sees the database's group
.help, .quit`

/** Settles with the exit status. */
export async function sqlCommand(options: SqlOptions): Promise<number> {
  const { dataDir, node, name, act } = options
  const nodes = findNodes(dataDir, node)
  const ask = async (method: 'GET' | 'PUT' | 'DELETE', path: string): Promise<unknown> => {
    const asked = askFirst(nodes, ({ endpoint }) => {
      return askAdmin(endpoint, { method, path, timeoutMs: askMs })
    })
    return await withProgress(() => 'waiting for the cluster', asked)
  }
  if (name === undefined) return tellList(await ask('GET', '/sql'), options.isJson)
  const path = `/sql/${encodeURIComponent(name)}`
  if (act !== 'use') {
    const got = await ask(act === 'create' ? 'PUT' : 'DELETE', path)
    answer(
      options.isJson ? JSON.stringify(got) : `${name} is ${act === 'create' ? 'there' : 'gone'}`,
    )
    return 0
  }
  const shell = new Shell(new SqlStream(nodes, name), {
    mode: options.isJson ? 'json' : 'table',
    status: () => ask('GET', `${path}/status`),
  })
  try {
    if (options.statements !== undefined) return await shell.runAll(options.statements)
    if (process.stdin.isTTY) return await shell.talk(name)
    return await shell.readAll()
  } finally {
    await shell.close()
  }
}

function tellList(got: unknown, isJson: boolean): number {
  const { databases } = got as { readonly databases: readonly string[] }
  const none = 'no databases: atoll sql NAME --create'
  answer(isJson ? JSON.stringify(got) : databases.length === 0 ? none : databases.join('\n'))
  return 0
}

class Shell {
  readonly #stream: SqlStream
  readonly #status: () => Promise<unknown>
  #mode: Mode
  #hasTimer = false

  constructor(
    stream: SqlStream,
    options: { readonly mode: Mode; readonly status: () => Promise<unknown> },
  ) {
    this.#stream = stream
    this.#mode = options.mode
    this.#status = options.status
  }

  async close(): Promise<void> {
    // A node that is gone has rolled back by itself.
    await this.#stream.close().catch((error: unknown) => {
      if (!isFault(error)) throw error
    })
  }

  async runAll(statements: string): Promise<number> {
    if (statements.trim().startsWith('.')) await this.#command(statements.trim())
    else for (const sql of splitStatements(statements)) await this.#statement(sql)
    return 0
  }

  /** From a pipe. */
  async readAll(): Promise<number> {
    let text = ''
    for await (const line of createInterface({ input: process.stdin }))
      text = await this.#line(text, line)
    await this.runAll(text)
    return 0
  }

  async talk(name: string): Promise<number> {
    const lines = createInterface({
      input: process.stdin,
      output: process.stdout,
      history: readHistory(),
      historySize: historyMax,
      removeHistoryDuplicates: true,
    })
    tell('atoll: statements end with a semicolon; .help tells the rest')
    let text = ''
    lines.on('SIGINT', () => {
      text = ''
      process.stdout.write('\n')
      this.#prompt(lines, name, text)
    })
    this.#prompt(lines, name, text)
    for await (const line of lines) {
      if (/^\.(?:quit|exit|q)\b/.test(line.trim()) && text === '') break
      try {
        text = await this.#line(text, line)
      } catch (error) {
        text = ''
        tell(describeFault(toFault(error)))
      }
      this.#prompt(lines, name, text)
    }
    keepHistory((lines as Interface & { readonly history?: readonly string[] }).history ?? [])
    lines.close()
    return 0
  }

  #prompt(lines: Interface, name: string, text: string): void {
    const sign = this.#stream.isAutocommit ? '>' : '*>'
    lines.setPrompt(text.trim() === '' ? `${name}${sign} ` : `${' '.repeat(name.length)}...> `)
    lines.prompt()
  }

  /** Answers the text that goes on. */
  async #line(text: string, line: string): Promise<string> {
    if (text.trim() === '' && line.startsWith('.')) {
      await this.#command(line.trim())
      return ''
    }
    const { complete, rest } = cutStatements(`${text}${line}\n`)
    for (const sql of complete) await this.#statement(sql)
    return rest
  }

  async #statement(sql: string): Promise<void> {
    const startedMs = performance.now()
    const result = await withProgress(() => 'the statement runs', this.#stream.run(sql))
    const elapsedMs = performance.now() - startedMs
    const shown = showResult(result, this.#mode)
    if (shown !== '') await page(shown)
    else if (process.stdout.isTTY && result.affected_row_count > 0) {
      tell(`${result.affected_row_count} rows`)
    }
    if (this.#hasTimer) {
      tell(
        `${elapsedMs.toFixed(1)} ms, ${result.query_duration_ms.toFixed(1)} ms of it in the engine`,
      )
    }
  }

  async #command(line: string): Promise<void> {
    const [command = '', first, second] = line.split(/\s+/)
    if (command === '.help') answer(helpText)
    else if (command === '.tables') await this.#tables()
    else if (command === '.schema') await this.#schema(first)
    else if (command === '.status') answer(JSON.stringify(await this.#status(), undefined, 2))
    else if (command === '.timer') this.#hasTimer = first !== 'off'
    else if (command === '.mode') {
      const mode = modes.find((one) => one === first)
      if (mode === undefined) throw new Fault('invalid', `.mode is one of ${modes.join(', ')}`)
      this.#mode = mode
    } else if (command === '.import' && first !== undefined && second !== undefined) {
      const imported = importCsv(this.#stream, { path: first, table: second })
      const { rows, isNewTable } = await withProgress(() => `importing ${first}`, imported)
      tell(`${rows} rows into ${isNewTable ? 'the new table ' : ''}${second}`)
    } else throw new Fault('invalid', `no command ${line}`, { next: '.help shows what there is' })
  }

  async #tables(): Promise<void> {
    const found = await this.#stream.run(
      `${schemaQuery} AND type IN ('table', 'view') ORDER BY name`,
    )
    const names = found.rows.map(([name]) => (name?.type === 'text' ? name.value : ''))
    if (names.length > 0) answer(names.join('\n'))
  }

  async #schema(table: string | undefined): Promise<void> {
    const chosen = table === undefined ? '' : ' AND tbl_name = ?'
    const values = table === undefined ? [] : [{ type: 'text', value: table } as const]
    const found = await this.#stream.run(`${schemaQuery}${chosen} ORDER BY rowid`, values)
    for (const [, sql] of found.rows) if (sql?.type === 'text') answer(`${sql.value};`)
  }
}

/** What is longer than the screen goes through the pager. */
async function page(text: string): Promise<void> {
  const { isTTY, rows = 24 } = process.stdout
  if (!isTTY || text.split('\n').length < rows || process.env.PAGER === '') return answer(text)
  const pager = process.env.PAGER ?? 'less -FRSX'
  await new Promise<void>((settle) => {
    const child = spawn(pager, { shell: true, stdio: ['pipe', 'inherit', 'inherit'] })
    child.on('error', () => settle(answer(text)))
    child.on('exit', () => settle())
    // Who leaves the pager early reads no more.
    child.stdin.on('error', () => undefined)
    child.stdin.end(`${text}\n`)
  })
}

function historyPath(): string {
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state')
  return join(state, 'atoll', 'sql_history')
}

/** The newest first, as readline keeps it. */
function readHistory(): string[] {
  try {
    return readFileSync(historyPath(), 'utf8').split('\n').filter(Boolean).slice(0, historyMax)
  } catch {
    return []
  }
}

/** For its owner alone: statements may hold secrets. */
function keepHistory(lines: readonly string[]): void {
  const path = historyPath()
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(path, `${lines.slice(0, historyMax).join('\n')}\n`, { mode: 0o600 })
    chmodSync(path, 0o600)
  } catch (error) {
    tell(`atoll: the history was not kept: ${toFault(error).message}`)
  }
}
