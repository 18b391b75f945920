// Results of SQL as people and programs read them. What a database holds never steers the terminal.

import { table } from './status-text.ts'
import type { ShownResult, ShownValue } from './sql-stream.ts'

export type Mode = 'table' | 'csv' | 'json' | 'line'
export const modes: readonly Mode[] = ['table', 'csv', 'json', 'line']

const cellMax = 200

/** '' where a statement has no rows to show and `mode` is not json. */
export function showResult(result: ShownResult, mode: Mode): string {
  const names = result.cols.map(({ name }) => name)
  if (mode === 'json') return jsonOf(result, names)
  if (names.length === 0) return ''
  if (mode === 'csv') {
    return [names, ...result.rows.map((row) => row.map(plain))].map(csvLine).join('\r\n')
  }
  if (mode === 'line') {
    const labels = names.map(safe)
    const width = Math.max(...labels.map(({ length }) => length))
    const shown = result.rows.map((row) =>
      row
        .map((one, at) => `${(labels[at] ?? '').padStart(width)} = ${safe(plain(one))}`)
        .join('\n'),
    )
    return shown.join('\n\n')
  }
  const rows = result.rows.map((row) => row.map((one) => cut(safe(shown(one)))))
  return table(names.map(safe), rows).join('\n')
}

/** One line: every value with its type; an integer beyond 2^53 as text. */
function jsonOf(result: ShownResult, columns: readonly string[]): string {
  const rows = result.rows.map((row) => row.map(jsonValue))
  return JSON.stringify({ columns, rows, changes: result.affected_row_count })
}

function jsonValue(value: ShownValue): unknown {
  if (value.type === 'null') return null
  if (value.type === 'blob') return { base64: value.base64 }
  if (value.type !== 'integer') return value.value
  const number = Number(value.value)
  return Number.isSafeInteger(number) ? number : value.value
}

function plain(value: ShownValue): string {
  return value.type === 'null' ? '' : shown(value)
}

function shown(value: ShownValue): string {
  if (value.type === 'null') return 'NULL'
  if (value.type === 'float' && value.value === null) return '±Infinity'
  if (value.type === 'float')
    return Number.isInteger(value.value) ? `${value.value}.0` : `${value.value}`
  if (value.type !== 'blob') return value.value
  return `x'${Buffer.from(value.base64, 'base64').toString('hex')}'`
}

function csvLine(cells: readonly string[]): string {
  return cells
    .map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell))
    .join(',')
}

function safe(text: string): string {
  return text.replaceAll(/[^\P{C}]/gu, '\ufffd')
}

function cut(text: string): string {
  return text.length > cellMax ? `${text.slice(0, cellMax - 1)}…` : text
}
