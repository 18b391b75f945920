// x-amz-* headers: which of them are here. Whatever is not on the list is answered 501 with its name: a
// header that asks for encryption, a lock or a public grant and is silently ignored is a promise broken
// without anybody noticing.

import { notImplemented } from './fault.ts'

/** Headers that some operation reads, or that change nothing. */
const known: ReadonlySet<string> = new Set([
  'x-amz-checksum-algorithm',
  'x-amz-checksum-crc32',
  'x-amz-checksum-crc32c',
  'x-amz-checksum-crc64nvme',
  'x-amz-checksum-mode',
  'x-amz-checksum-sha1',
  'x-amz-checksum-sha256',
  'x-amz-checksum-type',
  'x-amz-content-sha256',
  'x-amz-copy-source',
  'x-amz-copy-source-if-match',
  'x-amz-copy-source-if-modified-since',
  'x-amz-copy-source-if-none-match',
  'x-amz-copy-source-if-unmodified-since',
  'x-amz-copy-source-range',
  'x-amz-date',
  'x-amz-decoded-content-length',
  'x-amz-metadata-directive',
  'x-amz-mp-object-size',
  'x-amz-optional-object-attributes',
  'x-amz-request-payer',
  'x-amz-sdk-checksum-algorithm',
  'x-amz-te',
  'x-amz-trailer',
  'x-amz-user-agent',
])

/** Headers whose stated values say what is so anyway; every other value is refused. */
const truths: Readonly<Record<string, readonly string[]>> = {
  'x-amz-acl': ['private', 'bucket-owner-full-control'],
  'x-amz-bucket-object-lock-enabled': ['false'],
  'x-amz-bypass-governance-retention': ['false'],
  'x-amz-object-ownership': ['bucketownerenforced'],
  'x-amz-server-side-encryption-bucket-key-enabled': ['false'],
  'x-amz-storage-class': ['standard'],
  'x-amz-tagging': [''],
  'x-amz-tagging-directive': ['copy'],
}

/** Fault NotImplemented for the first header that asks for something that is not here. */
export function checkFeatures(headers: ReadonlyMap<string, string>): void {
  for (const [name, value] of headers) {
    if (!name.startsWith('x-amz-') || known.has(name) || name.startsWith('x-amz-meta-')) continue
    if (truths[name]?.includes(value.trim().toLowerCase()) === true) continue
    throw notImplemented(
      `The header ${name.slice(0, 64)} asks for functionality that is not implemented.`,
      name.slice(0, 64),
    )
  }
}
