// The CRC of A followed by B from the CRCs of A and B: advancing a reflected CRC over n zero bytes is
// a linear map over GF(2), applied by repeated squaring (M. Adler, zlib crc32_combine). The initial and
// final complement cancel out for the three CRCs of S3.

import { crc32, crc32c } from '../../base/index.ts'
import type { ChecksumAlgorithm } from '../objects.ts'

export type CrcPolynomial = {
  readonly bits: 32 | 64
  /** Reflected, without the leading term. */
  readonly reflected: bigint
  /** The CRC of bytes, for composite checksums of few bytes. */
  readonly sum: (bytes: Uint8Array) => bigint
}

export const crcPolynomials: Partial<Record<ChecksumAlgorithm, CrcPolynomial>> = {
  CRC32: { bits: 32, reflected: 0xedb88320n, sum: (bytes) => BigInt(crc32(bytes)) },
  CRC32C: { bits: 32, reflected: 0x82f63b78n, sum: (bytes) => BigInt(crc32c(bytes)) },
  CRC64NVME: {
    bits: 64,
    reflected: 0x9a6c9329ac4bc9b5n,
    sum: (bytes) => bitwise(bytes, 0x9a6c9329ac4bc9b5n, 64),
  },
}

type Matrix = readonly bigint[]

/** `secondBytes` is the length of what `second` sums. */
export function combineCrc(
  polynomial: CrcPolynomial,
  sums: { readonly first: bigint; readonly second: bigint; readonly secondBytes: number },
): bigint {
  let advanced = sums.first
  let power = zeroByteMatrix(polynomial)
  let count = sums.secondBytes
  while (count > 0) {
    if (count % 2 === 1) advanced = apply(power, advanced)
    count = Math.floor(count / 2)
    if (count > 0) power = square(power)
  }
  return advanced ^ sums.second
}

/** Columns: where each single bit of the register goes when one zero byte is fed. */
function zeroByteMatrix({ bits, reflected }: CrcPolynomial): Matrix {
  const columns: bigint[] = []
  for (let bit = 0; bit < bits; bit++) {
    let register = 1n << BigInt(bit)
    for (let i = 0; i < 8; i++) {
      register = (register & 1n) === 1n ? (register >> 1n) ^ reflected : register >> 1n
    }
    columns.push(register)
  }
  return columns
}

function apply(matrix: Matrix, vector: bigint): bigint {
  let sum = 0n
  let rest = vector
  for (let bit = 0; rest !== 0n; bit++) {
    if ((rest & 1n) === 1n) sum ^= matrix[bit] ?? 0n
    rest >>= 1n
  }
  return sum
}

function square(matrix: Matrix): Matrix {
  return matrix.map((column) => apply(matrix, column))
}

function bitwise(bytes: Uint8Array, reflected: bigint, bits: number): bigint {
  const mask = (1n << BigInt(bits)) - 1n
  let register = mask
  for (const byte of bytes) {
    register ^= BigInt(byte)
    for (let i = 0; i < 8; i++) {
      register = (register & 1n) === 1n ? (register >> 1n) ^ reflected : register >> 1n
    }
  }
  return register ^ mask
}
