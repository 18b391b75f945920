// Names: which bucket and key a request means, and which names there may be ("Bucket naming rules",
// "Object key naming"). A key is any UTF-8 of 1 to 1,024 bytes; it is never a path, so '..', '//' and a
// leading '/' are ordinary characters of it.
//
// The path is split after decoding, which is the form that the signature covers: what is authorised is
// what is stored.

import { s3Fault } from './fault.ts'
import { percentDecode, utf8Length } from './text.ts'

export const keyBytesMax = 1024

export type Place = {
  /** Undefined: the service itself. */
  readonly bucket: string | undefined
  /** Undefined: the bucket itself. */
  readonly key: string | undefined
}

/** Fault InvalidURI for a malformed escape or bytes that are not UTF-8. */
export function decodePath(rawPath: string): string {
  const path = percentDecode(rawPath, false)
  if (path === undefined || !path.startsWith('/')) throw invalidUri()
  return path
}

export function invalidUri(): Error {
  return s3Fault('InvalidURI', 400, "Couldn't parse the specified URI.")
}

/**
 * Bucket and key of a decoded path, path style or, when the host is a name below one of `baseDomains`,
 * virtual-host style. Faults: InvalidURI, InvalidBucketName, KeyTooLongError.
 */
export function locate(host: string, path: string, baseDomains: readonly string[]): Place {
  const hosted = bucketOfHost(host, baseDomains)
  const slash = path.indexOf('/', 1)
  const bucket = hosted ?? path.slice(1, slash < 0 ? path.length : slash)
  const key = hosted !== undefined ? path.slice(1) : slash < 0 ? '' : path.slice(slash + 1)
  if (bucket === '') {
    if (path !== '/') throw invalidUri()
    return { bucket: undefined, key: undefined }
  }
  checkBucketName(bucket)
  if (key === '') return { bucket, key: undefined }
  checkKey(key)
  return { bucket, key }
}

/** 'photos' for 'photos.s3.localhost:9000' where 's3.localhost' is a base domain. */
function bucketOfHost(host: string, baseDomains: readonly string[]): string | undefined {
  if (baseDomains.length === 0) return undefined
  const colon = host.lastIndexOf(':')
  const name = (colon > host.lastIndexOf(']') ? host.slice(0, colon) : host).toLowerCase()
  let bucket: string | undefined
  for (const base of baseDomains) {
    if (name === base) return undefined
    if (!name.endsWith(`.${base}`)) continue
    const rest = name.slice(0, -base.length - 1)
    if (bucket === undefined || rest.length < bucket.length) bucket = rest
  }
  return bucket
}

/** KeyTooLongError beyond 1,024 bytes of UTF-8. */
export function checkKey(key: string): void {
  if (key.length * 3 <= keyBytesMax) return
  const size = utf8Length(key)
  if (size <= keyBytesMax) return
  throw s3Fault('KeyTooLongError', 400, 'Your key is too long', {
    Size: String(size),
    MaxSizeAllowed: String(keyBytesMax),
  })
}

/** InvalidBucketName for what can be the name of no bucket. */
export function checkBucketName(name: string): void {
  const isWellFormed =
    name.length >= 3 &&
    name.length <= 63 &&
    /^[a-z0-9][a-z0-9.-]*[a-z0-9]$/.test(name) &&
    !name.includes('..') &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name)
  if (!isWellFormed) throw invalidBucketName(name)
}

const reservedPrefixes = ['xn--', 'sthree-', 'amzn-s3-demo-']
const reservedSuffixes = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3']

/** The further rules that hold when a bucket is made. */
export function checkNewBucketName(name: string): void {
  const isReserved =
    reservedPrefixes.some((prefix) => name.startsWith(prefix)) ||
    reservedSuffixes.some((suffix) => name.endsWith(suffix))
  if (isReserved) throw invalidBucketName(name)
}

function invalidBucketName(name: string): Error {
  return s3Fault('InvalidBucketName', 400, 'The specified bucket is not valid.', {
    BucketName: name.slice(0, 128),
  })
}
