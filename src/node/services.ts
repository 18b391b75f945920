// Services of a node (S3, etcd's API): each runs while the node's capabilities say so, from the start or from when an
// operator changes them. A node without a list of capabilities runs all that it is configured for.
//
// One piece of work runs at a time, towards what is wanted when it begins; what changes meanwhile is done after it. At the
// start of a node a service that cannot start ends the start; later it is tried again, because the node has more to do.

import { isFault, toFault } from '../base/index.ts'
import { hasCapability, levelOf, type Member, type Settings } from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'

/** By the name of its capability. */
export type Gateway = {
  readonly name: string
  /** Answers what ends it: requests under way are answered first. */
  start(): Promise<() => Promise<void>>
}

const retryMs = 2_000

/** `own`: this node's record; undefined while the list lacks it. */
export function isWanted(
  name: string,
  own: Pick<Member, 'caps'> | undefined,
  settings: Pick<Settings, 'level'>,
): boolean {
  const caps = own?.caps ?? []
  // Before that level older programs served whatever the list said, and clients may rely on it until all do otherwise.
  const isByCaps = levelOf(settings).supports('services-by-capability')
  return !isByCaps || hasCapability(caps, name)
}

export class Services {
  readonly #host: Pick<Host, 'clock' | 'journal'>
  readonly #gateways: readonly Gateway[]
  readonly #isWanted: (name: string) => boolean
  readonly #running = new Map<string, () => Promise<void>>()
  #work: Promise<void> | undefined
  #timer: Timer | undefined
  #isStale = false
  #isClosed = false

  constructor(
    host: Pick<Host, 'clock' | 'journal'>,
    gateways: readonly Gateway[],
    isWantedNow: (name: string) => boolean,
  ) {
    this.#host = host
    this.#gateways = gateways
    this.#isWanted = isWantedNow
  }

  get running(): readonly string[] {
    return [...this.#running.keys()].sort()
  }

  /** Starts what is wanted now. Throws the Fault of the first that cannot start. */
  async begin(): Promise<void> {
    for (const gateway of this.#gateways) {
      if (this.#isWanted(gateway.name)) this.#running.set(gateway.name, await gateway.start())
    }
  }

  /** What is wanted may have changed. */
  follow(): void {
    if (this.#isClosed) return
    if (this.#work !== undefined) {
      this.#isStale = true
      return
    }
    const isDue = this.#gateways.some(
      ({ name }) => this.#isWanted(name) !== this.#running.has(name),
    )
    if (!isDue) return
    this.#timer?.cancel()
    this.#work = this.#settle().then(
      () => this.#ended(),
      (error: unknown) => {
        if (!isFault(error)) this.#host.journal.fatal('node.service_failed', error)
        this.#timer = this.#host.clock.after(retryMs, () => this.follow())
        this.#ended()
      },
    )
  }

  /** Ends them all, the last first. */
  async close(): Promise<void> {
    this.#isClosed = true
    // What fails meanwhile sets the timer.
    await this.#work
    this.#timer?.cancel()
    for (const [name, end] of [...this.#running].reverse()) {
      this.#running.delete(name)
      await end()
    }
  }

  #ended(): void {
    this.#work = undefined
    const isAgain = this.#isStale
    this.#isStale = false
    if (isAgain) this.follow()
  }

  /** What cannot start does not keep the others from it. */
  async #settle(): Promise<void> {
    let failure: unknown
    for (const gateway of this.#gateways) {
      if (this.#isClosed) return
      await this.#settleOne(gateway).catch((error: unknown) => {
        failure ??= error
        const fields = { service: gateway.name, reason: toFault(error).message }
        this.#host.journal.event('warning', 'node.service_waits', fields)
      })
    }
    if (failure !== undefined) throw failure
  }

  async #settleOne({ name, start }: Gateway): Promise<void> {
    const end = this.#running.get(name)
    if (this.#isWanted(name) === (end !== undefined)) return
    if (end === undefined) {
      this.#running.set(name, await start())
      this.#host.journal.event('notice', 'node.service_started', { service: name })
    } else {
      this.#running.delete(name)
      await end()
      this.#host.journal.event('notice', 'node.service_ended', { service: name })
    }
  }
}
