// A light scanner of TypeScript: blanks out comments, strings and regular expressions without moving a
// character, so that what remains can be searched by plain patterns, and finds functions by braces. It is
// not a parser: it knows exactly as much as the checks need, and its tests show on what.

export type Span = { readonly name: string; readonly line: number; readonly lines: number }
export type Import = { readonly specifier: string; readonly line: number; readonly isType: boolean }
export type Declared = {
  readonly name: string
  readonly line: number
  readonly isFunction: boolean
}

/** Same length and lines; the inside of comments, strings and regular expressions is spaces. */
export function blank(source: string): string {
  return new Blanker(source).run()
}

class Blanker {
  readonly #source: string
  readonly #out: string[]
  #at = 0

  constructor(source: string) {
    this.#source = source
    this.#out = [...Array(source.length)].map((_, at) => source.charAt(at))
  }

  run(): string {
    this.#code(false)
    return this.#out.join('')
  }

  /** Code up to the end, or up to the brace that closes a template's expression. */
  #code(isExpression: boolean): void {
    let depth = 0
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at)
      const two = this.#source.slice(this.#at, this.#at + 2)
      if (two === '//') this.#skipTo(this.#source.indexOf('\n', this.#at))
      else if (two === '/*') this.#skipTo(this.#source.indexOf('*/', this.#at + 2) + 2)
      else if (char === "'" || char === '"') this.#string(char)
      else if (char === '`') this.#template()
      else if (char === '/' && this.#isRegexStart()) this.#regex()
      else {
        if (char === '{') depth++
        if (char === '}' && depth-- === 0 && isExpression) return
        this.#at++
      }
    }
  }

  #skipTo(end: number): void {
    const stop = end <= this.#at ? this.#source.length : end
    while (this.#at < stop) this.#erase()
  }

  #erase(): void {
    if (this.#source.charAt(this.#at) !== '\n') this.#out[this.#at] = ' '
    this.#at++
  }

  #string(quote: string): void {
    this.#at++
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at)
      if (char === quote || char === '\n') break
      if (char === '\\') this.#erase()
      this.#erase()
    }
    this.#at++
  }

  #template(): void {
    this.#at++
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at)
      if (char === '`') break
      if (char === '\\') {
        this.#erase()
        this.#erase()
      } else if (char === '$' && this.#source.charAt(this.#at + 1) === '{') {
        this.#erase()
        this.#erase()
        this.#code(true)
        this.#erase()
      } else this.#erase()
    }
    this.#at++
  }

  #isRegexStart(): boolean {
    const before = this.#source.slice(0, this.#at).trimEnd()
    const last = before.at(-1) ?? '('
    if (/[\w$)\]}]/.test(last)) return /\b(return|typeof|case|of|in)$/.test(before)
    return last !== '<' || this.#source.charAt(this.#at + 1) !== '>'
  }

  #regex(): void {
    this.#at++
    let isClass = false
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at)
      if (char === '\n' || (char === '/' && !isClass)) break
      if (char === '[') isClass = true
      if (char === ']') isClass = false
      if (char === '\\') this.#erase()
      this.#erase()
    }
    this.#at++
  }
}

export function lineAt(text: string, at: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < at; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** Static imports, re-exports and import() of a literal. */
export function findImports(source: string, code: string): readonly Import[] {
  const found: Import[] = []
  const statement = /(?:^|\n)\s*(import|export)\b([^;'"`]*?)(?:\bfrom\s*)?['"]/g
  for (const match of code.matchAll(statement)) {
    const clause = match[2] ?? ''
    const hasFrom = /\bfrom\s*['"]$/.test(match[0])
    if (!hasFrom && clause.trim() !== '') continue
    const at = match.index + match[0].length
    const names = /\{([^}]*)\}/.exec(clause)?.[1]?.split(',') ?? []
    const listed = names.map((name) => name.trim()).filter((name) => name !== '')
    const allTypes = listed.length > 0 && listed.every((name) => name.startsWith('type '))
    const isType = /^\s*type\b/.test(clause) || (allTypes && !/^\s*\w+\s*,/.test(clause))
    found.push({ specifier: quoted(source, at), line: lineAt(source, at), isType })
  }
  for (const match of code.matchAll(/\bimport\s*\(\s*['"]/g)) {
    const at = match.index + match[0].length
    const isType = /typeof\s*$|[:<|&,]\s*$/.test(code.slice(0, match.index))
    found.push({ specifier: quoted(source, at), line: lineAt(source, at), isType })
  }
  return found
}

function quoted(source: string, at: number): string {
  return /^[^'"\n]*/.exec(source.slice(at))?.[0] ?? ''
}

const notFunctions = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'await', 'return'])

/**
 * Every function body with braces: declarations, methods, arrows. A function's lines are its own: those
 * of functions inside of it count for themselves, so that a factory is as long as what it decides.
 */
export function findFunctions(code: string): readonly Span[] {
  const bodies: { readonly name: string; readonly open: number; readonly close: number }[] = []
  for (let at = code.indexOf('{'); at !== -1; at = code.indexOf('{', at + 1)) {
    const name = functionNameBefore(code, at)
    if (name !== undefined) bodies.push({ name, open: at, close: closing(code, at) })
  }
  const length = (body: { readonly open: number; readonly close: number }): number =>
    lineAt(code, body.close) - lineAt(code, body.open) + 1
  return bodies.map((body, at) => {
    let lines = length(body)
    let covered = body.open
    for (const inner of bodies.slice(at + 1)) {
      if (inner.open > body.close) break
      if (inner.open < covered) continue
      lines -= length(inner) - 1
      covered = inner.close
    }
    return { name: body.name, line: lineAt(code, body.open), lines }
  })
}

/** The name of the function whose body opens at `at`; undefined when the brace is another's. */
function functionNameBefore(code: string, at: number): string | undefined {
  const before = code.slice(Math.max(0, at - 2_000), at).trimEnd()
  if (before.endsWith('=>')) {
    const assigned = [...before.matchAll(/([\w$]+)\s*=\s*(?:async\s*)?(?=\(|\w+\s*=>)/g)].at(-1)
    const isNear = assigned !== undefined && !/[;{}]/.test(before.slice(assigned.index))
    return isNear ? assigned[1] : '(arrow)'
  }
  const close = endOfParameters(before)
  if (close === -1) return undefined
  const open = opening(before, close)
  const name = /([\w$#]+)\s*(?:<[^()]*>)?\s*$/.exec(before.slice(0, open))?.[1]
  if (name === undefined || notFunctions.has(name)) return undefined
  return name
}

/** Where the parameter list ends that a body follows, over a return type if there is one; -1: none. */
function endOfParameters(before: string): number {
  if (before.endsWith(')')) return before.length - 1
  const typed = /\)\s*:\s*(?:[\w.$\s|&<>[\],'"?]|\([^()]*\)|\{[^{}]*\}|=>)+$/.exec(before)
  if (typed === null || /[:|&,<]$/.test(before) || statement.test(typed[0])) return -1
  return /\?[^?]*$/.test(before.slice(0, typed.index)) && /\?\s*\w+\($/.test(before)
    ? -1
    : typed.index
}

const statement = /\b(?:return|class|const|let|new|type|interface|export|function|import)\b/

function opening(text: string, close: number): number {
  let depth = 0
  for (let at = close; at >= 0; at--) {
    const char = text.charAt(at)
    if (char === ')') depth++
    if (char === '(' && --depth === 0) return at
  }
  return 0
}

function closing(text: string, open: number): number {
  let depth = 0
  for (let at = open; at < text.length; at++) {
    const char = text.charAt(at)
    if (char === '{') depth++
    if (char === '}' && --depth === 0) return at
  }
  return text.length
}

/** Declared names: functions, classes, types, constants, methods. */
export function findDeclarations(code: string): readonly Declared[] {
  const found: Declared[] = []
  const words = /\b(function\*?|class|type|interface|const|let)\s+([\w$]+)/g
  for (const match of code.matchAll(words)) {
    const [, keyword = '', name = ''] = match
    const rest = code.slice(match.index + match[0].length, match.index + match[0].length + 80)
    const isArrow = /^\s*(?::[^=]+)?=\s*(?:async\s*)?(?:\([^)]*\)|\w+)\s*(?::[^=]+)?=>/.test(rest)
    const isFunction = keyword.startsWith('function') || isArrow
    found.push({ name, line: lineAt(code, match.index), isFunction })
  }
  for (const match of code.matchAll(
    /\n\s+(?:async\s+|get\s+|set\s+|\*)*(#?[\w$]+)\([^;{}]*\)[^;{}()]*\{/g,
  )) {
    const name = (match[1] ?? '').replace('#', '')
    if (notFunctions.has(name)) continue
    found.push({ name, line: lineAt(code, match.index + 1), isFunction: true })
  }
  return found
}
