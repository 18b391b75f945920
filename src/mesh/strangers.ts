// Who spoke to a replica for another cluster, or another generation of it. A replica outlives those who have it open, and
// raft may tell of each only once: so everybody who opens it hears of the ones so far, too.

import type { Foreign } from '../raft/index.ts'

const strangersMax = 16

export class Strangers {
  readonly #met: Foreign[] = []
  readonly #listeners = new Set<(foreign: Foreign) => void>()

  note(foreign: Foreign): void {
    const { from, relation } = foreign
    if (!this.#met.some((one) => one.from === from && one.relation === relation)) {
      if (this.#met.length >= strangersMax) this.#met.shift()
      this.#met.push(foreign)
    }
    for (const heard of [...this.#listeners]) heard(foreign)
  }

  /** The ones met so far at once. Answers what ends it. */
  listen(heard: (foreign: Foreign) => void): () => void {
    this.#listeners.add(heard)
    for (const foreign of this.#met) heard(foreign)
    return () => {
      this.#listeners.delete(heard)
    }
  }
}
