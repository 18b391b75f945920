// Services of a node (S3, etcd's API): each runs while the node's capabilities say so, from the start or from when an
// operator changes them. A node without a list of capabilities runs all that it is configured for.
//
// Where a service is may change while it runs (settings of the cluster): it is started at the new place before the old one ends, so that a
// place that cannot be had costs nothing.
//
// One piece of work runs at a time, towards what is wanted when it begins; what changes meanwhile is done after it. At the
// start of a node a service that cannot start ends the start; later it is tried again, because the node has more to do.

import { isFault, toFault } from '../base/index.ts'
import { hasCapability, levelOf, type Member, type Settings } from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'

export type Gateway = {
  /** Its capability. */
  readonly name: string
  /** Where several parts share a capability: which this is. */
  readonly part?: string
  /** Where it is wanted, in a form of its own; undefined: nowhere. Default: the one place that it has. */
  place?(): string | undefined
  /** At that place. Answers what ends it: requests under way are answered first. */
  start(place: string): Promise<() => Promise<void>>
}

type Running = { readonly place: string; readonly end: () => Promise<void> }

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
  readonly #running = new Map<Gateway, Running>()
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
    return [...new Set([...this.#running.keys()].map(({ name }) => name))].sort()
  }

  /** Starts what is wanted now. Throws the Fault of the first that cannot start. */
  async begin(): Promise<void> {
    for (const gateway of this.#gateways) {
      const place = this.#placeOf(gateway)
      if (place === undefined) continue
      this.#running.set(gateway, { place, end: await gateway.start(place) })
    }
  }

  #placeOf(gateway: Gateway): string | undefined {
    if (!this.#isWanted(gateway.name)) return undefined
    return gateway.place === undefined ? '' : gateway.place()
  }

  /** What is wanted may have changed. */
  follow(): void {
    if (this.#isClosed) return
    if (this.#work !== undefined) {
      this.#isStale = true
      return
    }
    const isDue = this.#gateways.some(
      (gateway) => this.#placeOf(gateway) !== this.#running.get(gateway)?.place,
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
    for (const [gateway, { end }] of [...this.#running].reverse()) {
      this.#running.delete(gateway)
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

  async #settleOne(gateway: Gateway): Promise<void> {
    const { name: service, part = '' } = gateway
    const before = this.#running.get(gateway)
    const place = this.#placeOf(gateway)
    if (place === before?.place) return
    const ended = async ({ end, place: was }: Running): Promise<void> => {
      await end()
      this.#host.journal.event('notice', 'node.service_ended', { service, part, place: was })
    }
    if (place !== undefined) {
      const { end, isBeforeEnded } = await this.#startBeside(gateway, { place, before, ended })
      this.#running.set(gateway, { place, end })
      this.#host.journal.event('notice', 'node.service_started', { service, part, place })
      if (isBeforeEnded) return
    } else this.#running.delete(gateway)
    if (before !== undefined) await ended(before)
  }

  /** The new place may be in the way of the old one: the same port of all addresses, or of one. Then the old one ends first. */
  async #startBeside(
    gateway: Gateway,
    {
      place,
      before,
      ended,
    }: {
      readonly place: string
      readonly before: Running | undefined
      readonly ended: (running: Running) => Promise<void>
    },
  ): Promise<{ readonly end: Running['end']; readonly isBeforeEnded: boolean }> {
    try {
      return { end: await gateway.start(place), isBeforeEnded: false }
    } catch (error) {
      const isOwnPort = isFault(error, 'exists') && before?.place.endsWith(`:${error.fields.port}`)
      if (before === undefined || isOwnPort !== true) throw error
      this.#running.delete(gateway)
      await ended(before)
      return { end: await gateway.start(place), isBeforeEnded: true }
    }
  }
}
