// One socket, TLS or plain, as a byte connection. Received bytes wait (unread in the socket, or copied when they land in
// the caller's own buffer) until onBytes is set, so that none is lost between dialling and use.

import type { Socket } from 'node:net'
import type { Fault } from '../../base/index.ts'
import type { ByteConnection } from '../host.ts'
import { systemFault } from './system-fault.ts'

/** Between the socket's onread callback, which is fixed at dialling, and the connection. */
export type ReceiveSlot = {
  receive: ((bytes: Uint8Array) => void) | undefined
  /** Bytes that came before anybody listened; at most what one handshake flight carries. */
  readonly early: Uint8Array[]
}

export function createReceiveSlot(buffer: Uint8Array | undefined): ReceiveSlot | undefined {
  return buffer === undefined ? undefined : { receive: undefined, early: [] }
}

/** What a dialling socket is told, so that what it receives lands in the caller's buffer. */
export function onreadOptions(slot: ReceiveSlot | undefined, buffer: Uint8Array | undefined) {
  if (slot === undefined || buffer === undefined) return {}
  const callback = (count: number, memory: Uint8Array): boolean => {
    const view = memory.subarray(0, count)
    if (slot.receive === undefined) slot.early.push(new Uint8Array(view))
    else slot.receive(view)
    return true
  }
  return { onread: { buffer, callback } }
}

type Done = (error: Error | null | undefined) => void

const highWaterBytes = 1024 * 1024
/** Parts up to this size together are joined; the TLS layer would copy them anyway. */
const joinBytesMax = 16 * 1024

export class SocketConnection implements ByteConnection {
  readonly remoteAddress: string
  readonly #socket: Socket
  readonly #slot: ReceiveSlot | undefined
  #isClosed = false
  #reason: Fault | undefined
  #receive: ((bytes: Uint8Array) => void) | undefined
  #closed: ((reason: Fault | undefined) => void) | undefined
  #waiting: (() => void)[] = []

  /** `what` names the connection in its faults. */
  constructor(socket: Socket, what: string, slot?: ReceiveSlot) {
    this.#socket = socket
    this.#slot = slot
    this.remoteAddress = socket.remoteAddress ?? ''
    // A TLS socket tells of a forged record and stays open (Node 24): neither side would ever see the end.
    socket.on('error', (error) => {
      this.#reason ??= systemFault(error, what)
      socket.destroy()
    })
    socket.on('drain', () => this.#release())
    socket.on('close', () => this.#onSocketClose())
  }

  set onBytes(receive: (bytes: Uint8Array) => void) {
    const isFirst = this.#receive === undefined
    this.#receive = receive
    if (!isFirst) return
    if (this.#slot === undefined) {
      this.#socket.on('data', (slice: Buffer) => {
        this.#receive?.(new Uint8Array(slice.buffer, slice.byteOffset, slice.length))
      })
      return
    }
    for (const bytes of this.#slot.early.splice(0)) receive(bytes)
    this.#slot.receive = (bytes) => this.#receive?.(bytes)
    this.#socket.resume()
  }

  get onBytes(): (bytes: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  set onClose(closed: (reason: Fault | undefined) => void) {
    this.#closed = closed
    if (this.#isClosed) closed(this.#reason)
  }

  get onClose(): (reason: Fault | undefined) => void {
    return this.#closed ?? (() => undefined)
  }

  send(parts: readonly Uint8Array[], onLeft?: () => void): boolean {
    const socket = this.#socket
    if (this.#isClosed || !socket.writable) return false
    const done = onLeft === undefined ? undefined : createDone(onLeft)
    this.#sendParts(parts, done)
    return socket.writableLength < highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#isClosed || !this.#socket.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #sendParts(parts: readonly Uint8Array[], done: Done | undefined): void {
    const socket = this.#socket
    const last = parts.at(-1)
    if (last === undefined) return
    if (parts.length === 1) {
      socket.write(last, done)
      return
    }
    let length = 0
    for (const part of parts) length += part.length
    if (length <= joinBytesMax) {
      socket.write(Buffer.concat(parts, length), done)
      return
    }
    socket.cork()
    for (let i = 0; i < parts.length - 1; i++) socket.write(parts[i] as Uint8Array)
    socket.write(last, done)
    socket.uncork()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #onSocketClose(): void {
    this.#isClosed = true
    this.#release()
    this.#closed?.(this.#reason)
  }
}

/** The callback of the last write of a batch; after an error nothing has left for certain. */
function createDone(onLeft: () => void): Done {
  return (error) => {
    if (error === null || error === undefined) onLeft()
  }
}
