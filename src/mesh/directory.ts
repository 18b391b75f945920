// Which node is where. Discovery and people name addresses; connections have node numbers. An address that
// nobody is known at is asked who it is (one short dial) and then connected to as a peer; a node that
// writes to us tells its own address, and is connected to as well, so discovery in one direction is enough.
//
// One node per address: whoever is found at an address takes it from the node that had it before, as
// a wiped directory does, which is another node at the old place. Saying so is not enough for that.

import { isFault, type NodeId } from '../base/index.ts'
import type { Address, Host, Timer, Transport } from '../host/index.ts'
import { identify, type Rpc } from '../rpc/index.ts'
import { formatAddress, parseAddress } from './core/address.ts'
import type { KnownPeer } from './mesh.ts'

export type DirectoryEnds = {
  readonly host: Host
  readonly transport: Transport
  readonly rpc: Rpc
  /** This node's own. */
  readonly address: string
  /** Addresses that should be connected. */
  readonly contacts: () => readonly string[]
  /** A node that was not known, or was elsewhere. */
  readonly onMet: () => void
}

const peersMax = 1_024
const meetingMax = 16
const meetTimeoutMs = 2_000
/** Between two questions to one address, doubling. */
const meetAgainMsMin = 200
const meetAgainMsMax = 5_000
const askMs = 250

type Meeting = { nextMs: number; waitMs: number; isUnderWay: boolean }

export class Directory {
  readonly #ends: DirectoryEnds
  readonly #addresses = new Map<NodeId, string>()
  readonly #nodes = new Map<string, NodeId>()
  readonly #meetings = new Map<string, Meeting>()
  readonly #timer: Timer
  #isClosed = false

  constructor(ends: DirectoryEnds) {
    this.#ends = ends
    this.#timer = ends.host.clock.every(askMs, () => this.#askContacts())
  }

  /** The node at an address, when it is known; asks for it otherwise. */
  find(address: string): NodeId | undefined {
    const node = this.#nodes.get(address)
    if (node === undefined || !this.#ends.rpc.isReachable(node)) this.#meet(address)
    return node
  }

  addressOf(node: NodeId): string | undefined {
    return this.#addresses.get(node)
  }

  /** A node says on its own connection where it is: believed, unless another one is known there. */
  hearFrom(node: NodeId, address: string): void {
    const known = this.#nodes.get(address)
    if (known === undefined) this.#learn(node, address)
    else if (known !== node) this.#meet(address)
  }

  /** The node was found there, or nobody else was. */
  #learn(node: NodeId, address: string): void {
    const { transport, address: own } = this.#ends
    if (node === transport.self.nodeId || address === own) return
    if (this.#addresses.get(node) === address) return
    if (!isAddress(address)) return
    const former = this.#nodes.get(address)
    if (former !== undefined) this.#addresses.delete(former)
    const before = this.#addresses.get(node)
    if (before !== undefined) this.#nodes.delete(before)
    this.#makeRoom()
    this.#addresses.set(node, address)
    this.#nodes.set(address, node)
    this.#connect()
    this.#ends.onMet()
  }

  known(): readonly KnownPeer[] {
    return [...this.#addresses]
      .map(([node, address]) => ({ node, address }))
      .sort((a, b) => a.node - b.node)
  }

  /** Asks who is at addresses that others know. */
  hear(peers: readonly KnownPeer[]): void {
    for (const { node, address } of peers) {
      if (!this.#addresses.has(node) && isAddress(address)) this.find(address)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#timer.cancel()
  }

  #askContacts(): void {
    for (const address of this.#ends.contacts()) this.find(address)
  }

  #connect(): void {
    const peers = new Map<NodeId, Address>()
    for (const [node, address] of this.#addresses) peers.set(node, parseAddress(address))
    this.#ends.rpc.setPeers(peers)
  }

  /** The one known longest that cannot be reached goes first. */
  #makeRoom(): void {
    if (this.#addresses.size < peersMax) return
    const all = [...this.#addresses.keys()]
    const gone = all.find((node) => !this.#ends.rpc.isReachable(node)) ?? all[0]
    if (gone === undefined) return
    this.#nodes.delete(this.#addresses.get(gone) ?? '')
    this.#addresses.delete(gone)
  }

  #meet(address: string): void {
    const { host, transport, address: own } = this.#ends
    if (address === own || this.#isClosed || !isAddress(address)) return
    const nowMs = host.clock.monotonicMs()
    const meeting = this.#meetings.get(address) ?? { nextMs: 0, waitMs: 0, isUnderWay: false }
    if (meeting.isUnderWay || nowMs < meeting.nextMs) return
    const underWay = [...this.#meetings.values()].filter((one) => one.isUnderWay).length
    if (underWay >= meetingMax) return
    if (this.#meetings.size >= peersMax) this.#forgetIdle()
    meeting.isUnderWay = true
    meeting.waitMs = Math.min(meetAgainMsMax, Math.max(meetAgainMsMin, meeting.waitMs * 2))
    this.#meetings.set(address, meeting)
    identify(transport, parseAddress(address), { timeoutMs: meetTimeoutMs }).then(
      (node) => {
        this.#settle(meeting)
        if (!this.#isClosed) this.#learn(node, address)
      },
      (error: unknown) => {
        this.#settle(meeting)
        if (!isFault(error)) host.journal.fatal('mesh.meeting_failed', error)
      },
    )
  }

  #settle(meeting: Meeting): void {
    meeting.isUnderWay = false
    meeting.nextMs = this.#ends.host.clock.monotonicMs() + meeting.waitMs
  }

  #forgetIdle(): void {
    for (const [address, { isUnderWay }] of this.#meetings) {
      if (!isUnderWay) this.#meetings.delete(address)
    }
  }
}

function isAddress(text: string): boolean {
  try {
    return formatAddress(parseAddress(text)) === text
  } catch (error) {
    if (!isFault(error)) throw error
    return false
  }
}
