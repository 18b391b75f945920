// The encoder against a reader of its own: what a scanner does after it has found the squares, from the standard.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeQr } from './qr.ts'

/** Level M by version (tables 7 and 9): check codewords of a block, and data codewords of each block. */
const blocksOf: Readonly<Record<number, readonly [checks: number, data: readonly number[]]>> = {
  1: [10, [16]],
  2: [16, [28]],
  3: [26, [44]],
  4: [18, [32, 32]],
  5: [24, [43, 43]],
  6: [16, [27, 27, 27, 27]],
  7: [18, [31, 31, 31, 31]],
  8: [22, [38, 38, 39, 39]],
  9: [22, [36, 36, 36, 37, 37]],
  10: [26, [43, 43, 43, 43, 44]],
}
/** Centres of the alignment patterns (annex E). */
const centresOf: Readonly<Record<number, readonly number[]>> = {
  1: [],
  2: [6, 18],
  3: [6, 22],
  4: [6, 26],
  5: [6, 30],
  6: [6, 34],
  7: [6, 22, 38],
  8: [6, 24, 42],
  9: [6, 26, 46],
  10: [6, 28, 50],
}
/** Table C.1: format information of level M by mask, as it is drawn. */
const formats = [0x5412, 0x5125, 0x5e7c, 0x5b4b, 0x45f9, 0x40ce, 0x4f97, 0x4aa0]
/** Table D.1: version information. */
const versions: Readonly<Record<number, number>> = {
  7: 0x07c94,
  8: 0x085bc,
  9: 0x09a99,
  10: 0x0a4d3,
}

type Rows = readonly (readonly boolean[])[]
const at = (rows: Rows, y: number, x: number): number => (rows[y]?.[x] === true ? 1 : 0)

const masks: readonly ((y: number, x: number) => boolean)[] = [
  (y, x) => (y + x) % 2 === 0,
  (y) => y % 2 === 0,
  (_, x) => x % 3 === 0,
  (y, x) => (y + x) % 3 === 0,
  (y, x) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (y, x) => ((y * x) % 2) + ((y * x) % 3) === 0,
  (y, x) => (((y * x) % 2) + ((y * x) % 3)) % 2 === 0,
  (y, x) => (((y + x) % 2) + ((y * x) % 3)) % 2 === 0,
]

function isFixed(version: number, y: number, x: number): boolean {
  const width = 17 + 4 * version
  const isFinder = (y < 9 && x < 9) || (y < 9 && x >= width - 8) || (y >= width - 8 && x < 9)
  if (isFinder || y === 6 || x === 6) return true
  if (version >= 7) {
    if (y < 6 && x >= width - 11) return true
    if (x < 6 && y >= width - 11) return true
  }
  const centres = centresOf[version] ?? []
  const [first = 6, last = 6] = [centres[0], centres.at(-1)]
  return centres.some((cy) =>
    centres.some((cx) => {
      const isCorner =
        (cy === first && cx === first) ||
        (cy === first && cx === last) ||
        (cy === last && cx === first)
      return !isCorner && Math.abs(y - cy) <= 2 && Math.abs(x - cx) <= 2
    }),
  )
}

function maskOf(rows: Rows): number {
  const width = rows.length
  const places = [0, 1, 2, 3, 4, 5, 7, 8].map((x) => [8, x] as const)
  const more = [7, 5, 4, 3, 2, 1, 0].map((y) => [y, 8] as const)
  const one = [...places, ...more].reduce((bits, [y, x]) => (bits << 1) | at(rows, y, x), 0)
  const low = [1, 2, 3, 4, 5, 6, 7].map((back) => [width - back, 8] as const)
  const right = [8, 7, 6, 5, 4, 3, 2, 1].map((back) => [8, width - back] as const)
  const two = [...low, ...right].reduce((bits, [y, x]) => (bits << 1) | at(rows, y, x), 0)
  assert.equal(one, two, 'both copies of the format are the same')
  return formats.indexOf(one)
}

function readBits(rows: Rows, version: number, mask: number): readonly number[] {
  const width = rows.length
  const bits: number[] = []
  let isUp = true
  for (let right = width - 1; right > 0; right -= 2) {
    if (right === 6) right = 5
    for (let step = 0; step < width; step++) {
      const y = isUp ? width - 1 - step : step
      for (const x of [right, right - 1]) {
        if (isFixed(version, y, x)) continue
        bits.push(at(rows, y, x) ^ (masks[mask]?.(y, x) === true ? 1 : 0))
      }
    }
    isUp = !isUp
  }
  return bits
}

function times(a: number, b: number): number {
  let product = 0
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ ((product & 0x80) !== 0 ? 0x11d : 0)
    if (((b >> bit) & 1) !== 0) product ^= a
  }
  return product
}

/** Data codewords in order; every block is a codeword of its Reed-Solomon code. */
function dataOf(codewords: readonly number[], version: number): readonly number[] {
  const [checks, sizes] = blocksOf[version] ?? [0, []]
  const blocks = sizes.map((): number[] => [])
  let next = 0
  for (let column = 0; column < Math.max(...sizes); column++) {
    for (const [position, size] of sizes.entries()) {
      if (column < size) blocks[position]?.push(codewords[next++] ?? 0)
    }
  }
  const data = blocks.flatMap((block) => [...block])
  for (let column = 0; column < checks; column++) {
    for (const block of blocks) block.push(codewords[next++] ?? 0)
  }
  for (const block of blocks) {
    let root = 1
    for (let power = 0; power < checks; power++) {
      assert.equal(
        block.reduce((sum, word) => times(sum, root) ^ word, 0),
        0,
        'a syndrome',
      )
      root = times(root, 2)
    }
  }
  return data
}

function decode(rows: Rows): { readonly text: string; readonly version: number } {
  const version = (rows.length - 17) / 4
  for (const [y, x] of [
    [0, 0],
    [0, rows.length - 7],
    [rows.length - 7, 0],
  ] as const) {
    const middle = [0, 1, 2, 3, 4, 5, 6].map((step) => at(rows, y + 3, x + step)).join('')
    assert.equal(middle, '1011101', 'a finder')
  }
  const timing = rows[6]?.slice(8, rows.length - 8) ?? []
  assert.ok(
    timing.every((isDark, step) => isDark === (step % 2 === 0)),
    'the timing pattern',
  )
  assert.equal(at(rows, rows.length - 8, 8), 1, 'the module that is always dark')
  if (version >= 7) {
    let information = 0
    for (let bit = 17; bit >= 0; bit--) {
      const [long, short] = [Math.floor(bit / 3), rows.length - 11 + (bit % 3)]
      assert.equal(at(rows, long, short), at(rows, short, long))
      information = (information << 1) | at(rows, long, short)
    }
    assert.equal(information, versions[version])
  }
  const mask = maskOf(rows)
  assert.ok(mask >= 0, 'a format of level M')
  const bits = readBits(rows, version, mask)
  const codewords = Array.from({ length: Math.floor(bits.length / 8) }, (_, word) =>
    bits.slice(8 * word, 8 * word + 8).reduce((value, bit) => (value << 1) | bit, 0),
  )
  const plain = dataOf(codewords, version).flatMap((word) =>
    [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => (word >> bit) & 1),
  )
  const take = (from: number, count: number): number =>
    plain.slice(from, from + count).reduce((value, bit) => (value << 1) | bit, 0)
  assert.equal(take(0, 4), 4, 'mode: bytes')
  const countBits = version < 10 ? 8 : 16
  const count = take(4, countBits)
  const bytes = Uint8Array.from({ length: count }, (_, position) =>
    take(4 + countBits + 8 * position, 8),
  )
  return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), version }
}

test('what is encoded is read again, at every version and around every limit', () => {
  const seen = new Set<number>()
  for (let length = 1; length <= 213; length += length < 60 ? 7 : 3) {
    const text = Array.from(
      { length },
      (_, position) => 'AT1.Z9/é~'[(position * 7 + length) % 7],
    ).join('')
    const { text: read, version } = decode(encodeQr(text))
    assert.equal(read, text)
    seen.add(version)
  }
  const token = `at1.CDV6JH.${'4TTBD23T7XVD699SMDTQXHFJF1'}.${'41T9VBMQ90DAMA5DYKBF3JHEQ47'}`
  assert.equal(decode(encodeQr(token)).text, token)
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  )
  assert.throws(() => encodeQr('x'.repeat(214)), RangeError)
})
