// The handshake Noise_NNpsk0_25519_AESGCM_SHA256, exactly as the Noise Protocol Framework (revision 34,
// sections 4, 5, 7.5, 9 and 12) defines it. Two messages:
//
//   -> psk, e        only who knows the shared key can write it or read its payload
//   <- e, ee         likewise; the keys after it also need both ephemeral keys, which are forgotten
//
// The first message can be recorded and played again, so a responder knows that the initiator is there only
// once something of it was opened with the keys of the finished handshake. Held against published vectors.

import {
  assert,
  type CipherKey,
  cipherNonceBytes,
  cipherTagBytes,
  concatBytes,
  hmacSha256,
  importCipherKey,
  openSealed,
  sealParts,
  sha256,
  utf8Encode,
  x25519Agree,
  x25519Bytes,
  type X25519Pair,
  x25519Pair,
} from '../../../base/index.ts'

/** Has exactly the length of a hash, so it is the first hash itself (section 5.2). */
const protocolName = 'Noise_NNpsk0_25519_AESGCM_SHA256'
const nothing = new Uint8Array(0)

export const pskBytes = 32
/** What a handshake message is longer than its payload. */
export const handshakeOverheadBytes = x25519Bytes + cipherTagBytes

export type NoiseOptions = {
  /** What both sides must agree on without sending it. */
  readonly prologue: Uint8Array
  /** The shared key: 32 bytes. */
  readonly psk: Uint8Array
  /** 32 fresh random bytes: the ephemeral private key. */
  readonly ephemeral: Uint8Array
}

/** Keys for what each side sends, and a hash of everything that both sides have seen. */
export type NoiseKeys = {
  readonly initiatorKey: Uint8Array
  readonly responderKey: Uint8Array
  readonly handshakeHash: Uint8Array
}

/** Who dials: hello(), then finish() with the answer. */
export class NoiseInitiator {
  readonly #pair: X25519Pair
  readonly #state: SymmetricState

  constructor(options: NoiseOptions) {
    this.#pair = x25519Pair(options.ephemeral)
    this.#state = new SymmetricState(options)
  }

  hello(payload: Uint8Array): Uint8Array {
    const { publicKey } = this.#pair
    this.#state.mixEphemeral(publicKey)
    return concatBytes([publicKey, this.#state.seal(payload)])
  }

  /** Undefined: the peer has another key, or the bytes were changed. */
  finish(
    answer: Uint8Array,
  ): { readonly payload: Uint8Array; readonly keys: NoiseKeys } | undefined {
    if (answer.length < handshakeOverheadBytes) return undefined
    const peer = answer.subarray(0, x25519Bytes)
    this.#state.mixEphemeral(peer)
    const shared = x25519Agree(this.#pair, peer)
    if (shared === undefined) return undefined
    this.#state.mixKey(shared)
    const payload = this.#state.open(answer.subarray(x25519Bytes))
    return payload === undefined ? undefined : { payload, keys: this.#state.split() }
  }
}

/** Who accepts: read() the hello, then answer(). */
export class NoiseResponder {
  readonly #pair: X25519Pair
  readonly #state: SymmetricState
  #peer = nothing

  constructor(options: NoiseOptions) {
    this.#pair = x25519Pair(options.ephemeral)
    this.#state = new SymmetricState(options)
  }

  /** Undefined: the peer has another key, or the bytes were changed. */
  read(hello: Uint8Array): Uint8Array | undefined {
    if (hello.length < handshakeOverheadBytes) return undefined
    this.#peer = hello.slice(0, x25519Bytes)
    this.#state.mixEphemeral(this.#peer)
    return this.#state.open(hello.subarray(x25519Bytes))
  }

  /** Once, after read(). Undefined: the peer's ephemeral key is one that gives no secret. */
  answer(
    payload: Uint8Array,
  ): { readonly message: Uint8Array; readonly keys: NoiseKeys } | undefined {
    const { publicKey } = this.#pair
    const shared = x25519Agree(this.#pair, this.#peer)
    if (shared === undefined) return undefined
    this.#state.mixEphemeral(publicKey)
    this.#state.mixKey(shared)
    const message = concatBytes([publicKey, this.#state.seal(payload)])
    return { message, keys: this.#state.split() }
  }
}

/** Noise's SymmetricState with its CipherState, begun with the token psk, which comes first in this pattern. */
class SymmetricState {
  #chainingKey: Uint8Array
  #hash: Uint8Array
  #key: CipherKey | undefined
  #nonce = 0

  constructor({ prologue, psk }: NoiseOptions) {
    this.#hash = utf8Encode(protocolName)
    this.#chainingKey = this.#hash
    this.#mixHash(prologue)
    const [chainingKey, hash, key] = this.#derive(psk)
    this.#chainingKey = chainingKey
    this.#mixHash(hash)
    this.#setKey(key)
  }

  /** In a handshake with a shared key an ephemeral key goes into the keys as well (section 9.2). */
  mixEphemeral(publicKey: Uint8Array): void {
    this.#mixHash(publicKey)
    this.mixKey(publicKey)
  }

  mixKey(material: Uint8Array): void {
    const [chainingKey, key] = this.#derive(material)
    this.#chainingKey = chainingKey
    this.#setKey(key)
  }

  /** EncryptAndHash. */
  seal(payload: Uint8Array): Uint8Array {
    const pieces: Uint8Array[] = []
    const { key, nonce } = this.#takeKey()
    sealParts(key, [payload], { nonce, aad: this.#hash, target: pieces })
    const sealed = concatBytes(pieces)
    this.#mixHash(sealed)
    return sealed
  }

  /** DecryptAndHash. */
  open(sealed: Uint8Array): Uint8Array | undefined {
    const { key, nonce } = this.#takeKey()
    const payload = openSealed(key, sealed, { nonce, aad: this.#hash })
    if (payload !== undefined) this.#mixHash(sealed)
    return payload
  }

  split(): NoiseKeys {
    const [initiatorKey, responderKey] = this.#derive(nothing)
    return { initiatorKey, responderKey, handshakeHash: this.#hash }
  }

  #takeKey(): { readonly key: CipherKey; readonly nonce: Uint8Array } {
    assert(this.#key !== undefined, 'the shared key is mixed first')
    return { key: this.#key, nonce: writeNonce(new Uint8Array(cipherNonceBytes), this.#nonce++) }
  }

  #setKey(key: Uint8Array): void {
    this.#key = importCipherKey(key)
    this.#nonce = 0
  }

  #mixHash(bytes: Uint8Array): void {
    this.#hash = sha256(concatBytes([this.#hash, bytes]))
  }

  /** HKDF with three outputs, of which some take two: each is made from the one before, so that is the same. */
  #derive(material: Uint8Array): readonly [Uint8Array, Uint8Array, Uint8Array] {
    const secret = hmacSha256(this.#chainingKey, material)
    const first = hmacSha256(secret, new Uint8Array([1]))
    const second = hmacSha256(secret, concatBytes([first, new Uint8Array([2])]))
    const third = hmacSha256(secret, concatBytes([second, new Uint8Array([3])]))
    return [first, second, third]
  }
}

/** AESGCM's nonce: four zero bytes and the counter, big-endian (section 12.4). */
export function writeNonce(target: Uint8Array, counter: number): Uint8Array {
  new DataView(target.buffer, target.byteOffset).setBigUint64(4, BigInt(counter))
  return target
}
