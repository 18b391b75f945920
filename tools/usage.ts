// What a program of ours says to --help: the comment that its file begins with, which is its manual.

import { readFileSync } from 'node:fs'

/** True when --help was asked for, and is answered. `file` is the program's own name. */
export function isHelpGiven(file: string): boolean {
  const args = process.argv.slice(2)
  if (!args.includes('--help') && !args.includes('-h')) return false
  const lines = readFileSync(file, 'utf8').split('\n')
  const end = lines.findIndex((line) => !line.startsWith('//'))
  for (const line of lines.slice(0, end)) process.stdout.write(`${line.replace(/^\/\/ ?/, '')}\n`)
  return true
}
