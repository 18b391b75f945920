// A long and lossy way between the namespaces of networks.ts, for kernels without netem: each namespace has a second
// interface, whose frames the kernel packs into UDP (VXLAN, RFC 7348) and sends to this process, which holds each for a
// while, or drops it, and passes it on. Who goes the long way has a route through that interface; addresses and open
// connections stay.

import { createSocket, type Socket } from 'node:dgram'
import { Fault, type Random } from '../../src/base/index.ts'

/** Of the kernel's VXLAN interfaces, and where this process listens. */
export const slowPathPort = 4789
const vxlanHeaderBytes = 8
const hardwareAddressBytes = 6
const ethernetHeaderBytes = 14
/** Where the checksum lies in the headers of TCP and UDP. */
const checksumAt = new Map([
  [6, 16],
  [17, 6],
])
/** Frames that wait here at once; what comes beyond is dropped, as a router's queue does it. */
const heldMax = 20_000

export type SlowWay = {
  /** One way. */
  readonly delayMs: number
  /** Added to it, drawn for each frame. */
  readonly jitterMs: number
  /** Of all frames, drawn for each. */
  readonly lossRatio: number
}

/** The last byte of a position's hardware address is its number, from 1. */
export function hardwareAddressOf(position: number): string {
  return `02:00:00:00:01:${(position + 1).toString(16).padStart(2, '0')}`
}

export class SlowPath {
  readonly #socket: Socket
  readonly #random: Random
  readonly #hostOf: (position: number) => string
  readonly #held = new Set<NodeJS.Timeout>()
  #way: SlowWay = { delayMs: 0, jitterMs: 0, lossRatio: 0 }
  passed = 0
  dropped = 0

  private constructor(socket: Socket, random: Random, hostOf: (position: number) => string) {
    this.#socket = socket
    this.#random = random
    this.#hostOf = hostOf
    socket.on('message', (packet) => this.#take(packet))
  }

  /** Listens at this address. `hostOf`: where the interface of a position takes what is for it. */
  static open(
    address: string,
    options: { readonly random: Random; readonly hostOf: (position: number) => string },
  ): Promise<SlowPath> {
    const socket = createSocket('udp4')
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => reject(new Fault('unavailable', error.message)))
      socket.bind(slowPathPort, address, () => {
        socket.on('error', () => {})
        resolve(new SlowPath(socket, options.random, options.hostOf))
      })
    })
  }

  be(way: SlowWay): void {
    this.#way = way
  }

  close(): void {
    for (const timer of this.#held) clearTimeout(timer)
    this.#held.clear()
    this.#socket.close()
  }

  #take(packet: Buffer): void {
    const last = packet[vxlanHeaderBytes + hardwareAddressBytes - 1]
    const { delayMs, jitterMs, lossRatio } = this.#way
    const isLost = this.#random.integer(10_000) < lossRatio * 10_000
    if (last === undefined || isLost || this.#held.size >= heldMax) {
      this.dropped++
      return
    }
    fillChecksum(packet.subarray(vxlanHeaderBytes + ethernetHeaderBytes))
    const timer = setTimeout(
      () => {
        this.#held.delete(timer)
        this.passed++
        this.#socket.send(packet, slowPathPort, this.#hostOf(last - 1))
      },
      delayMs + this.#random.integer(jitterMs + 1),
    )
    this.#held.add(timer)
  }
}

/**
 * Of an IPv4 packet's TCP or UDP: the kernel leaves it to the last interface on the way, which does not know what was
 * packed into what it sends.
 */
function fillChecksum(packet: Buffer): void {
  const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4
  const offset = checksumAt.get(packet[9] ?? 0)
  if ((packet[0] ?? 0) >> 4 !== 4 || offset === undefined) return
  const end = Math.min(packet.length, packet.readUInt16BE(2))
  const at = headerBytes + offset
  if (at + 2 > end) return
  packet.writeUInt16BE(0, at)
  // The pseudo header: both addresses, the protocol, the length.
  let sum = (packet[9] ?? 0) + end - headerBytes
  for (let byte = 12; byte < 20; byte += 2) sum += packet.readUInt16BE(byte)
  for (let byte = headerBytes; byte + 1 < end; byte += 2) sum += packet.readUInt16BE(byte)
  if ((end - headerBytes) % 2 === 1) sum += (packet[end - 1] ?? 0) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  packet.writeUInt16BE(~sum & 0xffff || 0xffff, at)
}
