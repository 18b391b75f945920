// A naive reader of bbolt files, written from the format and not from our writer: every bucket with its pairs, in
// order, everything checked that a page says of itself.

import assert from 'node:assert/strict'
import { toHex, utf8Decode } from '../../../base/index.ts'

const pageBytes = 4096

/** By bucket, then by key in hexadecimal. */
export function readBolt(file: Uint8Array): Map<string, Map<string, Uint8Array>> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const metas = [0, 1].map((id) => id * pageBytes + 16)
  for (const at of metas) assert.equal(view.getUint32(at, true), 0xed0cdaed)
  const pages = Number(view.getBigUint64((metas[1] as number) + 40, true))
  assert.equal(Math.floor(file.length / pageBytes), pages)
  const seen = new Set([0, 1, 2])
  const buckets = new Map<string, Map<string, Uint8Array>>()
  const root = Number(view.getBigUint64((metas[1] as number) + 16, true))
  for (const [name, value, flags] of readTree(file, root, seen)) {
    assert.equal(flags, 1)
    const head = new DataView(value.buffer, value.byteOffset, value.byteLength)
    const at = Number(head.getBigUint64(0, true))
    const pairs = at === 0 ? readLeaf(value.subarray(16)) : readTree(file, at, seen)
    buckets.set(utf8Decode(name), new Map(pairs.map(([key, one]) => [toHex(key), one])))
  }
  assert.equal(seen.size, pages, 'every page is named once')
  return buckets
}

type Pair = readonly [key: Uint8Array, value: Uint8Array, flags: number]

function readTree(file: Uint8Array, id: number, seen: Set<number>): readonly Pair[] {
  const page = file.subarray(id * pageBytes)
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  assert.equal(Number(view.getBigUint64(0, true)), id)
  for (let more = view.getUint32(12, true); more >= 0; more--) {
    assert.ok(!seen.has(id + more), `page ${id + more} is named twice`)
    seen.add(id + more)
  }
  if (view.getUint16(8, true) === 2) return readLeaf(page)
  assert.equal(view.getUint16(8, true), 1)
  const pairs: Pair[] = []
  for (let i = 0, at = 16; i < view.getUint16(10, true); i++, at += 16) {
    const start = at + view.getUint32(at, true)
    const key = page.subarray(start, start + view.getUint32(at + 4, true))
    const below = readTree(file, Number(view.getBigUint64(at + 8, true)), seen)
    assert.equal(toHex(below[0]?.[0] ?? key), toHex(key))
    pairs.push(...below)
  }
  return pairs
}

function readLeaf(page: Uint8Array): readonly Pair[] {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  assert.equal(view.getUint16(8, true), 2)
  const pairs: Pair[] = []
  for (let i = 0, at = 16; i < view.getUint16(10, true); i++, at += 16) {
    const start = at + view.getUint32(at + 4, true)
    const end = start + view.getUint32(at + 8, true)
    const value = page.subarray(end, end + view.getUint32(at + 12, true))
    pairs.push([page.subarray(start, end), value, view.getUint32(at, true)])
  }
  return pairs
}
