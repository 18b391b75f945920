// Rows of a CSV file (RFC 4180) into a table, a few hundred per statement. Memory is bounded by one statement, whatever the
// length of the file.

import { createReadStream } from 'node:fs'
import { Fault } from '../base/index.ts'
import { reason } from './files.ts'
import type { SentValue, SqlStream } from './sql-stream.ts'

const rowsMax = 500
const bytesMax = 256 * 1024
const valuesMax = 32_000
const fieldBytesMax = 512 * 1024
const columnsMax = 1_000

/** `rows`: stored, each acknowledged. */
export type Imported = { readonly rows: number; readonly isNewTable: boolean }

/**
 * A table that is not there is made from the first line. Faults name the line of the file and how many rows are stored; those
 * stay, each statement for itself, unless a transaction is open.
 */
export async function importCsv(
  stream: SqlStream,
  { path, table }: { readonly path: string; readonly table: string },
): Promise<Imported> {
  const columns = await stream.run('SELECT count(*) FROM pragma_table_info(?)', [text(table)])
  let isNewTable = numberOf(columns) === 0
  let width = numberOf(columns)
  let rows = 0
  let waiting: string[][] = []
  let waitingBytes = 0
  const made = isNewTable
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return
    const places = `(${new Array(width).fill('?').join(', ')})`
    const sql = `INSERT INTO ${quoted(table)} VALUES ${waiting.map(() => places).join(', ')}`
    await stream.run(sql, waiting.flat().map(text))
    rows += waiting.length
    waiting = []
    waitingBytes = 0
  }
  try {
    for await (const { cells, line } of readCsv(path)) {
      if (isNewTable) {
        width = cells.length
        await stream.run(`CREATE TABLE ${quoted(table)} (${cells.map(quoted).join(', ')})`)
        isNewTable = false
        continue
      }
      if (cells.length !== width) {
        throw new Fault('invalid', `line ${line} has ${cells.length} fields, not ${width}`)
      }
      waiting.push(cells)
      for (const cell of cells) waitingBytes += cell.length
      const isFull = waiting.length >= rowsMax || (waiting.length + 1) * width > valuesMax
      if (isFull || waitingBytes > bytesMax) await flush()
    }
    await flush()
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    throw new Fault(error.code, `${error.message}; ${rows} rows are stored`, {
      outcome: error.outcome,
      cause: error,
    })
  }
  return { rows, isNewTable: made }
}

type CsvRecord = { readonly cells: string[]; readonly line: number }

/** Faults 'not-found', 'invalid' with the line. */
export async function* readCsv(path: string): AsyncGenerator<CsvRecord> {
  const reader = new CsvReader()
  const file = createReadStream(path, { encoding: 'utf8' })
  try {
    for await (const chunk of file) yield* reader.feed(String(chunk))
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault('not-found', `${path} cannot be read: ${reason(error)}`)
  }
  yield* reader.end()
}

export class CsvReader {
  #cells: string[] = []
  #cell = ''
  /** In quotes, or just behind the closing one. */
  #state: 'start' | 'bare' | 'quoted' | 'closed' = 'start'
  #line = 1
  #isAfterReturn: boolean

  constructor() {
    this.#isAfterReturn = false
  }

  *feed(chunk: string): Generator<CsvRecord> {
    for (const one of chunk) {
      if (one === '\n' && this.#isAfterReturn) {
        this.#isAfterReturn = false
        continue
      }
      this.#isAfterReturn = false
      if (this.#state === 'quoted') {
        if (one === '"') this.#state = 'closed'
        else this.#add(one)
        if (one === '\n') this.#line++
      } else if (one === '"' && this.#state === 'start') this.#state = 'quoted'
      else if (one === '"' && this.#state === 'closed') {
        this.#add(one)
        this.#state = 'quoted'
      } else if (one === ',') this.#endCell()
      else if (one === '\n' || one === '\r') {
        this.#isAfterReturn = one === '\r'
        yield* this.#endLine()
        this.#line++
      } else if (this.#state === 'closed') {
        throw new Fault('invalid', `line ${this.#line}: text behind a closing quote`)
      } else {
        this.#state = 'bare'
        this.#add(one)
      }
    }
  }

  *end(): Generator<CsvRecord> {
    if (this.#state === 'quoted') throw new Fault('invalid', `line ${this.#line}: a quote is open`)
    yield* this.#endLine()
  }

  #add(one: string): void {
    this.#cell += one
    if (this.#cell.length > fieldBytesMax) {
      throw new Fault(
        'too-large',
        `line ${this.#line}: a field has more than ${fieldBytesMax} characters`,
      )
    }
  }

  #endCell(): void {
    this.#cells.push(this.#cell)
    this.#cell = ''
    this.#state = 'start'
    if (this.#cells.length > columnsMax) {
      throw new Fault('too-large', `line ${this.#line} has more than ${columnsMax} fields`)
    }
  }

  /** An empty line is none. */
  *#endLine(): Generator<CsvRecord> {
    if (this.#cells.length === 0 && this.#cell === '' && this.#state === 'start') return
    this.#endCell()
    const cells = this.#cells
    this.#cells = []
    yield { cells, line: this.#line }
  }
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function text(value: string): SentValue {
  return { type: 'text', value }
}

function numberOf({ rows }: { readonly rows: readonly (readonly SentValue[])[] }): number {
  const first = rows[0]?.[0]
  return first?.type === 'integer' ? Number(first.value) : 0
}
