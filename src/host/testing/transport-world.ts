// What the suites for transports speak to, and how they listen.

import { type Fault, utf8Encode } from '../../base/index.ts'
import type {
  Address,
  ByteConnection,
  Connection,
  PlainNetwork,
  Transport,
  TransportConnectOptions,
} from '../host.ts'

export type TransportWorld = {
  /** Nodes 1 and 2 of one cluster. */
  readonly one: Transport
  readonly two: Transport
  /** By what is wrong with them. Each names itself node 2. */
  readonly strangers: Readonly<Record<string, Transport>>
  /** Where node 1 listens; a port of 0 means any. */
  readonly address: Address
  /** A second address, for strangers and for who stands between. */
  readonly otherAddress: Address
  /** Present: the bytes below the transport. */
  readonly wire?: Wire
  close?(): Promise<void>
}
export type Wire = {
  readonly plain: PlainNetwork
  /** The beginning of a record whose length is beyond what the transport takes. */
  readonly oversized: Uint8Array
}
export type MakeWorld = () => Promise<TransportWorld>

export const text = utf8Encode
export const dialMs = 5_000

export type Pair = {
  readonly dialled: Connection
  readonly accepted: Connection
  close(): Promise<void>
}

/** Node 2 dials node 1, `through` another address when somebody stands between. */
export async function connectPair(
  world: TransportWorld,
  options: Partial<TransportConnectOptions> & { readonly through?: Address } = {},
): Promise<Pair> {
  const { through, ...rest } = options
  const accepting = Promise.withResolvers<Connection>()
  const listener = await world.one.listen(world.address, {
    onConnection: (connection) => accepting.resolve(connection),
  })
  const dialled = await world.two.connect(through ?? listener.address, {
    expected: world.one.self.nodeId,
    timeoutMs: dialMs,
    ...rest,
  })
  return { dialled, accepted: await accepting.promise, close: () => listener.close() }
}

/** Listens to a connection to its end: every byte, and how it ended. */
export class Receiver {
  readonly closed: Promise<Fault | undefined>
  bytes = new Uint8Array(0)
  isClosed = false
  #waiting: { readonly count: number; readonly resolve: () => void }[] = []

  constructor(connection: ByteConnection) {
    const { promise, resolve } = Promise.withResolvers<Fault | undefined>()
    this.closed = promise
    connection.onClose = (reason) => {
      this.isClosed = true
      resolve(reason)
    }
    connection.onBytes = (bytes) => this.#take(bytes)
  }

  /** Settles once that many bytes came. */
  has(count: number): Promise<void> {
    if (this.bytes.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ count, resolve }))
  }

  #take(bytes: Uint8Array): void {
    const all = new Uint8Array(this.bytes.length + bytes.length)
    all.set(this.bytes)
    all.set(bytes, this.bytes.length)
    this.bytes = all
    for (const { count, resolve } of this.#waiting) if (all.length >= count) resolve()
  }
}
