// AES-256-GCM (NIST SP 800-38D), X25519 (RFC 7748), Ed25519 (RFC 8032): pure, synchronous, deterministic, like hash.ts. Keys
// and nonces are the caller's: a nonce must never be used twice with one key.

import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

export const cipherKeyBytes = 32
export const cipherTagBytes = 16
export const cipherNonceBytes = 12
export const x25519Bytes = 32

/** An AES-256 key, ready for use: importing costs more than a record. */
export type CipherKey = KeyObject

const algorithm = 'aes-256-gcm'
const withTag = { authTagLength: cipherTagBytes } as const

/** `bytes` are copied; exactly 32. */
export function importCipherKey(bytes: Uint8Array): CipherKey {
  return createSecretKey(bytes)
}

/** What a record is sealed under beside its key; both are read during the call only. */
export type SealedUnder = { readonly nonce: Uint8Array; readonly aad: Uint8Array }

/** Appends to `target` the ciphertext of the parts, in as many pieces, and the tag. */
export function sealParts(
  key: CipherKey,
  parts: readonly Uint8Array[],
  { nonce, aad, target }: SealedUnder & { readonly target: Uint8Array[] },
): void {
  const cipher = createCipheriv(algorithm, key, nonce, withTag)
  cipher.setAAD(aad)
  for (const part of parts) if (part.length > 0) target.push(cipher.update(part))
  cipher.final()
  target.push(cipher.getAuthTag())
}

/** The plaintext of `sealed` (ciphertext and tag); undefined when it is not what was sealed. */
export function openSealed(
  key: CipherKey,
  sealed: Uint8Array,
  { nonce, aad }: SealedUnder,
): Uint8Array | undefined {
  const end = sealed.length - cipherTagBytes
  if (end < 0) return undefined
  const decipher = createDecipheriv(algorithm, key, nonce, withTag)
  decipher.setAAD(aad)
  decipher.setAuthTag(sealed.subarray(end))
  const plain = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.length)
}

/** PKCS 8 and SPKI around the 32 raw bytes (RFC 8410). */
const privatePrefix = Buffer.from('302e020100300506032b656e04220420', 'hex')
const publicPrefix = Buffer.from('302a300506032b656e032100', 'hex')
const signingPrivatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const signingPublicPrefix = Buffer.from('302a300506032b6570032100', 'hex')

export type X25519Pair = { readonly publicKey: Uint8Array; readonly privateKey: KeyObject }

/** The pair whose private key is these 32 bytes. */
export function x25519Pair(bytes: Uint8Array): X25519Pair {
  const der = Buffer.concat([privatePrefix, bytes])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { publicKey: new Uint8Array(spki.subarray(publicPrefix.length)), privateKey }
}

/** The shared secret; undefined when the peer's key is none or of small order, which would make it known. */
export function x25519Agree(own: X25519Pair, peer: Uint8Array): Uint8Array | undefined {
  if (peer.length !== x25519Bytes) return undefined
  try {
    const key = Buffer.concat([publicPrefix, peer])
    const publicKey = createPublicKey({ key, format: 'der', type: 'spki' })
    const shared = diffieHellman({ privateKey: own.privateKey, publicKey })
    return shared.every((byte) => byte === 0) ? undefined : new Uint8Array(shared)
  } catch {
    return undefined
  }
}

export const ed25519Bytes = 32
export const ed25519SignatureBytes = 64

export type Ed25519Pair = { readonly publicKey: Uint8Array; readonly privateKey: KeyObject }

/** The pair whose private key (seed) is these 32 bytes. */
export function ed25519Pair(bytes: Uint8Array): Ed25519Pair {
  const der = Buffer.concat([signingPrivatePrefix, bytes])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { publicKey: new Uint8Array(spki.subarray(signingPublicPrefix.length)), privateKey }
}

export function ed25519Sign(pair: Ed25519Pair, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, bytes, pair.privateKey))
}

/** False also for a key or a signature of another length. */
export function ed25519Verify(
  publicKey: Uint8Array,
  bytes: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== ed25519Bytes || signature.length !== ed25519SignatureBytes) return false
  try {
    const key = Buffer.concat([signingPublicPrefix, publicKey])
    return verify(null, bytes, createPublicKey({ key, format: 'der', type: 'spki' }), signature)
  } catch {
    return false
  }
}
