import { deepEqual, equal, ok } from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { buildKernelModule } from '../../../tools/wasm.ts'
import { seededRandom } from '../../base/index.ts'
import { generatorRow, invertMatrix, shardsMax } from '../core/code-matrix.ts'
import { multiply } from '../core/galois.ts'
import { crc64Nvme } from './crc64.ts'
import { createKernel, type Kernel, type Slot } from './kernel.ts'

// An independent field: shift and add with reduction (no tables), and inverses by Fermat (a^254).
function naiveMultiply(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit
  for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= 0x11d << (bit - 8)
  return product
}
function naiveInverse(a: number): number {
  let result = 1
  for (let i = 0; i < 254; i++) result = naiveMultiply(result, a)
  return result
}

/** Solves for the data bytes from k (row, value) pairs by elimination; undefined when dependent. */
function naiveSolve(
  rows: readonly (readonly number[])[],
  values: readonly number[],
): number[] | undefined {
  const system = rows.map((row, i) => [...row, values[i] as number])
  const k = rows.length
  for (let column = 0; column < k; column++) {
    const pivot = system.findIndex((row, i) => i >= column && row[column] !== 0)
    if (pivot < 0) return undefined
    ;[system[column], system[pivot]] = [system[pivot] as number[], system[column] as number[]]
    const lead = system[column] as number[]
    const factor = naiveInverse(lead[column] as number)
    for (let j = 0; j <= k; j++) lead[j] = naiveMultiply(lead[j] as number, factor)
    for (const row of system) {
      if (row === lead || row[column] === 0) continue
      const times = row[column] as number
      for (let j = 0; j <= k; j++) row[j] = (row[j] as number) ^ naiveMultiply(times, lead[j] as number)
    }
  }
  return system.map((row) => row[k] as number)
}

function* subsets(count: number, size: number, from = 0): Generator<number[]> {
  if (size === 0) {
    yield []
    return
  }
  for (let i = from; i <= count - size; i++) {
    for (const rest of subsets(count, size - 1, i + 1)) yield [i, ...rest]
  }
}

function drawSubset(random: ReturnType<typeof seededRandom>, count: number, size: number): number[] {
  const all = Array.from({ length: count }, (_, i) => i)
  for (let i = 0; i < size; i++) {
    const j = i + random.integer(count - i)
    ;[all[i], all[j]] = [all[j] as number, all[i] as number]
  }
  return all.slice(0, size)
}

describe('the field', () => {
  it('multiplies as shift-and-add does', () => {
    for (let a = 0; a < 256; a++) {
      for (let b = 0; b < 256; b++) equal(multiply(a, b), naiveMultiply(a, b))
    }
  })
})

describe('the code', () => {
  it('has any k rows independent, for every subset of small codes', () => {
    for (let k = 1; k <= 6; k++) {
      for (let m = 0; m <= 5; m++) {
        for (const rows of subsets(k + m, k)) {
          ok(invertMatrix(rows.map((shard) => generatorRow(shard, k))), `${k}+${m}: ${rows}`)
        }
      }
    }
  })

  it('has any k rows independent, for drawn subsets of every code up to 32 shards', () => {
    const random = seededRandom(1)
    for (let k = 1; k <= shardsMax; k++) {
      for (let m = 1; k + m <= shardsMax; m++) {
        const rows = drawSubset(random, k + m, k)
        ok(invertMatrix(rows.map((shard) => generatorRow(shard, k))), `${k}+${m}: ${rows}`)
      }
    }
  })

  it('finds a dependent matrix singular', () => {
    equal(invertMatrix([Uint8Array.of(1, 2), Uint8Array.of(2, 4)]), undefined)
  })

  it('starts parity with plain XOR', () => {
    for (let k = 1; k < shardsMax; k++) ok(generatorRow(k, k).every((c) => c === 1))
  })
})

for (const build of ['relaxed', 'plain'] as const) {
  describe(`the ${build} kernel`, () => {
    const kernel = createKernel({ unitBytes: 1024, memoryBytes: 256 * 1024, build })

    it('encodes as the naive field does', () => {
      const random = seededRandom(2)
      for (const [k, m] of [[1, 0], [1, 1], [2, 1], [3, 2], [4, 2], [5, 5], [10, 6], [28, 4], [16, 16]] as const) {
        const length = 16 * (1 + random.integer(64))
        const units = encodeRandom(kernel, random, k, m, length)
        for (let parity = 0; parity < m; parity++) {
          const row = generatorRow(k + parity, k)
          for (let at = 0; at < length; at += 1 + random.integer(20)) {
            let sum = 0
            for (let j = 0; j < k; j++) {
              sum ^= naiveMultiply(row[j] as number, (units[j] as Uint8Array)[at] as number)
            }
            equal((units[k + parity] as Uint8Array)[at], sum)
          }
        }
      }
    })

    it('reconstructs every erasure pattern of small codes', () => {
      const random = seededRandom(3)
      for (const [k, m] of [[1, 1], [1, 2], [2, 1], [2, 2], [3, 2], [4, 2], [5, 3], [6, 3]] as const) {
        const length = 16 * (1 + random.integer(8))
        const units = encodeRandom(kernel, random, k, m, length)
        for (const kept of subsets(k + m, k)) checkReconstruction(kernel, k, m, kept, units, length)
      }
    })

    it('reconstructs drawn patterns of codes up to 32 shards, in any order of sources', () => {
      const random = seededRandom(4)
      for (const [k, m] of [[30, 2], [20, 12], [16, 16], [8, 24], [31, 1], [2, 30]] as const) {
        const units = encodeRandom(kernel, random, k, m, 64)
        for (let draw = 0; draw < 12; draw++) {
          checkReconstruction(kernel, k, m, drawSubset(random, k + m, k), units, 64)
        }
      }
    })

    it('agrees with elimination over an independent field', () => {
      const random = seededRandom(5)
      const [k, m] = [5, 4]
      const units = encodeRandom(kernel, random, k, m, 16)
      for (let draw = 0; draw < 20; draw++) {
        const kept = drawSubset(random, k + m, k)
        const rows = kept.map((shard) => [...generatorRow(shard, k)])
        const solved = naiveSolve(rows, kept.map((shard) => (units[shard] as Uint8Array)[3] as number))
        deepEqual(solved, units.slice(0, k).map((unit) => unit[3]))
      }
    })
  })
}

function encodeRandom(
  kernel: Kernel,
  random: ReturnType<typeof seededRandom>,
  k: number,
  m: number,
  length: number,
): Uint8Array[] {
  const slots = kernel.slots.slice(0, k + m)
  for (const slot of slots.slice(0, k)) kernel.view(slot, length).set(random.bytes(length))
  kernel.encode(slots.slice(0, k), slots.slice(k), length)
  return slots.map((slot) => kernel.view(slot, length).slice())
}

function checkReconstruction(
  kernel: Kernel,
  k: number,
  m: number,
  kept: readonly number[],
  units: readonly Uint8Array[],
  length: number,
): void {
  const sources = kept.map((shard, i) => ({ shard, slot: kernel.slots[i] as Slot }))
  for (const { shard, slot } of sources) kernel.view(slot, length).set(units[shard] as Uint8Array)
  const lost = Array.from({ length: k + m }, (_, i) => i).filter((shard) => !kept.includes(shard))
  const targets = lost.map((shard, i) => ({ shard, slot: kernel.slots[k + i] as Slot }))
  kernel.reconstruct(k, sources, targets, length)
  for (const { shard, slot } of targets) {
    deepEqual(kernel.view(slot, length).slice(), units[shard], `${k}+${m} from ${kept}: ${shard}`)
  }
}

describe('the built module', () => {
  it('is what the sources give', async () => {
    const committed = await readFile(new URL('kernel-wasm.ts', import.meta.url), 'utf8')
    equal(await buildKernelModule(), committed)
  })
})

describe('CRC-64/NVME', () => {
  it('gives the published check value', () => {
    equal(crc64Nvme(new TextEncoder().encode('123456789')), 0xae8b14860a799888n)
    equal(crc64Nvme(new Uint8Array(0)), 0n)
  })

  it('agrees with the bitwise definition, in one piece and in several', () => {
    const random = seededRandom(6)
    for (const count of [1, 7, 8, 9, 31, 65_536, 65_537, 70_003]) {
      const bytes = random.bytes(count)
      const whole = crc64Nvme(bytes)
      equal(whole, bitwiseCrc64(bytes))
      const cut = random.integer(count + 1)
      equal(crc64Nvme(bytes.subarray(cut), crc64Nvme(bytes.subarray(0, cut))), whole)
    }
  })
})

function bitwiseCrc64(bytes: Uint8Array): bigint {
  const table = Array.from({ length: 256 }, (_, i) => {
    let sum = BigInt(i)
    for (let bit = 0; bit < 8; bit++) sum = sum & 1n ? (sum >> 1n) ^ 0x9a6c9329ac4bc9b5n : sum >> 1n
    return sum
  })
  let sum = 0xffff_ffff_ffff_ffffn
  for (const byte of bytes) sum = (table[Number((sum ^ BigInt(byte)) & 0xffn)] as bigint) ^ (sum >> 8n)
  return sum ^ 0xffff_ffff_ffff_ffffn
}
