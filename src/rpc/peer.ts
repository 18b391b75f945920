// One member as this Rpc sees it: the link we dialled (at most one, dialled again when it breaks) and the
// links it dialled (one per thread of its process).
//
// A peer that restarts, or whose old connection is half open, dials anew. A new link of the same instance
// replaces the old one; links of an older instance end by themselves or by silence.
//
// Messages keep to one link while it lives, so that their order holds.

import { Fault, isFault, type NodeId } from '../base/index.ts'
import type { Address, Connection, Timer } from '../host/index.ts'
import { backoffMs } from './core/backoff.ts'
import type { Link, LinkOptions } from './link.ts'

/** Threads of one peer that may be connected at once, restarts included. */
const acceptedMax = 32
const dialMsMax = 2_000
const receiveBytes = 64 * 1024

export type PeerOptions = {
  readonly host: LinkOptions['host']
  readonly id: NodeId
  readonly dial: (address: Address, how: DialOptions) => Promise<Connection>
  readonly createLink: (connection: Connection, how: LinkEvents) => Link
  readonly onReachability: (peer: NodeId, isReachable: boolean) => void
  /** A guest has no connection left. */
  readonly onGuestGone: (peer: Peer) => void
}
export type LinkEvents = Pick<LinkOptions, 'isDialled' | 'isGuest' | 'onOpen' | 'onClosed'>
export type DialOptions = {
  readonly expected: NodeId
  readonly timeoutMs: number
  readonly receiveBuffer: Uint8Array
}

export class Peer {
  readonly id: NodeId
  readonly #options: PeerOptions
  /** Of what this side dials; guests need none. */
  #receiveBuffer: Uint8Array | undefined
  /** Absent: a guest, which dials us and is never dialled. */
  #address: Address | undefined
  #dialled: Link | undefined
  /** Not yet greeted, too; the newest last. */
  #accepted: Link[] = []
  #favourite: Link | undefined
  #turn = 0
  #attempt = 0
  /** Raised when a dial under way must not be used any more. */
  #generation = 0
  #timer: Timer | undefined
  #isRemoved = false
  #isReachable = false

  constructor(options: PeerOptions, address?: Address) {
    this.id = options.id
    this.#options = options
    this.#address = address
    this.#dial()
  }

  get isGuest(): boolean {
    return this.#address === undefined
  }

  get isReachable(): boolean {
    return this.#isReachable
  }

  /** Every link, greeted or not. */
  *links(): Iterable<Link> {
    if (this.#dialled !== undefined) yield this.#dialled
    yield* this.#accepted
  }

  move(address: Address): void {
    const before = this.#address
    if (address.host === before?.host && address.port === before.port) return
    this.#address = address
    this.#attempt = 0
    this.#generation++
    this.#timer?.cancel()
    const dialled = this.#dialled
    this.#dialled = undefined
    dialled?.cut(new Fault('unavailable', `node ${this.id} has moved`))
    this.#dial()
  }

  remove(fault: Fault): void {
    this.#isRemoved = true
    this.#generation++
    this.#timer?.cancel()
    for (const link of [...this.links()]) link.cut(fault)
  }

  /** The link for calls and messages; undefined when there is none. */
  link(): Link | undefined {
    if (this.#favourite?.isOpen) return this.#favourite
    this.#favourite = this.#dialled?.isOpen ? this.#dialled : this.#openAccepted()
    return this.#favourite
  }

  /** The link whose receiving end for bulk dialled it, else any. */
  bulkLink(towards: 'me' | 'peer'): Link | undefined {
    const preferred = towards === 'me' ? this.#dialled : this.#openAccepted()
    return preferred?.isOpen ? preferred : this.link()
  }

  accept(connection: Connection): void {
    if (this.#accepted.length >= acceptedMax) {
      this.#accepted[0]?.cut(new Fault('overloaded', `node ${this.id} has too many connections`))
    }
    const link = this.#createLink(connection, false)
    this.#accepted.push(link)
    link.start()
  }

  #createLink(connection: Connection, isDialled: boolean): Link {
    return this.#options.createLink(connection, {
      isDialled,
      isGuest: () => this.isGuest,
      onOpen: (link) => this.#onOpen(link),
      onClosed: (link) => this.#onClosed(link),
    })
  }

  #onOpen(link: Link): void {
    if (link.isDialled) this.#attempt = 0
    else this.#replaceOlder(link)
    this.#report()
  }

  #onClosed(link: Link): void {
    this.#accepted = this.#accepted.filter((other) => other !== link)
    if (this.#favourite === link) this.#favourite = undefined
    if (this.#dialled === link) {
      this.#dialled = undefined
      this.#dialLater()
    }
    this.#report()
    if (this.isGuest && this.#accepted.length === 0) this.#options.onGuestGone(this)
  }

  #replaceOlder(link: Link): void {
    for (const other of [...this.#accepted]) {
      if (other === link || !other.isOpen || other.instance !== link.instance) continue
      other.cut(new Fault('unavailable', `node ${this.id} has connected anew`))
    }
  }

  /** Threads of the peer take turns. */
  #openAccepted(): Link | undefined {
    const open = this.#accepted.filter((link) => link.isOpen)
    return open[this.#turn++ % open.length]
  }

  #report(): void {
    let isReachable = false
    for (const link of this.links()) if (link.isOpen) isReachable = true
    if (isReachable === this.#isReachable) return
    this.#isReachable = isReachable
    this.#options.onReachability(this.id, isReachable)
  }

  #dialLater(): void {
    if (this.#isRemoved) return
    const { clock, random } = this.#options.host
    this.#timer?.cancel()
    this.#timer = clock.after(backoffMs(this.#attempt++, random), () => this.#dial())
  }

  #dial(): void {
    const address = this.#address
    if (address === undefined) return
    const generation = this.#generation
    this.#receiveBuffer ??= new Uint8Array(receiveBytes)
    const how = { expected: this.id, timeoutMs: dialMsMax, receiveBuffer: this.#receiveBuffer }
    this.#options.dial(address, how).then(
      (connection) => {
        if (generation !== this.#generation) return connection.destroy()
        const link = this.#createLink(connection, true)
        this.#dialled = link
        link.start()
      },
      (error: unknown) => {
        if (!isFault(error)) this.#options.host.journal.fatal('rpc.dial_failed', error)
        if (generation !== this.#generation) return
        if (error.code === 'unauthenticated') this.#journalRefusal(error)
        this.#dialLater()
      },
    )
  }

  #journalRefusal(fault: Fault): void {
    const { journal } = this.#options.host
    journal.event('warning', 'rpc.peer_refused', { peer: this.id, why: fault.message })
  }
}
