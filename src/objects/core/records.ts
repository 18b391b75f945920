// Records of an objects namespace: protobuf wire format, `format` first (law 9). The keyspace carries
// their checksums. A body is where an object's bytes are:
//   small     b/<version>
//   chunks    chunk references in the record itself (few)
//   manifest  chunk references in m/<version>
//   parts     part numbers and sizes in m/<version>, each part's body in p/<upload id><number>

import {
  bytes,
  codecOf,
  decodeBytes,
  encodeBytes,
  Fault,
  type Message,
  type MessageOf,
  message,
  nested,
  repeated,
  text,
  uint,
} from '../../base/index.ts'
import type { ChunkRef, Manifest } from '../../content/index.ts'
import type { Checksum, ChecksumAlgorithm, ObjectHeaders } from '../objects.ts'

const formatNow = 1
/** References beyond this move from the head to m/: a head stays small, because lists read heads. */
export const inlineChunksMax = 8

const pair = message({ name: text(1), value: text(2) })
const chunkRef = message({ id: bytes(1), length: uint(2) })
const checksumFields = message({ algorithm: text(1), value: text(2), isComposite: uint(3) })
const headersFields = message({
  content: repeated(nested(1, pair)),
  user: repeated(nested(2, pair)),
})

const bodyKinds = ['small', 'chunks', 'manifest', 'parts'] as const
export type BodyKind = (typeof bodyKinds)[number]

const bodyFields = message({
  kind: uint(1),
  length: uint(2),
  version: bytes(3),
  chunks: repeated(nested(4, chunkRef)),
  uploadId: bytes(5),
})
export type Body = {
  readonly kind: BodyKind
  readonly length: number
  /** Names b/ or m/ rows and the trash row: 16 bytes, unique. */
  readonly version: Uint8Array
  readonly chunks: readonly ChunkRef[]
  /** Of kind parts: the upload whose p/ rows hold the bytes. */
  readonly uploadId: Uint8Array
}

const headFields = message({
  format: uint(1),
  body: nested(2, bodyFields),
  etag: text(3),
  modifiedMs: uint(4),
  headers: nested(5, headersFields),
  checksum: nested(6, checksumFields),
  partCount: uint(7),
})
export type Head = {
  readonly body: Body
  readonly etag: string
  readonly modifiedMs: number
  readonly headers: ObjectHeaders
  readonly checksum: Checksum | undefined
  /** 0: not made of parts. */
  readonly partCount: number
}

const uploadFields = message({
  format: uint(1),
  key: text(2),
  initiatedMs: uint(3),
  headers: nested(4, headersFields),
  checksumAlgorithm: text(5),
  isComposite: uint(6),
  uploadId: bytes(7),
})
export type Upload = {
  readonly key: string
  readonly initiatedMs: number
  readonly headers: ObjectHeaders
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined
  readonly isComposite: boolean
  readonly uploadId: Uint8Array
}

const partFields = message({
  format: uint(1),
  body: nested(2, bodyFields),
  etag: text(3),
  modifiedMs: uint(4),
  checksum: nested(5, checksumFields),
})
export type Part = {
  readonly body: Body
  readonly etag: string
  readonly modifiedMs: number
  readonly checksum: Checksum | undefined
}

const partSize = message({ number: uint(1), size: uint(2) })
const manifestFields = message({
  format: uint(1),
  length: uint(2),
  chunks: repeated(nested(3, chunkRef)),
  parts: repeated(nested(4, partSize)),
})
export type PartSize = { readonly number: number; readonly size: number }

const trashFields = message({ format: uint(1), body: nested(2, bodyFields), freedMs: uint(3) })
const completedFields = message({
  format: uint(1),
  bucket: uint(2),
  key: text(3),
  completedMs: uint(4),
  head: bytes(5),
})
export type Completed = {
  readonly bucket: number
  readonly key: string
  readonly completedMs: number
  readonly head: Head
}

export function encodeHead(head: Head): Uint8Array {
  return encodeBytes(headFields, {
    format: formatNow,
    body: writeBody(head.body),
    etag: head.etag,
    modifiedMs: head.modifiedMs,
    headers: writeHeaders(head.headers),
    checksum: writeChecksum(head.checksum),
    partCount: head.partCount,
  })
}

export function decodeHead(encoded: Uint8Array): Head {
  const read = readRecord(headFields, encoded)
  return {
    body: readBody(read.body),
    etag: read.etag,
    modifiedMs: read.modifiedMs,
    headers: readHeaders(read.headers),
    checksum: readChecksum(read.checksum),
    partCount: read.partCount,
  }
}

export function encodeUpload(upload: Upload): Uint8Array {
  return encodeBytes(uploadFields, {
    format: formatNow,
    key: upload.key,
    initiatedMs: upload.initiatedMs,
    headers: writeHeaders(upload.headers),
    checksumAlgorithm: upload.checksumAlgorithm ?? '',
    isComposite: upload.isComposite ? 1 : 0,
    uploadId: upload.uploadId,
  })
}

export function decodeUpload(encoded: Uint8Array): Upload {
  const read = readRecord(uploadFields, encoded)
  return {
    key: read.key,
    initiatedMs: read.initiatedMs,
    headers: readHeaders(read.headers),
    checksumAlgorithm:
      read.checksumAlgorithm === '' ? undefined : (read.checksumAlgorithm as ChecksumAlgorithm),
    isComposite: read.isComposite === 1,
    uploadId: read.uploadId.slice(),
  }
}

export function encodePart(part: Part): Uint8Array {
  return encodeBytes(partFields, {
    format: formatNow,
    body: writeBody(part.body),
    etag: part.etag,
    modifiedMs: part.modifiedMs,
    checksum: writeChecksum(part.checksum),
  })
}

export function decodePart(encoded: Uint8Array): Part {
  const read = readRecord(partFields, encoded)
  return {
    body: readBody(read.body),
    etag: read.etag,
    modifiedMs: read.modifiedMs,
    checksum: readChecksum(read.checksum),
  }
}

export function encodeChunkManifest(manifest: Manifest): Uint8Array {
  return encodeBytes(manifestFields, {
    format: formatNow,
    length: manifest.length,
    chunks: manifest.chunks,
    parts: [],
  })
}

export function encodePartsManifest(length: number, parts: readonly PartSize[]): Uint8Array {
  return encodeBytes(manifestFields, { format: formatNow, length, chunks: [], parts })
}

export function decodeManifest(encoded: Uint8Array): Manifest & {
  readonly parts: readonly PartSize[]
} {
  const read = readRecord(manifestFields, encoded)
  return { length: read.length, chunks: copyChunks(read.chunks), parts: present(read.parts) }
}

export function encodeTrash(body: Body, freedMs: number): Uint8Array {
  return encodeBytes(trashFields, { format: formatNow, body: writeBody(body), freedMs })
}

export function decodeTrash(encoded: Uint8Array): {
  readonly body: Body
  readonly freedMs: number
} {
  const read = readRecord(trashFields, encoded)
  return { body: readBody(read.body), freedMs: read.freedMs }
}

const completedCodec = codecOf(completedFields)

export function encodeCompleted(completed: Completed): Uint8Array {
  const { bucket, key, completedMs, head } = completed
  return completedCodec.encode({
    format: formatNow,
    bucket,
    key,
    completedMs,
    head: encodeHead(head),
  })
}

export function decodeCompleted(encoded: Uint8Array): Completed {
  const read = readRecord(completedFields, encoded)
  const { bucket, key, completedMs } = read
  return { bucket, key, completedMs, head: decodeHead(read.head) }
}

// biome-ignore lint/suspicious/noExplicitAny: any schema of this file
function readRecord<F extends Record<string, any>>(
  schema: Message<F>,
  encoded: Uint8Array,
): MessageOf<Message<F>> {
  const read = decodeBytes(schema, encoded)
  const { format } = read as { format: number }
  if (format !== formatNow) {
    throw new Fault(
      'corrupt',
      `an object record has format ${format}, this version reads ${formatNow}`,
      {
        next: 'upgrade this node to the version that the other nodes run',
      },
    )
  }
  return read
}

function writeBody(body: Body): MessageOf<typeof bodyFields> {
  return {
    kind: bodyKinds.indexOf(body.kind) + 1,
    length: body.length,
    version: body.version,
    chunks: body.chunks,
    uploadId: body.uploadId,
  }
}

function readBody(read: MessageOf<typeof bodyFields> | undefined): Body {
  const kind = bodyKinds[(read?.kind ?? 0) - 1]
  if (read === undefined || kind === undefined) {
    throw new Fault('corrupt', 'an object record has no body')
  }
  return {
    kind,
    length: read.length,
    version: read.version.slice(),
    chunks: copyChunks(read.chunks),
    uploadId: read.uploadId.slice(),
  }
}

function copyChunks(chunks: readonly (ChunkRef | undefined)[]): readonly ChunkRef[] {
  return present(chunks).map(({ id, length }) => ({ id: id.slice(), length }))
}

function writeHeaders(headers: ObjectHeaders): MessageOf<typeof headersFields> {
  return { content: toPairs(headers.content), user: toPairs(headers.user) }
}

function readHeaders(read: MessageOf<typeof headersFields> | undefined): ObjectHeaders {
  return { content: fromPairs(read?.content ?? []), user: fromPairs(read?.user ?? []) }
}

type Pair = MessageOf<typeof pair>

/** Sorted, so that equal headers have equal bytes. */
function toPairs(record: Readonly<Record<string, string>>): Pair[] {
  const names = Object.keys(record).sort()
  return names.map((name) => ({ name, value: record[name] ?? '' }))
}

function fromPairs(pairs: readonly (Pair | undefined)[]): Record<string, string> {
  return Object.fromEntries(present(pairs).map(({ name, value }) => [name, value]))
}

function writeChecksum(
  checksum: Checksum | undefined,
): MessageOf<typeof checksumFields> | undefined {
  if (checksum === undefined) return undefined
  const { algorithm, value, type } = checksum
  return { algorithm, value, isComposite: type === 'COMPOSITE' ? 1 : 0 }
}

function readChecksum(read: MessageOf<typeof checksumFields> | undefined): Checksum | undefined {
  if (read === undefined) return undefined
  const algorithm = read.algorithm as ChecksumAlgorithm
  return {
    algorithm,
    value: read.value,
    type: read.isComposite === 1 ? 'COMPOSITE' : 'FULL_OBJECT',
  }
}

function present<T>(items: readonly (T | undefined)[]): readonly T[] {
  return items.filter((item) => item !== undefined)
}
