// A request's body as slices on demand. Slices are what the parser cut (at most 64 KiB); at most
// `waitingMax` of them wait here, then the socket is paused until the reader has taken them.
//
// The parser makes a fresh buffer for each slice. Left to the collector they cost a full collection per 64 MiB,
// which was a fifth of the CPU of an upload; so their memory is freed by hand when the next slice is asked for.

import type { IncomingMessage } from 'node:http'
import { Fault } from '../../base/index.ts'
import type { HttpResponse } from '../host.ts'

const waitingMax = 2

type Step = IteratorResult<Uint8Array, undefined>
type Waiter = { resolve(step: Step): void; reject(fault: Fault): void }

const end: Step = { done: true, value: undefined }

export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #request: IncomingMessage
  /** Answers `100 Continue`, once, when the reader shows interest. */
  #askForBody: (() => void) | undefined
  #waiting: Uint8Array[] = []
  /** What the reader looks at. */
  #lent: Uint8Array | undefined
  #waiter: Waiter | undefined
  #isStarted = false
  #isEnded = false
  #fault: Fault | undefined

  constructor(request: IncomingMessage, askForBody: (() => void) | undefined) {
    this.#request = request
    this.#askForBody = askForBody
  }

  /** All of it has arrived (it need not have been read). */
  get isComplete(): boolean {
    return this.#request.complete
  }

  /** It broke off: what follows on the connection is not to be understood. */
  get isBroken(): boolean {
    return this.#fault !== undefined
  }

  /** The client still waits for permission to send. */
  get isUnasked(): boolean {
    return this.#askForBody !== undefined
  }

  fail(fault: Fault): void {
    if (this.#isEnded || this.#fault !== undefined) return
    this.#fault = fault
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(fault)
  }

  /** Throws away what comes; for an answer given before the body was read. */
  discard(): void {
    this.#isEnded = true
    this.#waiting = []
    this.#request.removeAllListeners('data')
    this.#request.resume()
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#takeBack()
        this.#giveUp()
        return Promise.resolve(end)
      },
    }
  }

  #next(): Promise<Step> {
    if (!this.#isStarted) this.#start()
    this.#takeBack()
    const slice = this.#waiting.shift()
    if (slice !== undefined) {
      this.#lent = slice
      if (this.#waiting.length === 0) this.#request.resume()
      return Promise.resolve({ done: false, value: slice })
    }
    if (this.#fault !== undefined) return Promise.reject(this.#fault)
    if (this.#isEnded) return Promise.resolve(end)
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  #start(): void {
    this.#isStarted = true
    this.#askForBody?.()
    this.#askForBody = undefined
    const request = this.#request
    request.on('data', (slice: Buffer) => this.#onSlice(slice))
    request.on('end', () => this.#onEnd())
    request.on('close', () => this.#onClose())
    if (request.destroyed) this.#onClose()
  }

  #onSlice(buffer: Buffer): void {
    const slice = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
    const waiter = this.#waiter
    if (waiter !== undefined) {
      this.#waiter = undefined
      this.#lent = slice
      waiter.resolve({ done: false, value: slice })
      return
    }
    this.#waiting.push(slice)
    if (this.#waiting.length >= waitingMax) this.#request.pause()
  }

  /** The reader waits no longer: what still comes would be in the way of the next request. */
  #giveUp(): void {
    const waiter = this.#waiter
    if (waiter === undefined) return
    this.#waiter = undefined
    this.#fault = incompleteBody('was given up')
    waiter.resolve(end)
  }

  #takeBack(): void {
    const slice = this.#lent
    this.#lent = undefined
    if (slice !== undefined) freeMemory(slice)
  }

  #onEnd(): void {
    this.#isEnded = true
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve(end)
  }

  #onClose(): void {
    if (!this.#request.complete) this.fail(incompleteBody('ended early'))
  }
}

/** Frees the memory of a slice that has its buffer for itself; nobody may look at it any more. */
function freeMemory(slice: Uint8Array): void {
  const { buffer } = slice
  const isOwn = slice.byteOffset === 0 && slice.length === buffer.byteLength
  if (isOwn && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** Lets an iterable that will not be read run its cleanup. */
export async function releaseBody({ body }: HttpResponse): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) return
  await body[Symbol.asyncIterator]().return?.()
}

export function goneFault(): Fault {
  return new Fault('cancelled', 'the client has gone')
}

/** The client sent less than it announced, or bytes that are no body. */
export function incompleteBody(how: string): Fault {
  return new Fault('invalid', `the request body ${how}`, {
    s3: { code: 'IncompleteBody', status: 400 },
  })
}
