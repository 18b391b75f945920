// What somebody holds: a key on a session's lease. The same for locks, leaderships, permits and barriers.

import { Fault, isFault, type Revision, utf8Decode } from '../../base/index.ts'
import type { Compare } from '../keyspace.ts'
import { type Ground, inBackground } from './ground.ts'
import { isPlaced, leaveLine, placeLost, type Place, untilDeleted } from './line.ts'
import type { Session } from './session.ts'

/**
 * Contract. The key exists from `token` on; at most as many holds as the recipe allows exist at any revision of the
 * keyspace. The holder itself can be late: its process may be paused, its node cut off, its lease ended. So whatever
 * must not be done by a late holder carries the fence: guard() among the compares of a keyspace transaction
 * (exact: it fails if the hold is gone when it is applied), or the token at a resource that refuses every token
 * below the highest that it has seen. A hold used without either is advice.
 */
export type Hold = {
  readonly name: string
  /** The fencing token: a revision; each later holder's is higher. */
  readonly token: Revision
  readonly key: Uint8Array
  /** Aborts when the hold is released or lost; the reason is a Fault. */
  readonly signal: AbortSignal
  /** Looks at the session's clock too. False once is false for ever. */
  isHeld(): boolean
  /** Of a transaction that must not run without the hold. */
  guard(): Compare
  /** Settles when others can have it: by its own write, or with the end of the session. */
  release(): Promise<void>
}

const lookAgainMs = 200

export class KeyHold implements Hold {
  readonly name: string
  readonly token: Revision
  readonly key: Uint8Array
  readonly #session: Session
  readonly #place: Pick<Place, 'key' | 'revision' | 'lease'>
  readonly #ended = new AbortController()
  readonly #giveBack: () => void
  #unlisten: () => void = () => {}
  #releasing: Promise<void> | undefined

  /** `giveBack`: the session's reservation; it is called when the key is gone for sure. */
  constructor(
    session: Session,
    place: Pick<Place, 'key' | 'revision' | 'lease'> & { readonly name: Uint8Array },
    giveBack: () => void,
  ) {
    this.name = utf8Decode(place.name)
    this.token = place.revision
    this.key = place.key
    this.#session = session
    this.#place = place
    this.#giveBack = giveBack
    this.#unlisten = session.onEnd(() => this.#lose(session.signal.reason))
    if (!this.signal.aborted) inBackground(this.#watchOwn())
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  isHeld(): boolean {
    return this.#session.isLive() && !this.#ended.signal.aborted
  }

  guard(): Compare {
    return isPlaced(this.#place)
  }

  release(): Promise<void> {
    this.#releasing ??= this.#release()
    return this.#releasing
  }

  async #release(): Promise<void> {
    if (!this.isHeld()) return
    this.#lose(new Fault('precondition', 'it was released', { fields: { place: 'released' } }))
    const { keyspace } = this.#session.ground
    await this.#session.insist((options) => leaveLine(keyspace, this.#place, options))
    this.#giveBack()
  }

  #lose(reason: unknown): void {
    if (this.#ended.signal.aborted) return
    this.#unlisten()
    this.#ended.abort(reason)
  }

  /** Notices when the key goes although the session lives: somebody deleted it. */
  async #watchOwn(): Promise<void> {
    const { signal } = this
    const { ground } = this.#session
    let after: number = this.token
    while (!signal.aborted) {
      await untilDeleted(ground, { key: this.key, after }, signal)
      const seen = await this.#look(ground, signal)
      if (seen === undefined) await ground.host.clock.sleep(lookAgainMs, signal)
      else if (seen.isThere) after = seen.revision
      else {
        this.#lose(placeLost())
        this.#giveBack()
      }
    }
  }

  async #look(ground: Ground, signal: AbortSignal) {
    try {
      const { kvs, revision } = await ground.keyspace.range(
        { key: this.key, keysOnly: true },
        { signal },
      )
      return { isThere: kvs[0]?.createRevision === this.token, revision }
    } catch (error) {
      if (!isFault(error)) throw error
      return undefined
    }
  }
}
