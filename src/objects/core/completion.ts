// Completing a multipart upload, as values: which parts make the object, its ETag and its checksum.
// S3 API reference: CompleteMultipartUpload; user guide: "Checking object integrity".

import { digestHex, Fault, fromHex, sha256, startDigest, concatBytes } from '../../base/index.ts'
import type { Checksum, ChecksumAlgorithm } from '../objects.ts'
import { combineCrc, crcPolynomials } from './crc-combination.ts'
import type { Part } from './records.ts'

export const partBytesMin = 5 * 1024 * 1024
export const partCountMax = 10_000

export type ChosenPart = { readonly number: number; readonly part: Part }
export type RequestedPart = {
  readonly number: number
  readonly etag: string
  readonly checksum?: string
}

/** The parts that the client lists, checked as S3 does; Faults InvalidPart, InvalidPartOrder, EntityTooSmall. */
export function chooseParts(
  requested: readonly RequestedPart[],
  stored: ReadonlyMap<number, Part>,
): readonly ChosenPart[] {
  if (requested.length === 0 || requested.length > partCountMax) {
    throw s3Fault(
      'MalformedXML',
      `a completion lists 1 to ${partCountMax} parts, not ${requested.length}`,
    )
  }
  let previous = 0
  const chosen = requested.map(({ number, etag, checksum }) => {
    if (number <= previous) {
      throw s3Fault('InvalidPartOrder', 'The list of parts was not in ascending order')
    }
    previous = number
    const part = stored.get(number)
    const isSame = part !== undefined && part.etag === unquote(etag)
    if (!isSame || (checksum !== undefined && checksum !== part.checksum?.value)) {
      throw s3Fault('InvalidPart', `part ${number} was not uploaded with this ETag and checksum`)
    }
    return { number, part }
  })
  for (const { number, part } of chosen.slice(0, -1)) {
    if (part.body.length < partBytesMin) {
      throw s3Fault('EntityTooSmall', `part ${number} is smaller than ${partBytesMin} bytes`)
    }
  }
  return chosen
}

/** MD5 of the parts' MD5s, '-', their number. */
export function completedEtag(chosen: readonly ChosenPart[]): string {
  const digests = chosen.map(({ part }) => fromHex(part.etag) ?? new Uint8Array(0))
  return `${digestHex('md5', concatBytes(digests))}-${chosen.length}`
}

/**
 * The object's checksum: of the parts' checksums (COMPOSITE, '-N'), or of all bytes, which for CRCs
 * follows from the parts' (FULL_OBJECT). Undefined when a part has none of the algorithm.
 */
export function completedChecksum(
  chosen: readonly ChosenPart[],
  upload: { readonly algorithm: ChecksumAlgorithm | undefined; readonly isComposite: boolean },
): Checksum | undefined {
  const { algorithm, isComposite } = upload
  if (algorithm === undefined) return undefined
  const raw: Uint8Array[] = []
  for (const { part } of chosen) {
    if (part.checksum?.algorithm !== algorithm) return undefined
    raw.push(fromBase64(part.checksum.value))
  }
  if (isComposite) {
    const value = `${toBase64(digestOf(algorithm, concatBytes(raw)))}-${chosen.length}`
    return { algorithm, value, type: 'COMPOSITE' }
  }
  const polynomial = crcPolynomials[algorithm]
  if (polynomial === undefined) return undefined
  let whole = 0n
  raw.forEach((bytes, i) => {
    const length = chosen[i]?.part.body.length ?? 0
    whole = combineCrc(polynomial, { first: whole, second: toNumber(bytes), secondBytes: length })
  })
  return { algorithm, value: toBase64(toBytes(whole, polynomial.bits / 8)), type: 'FULL_OBJECT' }
}

export function unquote(etag: string): string {
  return etag.startsWith('"') && etag.endsWith('"') ? etag.slice(1, -1) : etag
}

export function s3Fault(code: string, what: string, status = 400): Fault {
  const fault = status === 404 ? 'not-found' : status === 409 ? 'conflict' : 'invalid'
  return new Fault(status === 412 ? 'precondition' : fault, what, { s3: { code, status } })
}

function digestOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Uint8Array {
  if (algorithm === 'SHA256') return sha256(bytes)
  if (algorithm === 'SHA1') {
    const digest = startDigest('sha1')
    digest.update(bytes)
    return digest.digest()
  }
  const polynomial = crcPolynomials[algorithm]
  if (polynomial === undefined)
    throw new Fault('unsupported', `no composite checksum of ${algorithm}`)
  return toBytes(polynomial.sum(bytes), polynomial.bits / 8)
}

function toNumber(bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return value
}

function toBytes(value: bigint, count: number): Uint8Array {
  const bytes = new Uint8Array(count)
  for (let i = 0; i < count; i++) bytes[i] = Number((value >> BigInt(8 * (count - 1 - i))) & 0xffn)
  return bytes
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
}

function fromBase64(encoded: string): Uint8Array {
  return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
}
