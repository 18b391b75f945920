// Records: what a secured connection carries after its handshake. Pure: bytes in, bytes out.
//
//   0  u8   kind: 1 handshake, 2 sealed, 3 refusal
//   1  u8   version of this layout: 1
//   2  u16  length of the body, big-endian
//   4       body; sealed: ciphertext and 16 bytes of tag
//
// A sealed record is AES-256-GCM. Its nonce is a counter that both sides keep and nobody sends; its
// additional bytes are the header and the counter. So a record that is changed, repeated, left out, out of
// place, cut short, sent back to its sender or taken from another connection does not open, and the connection ends.
//
// Each direction has its own key, bound to the handshake's hash and thereby to both nodes, their cluster and
// everything that was said: HMAC(key of the handshake, label and hash). After `rekeyRecords` records or
// `rekeyBytes` bytes both sides go on to the next key, which does not tell the one before (Noise, section 11.3).

import {
  type CipherKey,
  cipherKeyBytes,
  cipherNonceBytes,
  cipherTagBytes,
  concatBytes,
  Fault,
  hmacSha256,
  importCipherKey,
  openSealed,
  sealParts,
  utf8Encode,
} from '../../../base/index.ts'
import type { NoiseKeys } from './noise.ts'

export const recordHeaderBytes = 4
export const recordKind = { handshake: 1, sealed: 2, refusal: 3 } as const
const layoutVersion = 1

/** Payload of one record; with header and tag it fits into a receive buffer of 64 KiB. */
export const plainBytesMax = 32 * 1024
/** Hello and answer: ids, versions, and room for later fields. */
export const handshakeBytesMax = 512

export type RekeyRule = { readonly rekeyRecords: number; readonly rekeyBytes: number }
/** Far below what AES-GCM bears per key (2^32 records; 2^32 blocks keep the odds of any attack below 2^-64). */
export const rekeyRule: RekeyRule = { rekeyRecords: 2 ** 20, rekeyBytes: 2 ** 34 }

const bodyBytesMax: Readonly<Record<number, number | undefined>> = {
  [recordKind.handshake]: handshakeBytesMax,
  [recordKind.sealed]: plainBytesMax + cipherTagBytes,
  [recordKind.refusal]: 1,
}

export function writeRecordHeader(target: Uint8Array, kind: number, length: number): Uint8Array {
  target[0] = kind
  target[1] = layoutVersion
  target[2] = length >>> 8
  target[3] = length
  return target
}

/** The keys of both directions as this side uses them. */
export function directionKeys(
  keys: NoiseKeys,
  isInitiator: boolean,
): { readonly sending: Uint8Array; readonly receiving: Uint8Array } {
  const bound = (key: Uint8Array, label: string): Uint8Array =>
    hmacSha256(key, concatBytes([utf8Encode(label), keys.handshakeHash]))
  const initiator = bound(keys.initiatorKey, 'atoll records of the dialling side 1')
  const responder = bound(keys.responderKey, 'atoll records of the accepting side 1')
  return isInitiator
    ? { sending: initiator, receiving: responder }
    : { sending: responder, receiving: initiator }
}

/** Key, counter and the bytes under which the next record is sealed. */
class Direction {
  readonly aad = new Uint8Array(recordHeaderBytes + 8)
  readonly nonce = new Uint8Array(cipherNonceBytes)
  readonly #aadView = new DataView(this.aad.buffer)
  readonly #nonceView = new DataView(this.nonce.buffer)
  readonly #rule: RekeyRule
  key: CipherKey
  #records = 0
  #bytes = 0
  #high = 0
  #low = 0

  constructor(key: Uint8Array, rule: RekeyRule) {
    this.key = importCipherKey(key)
    this.#rule = rule
  }

  /** Sets the header; the counter is there already. */
  begin(length: number): void {
    writeRecordHeader(this.aad, recordKind.sealed, length)
  }

  /** One record of that length is done. */
  advance(length: number): void {
    this.#low = (this.#low + 1) >>> 0
    if (this.#low === 0) this.#high++
    this.#aadView.setUint32(recordHeaderBytes, this.#high)
    this.#aadView.setUint32(recordHeaderBytes + 4, this.#low)
    this.#nonceView.setUint32(4, this.#high)
    this.#nonceView.setUint32(8, this.#low)
    this.#records++
    this.#bytes += length
    if (this.#records >= this.#rule.rekeyRecords || this.#bytes >= this.#rule.rekeyBytes)
      this.#rekey()
  }

  #rekey(): void {
    this.key = nextKey(this.key)
    this.#records = 0
    this.#bytes = 0
  }
}

/** Noise's REKEY: the cipher's first 32 bytes over zeros under the highest nonce, which no record ever has. */
export function nextKey(key: CipherKey): CipherKey {
  const nonce = new Uint8Array(cipherNonceBytes).fill(0xff, 4)
  const pieces: Uint8Array[] = []
  sealParts(key, [new Uint8Array(cipherKeyBytes)], {
    nonce,
    aad: new Uint8Array(0),
    target: pieces,
  })
  return importCipherKey(concatBytes(pieces).subarray(0, cipherKeyBytes))
}

export class RecordSealer {
  readonly #direction: Direction

  constructor(key: Uint8Array, rule: RekeyRule = rekeyRule) {
    this.#direction = new Direction(key, rule)
  }

  /** Appends one record to `target`; the parts hold at most plainBytesMax together. */
  seal(parts: readonly Uint8Array[], length: number, target: Uint8Array[]): void {
    const direction = this.#direction
    const { key, nonce, aad } = direction
    direction.begin(length + cipherTagBytes)
    target.push(aad.slice(0, recordHeaderBytes))
    sealParts(key, parts, { nonce, aad, target })
    direction.advance(length)
  }
}

export class RecordOpener {
  readonly #direction: Direction

  constructor(key: Uint8Array, rule: RekeyRule = rekeyRule) {
    this.#direction = new Direction(key, rule)
  }

  /** The payload; undefined when the record is not the next one that the peer sealed. */
  open(body: Uint8Array): Uint8Array | undefined {
    const direction = this.#direction
    direction.begin(body.length)
    const plain = openSealed(direction.key, body, direction)
    if (plain !== undefined) direction.advance(plain.length)
    return plain
  }
}

/** Called with a record's kind and body; the view is valid during the call only. */
export type RecordSink = (kind: number, body: Uint8Array) => void

/** Cuts received bytes into records. A length is checked before memory is taken. Throws Fault 'invalid'. */
export class RecordParser {
  readonly #sink: RecordSink
  /** Before the peer has proved anything, only the short records of the handshake are taken. */
  takesSealed = false
  readonly #header = new Uint8Array(recordHeaderBytes)
  #headerCount = 0
  #body: Uint8Array | undefined
  #bodyCount = 0
  #kind = 0
  #length = 0
  #isStopped = false
  /** Kept from record to record: most are of one size. */
  #memory = new Uint8Array(0)

  constructor(sink: RecordSink) {
    this.#sink = sink
  }

  /** No record is delivered after this, also from a push() that is under way. */
  stop(): void {
    this.#isStopped = true
    this.#memory = new Uint8Array(0)
    this.#body = undefined
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (!this.#isStopped) {
      if (this.#body === undefined) {
        at = this.#readHeader(bytes, at)
        if (at < 0) return
        if (bytes.length - at >= this.#length) {
          const body = bytes.subarray(at, at + this.#length)
          at += this.#length
          this.#sink(this.#kind, body)
          continue
        }
        this.#body = this.#takeMemory()
        this.#bodyCount = 0
      }
      const count = Math.min(this.#length - this.#bodyCount, bytes.length - at)
      this.#body.set(bytes.subarray(at, at + count), this.#bodyCount)
      this.#bodyCount += count
      at += count
      if (this.#bodyCount < this.#length) return
      const body = this.#body
      this.#body = undefined
      this.#sink(this.#kind, body)
    }
  }

  /** The position after the header, or -1 when it is not whole yet. */
  #readHeader(bytes: Uint8Array, at: number): number {
    const count = Math.min(recordHeaderBytes - this.#headerCount, bytes.length - at)
    this.#header.set(bytes.subarray(at, at + count), this.#headerCount)
    this.#headerCount += count
    if (this.#headerCount < recordHeaderBytes) return -1
    this.#headerCount = 0
    const [kind = 0, version = 0, high = 0, low = 0] = this.#header
    this.#kind = kind
    this.#length = high * 256 + low
    const lengthMax = bodyBytesMax[kind]
    if (version !== layoutVersion || lengthMax === undefined) {
      throw new Fault('invalid', foreignBytes(kind, version))
    }
    if (kind === recordKind.sealed && !this.takesSealed) {
      throw new Fault('invalid', 'a sealed record before the handshake')
    }
    if (this.#length > lengthMax || this.#length === 0) {
      throw new Fault('invalid', `a record of kind ${kind} with ${this.#length} bytes`)
    }
    return at + count
  }

  #takeMemory(): Uint8Array {
    if (this.#memory.length < this.#length) this.#memory = new Uint8Array(this.#length)
    return this.#memory.subarray(0, this.#length)
  }
}

/** TLS begins with 22 3 (a hello) or 21 3 (an alert): most likely a node that was given no shared key. */
function foreignBytes(kind: number, version: number): string {
  const isTls = (kind === 22 || kind === 21) && version === 3
  return isTls
    ? 'it uses certificates and no shared key: all members must use the same'
    : `a record of unknown kind ${kind}, version ${version}`
}
