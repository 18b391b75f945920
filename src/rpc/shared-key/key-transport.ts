// The transport of members that share one key instead of having certificates: TCP, the handshake of
// core/noise.ts, sealed records. Everything that rpc carries goes through it: consensus, commands, joining,
// the exchange of peers, founding, bulk.

import { Fault, x25519Bytes } from '../../base/index.ts'
import {
  type Address,
  type ByteConnection,
  type Connection,
  createRefusals,
  type Host,
  type PeerIdentity,
  type Refusals,
  type Transport,
  type TransportConnectOptions,
  type TransportListenOptions,
} from '../../host/index.ts'
import { otherKey } from './core/greeting.ts'
import type { RekeyRule } from './core/records.ts'
import type { SharedKey } from './key.ts'
import { KeyConnection, type KeyConnectionOptions } from './key-connection.ts'

export type KeyTransportOptions = {
  /** Who this node is. The cluster's id is bound into every key: one key may serve two clusters. */
  readonly self: PeerIdentity
  readonly key: SharedKey
  /** All members alike. Default: rekeyRule. */
  readonly rekey?: RekeyRule
}

const handshakeMsDefault = 10_000
/**
 * Handshakes of one listener under way; one more ends the oldest. So strangers who say nothing never fill the
 * listener, whose bound on sockets is higher: a member's handshake takes one round trip.
 */
const handshakesMax = 256

/**
 * Members are whoever knows the key: a node's id is claimed under it, not proved, so any member can pass for any
 * other. Certificates prove ids; use them where members do not trust one another.
 */
export function createKeyTransport(
  host: Pick<Host, 'network' | 'clock' | 'random' | 'journal'>,
  options: KeyTransportOptions,
): Transport {
  return new KeyTransport(host, options)
}

class KeyTransport implements Transport {
  readonly self: PeerIdentity
  readonly #host: Pick<Host, 'network' | 'clock' | 'random' | 'journal'>
  readonly #options: KeyTransportOptions
  readonly #refuse: Refusals

  constructor(
    host: Pick<Host, 'network' | 'clock' | 'random' | 'journal'>,
    options: KeyTransportOptions,
  ) {
    this.#host = host
    this.#options = options
    this.#refuse = createRefusals(host.journal, host.clock)
    const { nodeId, clusterId } = options.self
    this.self = { nodeId, clusterId }
  }

  listen(address: Address, options: TransportListenOptions) {
    const { onConnection, sharesPort, handshakeMsMax = handshakeMsDefault } = options
    const underWay = new Set<KeyConnection>()
    return this.#host.network.plain.listen(address, {
      onConnection: (inner) => {
        const accepted = this.#secure(inner, {
          isDialling: false,
          handshakeMsMax,
          onSecured: (secured) => {
            underWay.delete(secured)
            onConnection(secured)
          },
          onRefused: (fault, refused) => {
            underWay.delete(refused)
            this.#refuse(inner.remoteAddress, fault.message)
          },
        })
        if (accepted.isUnderWay) underWay.add(accepted)
        const [oldest] = underWay
        if (underWay.size > handshakesMax) {
          oldest?.giveUp(new Fault('overloaded', 'is one of too many that do not say who they are'))
        }
      },
      ...(sharesPort === undefined ? {} : { sharesPort }),
    })
  }

  async connect(address: Address, options: TransportConnectOptions): Promise<Connection> {
    const { expected, ...dial } = options
    const startedMs = this.#host.clock.monotonicMs()
    const inner = await this.#host.network.plain.connect(address, dial)
    const where = `${address.host}:${address.port}`
    const who = expected === undefined ? where : `node ${expected} at ${where}`
    const spentMs = this.#host.clock.monotonicMs() - startedMs
    return new Promise((resolve, reject) => {
      this.#secure(inner, {
        isDialling: true,
        handshakeMsMax: Math.max(1, options.timeoutMs - spentMs),
        onSecured: resolve,
        onRefused: (fault) => reject(dialFault(fault, who)),
        ...(expected === undefined ? {} : { expected }),
      })
    })
  }

  #secure(
    inner: ByteConnection,
    how: Pick<KeyConnectionOptions, 'isDialling' | 'handshakeMsMax' | 'onSecured' | 'onRefused'> &
      Pick<TransportConnectOptions, 'expected'>,
  ): KeyConnection {
    const { expected, ...rest } = how
    const { self, key, rekey } = this.#options
    const ephemeral = this.#host.random.bytes(x25519Bytes)
    const greeting = { self, psk: key, ephemeral, ...(expected === undefined ? {} : { expected }) }
    return new KeyConnection(inner, {
      clock: this.#host.clock,
      greeting,
      onForged: (fault) => this.#refuse(inner.remoteAddress, fault.message),
      ...(rekey === undefined ? {} : { rekey }),
      ...rest,
    })
  }
}

/** What a handshake found, as the dialling side tells people. */
function dialFault(fault: Fault, who: string): Fault {
  const isIdentity = fault.code === 'unauthenticated' || fault.code === 'invalid'
  const next =
    fault.message === otherKey ? { next: 'give every member the same encryption key' } : {}
  return new Fault(isIdentity ? 'unauthenticated' : 'unavailable', `${who} ${fault.message}`, {
    cause: fault,
    ...next,
  })
}
