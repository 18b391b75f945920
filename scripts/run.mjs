// Runs a TypeScript program of ours on Node 24: node scripts/run.mjs tools/check.ts [arguments].
import { runProgram } from './node24.mjs'

const [program, ...rest] = process.argv.slice(2)
await runProgram(program, rest)
