// The coding kernel of one thread: WebAssembly SIMD over its own memory (kernel/assembly). Units live in slots
// of that memory, so that bytes are coded, summed and sent where they lie; coding copies nothing.
//
// Memory is fixed at the start (a growing memory would move under the views in flight) and costs nothing
// before it is touched. Layout: tables, coefficients, addresses, then slots. Each slot has 64 bytes of room
// before its unit, for the header of the message that carries it, and starts at a multiple of 64.
// The module with relaxed SIMD is taken where the engine has it; whichever runs is compared with the
// scalar field arithmetic before it is used.

import { assert } from '../../base/index.ts'
import { parityRow, reconstructionRows, shardsMax } from '../core/code-matrix.ts'
import { multiply, nibbleTables } from '../core/galois.ts'
import { plainKernel, relaxedKernel } from './kernel-wasm.ts'
import { type WasmExports, wasm } from './wasm-types.ts'

export const slotHeaderBytes = 64
const rowsAt = 8192
const addressesAt = rowsAt + shardsMax
const slotsAt = 16_384
const pageBytes = 65_536

/** Address of a unit within the kernel's memory, always a multiple of 64. */
export type Slot = number

export type KernelOptions = {
  /** Capacity of a unit. */
  readonly unitBytes: number
  readonly memoryBytes: number
  /** Chosen by what the engine supports when absent. */
  readonly build?: 'relaxed' | 'plain'
}

export type Kernel = {
  readonly build: 'relaxed' | 'plain'
  readonly unitBytes: number
  /** Addresses of all slots: whoever hands them out owns the order. */
  readonly slots: readonly Slot[]
  /** The unit's bytes. */
  view(slot: Slot, length: number): Uint8Array
  /** `headerBytes` before the unit and the unit itself. */
  viewWithHeader(slot: Slot, headerBytes: number, length: number): Uint8Array
  /** Computes all parity units of a stripe. Bytes of a slot between `length` and its next multiple of 64 are lost. */
  encode(units: readonly Slot[], parity: readonly Slot[], length: number): void
  /**
   * Computes the units of the shards `wanted` into `targets` from those of exactly k different shards.
   */
  reconstruct(
    dataShards: number,
    sources: readonly { readonly shard: number; readonly slot: Slot }[],
    targets: readonly { readonly shard: number; readonly slot: Slot }[],
    length: number,
  ): void
}

type Functions = {
  xorAll(sources: number, count: number, target: number, length: number): void
  combine(row: number, sources: number, count: number, target: number, length: number): void
  xorAndCombine(
    row: number,
    sources: number,
    count: number,
    plain: number,
    target: number,
    length: number,
  ): void
}

/** Asserts that the machine's SIMD agrees with the scalar arithmetic. */
export function createKernel(options: KernelOptions): Kernel {
  const stride = slotHeaderBytes + Math.ceil(options.unitBytes / 64) * 64
  const pages = Math.ceil(options.memoryBytes / pageBytes)
  const memory = new wasm.Memory({ initial: pages, maximum: pages })
  const bytes = new Uint8Array(memory.buffer)
  const chosen = options.build ?? preferredBuild()
  const functions = instantiate(chosen, memory) as unknown as Functions
  bytes.set(nibbleTables(), 0)
  const slots: Slot[] = []
  for (let at = slotsAt; at + stride <= bytes.length; at += stride) slots.push(at + slotHeaderBytes)
  assert(slots.length >= 3, 'a kernel has room for three units')
  const coder = createCoder(functions, memory)
  testKernel(coder, bytes, slots)
  return {
    build: chosen,
    unitBytes: options.unitBytes,
    slots,
    view: (slot, length) => bytes.subarray(slot, slot + length),
    viewWithHeader: (slot, headerBytes, length) =>
      bytes.subarray(slot - headerBytes, slot + length),
    encode(units, parity, length) {
      coder.place(units)
      coder.encode(units.length, parity, length)
    },
    reconstruct(dataShards, sources, targets, length) {
      coder.place(sources.map((source) => source.slot))
      const rows = reconstructionRows(
        dataShards,
        sources.map((source) => source.shard),
        targets.map((target) => target.shard),
      )
      for (const [i, target] of targets.entries()) {
        coder.combine(rows[i] as Uint8Array, target.slot, length)
      }
    },
  }
}

export function preferredBuild(): 'relaxed' | 'plain' {
  return wasm.validate(fromBase64(relaxedKernel)) ? 'relaxed' : 'plain'
}

/** The kernel's functions over a memory. */
export function instantiate(
  build: 'relaxed' | 'plain',
  memory: { readonly buffer: ArrayBuffer },
): WasmExports {
  const binary = fromBase64(build === 'relaxed' ? relaxedKernel : plainKernel)
  return new wasm.Instance(new wasm.Module(binary), { env: { memory } }).exports
}

type Coder = {
  place(slots: readonly Slot[]): void
  encode(dataShards: number, parity: readonly Slot[], length: number): void
  combine(row: Uint8Array, target: Slot, length: number): void
}

/** Puts coefficients and addresses where the functions read them. */
function createCoder(functions: Functions, memory: { readonly buffer: ArrayBuffer }): Coder {
  const addresses = new Uint32Array(memory.buffer, addressesAt, shardsMax)
  const coefficients = new Uint8Array(memory.buffer, rowsAt, shardsMax)
  const parityRows = new Map<number, readonly Uint8Array[]>()
  const rowsOf = (dataShards: number): readonly Uint8Array[] => {
    let rows = parityRows.get(dataShards)
    if (rows === undefined) {
      rows = Array.from({ length: shardsMax - dataShards }, (_, i) => parityRow(i, dataShards))
      parityRows.set(dataShards, rows)
    }
    return rows
  }
  return {
    place(slots) {
      for (let i = 0; i < slots.length; i++) addresses[i] = slots[i] as Slot
    },
    encode(dataShards, parity, length) {
      const rows = rowsOf(dataShards)
      const [first, second] = parity
      if (first === undefined) return
      if (second === undefined) {
        functions.xorAll(addressesAt, dataShards, first, length)
        return
      }
      coefficients.set(rows[1] as Uint8Array)
      functions.xorAndCombine(rowsAt, addressesAt, dataShards, first, second, length)
      for (let i = 2; i < parity.length; i++) {
        coefficients.set(rows[i] as Uint8Array)
        functions.combine(rowsAt, addressesAt, dataShards, parity[i] as Slot, length)
      }
    },
    combine(row, target, length) {
      if (row.every((coefficient) => coefficient === 1)) {
        functions.xorAll(addressesAt, row.length, target, length)
        return
      }
      coefficients.set(row)
      functions.combine(rowsAt, addressesAt, row.length, target, length)
    },
  }
}

/** Every product of the field, through both nibble tables, in all 16 lanes and all four vectors of a block. */
function testKernel(coder: Coder, bytes: Uint8Array, slots: readonly Slot[]): void {
  const [source, target] = slots as [Slot, Slot]
  for (let factor = 0; factor < 256; factor++) bytes[source + factor] = factor
  coder.place([source])
  for (let c = 2; c < 256; c++) {
    coder.combine(Uint8Array.of(c), target, 256)
    for (let factor = 0; factor < 256; factor++) {
      assert(bytes[target + factor] === multiply(c, factor), 'SIMD agrees with scalar arithmetic')
    }
  }
  bytes.fill(0, source, source + 256)
  bytes.fill(0, target, target + 256)
}

function fromBase64(text: string): Uint8Array {
  const raw = atob(text)
  const bytes = new Uint8Array(raw.length)
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i)
  return bytes
}
