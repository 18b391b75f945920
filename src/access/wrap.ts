// Secrets of access keys at rest. Signature Version 4 needs the secret itself, so it cannot be hashed; where the host
// has a key to wrap with, the record holds the secret under AES-256-GCM, bound to its access key: a record that was
// moved to another key's place does not open. Without such a key the record holds the secret as it is.

import {
  type CipherKey,
  cipherNonceBytes,
  concatBytes,
  Fault,
  openSealed,
  sealParts,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { KeyRecord } from './core/records.ts'

/** A key that secrets are wrapped with; its id is in every record that it wrapped. */
export type WrappingKey = { readonly id: string; readonly key: CipherKey }

export type Wrapping = {
  /** What new secrets are wrapped with; undefined: not at all. */
  readonly current: WrappingKey | undefined
  /** Earlier ones that may still be needed. */
  readonly older: readonly WrappingKey[]
}

const boundTo = (accessKeyId: string): Uint8Array =>
  utf8Encode(`atoll access key v1\n${accessKeyId}`)

export function wrapSecret(
  secret: string,
  accessKeyId: string,
  given: { readonly wrapping: Wrapping; readonly host: Pick<Host, 'random'> },
): Pick<KeyRecord, 'secret' | 'wrappedBy'> {
  const { current } = given.wrapping
  const plain = utf8Encode(secret)
  if (current === undefined) return { secret: plain, wrappedBy: '' }
  const nonce = given.host.random.bytes(cipherNonceBytes)
  const target: Uint8Array[] = [nonce]
  sealParts(current.key, [plain], { nonce, aad: boundTo(accessKeyId), target })
  return { secret: concatBytes(target), wrappedBy: current.id }
}

/** Fault 'unavailable' without the key that wrapped it, 'corrupt' when it does not open. */
export function unwrapSecret(record: KeyRecord, wrapping: Wrapping): string {
  if (record.wrappedBy === '') return utf8Decode(record.secret)
  const all =
    wrapping.current === undefined ? wrapping.older : [wrapping.current, ...wrapping.older]
  const found = all.find(({ id }) => id === record.wrappedBy)
  if (found === undefined) {
    throw new Fault('unavailable', 'this node does not have the key that wraps secrets')
  }
  const nonce = record.secret.subarray(0, cipherNonceBytes)
  const aad = boundTo(record.id)
  const plain = openSealed(found.key, record.secret.subarray(cipherNonceBytes), { nonce, aad })
  if (plain === undefined) throw new Fault('corrupt', 'the secret of an access key does not open')
  return utf8Decode(plain)
}
