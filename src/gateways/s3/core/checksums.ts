// Checksums of object bytes: the five algorithms of S3, what a request claims of them and how the claims
// are held against the bytes ("Checking object integrity" in the user guide).
//
// A claim stands in a header (known before the body) or in a trailer (after it). A request claims at most
// one. The value compared is canonical base64 of the digest's exact length, so equal text is equal bytes.

import { crc32, crc32c, type Digest, startDigest } from '../../../base/index.ts'
import { crc64Nvme } from '../../../content/index.ts'
import type { Checksum, ChecksumAlgorithm } from '../../../objects/index.ts'
import { invalidRequest, notImplemented } from './fault.ts'
import { base64Decode } from './text.ts'

export const checksumAlgorithms: readonly ChecksumAlgorithm[] = [
  'CRC32',
  'CRC32C',
  'CRC64NVME',
  'SHA1',
  'SHA256',
]

const digestBytes: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
}

/** 'x-amz-checksum-crc32'. */
export const checksumHeader: Readonly<Record<ChecksumAlgorithm, string>> = {
  CRC32: 'x-amz-checksum-crc32',
  CRC32C: 'x-amz-checksum-crc32c',
  CRC64NVME: 'x-amz-checksum-crc64nvme',
  SHA1: 'x-amz-checksum-sha1',
  SHA256: 'x-amz-checksum-sha256',
}

const algorithmByHeader: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  checksumAlgorithms.map((algorithm) => [checksumHeader[algorithm], algorithm]),
)

/** Undefined when the header is none of the five. */
export function algorithmOfHeader(name: string): ChecksumAlgorithm | undefined {
  return algorithmByHeader.get(name)
}

/** Starts an incremental checksum; digest() may be called once. */
export function startChecksum(algorithm: ChecksumAlgorithm): Digest {
  if (algorithm === 'SHA1') return startDigest('sha1')
  if (algorithm === 'SHA256') return startDigest('sha256')
  if (algorithm === 'CRC64NVME') return startCrc64()
  return startCrc32(algorithm === 'CRC32' ? crc32 : crc32c)
}

function startCrc32(sum: (bytes: Uint8Array, seed: number) => number): Digest {
  let state = 0
  return {
    update(bytes) {
      state = sum(bytes, state)
    },
    digest() {
      const digest = new Uint8Array(4)
      new DataView(digest.buffer).setUint32(0, state >>> 0)
      return digest
    },
  }
}

function startCrc64(): Digest {
  let state = 0n
  return {
    update(bytes) {
      state = crc64Nvme(bytes, state)
    },
    digest() {
      const digest = new Uint8Array(8)
      new DataView(digest.buffer).setBigUint64(0, state)
      return digest
    },
  }
}

/** Whether a value is a digest of this algorithm; `maybeComposite` allows a '-N' after it. */
export function isChecksumValue(
  algorithm: ChecksumAlgorithm,
  value: string,
  maybeComposite = false,
): boolean {
  const digest = maybeComposite ? value.replace(/-\d{1,5}$/, '') : value
  return digest.length <= 44 && base64Decode(digest)?.length === digestBytes[algorithm]
}

/** What a request says about the checksum of its body. */
export type ChecksumClaim = {
  readonly algorithm: ChecksumAlgorithm
  /** Undefined: it comes in the trailer. */
  readonly value: string | undefined
}

/**
 * The claim of a request's headers and announced trailers. Faults: InvalidRequest for two claims, an
 * unknown algorithm, a value that is no digest, an announced algorithm without a value.
 */
export function readChecksumClaim(headers: ReadonlyMap<string, string>): ChecksumClaim | undefined {
  const named = readAlgorithm(headers, 'x-amz-sdk-checksum-algorithm')
  const claims: ChecksumClaim[] = []
  for (const algorithm of checksumAlgorithms) {
    const value = headers.get(checksumHeader[algorithm])
    if (value === undefined) continue
    if (!isChecksumValue(algorithm, value)) {
      throw invalidRequest(`Value for ${checksumHeader[algorithm]} header is invalid.`)
    }
    claims.push({ algorithm, value })
  }
  for (const name of announcedTrailers(headers)) {
    const algorithm = algorithmOfHeader(name)
    if (algorithm === undefined) throw notImplemented(`The trailer ${name} is not implemented.`)
    claims.push({ algorithm, value: undefined })
  }
  if (claims.length > 1) {
    throw invalidRequest(
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  const [claim] = claims
  if (named === undefined || named === claim?.algorithm) return claim
  throw invalidRequest(
    claim === undefined
      ? 'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.'
      : 'Value for x-amz-sdk-checksum-algorithm header is invalid.',
  )
}

/** Names in x-amz-trailer, lower case. */
export function announcedTrailers(headers: ReadonlyMap<string, string>): readonly string[] {
  const value = headers.get('x-amz-trailer')
  if (value === undefined) return []
  return value
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
}

/** The algorithm that a header names; InvalidRequest when it is none of the five. */
export function readAlgorithm(
  headers: ReadonlyMap<string, string>,
  header: string,
): ChecksumAlgorithm | undefined {
  const value = headers.get(header)
  if (value === undefined || value === '') return undefined
  const upper = value.toUpperCase()
  const algorithm = checksumAlgorithms.find((known) => known === upper)
  if (algorithm !== undefined) return algorithm
  throw invalidRequest(
    `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${checksumAlgorithms.join(', ')}]`,
  )
}

/** How the checksums of parts make that of the object; InvalidRequest for a pair that does not exist. */
export function readChecksumType(
  headers: ReadonlyMap<string, string>,
  algorithm: ChecksumAlgorithm | undefined,
): Checksum['type'] | undefined {
  const value = headers.get('x-amz-checksum-type')?.toUpperCase()
  if (value !== undefined && value !== 'FULL_OBJECT' && value !== 'COMPOSITE') {
    throw invalidRequest('Value for x-amz-checksum-type header is invalid.')
  }
  if (algorithm === undefined) {
    if (value === undefined) return undefined
    throw invalidRequest(
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    )
  }
  const isSha = algorithm === 'SHA1' || algorithm === 'SHA256'
  const type = value ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE')
  const isPossible = type === 'FULL_OBJECT' ? !isSha : algorithm !== 'CRC64NVME'
  if (isPossible) return type
  throw invalidRequest(
    `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
  )
}

/** The checksum of a whole object that a CompleteMultipartUpload claims in its headers. */
export function readObjectChecksum(headers: ReadonlyMap<string, string>): Checksum | undefined {
  const found: Checksum[] = []
  const declared = headers.get('x-amz-checksum-type')?.toUpperCase()
  for (const algorithm of checksumAlgorithms) {
    const value = headers.get(checksumHeader[algorithm])
    if (value === undefined) continue
    if (!isChecksumValue(algorithm, value, true)) {
      throw invalidRequest(`Value for ${checksumHeader[algorithm]} header is invalid.`)
    }
    const isComposite = declared === undefined ? value.includes('-') : declared === 'COMPOSITE'
    found.push({ algorithm, value, type: isComposite ? 'COMPOSITE' : 'FULL_OBJECT' })
  }
  if (found.length > 1) {
    throw invalidRequest(
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    )
  }
  return found[0]
}
