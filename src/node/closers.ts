// What was opened, closed in the opposite order. Every closer is run, also when one before it failed.

import { BoundedQueue, Fault } from '../base/index.ts'

type Close = () => Promise<void>

const closersMax = 64

export class Closers {
  readonly #closers = new BoundedQueue<Close>(closersMax)
  #closing: Promise<void> | undefined

  add(close: Close): void {
    if (!this.#closers.push(close)) throw new Fault('internal', 'too many parts to close')
  }

  /** The second call settles with the first. Throws the first fault, after all have run. */
  closeAll(): Promise<void> {
    this.#closing ??= this.#run()
    return this.#closing
  }

  async #run(): Promise<void> {
    const failures: unknown[] = []
    for (const close of this.#closers.drain().reverse()) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
