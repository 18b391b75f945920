// @ts-nocheck: AssemblyScript, compiled by tools/wasm.ts and never run as TypeScript.
//
// Arithmetic over byte strings in GF(2^8), 16 bytes at a time, and CRC-64/NVME. A product with a
// constant c is two lookups of 16 entries, one per nibble of the factor (Plank, Greenan and Miller 2013,
// "Screaming fast Galois field arithmetic using Intel SIMD instructions"). Memory is the caller's:
//
//   0      256 x 32 bytes: for each c the products c*0..c*15, then c*0, c*16, .. c*240
//   8192   8 x 256 x 8 bytes: tables of CRC-64 (slice by eight); absent when only coding is used
//
// `sources` is an array of u32 addresses, `row` one coefficient per source. Lengths are rounded up to 64 by
// the loops: buffers have room for that. Relaxed swizzle is used with indices below 16 only, where every
// processor agrees with the plain one.

const crcTables: usize = 8192

@inline
function look(table: v128, index: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, index)
  return i8x16.swizzle(table, index)
}

@inline
function product(low: v128, high: v128, x: v128, mask: v128): v128 {
  return v128.xor(
    look(low, v128.and(x, mask)),
    look(high, v128.and(i16x8.shr_u(x, 4), mask)),
  )
}

/** target = source[0] ^ source[1] ^ ... */
export function xorAll(sources: usize, count: i32, target: usize, length: i32): void {
  for (let at: usize = 0; at < <usize>length; at += 64) {
    let from = <usize>load<u32>(sources) + at
    let a = v128.load(from)
    let b = v128.load(from, 16)
    let c = v128.load(from, 32)
    let d = v128.load(from, 48)
    for (let i = 1; i < count; i++) {
      from = <usize>load<u32>(sources + ((<usize>i) << 2)) + at
      a = v128.xor(a, v128.load(from))
      b = v128.xor(b, v128.load(from, 16))
      c = v128.xor(c, v128.load(from, 32))
      d = v128.xor(d, v128.load(from, 48))
    }
    const to = target + at
    v128.store(to, a)
    v128.store(to, b, 16)
    v128.store(to, c, 32)
    v128.store(to, d, 48)
  }
}

/** target = sum of row[i] * source[i]. */
export function combine(row: usize, sources: usize, count: i32, target: usize, length: i32): void {
  const mask = i8x16.splat(15)
  for (let at: usize = 0; at < <usize>length; at += 64) {
    let a = i8x16.splat(0)
    let b = i8x16.splat(0)
    let c = i8x16.splat(0)
    let d = i8x16.splat(0)
    for (let i = 0; i < count; i++) {
      const table = (<usize>load<u8>(row + <usize>i)) << 5
      const low = v128.load(table)
      const high = v128.load(table, 16)
      const from = <usize>load<u32>(sources + ((<usize>i) << 2)) + at
      a = v128.xor(a, product(low, high, v128.load(from), mask))
      b = v128.xor(b, product(low, high, v128.load(from, 16), mask))
      c = v128.xor(c, product(low, high, v128.load(from, 32), mask))
      d = v128.xor(d, product(low, high, v128.load(from, 48), mask))
    }
    const to = target + at
    v128.store(to, a)
    v128.store(to, b, 16)
    v128.store(to, c, 32)
    v128.store(to, d, 48)
  }
}

/** Both in one pass: plain = source[0] ^ ..., target = sum of row[i] * source[i]. */
export function xorAndCombine(
  row: usize, sources: usize, count: i32, plain: usize, target: usize, length: i32,
): void {
  const mask = i8x16.splat(15)
  for (let at: usize = 0; at < <usize>length; at += 64) {
    let pa = i8x16.splat(0)
    let pb = i8x16.splat(0)
    let pc = i8x16.splat(0)
    let pd = i8x16.splat(0)
    let a = i8x16.splat(0)
    let b = i8x16.splat(0)
    let c = i8x16.splat(0)
    let d = i8x16.splat(0)
    for (let i = 0; i < count; i++) {
      const table = (<usize>load<u8>(row + <usize>i)) << 5
      const low = v128.load(table)
      const high = v128.load(table, 16)
      const from = <usize>load<u32>(sources + ((<usize>i) << 2)) + at
      let x = v128.load(from)
      pa = v128.xor(pa, x)
      a = v128.xor(a, product(low, high, x, mask))
      x = v128.load(from, 16)
      pb = v128.xor(pb, x)
      b = v128.xor(b, product(low, high, x, mask))
      x = v128.load(from, 32)
      pc = v128.xor(pc, x)
      c = v128.xor(c, product(low, high, x, mask))
      x = v128.load(from, 48)
      pd = v128.xor(pd, x)
      d = v128.xor(d, product(low, high, x, mask))
    }
    v128.store(plain + at, pa)
    v128.store(plain + at, pb, 16)
    v128.store(plain + at, pc, 32)
    v128.store(plain + at, pd, 48)
    v128.store(target + at, a)
    v128.store(target + at, b, 16)
    v128.store(target + at, c, 32)
    v128.store(target + at, d, 48)
  }
}

/** CRC-64/NVME (reflected), without the inversions at both ends. */
export function crc64(at: usize, length: i32, seed: u64): u64 {
  let sum = seed
  let rest = length
  while (rest >= 8) {
    sum ^= load<u64>(at)
    sum = load<u64>(crcTables + 14336 + ((<usize>sum & 0xff) << 3))
      ^ load<u64>(crcTables + 12288 + ((<usize>(sum >> 8) & 0xff) << 3))
      ^ load<u64>(crcTables + 10240 + ((<usize>(sum >> 16) & 0xff) << 3))
      ^ load<u64>(crcTables + 8192 + ((<usize>(sum >> 24) & 0xff) << 3))
      ^ load<u64>(crcTables + 6144 + ((<usize>(sum >> 32) & 0xff) << 3))
      ^ load<u64>(crcTables + 4096 + ((<usize>(sum >> 40) & 0xff) << 3))
      ^ load<u64>(crcTables + 2048 + ((<usize>(sum >> 48) & 0xff) << 3))
      ^ load<u64>(crcTables + ((<usize>(sum >> 56) & 0xff) << 3))
    at += 8
    rest -= 8
  }
  while (rest > 0) {
    sum = load<u64>(crcTables + ((<usize>(sum ^ <u64>load<u8>(at)) & 0xff) << 3)) ^ (sum >> 8)
    at++
    rest--
  }
  return sum
}

/** Fills the tables of crc64; `polynomial` is reflected. */
export function startCrc64(polynomial: u64): void {
  for (let i: usize = 0; i < 256; i++) {
    let sum: u64 = <u64>i
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >> 1) ^ polynomial : sum >> 1
    store<u64>(crcTables + (i << 3), sum)
  }
  for (let slice: usize = 1; slice < 8; slice++) {
    for (let i: usize = 0; i < 256; i++) {
      const before = load<u64>(crcTables + ((slice - 1) << 11) + (i << 3))
      const after = load<u64>(crcTables + ((<usize>before & 0xff) << 3)) ^ (before >> 8)
      store<u64>(crcTables + (slice << 11) + (i << 3), after)
    }
  }
}
