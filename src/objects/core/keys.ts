// Keys of an objects namespace. Bucket numbers and versions are fixed in length, so no key of one kind
// or bucket can be a prefix of another's range.
//
//   o/<bucket number, 8 bytes><object key>                   head: what S3 shows of the object
//   b/<version, 16 bytes>                                     bytes of a small object or part
//   m/<version, 16 bytes>                                     manifest too long for the head, or parts
//   u/<bucket number><escaped object key><upload id>          multipart upload in progress
//   p/<upload id><part number, 4 bytes>                       a part; stays as part of the manifest
//   v/<upload id>                                             answer of a completed upload
//   d/<version or upload id>                                  trash: a body to free
//   k/<bucket number>                                         gate: present once the bucket is closed
//
// The chunk table (c/ n/ x/ s) of room content lives beside them.

import { concatBytes, prefixEnd, uint64Bytes, utf8Decode, utf8Encode } from '../../base/index.ts'

export const versionBytes = 16
/** 8 bytes of time, so that uploads of one key list in order of initiation, and 16 random ones. */
export const uploadIdBytes = 24

const prefixes = {
  head: utf8Encode('o/'),
  small: utf8Encode('b/'),
  manifest: utf8Encode('m/'),
  upload: utf8Encode('u/'),
  part: utf8Encode('p/'),
  completed: utf8Encode('v/'),
  trash: utf8Encode('d/'),
  gate: utf8Encode('k/'),
}

export type KeyRange = { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }

export const allHeads: KeyRange = rangeOf(prefixes.head)
export const allTrash: KeyRange = rangeOf(prefixes.trash)
export const allCompleted: KeyRange = rangeOf(prefixes.completed)

export function headKey(bucket: number, objectKey: string | Uint8Array): Uint8Array {
  const key = typeof objectKey === 'string' ? utf8Encode(objectKey) : objectKey
  return concatBytes([prefixes.head, uint64Bytes(bucket), key])
}

export function objectKeyOf(key: Uint8Array): string {
  return utf8Decode(key.subarray(10))
}

/** Every head of the bucket whose object key starts with `prefix`. */
export function headRange(bucket: number, prefix: string): KeyRange {
  return rangeOf(headKey(bucket, prefix))
}

export const smallKey = (version: Uint8Array) => concatBytes([prefixes.small, version])
export const manifestKey = (version: Uint8Array) => concatBytes([prefixes.manifest, version])
export const completedKey = (uploadId: Uint8Array) => concatBytes([prefixes.completed, uploadId])
export const trashKey = (id: Uint8Array) => concatBytes([prefixes.trash, id])
export const gateKey = (bucket: number) => concatBytes([prefixes.gate, uint64Bytes(bucket)])

export function partKey(uploadId: Uint8Array, number: number): Uint8Array {
  return concatBytes([prefixes.part, uploadId, uint64Bytes(number).subarray(4)])
}

export function partRange(uploadId: Uint8Array): KeyRange {
  return rangeOf(concatBytes([prefixes.part, uploadId]))
}

export function partNumberOf(key: Uint8Array): number {
  const at = key.length - 4
  return new DataView(key.buffer, key.byteOffset + at, 4).getUint32(0)
}

/** Orders by object key, then by upload id, whatever bytes the object key holds. */
export function uploadKey(bucket: number, objectKey: string, uploadId: Uint8Array): Uint8Array {
  return concatBytes([uploadKeyStart(bucket, objectKey), uploadId])
}

/** What the keys of all uploads of one object key start with. */
export function uploadKeyStart(bucket: number, objectKey: string): Uint8Array {
  return concatBytes([
    prefixes.upload,
    uint64Bytes(bucket),
    escapeZero(utf8Encode(objectKey)),
    new Uint8Array([0, 1]),
  ])
}

/** Uploads of every object key that starts with `prefix`. */
export function uploadRange(bucket: number, prefix: string): KeyRange {
  return rangeOf(
    concatBytes([prefixes.upload, uint64Bytes(bucket), escapeZero(utf8Encode(prefix))]),
  )
}

function rangeOf(prefix: Uint8Array): KeyRange {
  return { key: prefix, rangeEnd: prefixEnd(prefix) }
}

/** 00 becomes 00 ff and the terminator is 00 01, so that escaped keys compare as the keys do. */
function escapeZero(key: Uint8Array): Uint8Array {
  let zeros = 0
  for (const byte of key) if (byte === 0) zeros++
  if (zeros === 0) return key
  const escaped = new Uint8Array(key.length + zeros)
  let at = 0
  for (const byte of key) {
    escaped[at++] = byte
    if (byte === 0) escaped[at++] = 0xff
  }
  return escaped
}
