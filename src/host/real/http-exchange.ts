// One request and its answer on a connection.
//
// When the answer comes before the body was read, the rest of the body stands between this request and
// the next. A small rest is read and thrown away; otherwise the connection is closed after the answer,
// with a bounded wait for the client to read it (closing at once would reset the connection, and the
// client might never see why).

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Fault } from '../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse, Journal } from '../host.ts'
import { goneFault, incompleteBody, releaseBody, RequestBody } from './http-body.ts'
import { shownCertificate } from './node-servers.ts'

const discardBytesMax = 1024 * 1024
const discardMsMax = 2_000

export class Exchange implements HttpRequest {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: RequestBody
  readonly remoteAddress: string
  readonly isSecure: boolean
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #abort: AbortController | undefined
  #isGone = false
  /** Rejects the write under way; a response that waits for its turn would never call back. */
  #breakWrite: ((fault: Fault) => void) | undefined

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    options: { readonly expectsContinue: boolean; readonly isSecure: boolean },
  ) {
    this.#request = request
    this.#response = response
    this.method = request.method ?? ''
    this.target = request.url ?? ''
    this.headers = headerPairs(request.rawHeaders)
    this.remoteAddress = request.socket.remoteAddress ?? ''
    this.isSecure = options.isSecure
    const askForBody = options.expectsContinue ? () => response.writeContinue() : undefined
    this.body = new RequestBody(request, askForBody)
    response.once('close', () => {
      if (!response.writableFinished) this.#onGone()
    })
    response.on('error', () => undefined)
    request.on('error', () => undefined)
  }

  /** Looked for when it is asked for: of one connection it is the same each time. */
  get clientCertificate(): { readonly hash: string } | undefined {
    return shownCertificate(this.#request.socket)
  }

  /** Made on first use: most handlers never ask. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#isGone) this.#abort.abort(goneFault())
    }
    return this.#abort.signal
  }

  failBody(how: string): void {
    this.body.fail(incompleteBody(how))
    this.#response.shouldKeepAlive = false
  }

  /** Rejects only when the handler did. */
  async run(handler: HttpHandler, journal: Journal): Promise<void> {
    const answer = await handler(this)
    try {
      await this.#answer(answer)
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      if (!this.#isGone) journal.event('debug', 'http.answer_broken', { what })
      this.#request.socket.destroy()
    }
  }

  async #answer(answer: HttpResponse): Promise<void> {
    const response = this.#response
    if (response.destroyed) return releaseBody(answer)
    const { body } = this
    const isReusable = this.#isReusable()
    if (!isReusable) response.shouldKeepAlive = false
    response.writeHead(answer.status, this.#headersOf(answer))
    if (this.method === 'HEAD' || answer.body === undefined) {
      await releaseBody(answer)
      if (!isReusable) response.flushHeaders()
    } else if (answer.body instanceof Uint8Array) {
      if (isReusable) response.end(answer.body)
      else response.write(answer.body)
    } else {
      for await (const slice of answer.body) await this.#write(slice)
    }
    if (!isReusable && !body.isComplete && !body.isUnasked && !body.isBroken) {
      await this.#discardBounded()
    } else {
      body.discard()
    }
    if (!response.writableEnded) response.end()
  }

  #headersOf(answer: HttpResponse): string[] {
    const headers: string[] = []
    let hasLength = false
    for (const [name, value] of answer.headers) {
      headers.push(name, value)
      const lower = name.toLowerCase()
      if (lower === 'content-length' || lower === 'transfer-encoding') hasLength = true
    }
    const length = answer.body === undefined ? 0 : lengthOf(answer.body)
    const hasBody = answer.status >= 200 && answer.status !== 204 && answer.status !== 304
    if (!hasLength && hasBody && length !== undefined && this.method !== 'HEAD') {
      headers.push('content-length', String(length))
    }
    return headers
  }

  /** Settles when the slice has left for the kernel, so that its memory may be used again. */
  #write(slice: Uint8Array): Promise<void> {
    if (slice.length === 0) return Promise.resolve()
    if (this.#isGone) return Promise.reject(goneFault())
    return new Promise((resolve, reject) => {
      this.#breakWrite = reject
      this.#response.write(slice, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Whether another request may follow: nothing, or little, of this one's body is still to come. */
  #isReusable(): boolean {
    const { body } = this
    if (body.isComplete) return true
    const announced = Number(this.#request.headers['content-length'] ?? Number.NaN)
    return announced <= discardBytesMax && !body.isUnasked && !body.isBroken
  }

  /** Settles when the body has ended, or was enough, or took too long, or the client has gone. */
  #discardBounded(): Promise<void> {
    return new Promise((resolve) => {
      let restBytes = discardBytesMax
      const timer = setTimeout(resolve, discardMsMax)
      const settle = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#request.once('end', settle)
      this.#response.once('close', settle)
      this.body.discard()
      this.#request.on('data', (slice: Buffer) => {
        restBytes -= slice.length
        if (restBytes < 0) settle()
      })
    })
  }

  #onGone(): void {
    this.#isGone = true
    this.#abort?.abort(goneFault())
    this.#breakWrite?.(goneFault())
    this.body.fail(incompleteBody('ended early'))
  }
}

function lengthOf(body: Uint8Array | AsyncIterable<Uint8Array>): number | undefined {
  return body instanceof Uint8Array ? body.length : undefined
}

/** Node's flat list as pairs; names in lower case. */
function headerPairs(flat: readonly string[]): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    pairs.push([(flat[i] as string).toLowerCase(), flat[i + 1] as string])
  }
  return pairs
}
