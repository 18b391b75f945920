// Replicas agree: whoever has applied up to an index has the digest that everyone else had there, in
// this life or an earlier one. The state of an index never changes once it was seen anywhere.

import { type GroupId, toHex } from '../../src/base/index.ts'
import { WorldFailure } from '../failures.ts'

export class Agreement {
  readonly #seen = new Map<string, { readonly digest: string; readonly node: number }>()

  /** Throws WorldFailure when another node had another digest at this index. */
  applied(
    node: number,
    group: GroupId,
    at: { readonly index: number; readonly digest: Uint8Array },
  ): void {
    const key = `${group} ${at.index}`
    const digest = toHex(at.digest)
    const before = this.#seen.get(key)
    if (before === undefined) this.#seen.set(key, { digest, node })
    else if (before.digest !== digest) {
      throw new WorldFailure(
        `group ${group} at index ${at.index}: node ${node} has digest ${digest}, node ${before.node} had ${before.digest}`,
      )
    }
  }

  get count(): number {
    return this.#seen.size
  }
}
