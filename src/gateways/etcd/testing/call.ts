// Calls of the gateway without a network: requests and answers are the host's HTTP values, in both directions at
// once, so that tests see what a client would see, and when.

import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import {
  decodeBytes,
  encodeBytes,
  Fault,
  type Message,
  type MessageOf,
} from '../../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse } from '../../../host/index.ts'
import { encodeFrame, FrameReader } from '../core/frames.ts'

// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
type Fields = Record<string, any>
const answerBytesMax = 64 * 1024 * 1024

export type Status = { readonly code: number; readonly text: string }

/** A body whose slices are given while it is read. */
export class OpenBody implements AsyncIterable<Uint8Array> {
  #slices: Uint8Array[] = []
  #isEnded = false
  #fault: Fault | undefined
  #wake: () => void = () => undefined

  push(slice: Uint8Array): void {
    this.#slices.push(slice)
    this.#wake()
  }

  end(): void {
    this.#isEnded = true
    this.#wake()
  }

  fail(): void {
    this.#fault = new Fault('invalid', 'the request body ended early')
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const slice = this.#slices.shift()
      if (slice !== undefined) yield slice
      else if (this.#fault !== undefined) throw this.#fault
      else if (this.#isEnded) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}

export function requestOf(
  target: string,
  body: AsyncIterable<Uint8Array>,
  options: Partial<HttpRequest> = {},
): HttpRequest {
  return {
    method: 'POST',
    target,
    headers: [['content-type', 'application/grpc']],
    body,
    remoteAddress: '127.0.0.1',
    isSecure: false,
    signal: new AbortController().signal,
    isHttp2: true,
    ...options,
  }
}

export async function readAll(response: HttpResponse): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  if (response.body instanceof Uint8Array) parts.push(response.body)
  else if (response.body !== undefined) for await (const part of response.body) parts.push(part)
  return Buffer.concat(parts)
}

/** A whole body at once. */
export async function* bodyOf(...slices: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* slices
}

export function statusOf(response: HttpResponse): Status {
  const all = [...response.headers, ...(response.trailers?.() ?? [])]
  const of = (name: string): string => all.find(([known]) => known === name)?.[1] ?? ''
  return { code: Number(of('grpc-status') || '-1'), text: decodeURIComponent(of('grpc-message')) }
}

function headersOf(token: string | undefined): Partial<HttpRequest> {
  const type = ['content-type', 'application/grpc'] as const
  return { headers: token === undefined ? [type] : [type, ['token', token]] }
}

/** A unary call: its answer, or the status that it failed with. */
export async function callUnary<Q extends Fields, A extends Fields>(
  handler: HttpHandler,
  [name, request, response]: readonly [string, Message<Q>, Message<A>],
  message: Partial<MessageOf<Message<Q>>>,
  token?: string,
): Promise<MessageOf<Message<A>> | Status> {
  const whole = { ...decodeBytes(request, new Uint8Array(0)), ...message }
  const frame = encodeFrame(encodeBytes(request, whole))
  const answer = await handler(requestOf(`/${name}`, bodyOf(frame), headersOf(token)))
  assert.equal(answer.status, 200)
  const body = await readAll(answer)
  const status = statusOf(answer)
  if (status.code !== 0) return status
  const [only] = new FrameReader(answerBytesMax).add(body)
  assert.ok(only)
  return decodeBytes(response, only)
}

/** A call that streams both ways. */
export class StreamCall<Q extends Fields, A extends Fields> {
  readonly #schemas: readonly [Message<Q>, Message<A>]
  readonly #body = new OpenBody()
  readonly #abort = new AbortController()
  readonly #response: Promise<HttpResponse>
  readonly #waiting: MessageOf<Message<A>>[] = []
  readonly #reader = new FrameReader(answerBytesMax)
  #slices: AsyncIterator<Uint8Array> | undefined

  constructor(
    handler: HttpHandler,
    [name, request, response]: readonly [string, Message<Q>, Message<A>],
    token?: string,
  ) {
    this.#schemas = [request, response]
    const { signal } = this.#abort
    const options = { signal, ...headersOf(token) }
    this.#response = handler(requestOf(`/${name}`, this.#body, options))
  }

  send(message: Partial<MessageOf<Message<Q>>>): void {
    const [request] = this.#schemas
    const whole = { ...decodeBytes(request, new Uint8Array(0)), ...message }
    this.#body.push(encodeFrame(encodeBytes(request, whole)))
  }

  end(): void {
    this.#body.end()
  }

  /** The client goes without a word. */
  leave(): void {
    this.#abort.abort(new Fault('cancelled', 'the client has gone'))
    this.#body.fail()
  }

  /** The next answer; undefined at the end. */
  async read(): Promise<MessageOf<Message<A>> | undefined> {
    for (;;) {
      const next = this.#waiting.shift()
      if (next !== undefined) return next
      const { body } = await this.#response
      if (body === undefined || body instanceof Uint8Array) return undefined
      this.#slices ??= body[Symbol.asyncIterator]()
      const step = await this.#slices.next()
      if (step.done === true) return undefined
      for (const message of this.#reader.add(step.value)) {
        this.#waiting.push(decodeBytes(this.#schemas[1], message))
      }
    }
  }

  async status(): Promise<Status> {
    return statusOf(await this.#response)
  }
}

type Shape<Q extends Fields, A extends Fields> = readonly [string, Message<Q>, Message<A>]
export type Asking = { readonly token?: string | undefined; readonly at?: HttpHandler }

/** Calls that are expected to be answered, and calls that are expected to be refused. */
export function asker(handler: () => HttpHandler) {
  return {
    async ask<Q extends Fields, A extends Fields>(
      method: Shape<Q, A>,
      message: Partial<MessageOf<Message<Q>>>,
      { token, at = handler() }: Asking = {},
    ): Promise<MessageOf<Message<A>>> {
      const answer = await callUnary(at, method, message, token)
      assert.ok(!('code' in answer), `${method[0]}: ${inspect(answer)}`)
      return answer as MessageOf<Message<A>>
    },
    async refused<Q extends Fields, A extends Fields>(
      method: Shape<Q, A>,
      message: Partial<MessageOf<Message<Q>>>,
      { token, at = handler() }: Asking = {},
    ): Promise<Status> {
      const answer = await callUnary(at, method, message, token)
      assert.ok('code' in answer, `${method[0]} was to be refused`)
      return answer as Status
    },
  }
}
