// CRC-64/NVME (NVM Express NVM command set 1.0d, 5.2.1.3.4), the checksum that S3 calls CRC64NVME: polynomial
// 0xad93d23594c93659, reflected, inverted at both ends. Slice by eight in WebAssembly, where 64-bit integers
// are machine words; input is copied through a window of 64 KiB of the module's memory.

import { instantiate } from './kernel.ts'
import { type WasmMemory, wasm } from './wasm-types.ts'

const reflectedPolynomial = 0x9a6c9329ac4bc9b5n
const windowAt = 32_768
const windowBytes = 65_536
const ones = 0xffff_ffff_ffff_ffffn

type Crc64Functions = {
  startCrc64(polynomial: bigint): void
  crc64(at: number, length: number, seed: bigint): bigint
}

let started: { readonly functions: Crc64Functions; readonly window: Uint8Array } | undefined

/** The sum of `bytes`; `seed` continues an earlier sum, so that sum(a + b) = sum(b, sum(a)). */
export function crc64Nvme(bytes: Uint8Array, seed = 0n): bigint {
  started ??= start()
  const { functions, window } = started
  let sum = seed ^ ones
  for (let at = 0; at < bytes.length; at += windowBytes) {
    const slice = bytes.subarray(at, at + windowBytes)
    window.set(slice)
    sum = BigInt.asUintN(64, functions.crc64(windowAt, slice.length, sum))
  }
  return sum ^ ones
}

function start(): { readonly functions: Crc64Functions; readonly window: Uint8Array } {
  const memory: WasmMemory = new wasm.Memory({ initial: 2, maximum: 2 })
  const functions = instantiate('plain', memory) as unknown as Crc64Functions
  functions.startCrc64(reflectedPolynomial)
  return { functions, window: new Uint8Array(memory.buffer, windowAt, windowBytes) }
}
