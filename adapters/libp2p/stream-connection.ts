// A libp2p stream as a byte connection. libp2p has proved the other end's peer id before there is a stream.
//
// A stream that is paused keeps what arrives, up to maxReadBufferLength, and resets beyond it; yamux' window is
// what stops the sender before that, so the buffer is larger than the window.

import { Fault, isFault } from '../../src/base/index.ts'
import type { ByteConnection } from '../../src/host/index.ts'
import type { PeerStream } from './libp2p.ts'

/** Beyond yamux' largest window of 16 MiB. */
const readBufferBytes = 32 * 1024 * 1024
const neverMs = 2 ** 31 - 1

export class StreamConnection implements ByteConnection {
  readonly remoteAddress: string
  readonly #stream: PeerStream
  #receive: ((bytes: Uint8Array) => void) | undefined
  #closed: ((reason: Fault | undefined) => void) | undefined
  #end: { readonly reason: Fault | undefined } | undefined
  #isDestroyed = false

  /** `peer`: the text of the peer id. */
  constructor(stream: PeerStream, peer: string) {
    this.remoteAddress = peer
    this.#stream = stream
    stream.maxReadBufferLength = readBufferBytes
    // Who is silent is rpc's question.
    stream.inactivityTimeout = neverMs
    stream.addEventListener('close', ({ error }) => this.#finish(error))
    stream.addEventListener('remoteCloseWrite', () => this.destroy())
    stream.pause()
  }

  set onBytes(receive: (bytes: Uint8Array) => void) {
    const isFirst = this.#receive === undefined
    this.#receive = receive
    if (!isFirst) return
    this.#stream.addEventListener('message', ({ data }) => {
      if (!this.#isDestroyed) this.#receive?.(data.subarray())
    })
    this.#stream.resume()
  }

  get onBytes(): (bytes: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  set onClose(closed: (reason: Fault | undefined) => void) {
    const isFirst = this.#closed === undefined
    this.#closed = closed
    if (isFirst && this.#end !== undefined) closed(this.#end.reason)
  }

  get onClose(): (reason: Fault | undefined) => void {
    return this.#closed ?? (() => undefined)
  }

  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean {
    if (this.#end !== undefined || this.#isDestroyed) return false
    let length = 0
    for (const part of parts) length += part.length
    // One copy, which is libp2p's to keep: its muxer sends views of it later.
    const bytes = new Uint8Array(length)
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    if (length > 0 && !this.#trySend(bytes)) return false
    onLeft?.()
    return !this.#stream.writableNeedsDrain
  }

  async drained(): Promise<void> {
    if (this.#end !== undefined || this.#isDestroyed || !this.#stream.writableNeedsDrain) return
    await this.#stream.onDrain().catch(() => undefined)
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    if (this.#end === undefined) this.#stream.resume()
  }

  destroy(): void {
    if (this.#isDestroyed || this.#end !== undefined) return
    this.#isDestroyed = true
    this.#stream.abort(new Fault('cancelled', 'the connection was ended'))
  }

  #trySend(bytes: Uint8Array): boolean {
    try {
      this.#stream.send(bytes)
      return true
    } catch (error) {
      this.#stream.abort(error instanceof Error ? error : new Fault('internal', String(error)))
      return false
    }
  }

  #finish(error: Error | undefined): void {
    if (this.#end !== undefined) return
    const isOurs = error === undefined || isFault(error, 'cancelled')
    const reason = isOurs
      ? undefined
      : new Fault(
          'unavailable',
          `the stream with ${this.remoteAddress} has ended: ${error.message}`,
          {
            cause: error,
          },
        )
    this.#end = { reason }
    this.#closed?.(reason)
  }
}
