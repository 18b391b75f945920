// The certificates that a thread shows, and everything on it that shows them: transports between nodes, servers for
// people and programs, the other thread. Who comes later is told the newest at once.

import { assert } from '../base/index.ts'
import type { Credentials } from '../cluster/index.ts'

type Take = (credentials: Credentials) => void

const takersMax = 16

export class ShownCredentials {
  #takers: Take[] = []
  #newest: Credentials | undefined

  /** Nothing is told as long as those of the start are shown. Answers what ends it. */
  add(take: Take): () => void {
    assert(this.#takers.length < takersMax, 'few things show certificates')
    this.#takers.push(take)
    if (this.#newest !== undefined) take(this.#newest)
    return () => {
      this.#takers = this.#takers.filter((other) => other !== take)
    }
  }

  show(credentials: Credentials): void {
    this.#newest = credentials
    for (const take of this.#takers) take(credentials)
  }
}
