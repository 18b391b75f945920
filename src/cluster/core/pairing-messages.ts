// What is proved when a machine is paired by a code of four words. Both ends know the code and make a key of it
// (scrypt, salted with the cluster's identity); neither says it. The joiner proves it first, over a nonce, its
// own key and the key of the server that it is connected to, so that somebody in between, whose key is another, has
// a proof that no member takes. The member then proves it over the same and the token that it gives, so that a
// server that does not know the code can hand over no token of its own.
//
//   proof of the joiner   HMAC-SHA-256(key, "atoll pair v1 joiner\n" transcript)
//   proof of the member   HMAC-SHA-256(key, "atoll pair v1 member\n" transcript "\n" token)
//   transcript            cluster id, nonce, hash of the joiner's key, hash of the server's key, each on a line

import { equalSecret, Fault, fromHex, hmacSha256, toHex, utf8Encode } from '../../base/index.ts'

export const pairingWords = 4
/** 2^15 KiB of memory for each guess. */
export const pairingCost = 15

export type PairingTranscript = {
  readonly clusterId: string
  /** 32 hexadecimal digits. */
  readonly nonce: string
  /** SHA-256 of the joiner's public key, hexadecimal. */
  readonly joinerKeyHash: string
  /** SHA-256 of the server's public key, hexadecimal. */
  readonly serverKeyHash: string
}

export type PairingRequest = Omit<PairingTranscript, 'clusterId'> & { readonly proof: Uint8Array }

export function pairingSalt(clusterId: string): Uint8Array {
  return utf8Encode(`atoll pair v1\n${clusterId}`)
}

function linesOf({ clusterId, nonce, joinerKeyHash, serverKeyHash }: PairingTranscript): string {
  return [clusterId, nonce, joinerKeyHash, serverKeyHash].join('\n')
}

export function joinerProof(key: Uint8Array, transcript: PairingTranscript): Uint8Array {
  return hmacSha256(key, utf8Encode(`atoll pair v1 joiner\n${linesOf(transcript)}`))
}

export function memberProof(
  key: Uint8Array,
  transcript: PairingTranscript,
  token: string,
): Uint8Array {
  return hmacSha256(key, utf8Encode(`atoll pair v1 member\n${linesOf(transcript)}\n${token}`))
}

/** In constant time. */
export function isJoinerProof(
  key: Uint8Array,
  transcript: PairingTranscript,
  proof: Uint8Array,
): boolean {
  return equalSecret(proof, joinerProof(key, transcript))
}

export function renderPairingRequest(request: PairingRequest): Uint8Array {
  const { nonce, joinerKeyHash, serverKeyHash, proof } = request
  const body = { nonce, joiner: joinerKeyHash, server: serverKeyHash, proof: toHex(proof) }
  return utf8Encode(JSON.stringify(body))
}

/** Fault 'invalid' that names the field. */
export function readPairingRequest(value: unknown): PairingRequest {
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >
  const hex = (name: string, digits: number): string => {
    const text = fields[name]
    if (typeof text === 'string' && text.length === digits && /^[0-9a-f]+$/.test(text)) return text
    throw new Fault('invalid', `"${name}" is not ${digits} hexadecimal digits`)
  }
  return {
    nonce: hex('nonce', 32),
    joinerKeyHash: hex('joiner', 64),
    serverKeyHash: hex('server', 64),
    proof: fromHex(hex('proof', 64)) ?? new Uint8Array(0),
  }
}
