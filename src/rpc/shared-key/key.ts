// The shared key, as people give it: a file's or a variable's bytes.

import { Fault, hmacSha256, utf8Encode } from '../../base/index.ts'

/** 32 bytes that every member has. Never written to a journal, an argument list or a fault. */
export type SharedKey = Uint8Array & { readonly isSharedKey?: never }

export const sharedKeyBytes = 32
/** A longer text is a mistake: somebody named the wrong file. */
const givenBytesMax = 4096

/**
 * The key from what a person gave: 32 bytes are taken as they are; more are turned into 32 by HKDF-SHA-256 (RFC
 * 5869); fewer are refused with Fault 'invalid'. One line end at the end is not part of it. HKDF does not make a
 * guessable text safe: what is given must be random (`openssl rand -hex 32`), and is not stretched.
 */
export function parseSharedKey(given: Uint8Array): SharedKey {
  const bytes = withoutLineEnd(given)
  if (bytes.length < sharedKeyBytes || bytes.length > givenBytesMax) {
    throw new Fault(
      'invalid',
      `an encryption key of ${bytes.length} bytes: it must have ${sharedKeyBytes} to ${givenBytesMax}`,
      { next: 'make one with `openssl rand -hex 32` and give it to every member' },
    )
  }
  if (bytes.length === sharedKeyBytes) return bytes.slice()
  const extracted = hmacSha256(utf8Encode('atoll encryption key'), bytes)
  return hmacSha256(extracted, new Uint8Array([...utf8Encode('shared key 1'), 1]))
}

function withoutLineEnd(given: Uint8Array): Uint8Array {
  const { length } = given
  if (given[length - 1] !== 0x0a || length <= sharedKeyBytes) return given
  const end = given[length - 2] === 0x0d ? length - 2 : length - 1
  return given.subarray(0, Math.max(end, sharedKeyBytes))
}
