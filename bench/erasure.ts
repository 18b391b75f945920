// Speed of the coding kernel beside SHA-256, one core, in place in the kernel's memory. Speeds count payload
// (k units per stripe). Each figure is the best of several rounds that take turns, so that both sides of a
// ratio see the same machine.

import { hash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { createKernel, type Kernel, type Slot } from '../src/content/kernel/kernel.ts'

const unitBytes = 262_144
const roundMs = 60
const rounds = 12

type Subject = {
  readonly name: string
  readonly bytesPerCall: number
  readonly call: () => void
  readonly ratioMin: number | undefined
}

/** Prints a table; the exit status is 1 when a ratio misses its aim. */
export async function run(): Promise<void> {
  const kernel = createKernel({ unitBytes, memoryBytes: 4 * 1024 * 1024 })
  for (const slot of kernel.slots) kernel.view(slot, unitBytes).fill(slot % 251)
  const subjects = [sha256(kernel), ...coders(kernel)]
  const best = new Map<Subject, number>()
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) {
      best.set(subject, Math.max(best.get(subject) ?? 0, measure(subject)))
    }
  }
  const reference = best.get(subjects[0] as Subject) ?? 0
  console.log(`kernel: ${kernel.build} swizzle, units of ${unitBytes / 1024} KiB, per core`)
  let isReached = true
  for (const subject of subjects) {
    const speed = best.get(subject) ?? 0
    const ratio = speed / reference
    const aim = subject.ratioMin === undefined ? '' : `  aim ${subject.ratioMin}`
    if (subject.ratioMin !== undefined && ratio < subject.ratioMin) isReached = false
    const figures = `${(speed / 1e9).toFixed(2).padStart(6)} GB/s  ${ratio.toFixed(2).padStart(5)} x SHA-256`
    console.log(`${subject.name.padEnd(40)}${figures}${aim}`)
  }
  if (!isReached) process.exitCode = 1
}

function sha256(kernel: Kernel): Subject {
  const unit = kernel.view(kernel.slots[0] as Slot, unitBytes)
  return {
    name: 'SHA-256',
    bytesPerCall: unitBytes,
    call: () => hash('sha256', unit, 'buffer'),
    ratioMin: undefined,
  }
}

function coders(kernel: Kernel): readonly Subject[] {
  const encode = (k: number, m: number, ratioMin: number | undefined): Subject => {
    const units = kernel.slots.slice(0, k)
    const parity = kernel.slots.slice(k, k + m)
    return {
      name: `RS(${k},${m}) encode`,
      bytesPerCall: k * unitBytes,
      call: () => kernel.encode(units, parity, unitBytes),
      ratioMin,
    }
  }
  const reconstruct = (
    k: number,
    lost: readonly number[],
    ratioMin: number | undefined,
  ): Subject => {
    const present = Array.from({ length: k + lost.length }, (_, i) => i).filter(
      (shard) => !lost.includes(shard),
    )
    const sources = present.map((shard) => ({ shard, slot: kernel.slots[shard] as Slot }))
    const targets = lost.map((shard) => ({ shard, slot: kernel.slots[shard] as Slot }))
    return {
      name: `RS(${k},2) reconstruct data shard ${lost.join(' and ')}`,
      bytesPerCall: k * unitBytes,
      call: () => kernel.reconstruct(k, sources, targets, unitBytes),
      ratioMin,
    }
  }
  return [
    encode(4, 2, 2.4),
    encode(2, 1, 5),
    encode(8, 4, undefined),
    reconstruct(4, [1], 2),
    reconstruct(4, [0, 3], undefined),
  ]
}

/** Bytes per second over about roundMs. */
function measure(subject: Subject): number {
  let calls = 0
  const start = performance.now()
  let end = start
  while (end - start < roundMs) {
    for (let i = 0; i < 8; i++) subject.call()
    calls += 8
    end = performance.now()
  }
  return (calls * subject.bytesPerCall * 1000) / (end - start)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await run()
