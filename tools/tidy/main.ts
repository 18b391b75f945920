// tidy: holds every source file against the laws that a program can check. Prints each problem as
// `file:line: what`, then how many files and problems there were; exit status 1 when there is one.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { checkAll, checkDocument, type Problem, readSource } from './checks.ts'

const root = join(import.meta.dirname, '..', '..')
const folders = ['src', 'sim', 'tools', 'test', 'bench', 'examples', 'adapters']
/** Another language: compiled to WebAssembly, checked by its own compiler. */
const otherLanguages = ['src/content/kernel/assembly/']

function listSources(): string[] {
  return folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .filter((entry) => !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((file) => !otherLanguages.some((place) => file.startsWith(place)))
    .sort()
}

const files = listSources()
const sources = files.map((file) => readSource(file, readFileSync(join(root, file), 'utf8')))
const page = 'docs/architecture.md'
const problems: readonly Problem[] = [
  ...checkAll(sources),
  ...checkDocument(page, readFileSync(join(root, page), 'utf8')),
]
for (const { file, line, what } of problems) process.stderr.write(`${file}:${line}: ${what}\n`)
console.log(`tidy: ${files.length} files, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
