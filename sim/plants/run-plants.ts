// Runs plants: one until a seed catches it, or all of them, each in a process of its own.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { WorldFailure } from '../failures.ts'
import { runSeed, workloads } from '../run-seed.ts'
import type { RealLoop } from '../world.ts'
import { type Plant, plants } from './index.ts'
import { putInPlace, root } from './planting.ts'

const secondsDefault = 8
const nodes = 3
const firstSeed = 1
const exitMissed = 1

export type Print = (line: string) => void

export function listPlants(print: Print): void {
  for (const { name, workload, seedsMax, does } of plants) {
    print(`${name} (${workload}, at most ${seedsMax} seeds): ${does}`)
  }
}

/** The exit status: 0 when a seed catches it in time. Must run before the workload is loaded. */
export async function runPlant(
  plant: Plant,
  options: { readonly loop: RealLoop; readonly print: Print; readonly seedsMax?: number },
): Promise<number> {
  const { loop, print, seedsMax = plant.seedsMax } = options
  const { mustBePlanted } = putInPlace(plant)
  const workload = await workloads.get(plant.workload)?.()
  if (workload === undefined) throw new WorldFailure(`no workload ${plant.workload}`)
  mustBePlanted()
  const durationMs = (plant.seconds ?? secondsDefault) * 1_000
  for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
    const { problem } = await runSeed({ seed, nodes, durationMs, workload, loop })
    if (problem === undefined) continue
    print(`seed ${seed}: ${problem.slice(0, problemMax)}`)
    print(`${plant.name}: caught by seed ${seed}, after ${seed - firstSeed + 1} seeds`)
    return 0
  }
  print(`${plant.name}: not caught within ${seedsMax} seeds`)
  return exitMissed
}

const problemMax = 600

/** Every plant, those of the founding protocol too. */
export async function runPlants(print: Print): Promise<number> {
  const { plants: founding } = await import('../founding/plants.ts')
  const runs = [
    ...plants.map(({ name }) => ({ name, args: ['--plant', name] })),
    ...[...founding.keys()].map((name) => {
      return { name, args: ['--workload', 'founding', '--explore', '--plant', name] }
    }),
  ]
  const missed: string[] = []
  for (const { name, args } of runs) {
    const { status, lastLine } = await runChild(args)
    if (status !== 0) missed.push(name)
    print(status === 0 ? lastLine : `${name}: FAILED with status ${status}: ${lastLine}`)
  }
  print(`${runs.length - missed.length} plants caught, ${missed.length} missed`)
  return missed.length > 0 ? exitMissed : 0
}

async function runChild(
  args: readonly string[],
): Promise<{ readonly status: number | null; readonly lastLine: string }> {
  const child = spawn(process.execPath, [join(root, 'sim', 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let lastLine = ''
  child.stdout.on('data', (chunk: Buffer) => {
    lastLine = (lastLine + chunk.toString()).trimEnd().split('\n').at(-1) ?? ''
  })
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { status, lastLine }
}
