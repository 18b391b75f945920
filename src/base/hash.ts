// Hash functions: pure, synchronous, deterministic. This file is the one place outside host/real
// that imports a node module (docs/decisions/0003): a hash touches nothing of the world.

import { createHash, createHmac, hash, timingSafeEqual } from 'node:crypto'
import { crc32 as nativeCrc32, crc32c as nativeCrc32c } from '@node-rs/crc32'

export type DigestName = 'sha256' | 'sha1' | 'md5'

/** An incremental digest; digest() may be called once. */
export type Digest = {
  update(bytes: Uint8Array): void
  digest(): Uint8Array
}

export function startDigest(name: DigestName): Digest {
  const state = createHash(name)
  return {
    update(bytes) {
      state.update(bytes)
    },
    digest: () => new Uint8Array(state.digest()),
  }
}

/** The digest of bytes that are all at hand, in lower-case hexadecimal. */
export function digestHex(name: DigestName, bytes: Uint8Array | string): string {
  return hash(name, bytes, 'hex')
}

export function sha256(bytes: Uint8Array | string): Uint8Array {
  return new Uint8Array(hash('sha256', bytes, 'buffer'))
}

export function hmacSha256(key: Uint8Array | string, bytes: Uint8Array | string): Uint8Array {
  return new Uint8Array(createHmac('sha256', key).update(bytes).digest())
}

/** CRC-32C (Castagnoli, RFC 3720 B.4); `seed` continues an earlier sum. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return nativeCrc32c(bytes as Buffer, seed)
}

/** CRC-32 (ISO-HDLC), as S3's CRC32 checksum. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return nativeCrc32(bytes as Buffer, seed)
}

/** Takes the same time wherever the difference is; unequal lengths are unequal. */
export function equalSecret(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  return timingSafeEqual(a, b)
}
