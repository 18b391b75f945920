// Requests to the S3 gateways of simulated nodes, and what their answers mean for a checker: done, refused
// without effect, unknown, or nobody was asked.

import { isFault, utf8Decode } from '../../src/base/index.ts'
import { formatBasicDate } from '../../src/gateways/index.ts'
import type { Address } from '../../src/host/index.ts'
import type { SimResponse } from '../http.ts'
import type { World } from '../world.ts'
import { type S3Key, signed } from './s3-signing.ts'

export type S3Request = {
  readonly method: string
  /** Unreserved characters and slashes only. '' is the bucket. */
  readonly key?: string
  readonly query?: readonly (readonly [string, string])[]
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: Uint8Array
}
export type S3Outcome =
  | { readonly kind: 'done'; readonly answer: SimResponse; readonly text: string }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'nobody' }

const requestTimeoutMs = 8_000
const noBody = new Uint8Array(0)
/** Faults that S3 tells in a document after it has answered 200, with what they are otherwise. */
const lateStatuses: Readonly<Record<string, number>> = {
  PreconditionFailed: 412,
  NoSuchKey: 404,
  NoSuchUpload: 404,
  InvalidPart: 400,
  OperationAborted: 409,
}

export class S3Client {
  readonly bucket: string
  readonly #world: World
  readonly #key: S3Key
  readonly #region: string
  readonly #addressOf: (node: number) => Address

  constructor(
    world: World,
    options: {
      readonly bucket: string
      readonly key: S3Key
      readonly region: string
      readonly addressOf: (node: number) => Address
    },
  ) {
    this.#world = world
    this.bucket = options.bucket
    this.#key = options.key
    this.#region = options.region
    this.#addressOf = options.addressOf
  }

  async ask(node: number, request: S3Request): Promise<S3Outcome> {
    const address = this.#addressOf(node)
    if (!this.#world.http.isServing(address)) return { kind: 'nobody' }
    const response = await this.#send(node, address, request)
    if (response === undefined) return { kind: 'unknown' }
    const isXml = response.headers.get('content-type') === 'application/xml'
    const text = isXml ? utf8Decode(response.body) : ''
    const code = isErrorDocument(text) ? (textsOf(text, 'Code')[0] ?? '') : ''
    const isLate = response.status === 200 && code !== ''
    const status = isLate ? (lateStatuses[code] ?? 500) : response.status
    this.#world.count(`${request.method} ${status} ${code}`.trim())
    if (status < 300) return { kind: 'done', answer: response, text }
    // The node paused while the body came: S3's 400 for that may be repeated, like no answer at all.
    if (status >= 500 || code === 'RequestTimeout') return { kind: 'unknown' }
    // Between signing and checking the node's clock may have jumped.
    if (code === 'RequestTimeTooSkewed') return { kind: 'nobody' }
    return { kind: 'refused', status, code }
  }

  async #send(
    node: number,
    address: Address,
    request: S3Request,
  ): Promise<SimResponse | undefined> {
    const { method, key = '', query = [], headers = [], body = noBody } = request
    const wallMs = this.#world.host(node)?.clock.wallMs() ?? 0
    const path = key === '' ? `/${this.bucket}` : `/${this.bucket}/${key}`
    const call = { method, path, query, headers, host: address.host, body }
    const timestamp = formatBasicDate(wallMs)
    const sent = signed(call, { key: this.#key, region: this.#region, timestamp })
    const timeoutMs = requestTimeoutMs
    try {
      const wire = { method, body, timeoutMs, ...sent }
      return await this.#world.http.request(this.#world, address, wire)
    } catch (error) {
      if (!isFault(error)) throw error
      return undefined
    }
  }
}

/** Texts of all elements of this name that hold no elements. */
export function textsOf(xml: string, name: string): readonly string[] {
  const found = [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))]
  return found.map(([, text = '']) => text.replaceAll('&quot;', '"').replaceAll('&amp;', '&'))
}

/** Inner documents of all elements of this name. */
export function elementsOf(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map(
    ([, inner = '']) => inner,
  )
}

export function unquoted(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '')
}

function isErrorDocument(text: string): boolean {
  return /^\s*(<\?xml[^>]*>)?\s*<Error[ >]/.test(text)
}
