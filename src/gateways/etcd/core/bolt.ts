// A writer of bbolt database files (go.etcd.io/bbolt, page.go, bucket.go, db.go): enough for a file that is made once,
// in order, and only read or opened afterwards. It streams: a tree's pages go out as they fill, what is held is one
// open page per level. A file names its roots at its front, so whoever writes one runs through its trees first
// without giving pages out, which gives the same page numbers.
//
//   page      id 8, flags 2, count 2, overflow 4, elements, data; 4096 bytes and as many more pages as it overflows
//   branch    element: pos 4, key bytes 4, page 8      leaf   element: flags 4, pos 4, key bytes 4, value bytes 4
//   meta      magic, version 2, page size, flags, root page, sequence, freelist page, high water mark, transaction,
//             FNV-1a 64 of all before
//   bucket    a leaf's value: root page 8, sequence 8; an empty one is inline: root 0, and an empty leaf behind it
//
// Numbers are little-endian; pos counts from its own element.

import { compareBytes, concatBytes, Fault, utf8Encode } from '../../../base/index.ts'

export const boltPageBytes = 4096
const headBytes = 16
const elementBytes = 16
const branchFlag = 1
const leafFlag = 2
const metaFlag = 4
const freelistFlag = 16
const bucketFlag = 1
const magic = 0xed0cdaed
const metaBytes = 64
const elementsMax = 0xffff
const emptyBytes = new Uint8Array(0)
const rootPage = 3
/** Before it stand two metas, the freelist and the leaf of buckets. */
export const firstTreePage = 4

type Emit = (bytes: Uint8Array) => void
type Leaf = { readonly key: Uint8Array; readonly value: Uint8Array; readonly flags: number }
type Branch = { readonly key: Uint8Array; readonly page: number }
type Level = { children: Branch[]; bytes: number }

/** One tree, from sorted keys up to its root, on the pages from `firstPage` on. */
export class BoltTree {
  readonly #emit: Emit | undefined
  readonly #levels: Level[] = []
  #leaves: Leaf[] = []
  #leafBytes = headBytes
  readonly #firstPage: number
  #nextPage: number
  #last: Uint8Array = emptyBytes

  /** Without `emit` it only counts. */
  constructor(firstPage: number, emit?: Emit) {
    this.#firstPage = firstPage
    this.#nextPage = firstPage
    this.#emit = emit
  }

  /** Keys come in order, none twice. */
  add(key: Uint8Array, value: Uint8Array): void {
    if (compareBytes(key, this.#last) <= 0)
      throw new Fault('internal', 'keys of a tree out of order')
    this.#last = key
    const bytes = elementBytes + key.length + value.length
    const isFull = this.#leafBytes + bytes > boltPageBytes || this.#leaves.length >= elementsMax
    if (isFull && this.#leaves.length > 0) this.#endLeaf()
    this.#leaves.push({ key, value, flags: 0 })
    this.#leafBytes += bytes
  }

  /** The root, and the page behind the tree. */
  finish(): { readonly root: number; readonly endPage: number } {
    if (this.#leaves.length > 0 || this.#nextPage === this.#firstPage) this.#endLeaf()
    for (let at = 0; ; at++) {
      const level = this.#levels[at]
      if (level === undefined) throw new Fault('internal', 'a tree without a root')
      const isTop = at === this.#levels.length - 1
      const [only] = level.children
      if (isTop && level.children.length === 1 && only !== undefined) {
        return { root: only.page, endPage: this.#nextPage }
      }
      if (level.children.length > 0) this.#endBranch(at)
    }
  }

  #endLeaf(): void {
    const leaves = this.#leaves
    const first = leaves[0]?.key ?? emptyBytes
    this.#leaves = []
    const bytes = this.#leafBytes
    this.#leafBytes = headBytes
    const page = this.#give(bytes, (id) => encodeLeaf(id, leaves))
    this.#addChild(0, { key: first, page })
  }

  #addChild(at: number, child: Branch): void {
    const level = this.#levels[at] ?? { children: [], bytes: headBytes }
    this.#levels[at] = level
    const bytes = elementBytes + child.key.length
    if (level.bytes + bytes > boltPageBytes) this.#endBranch(at)
    level.children.push(child)
    level.bytes += bytes
  }

  #endBranch(at: number): void {
    const level = this.#levels[at]
    const first = level?.children[0]
    if (level === undefined || first === undefined) return
    const { children, bytes } = level
    level.children = []
    level.bytes = headBytes
    const page = this.#give(bytes, (id) => encodeBranch(id, children))
    this.#addChild(at + 1, { key: first.key, page })
  }

  #give(bytes: number, encode: (id: number) => Uint8Array): number {
    const id = this.#nextPage
    this.#nextPage += Math.ceil(bytes / boltPageBytes)
    if (this.#emit !== undefined) this.#emit(encode(id))
    return id
  }
}

export type BoltBucket = {
  readonly name: string
  readonly pairs: readonly (readonly [Uint8Array, Uint8Array])[]
}

/**
 * What stands before the trees: metas, an empty freelist, and the leaf of buckets, those of the trees among them.
 * Small buckets are inline, and all of it fits a page. `pages` is the number of pages of the whole file.
 */
export function encodeBoltFront(
  pages: number,
  trees: readonly { readonly name: string; readonly root: number }[],
  small: readonly BoltBucket[],
): Uint8Array {
  const buckets: Leaf[] = small.map(({ name, pairs }) => {
    const leaves = pairs.map(([key, value]) => ({ key, value, flags: 0 }))
    const inline = encodeLeaf(0, leaves, { isInline: true })
    return {
      key: utf8Encode(name),
      value: concatBytes([new Uint8Array(16), inline]),
      flags: bucketFlag,
    }
  })
  for (const { name, root } of trees) {
    const value = new Uint8Array(16)
    new DataView(value.buffer).setBigUint64(0, BigInt(root), true)
    buckets.push({ key: utf8Encode(name), value, flags: bucketFlag })
  }
  buckets.sort((a, b) => compareBytes(a.key, b.key))
  const leaf = encodeLeaf(rootPage, buckets)
  if (leaf.length !== boltPageBytes)
    throw new Fault('internal', 'buckets beside the tree do not fit a page')
  const freelist = startPage(2, { flags: freelistFlag, count: 0, bytes: headBytes })
  return concatBytes([encodeMeta(0, pages), encodeMeta(1, pages), freelist, leaf])
}

function encodeMeta(id: number, pages: number): Uint8Array {
  const page = startPage(id, { flags: metaFlag, count: 0, bytes: headBytes + metaBytes })
  const view = new DataView(page.buffer, headBytes, metaBytes)
  view.setUint32(0, magic, true)
  view.setUint32(4, 2, true)
  view.setUint32(8, boltPageBytes, true)
  view.setBigUint64(16, BigInt(rootPage), true)
  view.setBigUint64(32, 2n, true)
  view.setBigUint64(40, BigInt(pages), true)
  view.setBigUint64(48, BigInt(id), true)
  view.setBigUint64(56, fnv1a64(page.subarray(headBytes, headBytes + 56)), true)
  return page
}

function startPage(
  id: number,
  head: { readonly flags: number; readonly count: number; readonly bytes: number },
): Uint8Array {
  const pages = Math.ceil(head.bytes / boltPageBytes)
  const page = new Uint8Array(pages * boltPageBytes)
  writeHead(page, { ...head, id, overflow: pages - 1 })
  return page
}

function writeHead(
  page: Uint8Array,
  head: {
    readonly id: number
    readonly flags: number
    readonly count: number
    readonly overflow: number
  },
): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  view.setBigUint64(0, BigInt(head.id), true)
  view.setUint16(8, head.flags, true)
  view.setUint16(10, head.count, true)
  view.setUint32(12, head.overflow, true)
}

/** An inline leaf ends with its data; every other fills its pages. */
function encodeLeaf(
  id: number,
  leaves: readonly Leaf[],
  { isInline = false }: { readonly isInline?: boolean } = {},
): Uint8Array {
  const bytes = leaves.reduce(
    (total, { key, value }) => total + elementBytes + key.length + value.length,
    headBytes,
  )
  const head = { flags: leafFlag, count: leaves.length, bytes }
  const page = isInline ? new Uint8Array(bytes) : startPage(id, head)
  if (isInline) writeHead(page, { id: 0, ...head, overflow: 0 })
  const view = new DataView(page.buffer)
  let at = headBytes
  let payload = headBytes + leaves.length * elementBytes
  for (const { key, value, flags } of leaves) {
    view.setUint32(at, flags, true)
    view.setUint32(at + 4, payload - at, true)
    view.setUint32(at + 8, key.length, true)
    view.setUint32(at + 12, value.length, true)
    page.set(key, payload)
    page.set(value, payload + key.length)
    payload += key.length + value.length
    at += elementBytes
  }
  return page
}

function encodeBranch(id: number, children: readonly Branch[]): Uint8Array {
  const bytes = children.reduce((total, { key }) => total + elementBytes + key.length, headBytes)
  const page = startPage(id, { flags: branchFlag, count: children.length, bytes })
  const view = new DataView(page.buffer)
  let at = headBytes
  let payload = headBytes + children.length * elementBytes
  for (const { key, page: child } of children) {
    view.setUint32(at, payload - at, true)
    view.setUint32(at + 4, key.length, true)
    view.setBigUint64(at + 8, BigInt(child), true)
    page.set(key, payload)
    payload += key.length
    at += elementBytes
  }
  return page
}

function fnv1a64(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash
}
