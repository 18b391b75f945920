#!/usr/bin/env node
// The `atoll` command from a checkout: brings what is missing, then runs src/cli/main.ts on Node 24.
import { runProgram } from './node24.mjs'

await runProgram('src/cli/main.ts', process.argv.slice(2))
