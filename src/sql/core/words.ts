// The word that a statement begins with, as SQLite's tokenizer finds it: behind white space and comments.

const space = /[\s;]/
const letter = /[A-Za-z_]/

/** In lower case; '' where it begins with something else. Linear. */
export function firstWord(sql: string): string {
  let at = startOf(sql)
  const start = at
  while (at < sql.length && letter.test(sql[at] ?? '')) at++
  return sql.slice(start, at).toLowerCase()
}

/** The first two words, as 'rollback to'; '' for what is absent. */
export function firstWords(sql: string): readonly [string, string] {
  const first = firstWord(sql)
  const rest = sql.slice(startOf(sql) + first.length)
  return [first, first === '' ? '' : firstWord(rest)]
}

function startOf(sql: string): number {
  let at = 0
  while (at < sql.length) {
    if (space.test(sql[at] ?? '')) at++
    else if (sql.startsWith('--', at)) at = after(sql, '\n', at + 2)
    else if (sql.startsWith('/*', at)) at = after(sql, '*/', at + 2)
    else return at
  }
  return at
}

function after(sql: string, end: string, from: number): number {
  const found = sql.indexOf(end, from)
  return found < 0 ? sql.length : found + end.length
}
