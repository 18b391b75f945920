// Steps of a check: each a program, run one after the other or a few side by side, with its time, its
// output when it fails, and the counts of node's own test runner when it is one.

import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '..')

export type Step = {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** Its output is shown while it runs; otherwise only when it fails. */
  readonly isShown?: boolean
  /** What runs longer is killed, with everything it started in its process group, and has failed. */
  readonly msMax?: number
}

export type Outcome = { readonly passed: number; readonly failed: number }

/** Test files that exist, sorted; a pattern without files is an empty list. */
export function testFiles(...patterns: readonly string[]): readonly string[] {
  const found = patterns.flatMap((pattern) => globSync(pattern, { cwd: root }))
  return [...new Set(found)].sort()
}

/** A file of tests that hangs is a failure with a name, and so is a step: never a run without an end. */
const fileMsMax = { quick: 240_000, clusters: 480_000 }
const stepMsMax = { quick: 600_000, clusters: 1_500_000 }

/** Files of tests at a time; clusters of real processes have the machine to themselves, unless they wait more than they work. */
const workers = 2

/** node --test over files; undefined when there are none. */
export function testStep(
  name: string,
  files: readonly string[],
  isShown = false,
  atATime = isShown ? 1 : workers,
): Step | undefined {
  if (files.length === 0) return undefined
  const flags = ['--disable-warning=ExperimentalWarning', '--test', '--test-reporter=spec']
  const size = isShown ? 'clusters' : 'quick'
  // A client of another make that leaves a timer after a failure must not hold up the rest.
  if (isShown) flags.push('--test-force-exit')
  const limits = [`--test-concurrency=${atATime}`, `--test-timeout=${fileMsMax[size]}`]
  const args = [...flags, ...limits, ...files]
  return { name, command: process.execPath, args, isShown, msMax: stepMsMax[size] }
}

export function programStep(name: string, program: string, args: readonly string[] = []): Step {
  const flags = ['--disable-warning=ExperimentalWarning', join(root, program), ...args]
  return { name, command: process.execPath, args: flags }
}

/** Prints a line with name, result and seconds; answers what passed and failed. */
export async function runStep(step: Step): Promise<Outcome> {
  const startedMs = Date.now()
  const { status, output } = await run(step)
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1)
  const counts = countTests(output)
  const failed = counts.failed > 0 || status === 0 ? counts.failed : 1
  const isRed = status !== 0 || failed > 0
  if (isRed && step.isShown !== true) process.stdout.write(output)
  const tests = counts.passed + counts.failed > 0 ? `  ${counts.passed} passed` : ''
  const result = isRed ? 'FAILED' : 'ok'
  console.log(`${result.padEnd(6)} ${step.name.padEnd(22)} ${seconds.padStart(6)} s${tests}`)
  return { passed: counts.passed + counts.failed > 0 ? counts.passed : isRed ? 0 : 1, failed }
}

/** All steps, also after one failed; the last line says how many passed and failed. */
export async function runSteps(steps: readonly (Step | undefined)[]): Promise<Outcome> {
  let passed = 0
  let failed = 0
  for (const step of steps) {
    if (step === undefined) continue
    const outcome = await runStep(step)
    passed += outcome.passed
    failed += outcome.failed
  }
  return { passed, failed }
}

const outputBytesMax = 4 * 1024 * 1024

/** A step has a process group of its own, so that all of it can be killed: at its limit, and when this program is stopped. */
function run(step: Step): Promise<{ readonly status: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(step.command, step.args, {
      cwd: root,
      env: { ...process.env, UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '16' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const killAll = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    }
    const stop = (): void => {
      killAll()
      process.exit(130)
    }
    const stops = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
    for (const signal of stops) process.once(signal, stop)
    let output = ''
    const take = (part: Buffer | string): void => {
      if (step.isShown === true) process.stdout.write(part)
      output = (output + part.toString('utf8')).slice(-outputBytesMax)
    }
    const msMax = step.msMax ?? stepMsMax.quick
    const limit = setTimeout(() => {
      take(`${step.name}: killed after ${msMax} ms, which is its limit\n`)
      killAll()
    }, msMax)
    const end = (status: number): void => {
      clearTimeout(limit)
      for (const signal of stops) process.removeListener(signal, stop)
      resolve({ status, output })
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('error', (error) => {
      take(`${error.message}\n`)
      end(127)
    })
    child.on('close', (status) => end(status ?? 1))
  })
}

/** The closing lines of node's test runner, or `N passed, M failed` of our own programs. */
function countTests(output: string): Outcome {
  const last = (pattern: RegExp): number | undefined => {
    const found = [...output.matchAll(pattern)].at(-1)?.[1]
    return found === undefined ? undefined : Number(found)
  }
  const passed = last(/^(?:ℹ|#) pass (\d+)$/gm) ?? last(/(\d+) passed, \d+ failed/g) ?? 0
  const failed = last(/^(?:ℹ|#) fail (\d+)$/gm) ?? last(/\d+ passed, (\d+) failed/g) ?? 0
  const cancelled = last(/^(?:ℹ|#) cancelled (\d+)$/gm) ?? 0
  return { passed, failed: failed + cancelled }
}
