// A group's whole state at one entry as a file: what is sent to members that lag behind the log, and what
// is kept for the day on which no member is left. All numbers big-endian.
//
//   head     magic 'A' 'R' 'S' 1 | body bytes u32 | crc32c of the body u32 | body: protobuf {group, name,
//            cluster id, generation, index, term, configuration, taken at (wall ms), mark (16 random bytes)}
//   chunk    kind u8 = 1 | zero u8[3] | bytes u32 | crc32c u32 | the bytes (at most 256 KiB)
//   end      kind u8 = 2 | zero u8[3] | chunks u32 | crc32c of the chunks' sums u32
//
// The mark tells two files of one entry apart: their bytes may differ, so that one never continues the other.

import {
  bytes,
  concatBytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  type GroupId,
  groupId,
  isFault,
  type MessageOf,
  message,
  nested,
  text,
  uint,
} from '../base/index.ts'
import type { Disk, DiskFile } from '../host/index.ts'
import type { SnapshotMetadata } from './core/index.ts'
import type { Fence } from './fence.ts'
import type { SnapshotSource } from './group.ts'
import { confStateFields, emptyConfState } from './state-row.ts'

export type SnapshotHead = {
  readonly group: GroupId
  readonly name: string
  readonly fence: Fence
  readonly metadata: SnapshotMetadata
  readonly takenMs: number
  readonly mark: Uint8Array
}

const magic = 0x41525301
const headHeaderBytes = 12
const headBytesMax = 64 * 1024
const chunkHeaderBytes = 12
export const chunkBytesMax = 256 * 1024
const chunkKind = 1
const endKind = 2
const headFields = message({
  group: uint(1),
  name: text(2),
  clusterId: bytes(3),
  generation: uint(4),
  index: uint(5),
  term: uint(6),
  confState: nested(7, confStateFields),
  takenMs: uint(8),
  mark: bytes(9),
})

export function encodeSnapshotHead(head: SnapshotHead): Uint8Array {
  const { group, name, fence, metadata, takenMs, mark } = head
  const { index, term, confState } = metadata
  const fields = { group, name, ...fence, index, term, confState, takenMs, mark }
  const body = encodeBytes(headFields, fields as MessageOf<typeof headFields>)
  const header = new Uint8Array(headHeaderBytes)
  const view = new DataView(header.buffer)
  view.setUint32(0, magic)
  view.setUint32(4, body.length)
  view.setUint32(8, crc32c(body))
  return concatBytes([header, body])
}

/** Fault 'corrupt' for anything but a whole head. */
export function decodeSnapshotHead(encoded: Uint8Array): SnapshotHead {
  const length = headLength(encoded)
  const body = encoded.slice(headHeaderBytes, length)
  if (encoded.length !== length || crc32c(body) !== viewOf(encoded).getUint32(8)) {
    throw corrupt('its head fails its checksum')
  }
  const { group, name, clusterId, generation, takenMs, mark, ...rest } = decodeBytes(
    headFields,
    body,
  )
  const metadata = {
    index: rest.index,
    term: rest.term,
    confState: rest.confState ?? emptyConfState,
  }
  const fence = { clusterId, generation }
  return { group: groupId(group), name, fence, metadata, takenMs, mark }
}

/** The head of a file, with its bytes. */
export async function readSnapshotHead(
  file: DiskFile,
): Promise<{ readonly head: SnapshotHead; readonly encoded: Uint8Array }> {
  const encoded = await file.read(0, headLength(await file.read(0, headHeaderBytes)))
  return { head: decodeSnapshotHead(encoded), encoded }
}

/** Writes a whole file, durably, under a temporary name first. Answers its size. */
export async function writeSnapshotFile(
  disk: Disk,
  path: string,
  {
    head,
    source,
    pace,
  }: {
    readonly head: SnapshotHead
    readonly source: SnapshotSource
    readonly pace: (bytes: number) => Promise<void>
  },
): Promise<number> {
  const temporary = `${path}.new`
  await disk.remove(temporary)
  const file = await disk.open(temporary, { create: true })
  try {
    const encoded = encodeSnapshotHead(head)
    await file.write(0, [encoded])
    let at = encoded.length
    let sums = 0
    let count = 0
    for await (const chunk of source.chunks) {
      if (chunk.length > chunkBytesMax) throw new Fault('internal', 'a chunk exceeds its bound')
      const header = encodeChunkHeader(chunkKind, chunk.length, crc32c(chunk))
      await file.write(at, [header, chunk])
      sums = crc32c(header, sums)
      at += header.length + chunk.length
      count++
      await pace(chunk.length)
    }
    await file.write(at, [encodeChunkHeader(endKind, count, sums)])
    await file.sync()
    await disk.rename(temporary, path)
    await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))
    return at + chunkHeaderBytes
  } finally {
    await file.close()
  }
}

export type SnapshotScan = {
  /** Where the last whole chunk ends: all before it is intact. */
  readonly intactBytes: number
  /** The file ends with its end record, exactly. */
  readonly isWhole: boolean
}

/** Reads and checks chunk after chunk, giving each to `onChunk`; stops at the first that is not whole. */
export async function scanSnapshotFile(
  file: DiskFile,
  onChunk: (chunk: Uint8Array) => Promise<void> = async () => {},
): Promise<SnapshotScan> {
  const size = await file.size()
  let at = (await readSnapshotHead(file)).encoded.length
  let sums = 0
  let count = 0
  for (;;) {
    if (at + chunkHeaderBytes > size) return { intactBytes: at, isWhole: false }
    const header = await file.read(at, chunkHeaderBytes)
    const view = viewOf(header)
    const [word, number, sum] = [view.getUint32(0), view.getUint32(4), view.getUint32(8)]
    if (word === endKind << 24) {
      const isWhole = number === count && sum === sums && at + chunkHeaderBytes === size
      return { intactBytes: isWhole ? size : at, isWhole }
    }
    const end = at + chunkHeaderBytes + number
    if (word !== chunkKind << 24 || number > chunkBytesMax || end > size) {
      return { intactBytes: at, isWhole: false }
    }
    const chunk = await file.read(at + chunkHeaderBytes, number)
    if (crc32c(chunk) !== sum) return { intactBytes: at, isWhole: false }
    await onChunk(chunk)
    sums = crc32c(header, sums)
    count++
    at = end
  }
}

/** Undefined when there is no such file, or no head in it. */
export async function headOf(disk: Disk, path: string): Promise<SnapshotHead | undefined> {
  if (!(await disk.exists(path))) return undefined
  const file = await disk.open(path)
  try {
    return (await readSnapshotHead(file)).head
  } catch (error) {
    if (isFault(error, 'corrupt')) return undefined
    throw error
  } finally {
    await file.close()
  }
}

function headLength(encoded: Uint8Array): number {
  if (encoded.length < headHeaderBytes) throw corrupt('it is shorter than a head')
  const view = viewOf(encoded)
  const length = view.getUint32(4)
  if (view.getUint32(0) !== magic || length > headBytesMax) throw corrupt('it has no head')
  return headHeaderBytes + length
}

function encodeChunkHeader(kind: number, number: number, sum: number): Uint8Array {
  const header = new Uint8Array(chunkHeaderBytes)
  const view = new DataView(header.buffer)
  view.setUint8(0, kind)
  view.setUint32(4, number)
  view.setUint32(8, sum)
  return header
}

function viewOf(of: Uint8Array): DataView {
  return new DataView(of.buffer, of.byteOffset, of.byteLength)
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed snapshot: ${what}`)
}
