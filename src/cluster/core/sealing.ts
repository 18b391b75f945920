// Secrets at rest in the namespace: AES-256-GCM under the seal key that members with the capability 'control' hold.
// What a secret is for goes into the additional data, so that one cannot be put in another's place.

import {
  cipherKeyBytes,
  cipherNonceBytes,
  concatBytes,
  equalSecret,
  Fault,
  hmacSha256,
  importCipherKey,
  openSealed,
  type Random,
  sealParts,
  utf8Encode,
} from '../../base/index.ts'

export const sealKeyBytes = cipherKeyBytes

/** `purpose` names the one place where the secret belongs. */
export function sealSecret(
  key: Uint8Array,
  secret: Uint8Array,
  { purpose, random }: { readonly purpose: string; readonly random: Random },
): Uint8Array {
  const nonce = random.bytes(cipherNonceBytes)
  const parts: Uint8Array[] = [nonce]
  sealParts(importCipherKey(key), [secret], { nonce, aad: utf8Encode(purpose), target: parts })
  return concatBytes(parts)
}

/** Fault 'corrupt' when it was sealed for something else, by another key, or changed. */
export function openSecret(key: Uint8Array, sealed: Uint8Array, purpose: string): Uint8Array {
  const secret = openSealed(importCipherKey(key), sealed.subarray(cipherNonceBytes), {
    nonce: sealed.subarray(0, cipherNonceBytes),
    aad: utf8Encode(purpose),
  })
  if (secret !== undefined) return secret
  throw new Fault('corrupt', `what is sealed for ${purpose} cannot be opened`)
}

/** Kept beside the secrets; tells nothing of the key. */
export function sealCheckOf(key: Uint8Array): Uint8Array {
  return hmacSha256(key, 'atoll seal key v1')
}

/** Fault 'denied' for another cluster's key, before anything is opened with it. */
export function requireSealKey(key: Uint8Array, check: Uint8Array): void {
  if (key.length === sealKeyBytes && equalSecret(sealCheckOf(key), check)) return
  throw new Fault('denied', "this node's seal key is not this cluster's", {
    next: 'remove identity/seal-key and start the node again: it asks another member for it',
  })
}
