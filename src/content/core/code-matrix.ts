// The systematic Reed-Solomon code of k data and m parity shards, k + m <= 32.
//
// The generator is [I; P]. P starts as a Cauchy matrix, p(i, j) = 1 / (x(i) + y(j)) with all x and y different:
// each of its square submatrices is invertible, which makes [I; P] decodable from any k rows (MDS). Multiplying
// column j by x(0) + y(j) keeps that and turns the first row into ones: the first parity shard is the plain
// XOR of the data, and RS(k,1) needs no multiplication at all (Bloemer et al. 1995; Plank and Xu 2006).
// x(i) = 255 - i and y(j) = j do not depend on k or m, so shard i of RS(k,m) is the same for every m.

import { assert } from '../../base/index.ts'
import { invert, multiply } from './galois.ts'

export const shardsMax = 32

/** Row i of P, one coefficient per data shard. */
export function parityRow(parity: number, dataShards: number): Uint8Array {
  const row = new Uint8Array(dataShards)
  for (let j = 0; j < dataShards; j++) row[j] = multiply(255 ^ j, invert((255 - parity) ^ j))
  return row
}

/** Row of the generator: a unit vector for a data shard, a row of P for a parity shard. */
export function generatorRow(shard: number, dataShards: number): Uint8Array {
  if (shard >= dataShards) return parityRow(shard - dataShards, dataShards)
  const row = new Uint8Array(dataShards)
  row[shard] = 1
  return row
}

/**
 * For each shard of `wanted` the coefficients that make it from the shards of `available` (exactly k
 * different ones), in the order given.
 */
export function reconstructionRows(
  dataShards: number,
  available: readonly number[],
  wanted: readonly number[],
): readonly Uint8Array[] {
  assert(available.length === dataShards, 'reconstruction takes exactly k shards')
  const inverse = invertMatrix(available.map((shard) => generatorRow(shard, dataShards)))
  assert(inverse !== undefined, 'any k different rows of the generator are independent')
  return wanted.map((shard) => multiplyRow(generatorRow(shard, dataShards), inverse))
}

/** Gauss-Jordan elimination; undefined for a singular matrix. */
export function invertMatrix(matrix: readonly Uint8Array[]): Uint8Array[] | undefined {
  const size = matrix.length
  const rows: Uint8Array[] = matrix.map((row, i) => {
    const wide = new Uint8Array(2 * size)
    wide.set(row)
    wide[size + i] = 1
    return wide
  })
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, i) => i >= column && row[column] !== 0)
    if (pivot < 0) return undefined
    const chosen = rows[pivot] as Uint8Array
    rows[pivot] = rows[column] as Uint8Array
    rows[column] = chosen
    scale(chosen, invert(chosen[column] as number))
    for (const row of rows) if (row !== chosen) addScaled(row, chosen, row[column] as number)
  }
  return rows.map((row) => row.slice(size))
}

function multiplyRow(row: Uint8Array, matrix: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(matrix.length)
  for (const [i, other] of matrix.entries()) addScaled(result, other, row[i] as number)
  return result
}

function scale(row: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] = multiply(row[i] as number, factor)
}

function addScaled(target: Uint8Array, source: Uint8Array, factor: number): void {
  if (factor === 0) return
  for (let i = 0; i < target.length; i++) {
    target[i] = (target[i] as number) ^ multiply(source[i] as number, factor)
  }
}
