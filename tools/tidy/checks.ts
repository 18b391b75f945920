// The checks: each takes sources and answers problems. They look at blanked code (scan.ts), so that a
// word in a comment or a string is never a finding.

import { dirname, join, normalize } from 'node:path/posix'
import {
  allowedNodeModules,
  bannedAmbient,
  bannedNames,
  bannedVerbs,
  bannedWords,
  extraDoors,
  fileLinesMax,
  functionLinesMax,
  type Room,
  rooms,
  wireWords,
  worldly,
} from './rooms.ts'
import { blank, findDeclarations, findFunctions, findImports, type Import, lineAt } from './scan.ts'

export type Problem = { readonly file: string; readonly line: number; readonly what: string }

export type Source = {
  /** From the repository's root, with '/'. */
  readonly file: string
  readonly text: string
  readonly code: string
  readonly imports: readonly Import[]
  /** Where each relative import leads, in the same order; undefined for packages and node modules. */
  readonly targets: readonly (string | undefined)[]
}

export function readSource(file: string, text: string): Source {
  const code = blank(text)
  const imports = findImports(text, code)
  const targets = imports.map(({ specifier }) =>
    specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined,
  )
  return { file, text, code, imports, targets }
}

export function checkAll(sources: readonly Source[]): readonly Problem[] {
  const each = sources.flatMap((source) => [
    ...checkLengths(source),
    ...checkNames(source),
    ...checkDoors(source),
    ...checkAmbient(source),
    ...checkPurity(source),
  ])
  return [...each, ...checkCycles(sources)]
}

/** Tests, contract suites and what they share may reach further than the product. */
export function isTest(file: string): boolean {
  return /\.test\.ts$|\/testing\/|\/contract\.ts$/.test(file) || file.startsWith('test/')
}

function isWorldly(file: string): boolean {
  return isTest(file) || worldly.some((place) => file.startsWith(place))
}

function roomOf(file: string): string {
  const parts = file.split('/')
  return parts[0] === 'src' ? (parts[1] ?? '') : (parts[0] ?? '')
}

export function checkLengths({ file, text, code }: Source): readonly Problem[] {
  const problems: Problem[] = []
  const lines = text.split('\n').length - 1
  if (lines > fileLinesMax) {
    problems.push({ file, line: 1, what: `${lines} lines; a file has at most ${fileLinesMax}` })
  }
  for (const { name, line, lines: count } of findFunctions(code)) {
    if (count <= functionLinesMax) continue
    const what = `${name} has ${count} lines; a function has at most ${functionLinesMax}`
    problems.push({ file, line, what })
  }
  return problems
}

export function checkNames({ file, code }: Source): readonly Problem[] {
  const problems: Problem[] = []
  const fileWords = (file.split('/').at(-1) ?? '').split(/[-.]/)
  const badWord = fileWords.find((word) => bannedWords.includes(word))
  if (badWord !== undefined) problems.push({ file, line: 1, what: `"${badWord}" in a file name` })
  for (const { name, line, isFunction } of findDeclarations(code)) {
    const words = name.split(/(?=[A-Z])|_/).map((word) => word.toLowerCase())
    const bad = words.find((word) => bannedWords.includes(word) && !isWireWord(file, word))
    if (bad !== undefined) problems.push({ file, line, what: `"${bad}" in the name ${name}` })
    if (bannedNames.includes(name)) problems.push({ file, line, what: `"${name}" alone as a name` })
    const verb = words[0] ?? ''
    if (isFunction && bannedVerbs.includes(verb) && !isWireWord(file, verb)) {
      problems.push({ file, line, what: `"${verb}" as the verb of ${name}` })
    }
  }
  return problems
}

function isWireWord(file: string, word: string): boolean {
  return wireWords.some(({ place, words }) => file.startsWith(place) && words.includes(word))
}

export function checkDoors(source: Source): readonly Problem[] {
  const { file, imports, targets } = source
  if (!file.startsWith('src/')) return []
  const own = rooms.find((room) => room.name === roomOf(file))
  if (own === undefined) return [{ file, line: 1, what: `${roomOf(file)} is not a room` }]
  return imports.flatMap((imported, at) => {
    const target = targets[at]
    const what = target === undefined ? undefined : doorProblem(file, { own, target })
    return what === undefined ? [] : [{ file, line: imported.line, what }]
  })
}

function doorProblem(
  file: string,
  { own, target }: { readonly own: Room; readonly target: string },
): string | undefined {
  if (!target.startsWith('src/')) {
    return isTest(file) ? undefined : `${target} is outside of src`
  }
  const to = roomOf(target)
  const extra = extraDoors.find(({ door }) => door === target)
  if (to === own.name) {
    if (target !== `src/${to}/index.ts` || isTest(file)) return undefined
    return 'a file inside a room never imports its own door'
  }
  if (extra !== undefined) {
    if (isTest(file) || extra.from.includes(own.name)) return undefined
    return `${own.name} may not import ${target}`
  }
  if (isTest(file)) return undefined
  if (target !== `src/${to}/index.ts`) return `${to} is imported through src/${to}/index.ts only`
  if (own.mayImport === 'all' || own.mayImport.includes(to)) return undefined
  return `${own.name} may not import ${to}: the arrow points up`
}

export function checkAmbient({ file, code, imports }: Source): readonly Problem[] {
  if (isWorldly(file)) return []
  const problems: Problem[] = []
  for (const { specifier, line, isType } of imports) {
    const isKnown = allowedNodeModules.some(
      (allowed) => allowed.file === file && allowed.module === specifier,
    )
    if (!specifier.startsWith('node:') || isType || isKnown) continue
    problems.push({ file, line, what: `${specifier} belongs to host/real; use Host` })
  }
  for (const [name, instead] of Object.entries(bannedAmbient)) {
    const pattern = name.includes('.')
      ? name.replace('.', '\\s*\\.\\s*')
      : isMember(name)
        ? `\\.\\s*${name}`
        : `(?<![\\w$.#'"])${name}`
    for (const match of code.matchAll(new RegExp(`${pattern}\\b(?!\\s*[?]?:)`, 'g'))) {
      const line = lineAt(code, match.index)
      problems.push({ file, line, what: `${name} is ambient; use ${instead}` })
    }
  }
  return problems
}

/** Names that are only ever used as methods. */
function isMember(name: string): boolean {
  return name === 'localeCompare' || name === 'toLocaleString'
}

export function checkPurity({ file, code, imports, targets }: Source): readonly Problem[] {
  if (!file.includes('/core/') || isTest(file)) return []
  const problems: Problem[] = []
  for (const match of code.matchAll(/(?<![\w$.'"])(async|await)\b(?!\s*[:?])/g)) {
    problems.push({ file, line: lineAt(code, match.index), what: `${match[1]} in a core` })
  }
  for (const match of code.matchAll(/(?:^|\n)(?:export\s+)?(?:let|var)\s+(\w+)/g)) {
    const line = lineAt(code, match.index + 1)
    problems.push({ file, line, what: `mutable module state ${match[1]} in a core` })
  }
  for (const [at, { line, isType }] of imports.entries()) {
    const target = targets[at] ?? ''
    if (isType || !/^src\/(host|storage|rpc)\//.test(target)) continue
    if (target.startsWith(`src/${roomOf(file)}/`)) continue
    problems.push({ file, line, what: `a core imports nothing of ${roomOf(target)} but types` })
  }
  return problems
}

/** Cycles of value imports; a type leaves nothing at run time. */
export function checkCycles(sources: readonly Source[]): readonly Problem[] {
  const edges = new Map<string, readonly string[]>()
  for (const { file, imports, targets } of sources) {
    const out = targets.filter((target, at) => target !== undefined && imports[at]?.isType !== true)
    edges.set(file, out as string[])
  }
  const done = new Set<string>()
  const problems: Problem[] = []
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file)
    if (start !== -1) {
      const cycle = [...path.slice(start), file].join(' -> ')
      problems.push({ file, line: 1, what: `import cycle: ${cycle}` })
      return
    }
    if (done.has(file)) return
    for (const target of edges.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of [...edges.keys()].sort()) visit(file, [])
  return problems
}

/** The table "Rooms" of the architecture document says the same as rooms.ts. */
export function checkDocument(file: string, text: string): readonly Problem[] {
  const shown = new Map<string, { readonly imports: string; readonly line: number }>()
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.startsWith('| Room |'))
  if (start === -1) return [{ file, line: 1, what: 'the table of rooms is missing' }]
  for (let at = start + 2; lines[at]?.startsWith('|'); at++) {
    const cells = (lines[at] ?? '').split('|').map((cell) => cell.trim())
    shown.set(cells[1] ?? '', { imports: cells.at(-2) ?? '', line: at + 1 })
  }
  const problems: Problem[] = []
  for (const { name, mayImport } of rooms) {
    const row = shown.get(name)
    const expected = mayImport === 'all' ? 'all' : mayImport.join(', ')
    if (row === undefined) {
      problems.push({ file, line: start + 1, what: `the table lacks the room ${name}` })
    } else if (expandRow(row.imports) !== expected) {
      const what = `${name} imports "${row.imports}" here and "${expected}" in tools/tidy/rooms.ts`
      problems.push({ file, line: row.line, what })
    }
    shown.delete(name)
  }
  for (const [name, { line }] of shown) {
    problems.push({ file, line, what: `the room ${name} is not in tools/tidy/rooms.ts` })
  }
  return problems
}

/** The document's shorthand for "everything on lower floors". */
function expandRow(shownImports: string): string {
  if (shownImports !== 'every room below')
    return shownImports.replace('all; imported by nobody', 'all')
  const below = rooms.slice(
    0,
    rooms.findIndex((room) => room.name === 'gateways'),
  )
  return below.map((room) => room.name).join(', ')
}
