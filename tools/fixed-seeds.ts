// The seeds that `npm test` always runs: 202, spread over the workloads by what a seed costs, each run twice and held to the
// same digest (the two long ones once). Two batches at a time. A batch this small need not have seen all that its workload promises.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './steps.ts'

type FixedBatch = {
  readonly workload: string
  readonly seeds: number
  readonly args?: readonly string[]
}

/** The costly ones first, so that both lanes end together. */
const batches: readonly FixedBatch[] = [
  { workload: 's3', seeds: 5 },
  { workload: 'life', seeds: 2 },
  { workload: 'recipes', seeds: 4 },
  { workload: 'keyspace', seeds: 20 },
  // An hour in which every message is late by up to 100 ms and nobody may be suspected.
  { workload: 'calm', seeds: 1, args: ['--seconds', '3600', '--once'] },
  { workload: 'formation', seeds: 1, args: ['--nodes', '30', '--once'] },
  { workload: 'mesh', seeds: 4 },
  { workload: 'rights', seeds: 3 },
  { workload: 'raft', seeds: 34 },
  { workload: 'founding', seeds: 20 },
  { workload: 'core', seeds: 108 },
]
const firstSeed = 1
const lanes = 2

type Ran = { readonly status: number | null; readonly output: string }

function runBatch({ workload, seeds, args: more = [] }: FixedBatch): Promise<Ran> {
  const range = ['--seed', String(firstSeed), '--seeds', String(seeds)]
  const program = join(root, 'sim', 'main.ts')
  const args = [...process.execArgv, program, '--workload', workload, ...range, ...more, '--fresh']
  const child = spawn(process.execPath, [...args, '--partial'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (part: Buffer) => {
    output += part.toString()
  })
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, output })))
}

let failed = 0
let passed = 0
const waiting = [...batches]

async function runLane(): Promise<void> {
  for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
    const startedMs = Date.now()
    const { status, output } = await runBatch(batch)
    const seconds = ((Date.now() - startedMs) / 1_000).toFixed(1)
    const isRed = status !== 0
    if (isRed) {
      failed++
      process.stdout.write(output)
    } else passed += batch.seeds
    const { workload, seeds } = batch
    const often = batch.args?.includes('--once') === true ? 'once' : 'twice each'
    console.log(`${isRed ? 'FAILED' : 'ok'} ${workload}: ${seeds} seeds, ${often}, ${seconds} s`)
  }
}

await Promise.all(Array.from({ length: lanes }, runLane))
console.log(`${passed} seeds passed, ${failed} batches failed`)
process.exitCode = failed === 0 ? 0 : 1
