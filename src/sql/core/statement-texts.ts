// A text of several statements, cut where SQLite would (its sqlite3_complete): at semicolons outside of quotes, comments and the
// body of a trigger, which ends at "; END;". Linear.

type Token = { readonly kind: 'semicolon' | 'word' | 'space' | 'other'; readonly end: number }

const closings: Readonly<Record<string, string>> = { "'": "'", '"': '"', '`': '`', '[': ']' }
const space = /\s/
const letter = /[A-Za-z0-9_$\u0080-\uffff]/

/** Without their semicolons; those that are blank or comments alone are left out. */
export function splitStatements(sql: string): readonly string[] {
  const { complete, rest } = cutStatements(sql)
  return rest.trim() === '' || splitsToNothing(rest) ? complete : [...complete, rest.trim()]
}

/** What has ended, and the text that goes on: for whoever types. */
export function cutStatements(sql: string): {
  readonly complete: readonly string[]
  readonly rest: string
} {
  const found: string[] = []
  let start = 0
  let words: string[] = []
  /** Of a trigger's body: what of "; END" was seen last. */
  let isBehindSemicolon = false
  let isBehindEnd = false
  for (let at = 0; at < sql.length; ) {
    const { kind, end } = tokenAt(sql, at)
    const text = kind === 'word' ? sql.slice(at, end).toLowerCase() : ''
    if (kind === 'semicolon' && (!isTrigger(words) || isBehindEnd)) {
      if (words.length > 0) found.push(sql.slice(start, at).trim())
      start = end
      words = []
      isBehindSemicolon = false
      isBehindEnd = false
    } else if (kind !== 'space') {
      isBehindEnd = isBehindSemicolon && text === 'end'
      isBehindSemicolon = kind === 'semicolon'
      if (words.length < headWords) words.push(kind === 'word' ? text : '?')
    }
    at = end
  }
  return { complete: found, rest: sql.slice(start) }
}

/** White space and comments. */
function splitsToNothing(sql: string): boolean {
  for (let at = 0; at < sql.length; ) {
    const { kind, end } = tokenAt(sql, at)
    if (kind !== 'space') return false
    at = end
  }
  return true
}

/** EXPLAIN QUERY PLAN CREATE TEMP TRIGGER */
const headWords = 6

function isTrigger(words: readonly string[]): boolean {
  const rest = words.filter((word) => !/^(?:explain|query|plan|temp|temporary)$/.test(word))
  return rest[0] === 'create' && rest[1] === 'trigger'
}

function tokenAt(sql: string, at: number): Token {
  const first = sql[at] ?? ''
  if (first === ';') return { kind: 'semicolon', end: at + 1 }
  if (space.test(first)) return { kind: 'space', end: at + 1 }
  if (sql.startsWith('--', at)) return { kind: 'space', end: behind(sql, '\n', at + 2) }
  if (sql.startsWith('/*', at)) return { kind: 'space', end: behind(sql, '*/', at + 2) }
  const closing = closings[first]
  if (closing !== undefined) return { kind: 'other', end: behind(sql, closing, at + 1) }
  if (!letter.test(first)) return { kind: 'other', end: at + 1 }
  let end = at + 1
  while (end < sql.length && letter.test(sql[end] ?? '')) end++
  return { kind: 'word', end }
}

/** A quote that is written twice is two quoted texts, of which the second follows at once. */
function behind(sql: string, closing: string, from: number): number {
  const found = sql.indexOf(closing, from)
  return found < 0 ? sql.length : found + closing.length
}
