// The body of a request on its way to storage: decoded, counted and hashed slice by slice in one pass,
// and held against everything that the request claims of it once it has ended.
//
// Nothing is copied: slices go through as views. verify() throws, and nothing is named, unless every
// claim holds: length, SHA-256, MD5, checksum in header or trailer, chunk and trailer signatures.

import { assert, type Digest, type Fault, startDigest, toHex } from '../../base/index.ts'
import type { Clock } from '../../host/index.ts'
import type { BodyDigests, Checksum, ChecksumAlgorithm } from '../../objects/index.ts'
import type { Call } from './call.ts'
import {
  type ChecksumClaim,
  checksumHeader,
  isChecksumValue,
  readChecksumClaim,
  startChecksum,
} from './core/checksums.ts'
import { ChunkedDecoder } from './core/chunked.ts'
import { invalidRequest, malformedXml, s3Fault } from './core/fault.ts'
import { readBodyLength } from './core/payload.ts'
import { base64Decode, base64Encode } from './core/text.ts'

export const bodyBytesMax = 5 * 1024 ** 3

/**
 * A client from which next to nothing came in so many looks, while it was waited for, is given up: an upload that
 * rests holds memory that others need, and a machine that went to sleep in the middle of one never says so.
 */
const patience = { lookMs: 10_000, bytesPerLookMin: 4_096, looksMax: 3 } as const

export type BodyClaims = {
  /** Decoded bytes; undefined when unknown, then at most bodyBytesMax. */
  readonly length: number | undefined
  readonly sha256: string | undefined
  /** Base64, from Content-MD5. */
  readonly md5: string | undefined
  /** A claim, or an algorithm to compute for the record. */
  readonly checksum: ChecksumClaim | { readonly algorithm: ChecksumAlgorithm } | undefined
  /** Whether the caller wants the MD5 (it is the ETag). */
  readonly needsMd5: boolean
}

/** A body that a client sends: how it is framed, and the clock that its patience is measured with. */
export type BodyClient = { readonly decoder: ChunkedDecoder | undefined; readonly clock: Clock }

export class CheckedBody {
  readonly #source: AsyncIterable<Uint8Array>
  readonly #decoder: ChunkedDecoder | undefined
  readonly #clock: Clock | undefined
  readonly #claims: BodyClaims
  readonly #md5: Digest | undefined
  readonly #sha256: Digest | undefined
  readonly #checksum: Digest | undefined
  #received = 0
  #hasEnded = false

  constructor(source: AsyncIterable<Uint8Array>, claims: BodyClaims, client?: BodyClient) {
    this.#source = source
    this.#claims = claims
    this.#decoder = client?.decoder
    this.#clock = client?.clock
    if (claims.needsMd5 || claims.md5 !== undefined) this.#md5 = startDigest('md5')
    const isSha256 = claims.checksum?.algorithm === 'SHA256'
    if (claims.sha256 !== undefined || isSha256) this.#sha256 = startDigest('sha256')
    if (claims.checksum !== undefined && !isSha256) {
      this.#checksum = startChecksum(claims.checksum.algorithm)
    }
  }

  get length(): number | undefined {
    return this.#claims.length
  }

  /** Decoded slices, each valid until the next is asked for. Faults: as soon as a claim is broken. */
  async *slices(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const slice of this.#whileItComes()) {
      if (this.#decoder === undefined) {
        this.#take(slice)
        yield slice
        continue
      }
      this.#decoder.push(slice)
      for (;;) {
        const decoded = this.#decoder.next()
        if (decoded === undefined) break
        this.#take(decoded)
        yield decoded
      }
    }
    const { length } = this.#claims
    this.#decoder?.finish()
    if (length !== undefined && this.#received !== length) throw incompleteBody()
    this.#hasEnded = true
  }

  /** The source, for as long as its client sends. */
  async *#whileItComes(): AsyncGenerator<Uint8Array, void, undefined> {
    const source = this.#source[Symbol.asyncIterator]()
    let isWaiting = true
    let bytes = 0
    let slowLooks = 0
    const watch = this.#clock?.every(patience.lookMs, () => {
      slowLooks = isWaiting && bytes < patience.bytesPerLookMin ? slowLooks + 1 : 0
      bytes = 0
      // Ends the wait (HttpRequest.body).
      if (slowLooks >= patience.looksMax) void source.return?.()
    })
    try {
      for await (const slice of { [Symbol.asyncIterator]: () => source }) {
        isWaiting = false
        bytes += slice.length
        yield slice
        isWaiting = true
      }
    } finally {
      watch?.cancel()
    }
    if (slowLooks >= patience.looksMax) throw requestTimeout()
  }

  #take(slice: Uint8Array): void {
    this.#received += slice.length
    if (this.#received > (this.#claims.length ?? bodyBytesMax)) {
      throw this.#claims.length === undefined ? tooLarge(this.#received) : incompleteBody()
    }
    this.#md5?.update(slice)
    this.#sha256?.update(slice)
    this.#checksum?.update(slice)
  }

  /** What the bytes were, once they have ended. Faults: the first claim that does not hold. */
  verify(): BodyDigests {
    assert(this.#hasEnded, 'a body is verified after its last slice')
    const sha256 = this.#sha256?.digest()
    if (sha256 !== undefined && this.#claims.sha256 !== undefined) {
      this.#verifySha256(toHex(sha256), this.#claims.sha256)
    }
    const md5 = this.#md5?.digest()
    if (md5 !== undefined && this.#claims.md5 !== undefined) {
      verifyMd5(base64Encode(md5), this.#claims.md5)
    }
    const digest = this.#checksum?.digest() ?? sha256
    return {
      md5: md5 === undefined ? '' : toHex(md5),
      checksum: digest === undefined ? undefined : this.#verifyChecksum(base64Encode(digest)),
    }
  }

  #verifySha256(computed: string, claimed: string): void {
    if (computed === claimed) return
    throw s3Fault(
      'XAmzContentSHA256Mismatch',
      400,
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
      { ClientComputedContentSHA256: claimed, S3ComputedContentSHA256: computed },
    )
  }

  #verifyChecksum(value: string): Checksum | undefined {
    const claim = this.#claims.checksum
    if (claim === undefined) return undefined
    const { algorithm } = claim
    if ('value' in claim) {
      const claimed = claim.value ?? this.#decoder?.finish().get(checksumHeader[algorithm])
      if (claimed === undefined || !isChecksumValue(algorithm, claimed)) {
        throw invalidRequest(`Value for ${checksumHeader[algorithm]} trailing header is invalid.`)
      }
      if (claimed !== value) {
        throw s3Fault(
          'BadDigest',
          400,
          `The ${algorithm} you specified did not match the calculated checksum.`,
        )
      }
    }
    return { algorithm, value, type: 'FULL_OBJECT' }
  }
}

function verifyMd5(computed: string, claimed: string): void {
  if (computed === claimed) return
  throw s3Fault('BadDigest', 400, 'The Content-MD5 you specified did not match what we received.', {
    ExpectedDigest: claimed,
    CalculatedDigest: computed,
  })
}

/** The body of an upload. `computes`: the checksum to record when the client claims none. */
export function openUpload(call: Call, computes?: ChecksumAlgorithm): CheckedBody {
  const length = readBodyLength(call.wire, call.payload)
  if (length !== undefined && length > bodyBytesMax) throw tooLarge(length)
  const claim = readChecksumClaim(call.wire.headers)
  const checksum = claim ?? (computes === undefined ? undefined : { algorithm: computes })
  return openBody(call, { length, checksum, needsMd5: true })
}

/**
 * A whole small body (an XML document), verified before anything is done with it. A body without a
 * stated length is none, as HTTP says. `checksums`: whose the checksum headers are.
 */
export async function readDocument(
  call: Call,
  bytesMax: number,
  checksums: 'claimed' | 'of-another' = 'claimed',
): Promise<Uint8Array> {
  const isFramed =
    call.wire.headers.has('content-length') || call.wire.headers.has('transfer-encoding')
  const length = isFramed ? readBodyLength(call.wire, call.payload) : 0
  if (length !== undefined && length > bytesMax) throw malformedXml()
  const body = openBody(call, {
    length,
    checksum: checksums === 'claimed' ? readChecksumClaim(call.wire.headers) : undefined,
    needsMd5: false,
  })
  const parts: Uint8Array[] = []
  let size = 0
  for await (const slice of body.slices()) {
    size += slice.length
    if (size > bytesMax) throw malformedXml()
    parts.push(slice.slice())
  }
  body.verify()
  const bytes = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

function openBody(
  call: Call,
  claims: Pick<BodyClaims, 'length' | 'checksum' | 'needsMd5'>,
): CheckedBody {
  const { mode } = call.payload
  const md5 = call.wire.headers.get('content-md5')
  if (md5 !== undefined && base64Decode(md5)?.length !== 16) {
    throw s3Fault('InvalidDigest', 400, 'The Content-MD5 you specified was invalid.')
  }
  const sha256 = mode.kind === 'plain' ? mode.sha256 : undefined
  const decoder =
    mode.kind === 'chunked'
      ? new ChunkedDecoder({
          signer: mode.isSigned ? call.signer : undefined,
          decodedLength: claims.length ?? 0,
          trailers: mode.trailers,
        })
      : undefined
  return new CheckedBody(
    call.http.body,
    { ...claims, sha256, md5 },
    { decoder, clock: call.host.clock },
  )
}

function incompleteBody(): Fault {
  return s3Fault(
    'IncompleteBody',
    400,
    'You did not provide the number of bytes specified by the Content-Length HTTP header',
  )
}

function requestTimeout(): Fault {
  return s3Fault(
    'RequestTimeout',
    400,
    'Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.',
  )
}

function tooLarge(size: number): Fault {
  return s3Fault(
    'EntityTooLarge',
    400,
    'Your proposed upload exceeds the maximum allowed object size.',
    { ProposedSize: String(size), MaxSizeAllowed: String(bodyBytesMax) },
  )
}
