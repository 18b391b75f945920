// aws-chunked: the content coding by which clients sign, or check, a body while they send it ("Signature
// calculations: transferring payload in multiple chunks" and "... including trailing headers").
//
//   chunk    = hex-size [";chunk-signature=" 64 hex] CRLF bytes CRLF
//   last     = "0" [";chunk-signature=" 64 hex] CRLF *(name ":" value CRLF) CRLF
//
// A pull parser: push() a slice, then next() until it answers undefined. Bytes come out as views of the
// slice, never copied. Lines are bounded; every announced size is held against the decoded length that
// the request declared, before anything is passed on.
//
// Signatures form a chain: each covers the one before it, so that chunks can be neither swapped nor cut
// off. A chunk's bytes have been passed on when its signature is checked; the caller names nothing
// before finish() has returned (law 10).

import {
  digestHex,
  type Digest,
  equalSecret,
  type Fault,
  startDigest,
  toHex,
  utf8Encode,
} from '../../../base/index.ts'
import { s3Fault } from './fault.ts'
import type { SigningKey } from './signing-key.ts'
import { headerText } from './text.ts'

const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const headerLineBytesMax = 256
const trailerLineBytesMax = 1024
const trailerLinesMax = 16
/** A signed chunk other than the last that is smaller is refused, as by S3: its cost is the signature. */
const signedChunkBytesMin = 8192

/** What the chain of signatures starts from. */
export type ChunkSigner = {
  readonly signingKey: SigningKey
  /** '20150830T123600Z'. */
  readonly timestamp: string
  /** '20150830/us-east-1/s3/aws4_request'. */
  readonly scope: string
  /** The request's own signature. */
  readonly seed: string
}

export type ChunkedOptions = {
  /** Undefined: chunks carry no signature. */
  readonly signer: ChunkSigner | undefined
  readonly decodedLength: number
  /** Names that must stand in the trailer, lower case. */
  readonly trailers: readonly string[]
}

type State = 'size' | 'bytes' | 'bytes-end' | 'trailer' | 'ended'

export class ChunkedDecoder {
  readonly #options: ChunkedOptions
  #state: State = 'size'
  #input: Uint8Array = new Uint8Array(0)
  #at = 0
  #line = ''
  #chunkLeft = 0
  #chunkBytes = 0
  #passed = 0
  #previous: string
  #claimed = ''
  #digest: Digest | undefined
  #trailers = new Map<string, string>()
  #trailerLines = 0
  #signedTrailer = ''
  #trailerSignature: string | undefined
  #hasGap = false

  constructor(options: ChunkedOptions) {
    this.#options = options
    this.#previous = options.signer?.seed ?? ''
  }

  /** The slice stays in use until next() has answered undefined. */
  push(slice: Uint8Array): void {
    this.#input = slice
    this.#at = 0
  }

  /** The next decoded bytes of the slice, or undefined when another slice is needed. */
  next(): Uint8Array | undefined {
    while (this.#at < this.#input.length) {
      if (this.#state === 'bytes') return this.#takeBytes()
      const isTrailer = this.#state === 'trailer' || this.#state === 'ended'
      const line = this.#takeLine(isTrailer ? trailerLineBytesMax : headerLineBytesMax)
      if (line === undefined) return undefined
      if (this.#state === 'size') this.#openChunk(line)
      else if (this.#state === 'bytes-end') this.#closeChunk(line)
      else if (this.#state === 'trailer') this.#readTrailer(line)
      else this.#readAfterEnd(line)
    }
    return undefined
  }

  /**
   * Called once the body has ended: everything must have arrived and be verified. Answers the trailers.
   * Faults: IncompleteBody, MalformedTrailerError.
   */
  finish(): ReadonlyMap<string, string> {
    if (this.#state !== 'ended') {
      throw incomplete('The request body terminated unexpectedly: the last chunk is missing.')
    }
    return this.#trailers
  }

  #takeBytes(): Uint8Array {
    const end = Math.min(this.#input.length, this.#at + this.#chunkLeft)
    const bytes = this.#input.subarray(this.#at, end)
    this.#at = end
    this.#chunkLeft -= bytes.length
    this.#passed += bytes.length
    this.#digest?.update(bytes)
    if (this.#chunkLeft === 0) this.#state = 'bytes-end'
    return bytes
  }

  /** A whole line without its CRLF, or undefined when the slice ends first. */
  #takeLine(bytesMax: number): string | undefined {
    const input = this.#input
    const found = input.indexOf(0x0a, this.#at)
    const end = found < 0 ? input.length : found
    if (this.#line.length + (end - this.#at) > bytesMax) throw malformed('a line is too long')
    for (let i = this.#at; i < end; i++) this.#line += String.fromCharCode(input[i] as number)
    this.#at = found < 0 ? end : end + 1
    if (found < 0) return undefined
    const line = this.#line
    this.#line = ''
    // Stock clients end a trailer's lines with a bare line feed.
    if (line.endsWith('\r')) return line.slice(0, -1)
    if (this.#state === 'trailer') return line
    throw malformed('a line does not end with CRLF')
  }

  #openChunk(line: string): void {
    const semicolon = line.indexOf(';')
    const digits = (semicolon < 0 ? line : line.slice(0, semicolon)).trimEnd()
    if (!/^[0-9a-fA-F]{1,12}$/.test(digits)) throw malformed('a chunk size is not hexadecimal')
    const size = Number.parseInt(digits, 16)
    if (size > this.#options.decodedLength - this.#passed) {
      throw incomplete('The chunks hold more bytes than x-amz-decoded-content-length declares.')
    }
    if (this.#options.signer !== undefined) this.#openSigned(line.slice(digits.length), size)
    this.#chunkBytes = size
    this.#chunkLeft = size
    if (size > 0) this.#state = 'bytes'
    else this.#closeLast()
  }

  #openSigned(extension: string, size: number): void {
    const found = /^;chunk-signature=([0-9a-f]{64})$/.exec(extension)
    if (found?.[1] === undefined) throw malformed('a chunk has no signature')
    if (size > 0 && this.#chunkBytes > 0 && this.#chunkBytes < signedChunkBytesMin) {
      throw s3Fault(
        'InvalidChunkSizeError',
        403,
        `Only the last chunk is allowed to have a size less than ${signedChunkBytesMin} bytes`,
      )
    }
    this.#claimed = found[1]
    this.#digest = startDigest('sha256')
  }

  #closeChunk(line: string): void {
    if (line !== '') throw malformed('a chunk is longer than its size')
    this.#verifyChunk()
    this.#state = 'size'
  }

  /** The chunk of size 0: everything declared has passed; the trailer follows. */
  #closeLast(): void {
    if (this.#passed !== this.#options.decodedLength) {
      throw incomplete(
        'You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header.',
      )
    }
    this.#verifyChunk()
    this.#state = 'trailer'
  }

  #verifyChunk(): void {
    const { signer } = this.#options
    if (signer === undefined || this.#digest === undefined) return
    const toSign = `AWS4-HMAC-SHA256-PAYLOAD\n${signer.timestamp}\n${signer.scope}\n${this.#previous}\n${emptySha256}\n${toHex(this.#digest.digest())}`
    this.#previous = this.#compare(signer, toSign, this.#claimed)
    this.#digest = undefined
  }

  #compare(signer: ChunkSigner, toSign: string, claimed: string): string {
    const expected = signer.signingKey.sign(toSign)
    if (equalSecret(utf8Encode(expected), utf8Encode(claimed))) return expected
    throw s3Fault(
      'SignatureDoesNotMatch',
      403,
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    )
  }

  #readTrailer(line: string): void {
    if (line === '') {
      if (this.#isBeforeSignature()) this.#hasGap = true
      else this.#closeTrailer()
      return
    }
    if (++this.#trailerLines > trailerLinesMax) throw malformedTrailer()
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name === 'x-amz-trailer-signature') {
      this.#trailerSignature = value
      return
    }
    if (!this.#options.trailers.includes(name) || this.#trailers.has(name)) throw malformedTrailer()
    this.#trailers.set(name, value)
    this.#signedTrailer += `${name}:${headerText(value)}\n`
  }

  /** Stock clients put an empty line between the trailers and their signature. */
  #isBeforeSignature(): boolean {
    const { signer, trailers } = this.#options
    const isSigned = signer !== undefined && trailers.length > 0
    return isSigned && this.#trailerSignature === undefined && !this.#hasGap
  }

  /** Stock clients end an unsigned trailer with one empty line too many. */
  #readAfterEnd(line: string): void {
    if (line !== '' || this.#hasGap) throw incomplete('There are bytes after the last chunk.')
    this.#hasGap = true
  }

  #closeTrailer(): void {
    const { signer, trailers } = this.#options
    if (this.#trailers.size !== trailers.length) throw malformedTrailer()
    if (signer !== undefined && trailers.length > 0) {
      const signature = this.#trailerSignature
      if (signature === undefined || signature.length !== 64) throw malformedTrailer()
      const hash = digestHex('sha256', this.#signedTrailer)
      const toSign = `AWS4-HMAC-SHA256-TRAILER\n${signer.timestamp}\n${signer.scope}\n${this.#previous}\n${hash}`
      this.#compare(signer, toSign, signature)
    }
    this.#state = 'ended'
    this.#hasGap = false
  }
}

function incomplete(what: string): Fault {
  return s3Fault('IncompleteBody', 400, what)
}

function malformed(what: string): Fault {
  return s3Fault('InvalidRequest', 400, `The aws-chunked body is malformed: ${what}.`)
}

function malformedTrailer(): Fault {
  return s3Fault(
    'MalformedTrailerError',
    400,
    'The request contained trailing data that was not well-formed or did not conform to our published schema.',
  )
}
