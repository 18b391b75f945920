// The body of an answer that grows while it is sent: frames wait here until the connection takes them. Its
// producers stop when push() says so, which bounds what waits.

import { concatBytes } from '../../base/index.ts'

const waitingBytesMax = 256 * 1024

export class OutBody implements AsyncIterable<Uint8Array> {
  #frames: Uint8Array[] = []
  #bytes = 0
  #isFinished = false
  /** The reader, when nothing waits. */
  #wake: (() => void) | undefined
  #drains: (() => void)[] = []

  /** False: enough waits; more after drained(). */
  push(frame: Uint8Array): boolean {
    if (this.#isFinished) return false
    this.#frames.push(frame)
    this.#bytes += frame.length
    this.#wakeReader()
    return this.#bytes < waitingBytesMax
  }

  /** No more frames. What waits is still sent. */
  finish(): void {
    this.#isFinished = true
    this.#wakeReader()
    this.#settleDrains()
  }

  /** Settles when less than the bound waits, also when the body is over. */
  drained(): Promise<void> {
    if (this.#bytes < waitingBytesMax || this.#isFinished) return Promise.resolve()
    return new Promise((resolve) => this.#drains.push(resolve))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const frames = this.#frames
        if (frames.length > 0) {
          this.#frames = []
          const slice = frames.length === 1 ? (frames[0] as Uint8Array) : concatBytes(frames)
          this.#bytes = 0
          this.#settleDrains()
          yield slice
        } else if (this.#isFinished) return
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      this.#isFinished = true
      this.#frames = []
      this.#settleDrains()
    }
  }

  #wakeReader(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  #settleDrains(): void {
    const drains = this.#drains
    this.#drains = []
    for (const settle of drains) settle()
  }
}
