// Passwords of users: stretched by the host, compared in constant time, a bounded number at once. A user who does
// not exist costs as much as one who does, so that names cannot be told by the clock.
//
//   PasswordHash   version 1, cost 1, salt 16, hash 32

import { concatBytes, equalSecret, Fault, utf8Encode } from '../base/index.ts'
import type { Host } from '../host/index.ts'

const hashVersion = 1
/** scrypt's N is 2^14: 16 MiB and some 40 ms of a core each. */
const cost = 14
const saltBytes = 16
const headBytes = 2
const hashBytes = 32
const runningMax = 2
const waitingMax = 64

export class Passwords {
  readonly #host: Host
  readonly #overloaded: () => Fault
  readonly #waiting: (() => void)[] = []
  #running = 0

  /** `overloaded` is thrown when too many wait already. */
  constructor(host: Host, overloaded: () => Fault) {
    this.#host = host
    this.#overloaded = overloaded
  }

  async hash(password: string): Promise<Uint8Array> {
    const salt = this.#host.random.bytes(saltBytes)
    const hash = await this.#stretch(password, { salt, cost })
    return concatBytes([Uint8Array.of(hashVersion, cost), salt, hash])
  }

  /** `stored` undefined or empty: false, after as long. */
  async isRight(password: string, stored: Uint8Array | undefined): Promise<boolean> {
    if (stored === undefined || stored.length === 0) {
      await this.#stretch(password, { salt: new Uint8Array(saltBytes), cost })
      return false
    }
    if (stored[0] !== hashVersion || stored.length !== headBytes + saltBytes + hashBytes) {
      throw new Fault('unsupported', 'a password was hashed in a way that is not known here')
    }
    const salt = stored.subarray(headBytes, headBytes + saltBytes)
    const hash = await this.#stretch(password, { salt, cost: stored[1] ?? cost })
    return equalSecret(hash, stored.subarray(headBytes + saltBytes))
  }

  async #stretch(
    password: string,
    options: { readonly salt: Uint8Array; readonly cost: number },
  ): Promise<Uint8Array> {
    if (this.#waiting.length >= waitingMax) throw this.#overloaded()
    if (this.#running >= runningMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running++
    try {
      return await this.#host.passwords.stretch(utf8Encode(password), options)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
