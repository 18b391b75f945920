// gRPC to an etcd cluster over one connection of HTTP/2 at a time: calls, streams, the token of a user, and which
// endpoint is spoken to. An endpoint that does not answer is left for the next one; who calls decides whether to
// call again.

import {
  Fault,
  isFault,
  type Message,
  type MessageOf,
  decodeBytes,
  encodeBytes,
} from '../../base/index.ts'
import type {
  Address,
  Host,
  HttpCall,
  HttpCallReceiver,
  HttpClientOptions,
  HttpConnection,
} from '../../host/index.ts'
import { faultOf } from './core/faults.ts'
import { encodeFrame, MessageReader } from './core/frames.ts'
import { type EtcdMethod, etcdMethods } from './methods.ts'

export type EtcdEndpoint = Address & { readonly isSecure: boolean }

export type ChannelOptions = {
  readonly endpoints: readonly EtcdEndpoint[]
  /** For endpoints that are secure. Absent: the authorities that the system trusts. */
  readonly tls?: NonNullable<HttpClientOptions['tls']>
  readonly user?: { readonly name: string; readonly password: string }
}

// biome-ignore lint/suspicious/noExplicitAny: inference over open records of fields
type Fields = Record<string, any>

export type StreamReceiver<A extends Fields> = {
  onMessage(message: MessageOf<Message<A>>): void
  /** Once, last, for whatever reason. */
  onEnded(fault: Fault): void
}

export type EtcdStream<Q extends Fields> = {
  send(message: MessageOf<Message<Q>>): void
  end(): void
  /** The receiver hears no more. */
  cancel(): void
}

type Live = { readonly http: HttpConnection; readonly token: string; readonly endpoint: number }

const connectMs = 2000
const authenticateMs = 5000
/** An attempt that was given this much time and got no answer says that its endpoint hangs. */
const patienceMs = 2000
/** Calls under way on a connection that was left may end. */
const leaveMs = 10_000
/** etcd's answers are not bounded by it; ours are. */
export const messageBytesMax = 64 * 1024 * 1024

export class EtcdChannel {
  readonly #host: Host
  readonly #options: ChannelOptions
  #connecting: Promise<Live> | undefined
  #live: Live | undefined
  #endpoint = 0
  #isClosed = false

  constructor(host: Host, options: ChannelOptions) {
    this.#host = host
    this.#options = options
    if (options.endpoints.length === 0) {
      throw new Fault('invalid', 'the engine etcd needs at least one endpoint')
    }
  }

  /** One attempt. Faults as etcd gives them; 'deadline' and a lost connection with outcome unknown. */
  async unary<Q extends Fields, A extends Fields>(
    method: EtcdMethod<Q, A>,
    message: MessageOf<Message<Q>>,
    limit: { readonly ms: number; readonly signal?: AbortSignal | undefined },
  ): Promise<MessageOf<Message<A>>> {
    const startMs = this.#host.clock.monotonicMs()
    const live = await this.#connect(limit)
    const leftMs = limit.ms - (this.#host.clock.monotonicMs() - startMs)
    try {
      const frame = encodeFrame(encodeBytes(method.request, message))
      const bounds = { ms: Math.max(1, leftMs), signal: limit.signal }
      const answer = await this.#callOn(live, { path: method.path, frame, bounds })
      return decodeBytes(method.answer, answer)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#learn(live, error, leftMs)
      // A token lasts as long as its member remembers it; the next connection gets a new one.
      if (error.code !== 'unauthenticated' || live.token === '') throw error
      throw new Fault('unavailable', error.message, { cause: error })
    }
  }

  /** Begins at once when connected; what is sent before waits. */
  stream<Q extends Fields, A extends Fields>(
    method: EtcdMethod<Q, A>,
    receiver: StreamReceiver<A>,
  ): EtcdStream<Q> {
    const stream = new Stream(method, receiver)
    this.#connect({ ms: connectMs * this.#options.endpoints.length, signal: undefined }).then(
      (live) => stream.begin(live.http, headersOf(live.token, [['hasleader', 'true']])),
      (error: unknown) => stream.fail(error),
    )
    return stream
  }

  /** The next call goes to another endpoint. */
  leave(): void {
    if (this.#live !== undefined) this.#leave(this.#live)
  }

  close(): void {
    this.#isClosed = true
    this.#live?.http.destroy()
    this.#live = undefined
  }

  #leave(live: Live): void {
    if (this.#live !== live) return
    this.#live = undefined
    this.#endpoint = (live.endpoint + 1) % this.#options.endpoints.length
    this.#host.clock.after(leaveMs, () => live.http.destroy())
  }

  /** What a failed call says about its endpoint. */
  #learn(live: Live, fault: Fault, givenMs: number): void {
    const hangs = fault.code === 'deadline' && givenMs >= patienceMs
    if (hangs || fault.code === 'unavailable') this.#leave(live)
    else if (fault.code === 'unauthenticated') this.#leave(live)
  }

  async #connect(limit: {
    readonly ms: number
    readonly signal?: AbortSignal | undefined
  }): Promise<Live> {
    if (this.#isClosed) throw new Fault('unavailable', 'the node is stopping')
    if (this.#live?.http.isOpen === true) return this.#live
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined
    })
    return await within(this.#host, this.#connecting, limit)
  }

  /** Each endpoint once, from the one that is next. */
  async #open(): Promise<Live> {
    const { endpoints } = this.#options
    const reasons: string[] = []
    for (let step = 0; step < endpoints.length; step++) {
      const at = (this.#endpoint + step) % endpoints.length
      try {
        const live = await this.#openAt(at)
        if (this.#isClosed) {
          live.http.destroy()
          break
        }
        this.#live = live
        return live
      } catch (error) {
        if (!isFault(error)) throw error
        if (error.code === 'unauthenticated' || error.code === 'unsupported') throw error
        reasons.push(error.message)
      }
    }
    const why = reasons.join('; ')
    throw new Fault('unavailable', `no endpoint of etcd can be reached: ${why}`)
  }

  async #openAt(at: number): Promise<Live> {
    const { endpoints, tls = {}, user } = this.#options
    const endpoint = endpoints[at]
    if (endpoint === undefined) throw new Fault('internal', 'there is no such endpoint')
    const options = { timeoutMs: connectMs, ...(endpoint.isSecure ? { tls } : {}) }
    const http = await this.#host.http.connect(endpoint, options)
    this.#endpoint = at
    if (user === undefined) return { http, token: '', endpoint: at }
    const { path, request, answer } = etcdMethods.authenticate
    const frame = encodeFrame(encodeBytes(request, user))
    const live = { http, token: '', endpoint: at }
    const bounds = { ms: authenticateMs, signal: undefined }
    const { token } = decodeBytes(answer, await this.#callOn(live, { path, frame, bounds }))
    return { ...live, token }
  }

  #callOn(
    live: Live,
    asked: {
      readonly path: string
      readonly frame: Uint8Array
      readonly bounds: { readonly ms: number; readonly signal: AbortSignal | undefined }
    },
  ): Promise<Uint8Array> {
    const { ms, signal } = asked.bounds
    return new Promise((resolve, reject) => {
      let message: Uint8Array | undefined
      const settle = (fault: Fault | undefined): void => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        if (fault !== undefined) reject(fault)
        else resolve(message ?? new Uint8Array(0))
      }
      const stop = (fault: Fault): void => {
        call.cancel()
        settle(fault)
      }
      const onAbort = (): void => stop(cancelled())
      const timer = this.#host.clock.after(ms, () => stop(late()))
      signal?.addEventListener('abort', onAbort)
      const timeout = ['grpc-timeout', `${Math.max(1, Math.ceil(ms))}m`] as const
      const reader = new AnswerReader({
        onMessage: (one) => {
          message = one
        },
        onEnded: (fault) => settle(fault),
        cancel: () => call.cancel(),
      })
      const headers = headersOf(live.token, [timeout])
      const call = live.http.request({ path: asked.path, headers }, reader)
      call.send(asked.frame)
      call.end()
      if (signal?.aborted === true) onAbort()
    })
  }
}

function cancelled(): Fault {
  return new Fault('cancelled', 'the request was cancelled', { outcome: 'unknown' })
}

function late(): Fault {
  return new Fault('deadline', 'no answer of etcd in time', { outcome: 'unknown' })
}

function headersOf(
  token: string,
  more: readonly (readonly [string, string])[],
): readonly (readonly [string, string])[] {
  const base = [['content-type', 'application/grpc'], ['te', 'trailers'], ...more] as const
  return token === '' ? base : [...base, ['token', token]]
}

/** The request was not sent while it waits here. */
function within<T>(
  host: Host,
  work: Promise<T>,
  { ms, signal }: { readonly ms: number; readonly signal?: AbortSignal | undefined },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (fault: Fault): void => {
      release()
      reject(fault)
    }
    const onAbort = (): void => stop(new Fault('cancelled', 'the request was cancelled'))
    const timer = host.clock.after(ms, () =>
      stop(new Fault('deadline', 'no endpoint of etcd could be reached in time')),
    )
    const release = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
    work.then(
      (value) => {
        release()
        resolve(value)
      },
      (error: unknown) => {
        release()
        reject(error)
      },
    )
  })
}

/** An answer of gRPC: messages, then a status, in the trailers or (nothing else sent) in the headers. */
type AnswerEvents = {
  readonly onMessage: (message: Uint8Array) => void
  /** Undefined: status 0. */
  readonly onEnded: (fault: Fault | undefined) => void
  readonly cancel: () => void
}

class AnswerReader implements HttpCallReceiver {
  readonly #on: AnswerEvents
  readonly #frames = new MessageReader({
    bytesMax: messageBytesMax,
    refuse: (why) =>
      why === 'too-large'
        ? new Fault('too-large', `an answer of etcd has more than ${messageBytesMax} bytes`)
        : new Fault('unsupported', 'etcd answers compressed, which nobody asked for'),
  })
  #head: ReadonlyMap<string, string> = new Map()
  #status = 0

  constructor(on: AnswerEvents) {
    this.#on = on
  }

  onHead(status: number, headers: ReadonlyMap<string, string>): void {
    this.#status = status
    this.#head = headers
  }

  onBytes(slice: Uint8Array): void {
    try {
      for (const message of this.#frames.add(slice)) this.#on.onMessage(message)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#on.cancel()
      this.#on.onEnded(error)
    }
  }

  onEnd(trailers: ReadonlyMap<string, string>): void {
    const code = trailers.get('grpc-status') ?? this.#head.get('grpc-status')
    if (code === '0') this.#on.onEnded(undefined)
    else if (code === undefined) {
      const what = `the endpoint answers HTTP status ${this.#status} and no status of gRPC`
      this.#on.onEnded(new Fault('unavailable', what, { outcome: 'unknown' }))
    } else {
      const text = trailers.get('grpc-message') ?? this.#head.get('grpc-message') ?? ''
      this.#on.onEnded(faultOf({ code: Number(code), text: decodeStatusText(text) }))
    }
  }

  onFailed(fault: Fault): void {
    this.#on.onEnded(fault)
  }
}

/** Percent-encoded UTF-8; what is malformed stays as it came. */
function decodeStatusText(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

class Stream<Q extends Fields, A extends Fields> implements EtcdStream<Q> {
  readonly #method: EtcdMethod<Q, A>
  readonly #receiver: StreamReceiver<A>
  #early: Uint8Array[] = []
  #call: HttpCall | undefined
  #isEnding = false
  #isOver = false

  constructor(method: EtcdMethod<Q, A>, receiver: StreamReceiver<A>) {
    this.#method = method
    this.#receiver = receiver
  }

  begin(http: HttpConnection, headers: readonly (readonly [string, string])[]): void {
    if (this.#isOver) return
    const reader = new AnswerReader({
      onMessage: (bytes) => this.#take(bytes),
      onEnded: (fault) => this.#end(fault),
      cancel: () => this.#call?.cancel(),
    })
    const call = http.request({ path: this.#method.path, headers }, reader)
    this.#call = call
    for (const frame of this.#early) call.send(frame)
    this.#early = []
    if (this.#isEnding) call.end()
  }

  fail(error: unknown): void {
    const isOurs = isFault(error)
    this.#end(isOurs ? error : new Fault('internal', 'no stream to etcd', { cause: error }))
  }

  send(message: MessageOf<Message<Q>>): void {
    if (this.#isOver) return
    const frame = encodeFrame(encodeBytes(this.#method.request, message))
    if (this.#call !== undefined) this.#call.send(frame)
    else this.#early.push(frame)
  }

  end(): void {
    this.#isEnding = true
    this.#call?.end()
  }

  cancel(): void {
    this.#isOver = true
    this.#call?.cancel()
  }

  #take(bytes: Uint8Array): void {
    if (this.#isOver) return
    try {
      this.#receiver.onMessage(decodeBytes(this.#method.answer, bytes))
    } catch (error) {
      if (!isFault(error)) throw error
      this.#call?.cancel()
      this.#end(error)
    }
  }

  #end(fault: Fault | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    const what = 'etcd ended the stream'
    this.#receiver.onEnded(fault ?? new Fault('unavailable', what, { outcome: 'unknown' }))
  }
}
