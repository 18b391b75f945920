// One request and its answer on a stream of HTTP/2. The body of the request may still come while the answer
// is sent (gRPC's streams), and the answer may end with trailers.

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { Fault } from '../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse, Journal } from '../host.ts'

export type IncomingHeaders = IncomingHttpHeaders

const resetInternal = 2
const resetNone = 0

export class Http2Exchange implements HttpRequest {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [string, string])[]
  readonly isSecure: boolean
  readonly isHttp2 = true
  readonly body: AsyncIterable<Uint8Array>
  readonly #stream: ServerHttp2Stream
  #abort: AbortController | undefined
  #isGone = false

  constructor(
    stream: ServerHttp2Stream,
    options: {
      readonly headers: IncomingHeaders
      readonly rawHeaders: readonly string[]
      readonly isSecure: boolean
    },
  ) {
    this.#stream = stream
    this.method = options.headers[':method'] ?? ''
    this.target = options.headers[':path'] ?? ''
    this.headers = headerPairs(options.rawHeaders)
    this.isSecure = options.isSecure
    this.body = new StreamBody(stream)
    stream.on('error', () => undefined)
    stream.once('close', () => {
      if (stream.rstCode === resetNone && stream.writableFinished) return
      this.#isGone = true
      this.#abort?.abort(goneFault())
    })
  }

  get remoteAddress(): string {
    return this.#stream.session?.socket?.remoteAddress ?? ''
  }

  /** Made on first use. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#isGone) this.#abort.abort(goneFault())
    }
    return this.#abort.signal
  }

  /** Rejects only when the handler did. */
  async run(handler: HttpHandler, journal: Journal): Promise<void> {
    const answer = await handler(this)
    try {
      await this.#answer(answer)
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      if (!this.#isGone) journal.event('debug', 'http.answer_broken', { what })
      this.#stream.close(resetInternal)
    }
  }

  async #answer(answer: HttpResponse): Promise<void> {
    const stream = this.#stream
    const { body, trailers, status } = answer
    if (stream.destroyed || stream.closed) return releaseBody(answer)
    const headers: Record<string, string | string[] | number> = { ':status': status }
    for (const [name, value] of answer.headers) addHeader(headers, name, value)
    if (body === undefined || this.method === 'HEAD') {
      stream.respond(headers, { endStream: true })
      await releaseBody(answer)
      this.#endReading()
      return
    }
    if (trailers !== undefined) {
      stream.once('wantTrailers', () => {
        const last: Record<string, string> = {}
        for (const [name, value] of trailers()) last[name] = value
        stream.sendTrailers(last)
        // Nothing tells when they are out, and a reset before that would take their place: the client, which has
        // its answer with them, ends the stream. What it sends until then is passed over.
        stream.resume()
      })
    }
    stream.respond(headers, { waitForTrailers: trailers !== undefined })
    if (body instanceof Uint8Array) {
      stream.end(body)
    } else {
      await this.#sendSlices(body)
    }
    if (trailers === undefined) this.#endReading()
  }

  /** As much at a time as the stream holds: the client's flow control is what is waited for. */
  async #sendSlices(body: AsyncIterable<Uint8Array>): Promise<void> {
    const stream = this.#stream
    let wake = (): void => undefined
    const onMove = (): void => wake()
    stream.on('drain', onMove)
    stream.on('close', onMove)
    for await (const slice of body) {
      if (slice.length === 0) continue
      if (this.#isGone || stream.destroyed) throw goneFault()
      if (stream.write(slice)) continue
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    if (this.#isGone || stream.destroyed) throw goneFault()
    stream.end()
  }

  /** What of the request was not read by now is not wanted: the client is told to stop (RFC 9113, 8.1). */
  #endReading(): void {
    const stream = this.#stream
    if (stream.readableEnded || stream.endAfterHeaders) return
    stream.once('finish', () => {
      if (!stream.closed) stream.close(resetNone)
    })
    stream.resume()
  }
}

/** Slices on demand; the stream's flow control holds the client back meanwhile. */
class StreamBody implements AsyncIterable<Uint8Array> {
  readonly #stream: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    const stream = this.#stream
    return {
      next: () => this.#next(),
      return: () => {
        stream.resume()
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }

  #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const stream = this.#stream
    const now = this.#take()
    if (now !== undefined) return Promise.resolve(now)
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const step = this.#take()
        if (step !== undefined) end(() => resolve(step))
      }
      const fail = (): void => {
        const step = this.#take()
        end(() => (step === undefined ? reject(brokenFault()) : resolve(step)))
      }
      const end = (settle: () => void): void => {
        stream.off('readable', look)
        stream.off('end', look)
        stream.off('close', fail)
        settle()
      }
      stream.on('readable', look)
      stream.on('end', look)
      stream.on('close', fail)
      if (stream.destroyed) fail()
    })
  }

  #take(): IteratorResult<Uint8Array, undefined> | undefined {
    const stream = this.#stream
    const slice: Buffer | null = stream.read()
    if (slice !== null) return { done: false, value: slice }
    if (stream.readableEnded) return { done: true, value: undefined }
    return undefined
  }
}

function addHeader(
  headers: Record<string, string | string[] | number>,
  name: string,
  value: string,
): void {
  const before = headers[name]
  if (before === undefined) headers[name] = value
  else headers[name] = Array.isArray(before) ? [...before, value] : [String(before), value]
}

/** Without HTTP/2's own (':method'); the authority takes the place of Host. */
function headerPairs(flat: readonly string[]): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] as string
    const value = flat[i + 1] as string
    if (name === ':authority') pairs.push(['host', value])
    else if (!name.startsWith(':')) pairs.push([name, value])
  }
  return pairs
}

async function releaseBody({ body }: HttpResponse): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) return
  await body[Symbol.asyncIterator]().return?.()
}

function goneFault(): Fault {
  return new Fault('cancelled', 'the client has gone')
}

function brokenFault(): Fault {
  return new Fault('invalid', 'the request body ended early', {
    s3: { code: 'IncompleteBody', status: 400 },
  })
}
