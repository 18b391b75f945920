// What waits to leave on one connection. Frames of one turn leave together: small ones are written into a
// shared slab, large payloads travel as views of the caller's memory, and one send() at the end of the
// turn (or earlier, when much has gathered) hands all of it to the connection.
//
// Bounds: `hasRoom` turns false when the connection is congested or a megabyte waits, and stream senders
// then wait; callers see `queuedBytes` and refuse beyond the limit.

import type { Clock, Connection } from '../host/index.ts'
import { type Frame, headerBytes, writeHeader } from './core/frame.ts'

const slabBytes = 64 * 1024
/** Payloads up to this size are copied beside their header. */
const inlineBytesMax = 8 * 1024
const flushBytes = 256 * 1024
const roomBytes = 1024 * 1024

const nothing = new Uint8Array(0)

export class OutQueue {
  readonly #connection: Connection
  readonly #clock: Clock
  #slab = nothing
  /** Where the part of the slab begins that is not in #parts yet, and where the next byte goes. */
  #slabStart = 0
  #slabAt = 0
  #parts: Uint8Array[] = []
  /** Whose payloads are among the parts. */
  #onLeft: (() => void)[] = []
  #queuedBytes = 0
  #isBlocked = false
  #isScheduled = false
  #isClosed = false
  #waiters: (() => void)[] = []

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
  }

  /** Bytes not yet handed to the connection. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  get hasRoom(): boolean {
    return !this.#isBlocked && this.#queuedBytes < roomBytes
  }

  /**
   * `payload` must not change until `onLeft` is called: it may leave later. Where the connection ends before,
   * it is never called.
   */
  push(frame: Frame, payload: Uint8Array = nothing, onLeft?: () => void): void {
    if (this.#isClosed) return
    const { length } = payload
    const inlineBytes = length <= inlineBytesMax ? length : 0
    this.#reserve(headerBytes + inlineBytes)
    writeHeader(this.#slab, this.#slabAt, { frame, length })
    this.#slabAt += headerBytes
    if (length <= inlineBytesMax) {
      this.#slab.set(payload, this.#slabAt)
      this.#slabAt += length
      onLeft?.()
    } else {
      this.#seal()
      this.#parts.push(payload)
      if (onLeft !== undefined) this.#onLeft.push(onLeft)
    }
    this.#queuedBytes += headerBytes + length
    if (this.#queuedBytes >= flushBytes) this.flush()
    else this.#schedule()
  }

  /** Calls once when there may be room again; the caller looks itself. */
  onRoom(run: () => void): void {
    this.#waiters.push(run)
  }

  /** Hands over what waits, unless the connection is congested. */
  flush(): void {
    if (this.#isBlocked || this.#isClosed || this.#queuedBytes === 0) return
    this.#seal()
    const parts = this.#parts
    this.#parts = []
    this.#queuedBytes = 0
    if (!this.#connection.send(parts, this.#takeOnLeft())) this.#waitForDrain()
    if (this.hasRoom) this.#release()
  }

  /** Drops what waits; waiters are called, so that they see the end. */
  close(): void {
    this.#isClosed = true
    this.#parts = []
    this.#onLeft = []
    this.#slab = nothing
    this.#queuedBytes = 0
    this.#release()
  }

  #takeOnLeft(): (() => void) | undefined {
    if (this.#onLeft.length === 0) return undefined
    const all = this.#onLeft
    this.#onLeft = []
    return () => {
      for (const onLeft of all) onLeft()
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isBlocked) return
    this.#isScheduled = true
    this.#clock.soon(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  #waitForDrain(): void {
    this.#isBlocked = true
    const resume = () => {
      this.#isBlocked = false
      this.flush()
      if (this.hasRoom) this.#release()
    }
    this.#connection.drained().then(resume, resume)
  }

  #release(): void {
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const run of waiters) run()
  }

  #reserve(count: number): void {
    if (this.#slabAt + count <= this.#slab.length) return
    this.#seal()
    this.#slab = new Uint8Array(slabBytes)
    this.#slabStart = 0
    this.#slabAt = 0
  }

  #seal(): void {
    if (this.#slabAt === this.#slabStart) return
    this.#parts.push(this.#slab.subarray(this.#slabStart, this.#slabAt))
    this.#slabStart = this.#slabAt
  }
}
