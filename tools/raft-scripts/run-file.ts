// Runs one script file against a subject and compares every output. Outputs must agree to the line; should
// they not, they are compared again without the lines of free logging, which are not part of the contract.

import { parseScript, type ScriptCase, ScriptProblem } from './datadriven.ts'

export type FileResult =
  | { readonly kind: 'passed'; readonly cases: number; readonly withoutLogging: number }
  | { readonly kind: 'failed'; readonly line: number; readonly explanation: string }

export function runFile(text: string, subject: (script: ScriptCase) => string): FileResult {
  let cases: readonly ScriptCase[]
  try {
    cases = parseScript(text)
  } catch (problem) {
    if (!(problem instanceof ScriptProblem)) throw problem
    return { kind: 'failed', line: 1, explanation: problem.message }
  }
  if (cases.length === 0) return { kind: 'failed', line: 1, explanation: 'no command in this file' }
  let withoutLogging = 0
  for (const script of cases) {
    let output: string
    try {
      output = subject(script)
    } catch (error) {
      const explanation = `${script.command}: ${error instanceof Error ? error.stack : String(error)}`
      return { kind: 'failed', line: script.line, explanation }
    }
    const actual = output === '' || output.endsWith('\n') ? output : `${output}\n`
    if (actual === script.expected) continue
    if (withoutFreeLogging(actual) !== withoutFreeLogging(script.expected)) {
      const explanation = `${script.command}\n${formatDifference(script.expected, actual)}`
      return { kind: 'failed', line: script.line, explanation }
    }
    withoutLogging++
  }
  return { kind: 'passed', cases: cases.length, withoutLogging }
}

function withoutFreeLogging(output: string): string {
  const kept = output
    .split('\n')
    .filter((line) => !/^\s*(DEBUG|INFO|WARN|ERROR|FATAL)\b/.test(line))
    .join('\n')
  return kept === 'ok\n' ? '' : kept
}

/** Lines in common at both ends are shown only near the difference. */
function formatDifference(expected: string, actual: string): string {
  const a = expected.split('\n')
  const b = actual.split('\n')
  let start = 0
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++
  let end = 0
  const shorter = Math.min(a.length, b.length) - start
  while (end < shorter && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  const lines = [
    ...a.slice(Math.max(0, start - 3), start).map((line) => `    ${line}`),
    ...a.slice(start, a.length - end).map((line) => `  - ${line}`),
    ...b.slice(start, b.length - end).map((line) => `  + ${line}`),
    ...a.slice(a.length - end, a.length - end + 3).map((line) => `    ${line}`),
  ]
  return `  (- expected, + actual)\n${lines.join('\n')}`
}
