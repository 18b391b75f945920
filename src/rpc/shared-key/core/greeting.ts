// Who the two ends are and whether they belong together: the payloads of the handshake. Pure.
//
// Both greetings are sealed by the shared key and part of the handshake's hash, so they are whole and belong to
// this connection. All members hold the same key, so a node's id is what a member claims, not what it proves:
// the key keeps strangers out, it does not keep members apart.

import {
  type ClusterId,
  clusterId,
  codecOf,
  Fault,
  isFault,
  message,
  type NodeId,
  nodeId,
  text,
  uint,
  utf8Encode,
} from '../../../base/index.ts'
import type { PeerIdentity } from '../../../host/index.ts'
import { NoiseInitiator, type NoiseKeys, NoiseResponder } from './noise.ts'

const greetingCodec = codecOf(
  message({
    /** Newest and oldest version of the records that this side speaks. */
    versionNewest: uint(1),
    versionOldest: uint(2),
    clusterId: text(3),
    nodeId: uint(4),
  }),
)
const version = 1
const nodeIdMax = 0xffff_ffff

/** Sent by nobody: two protocols that differ here never understand each other's handshake. */
export const prologue = utf8Encode('atoll shared key 1')

export const otherKey = 'uses another key: all members must share one'

export type GreetingOptions = {
  readonly self: PeerIdentity
  readonly psk: Uint8Array
  /** 32 fresh random bytes. */
  readonly ephemeral: Uint8Array
  /** Whom this side dials. */
  readonly expected?: NodeId
}

export type Greeted = { readonly peer: PeerIdentity; readonly keys: NoiseKeys }

/** The dialling side. */
export class DialledGreeting {
  readonly hello: Uint8Array
  readonly #noise: NoiseInitiator
  readonly #options: GreetingOptions

  constructor(options: GreetingOptions) {
    this.#options = options
    this.#noise = new NoiseInitiator({ ...options, prologue })
    this.hello = this.#noise.hello(encodeGreeting(options.self))
  }

  /** The answer of the other side; throws Fault 'unauthenticated' with what is wrong about it. */
  finish(answer: Uint8Array): Greeted {
    const finished = this.#noise.finish(answer)
    if (finished === undefined) throw stranger(otherKey)
    const peer = decodeGreeting(finished.payload, this.#options.self)
    const { expected } = this.#options
    if (expected !== undefined && peer.nodeId !== expected) {
      throw stranger(`is node ${peer.nodeId}, not node ${expected}`)
    }
    return { peer, keys: finished.keys }
  }
}

/** The accepting side: what to answer, and who is there or why it is refused. */
export type Answered = {
  readonly message: Uint8Array
  readonly keys: NoiseKeys
  readonly who: PeerIdentity | Fault
}

/**
 * Throws Fault 'unauthenticated' when the hello was not written with our key. A member of another cluster is
 * answered all the same, so that it learns from a sealed message whom it has reached.
 */
export function answerGreeting(hello: Uint8Array, options: GreetingOptions): Answered {
  const noise = new NoiseResponder({ ...options, prologue })
  const payload = noise.read(hello)
  if (payload === undefined) throw stranger(otherKey)
  const answer = noise.answer(encodeGreeting(options.self))
  if (answer === undefined) throw stranger('sent an ephemeral key that gives no secret')
  return { ...answer, who: readGreeting(payload, options.self) }
}

function encodeGreeting(self: PeerIdentity): Uint8Array {
  const { nodeId: id, clusterId: cluster } = self
  return greetingCodec.encode({
    versionNewest: version,
    versionOldest: version,
    clusterId: cluster,
    nodeId: id,
  })
}

function readGreeting(payload: Uint8Array, self: PeerIdentity): PeerIdentity | Fault {
  try {
    return decodeGreeting(payload, self)
  } catch (error) {
    if (isFault(error)) return error
    throw error
  }
}

function decodeGreeting(payload: Uint8Array, self: PeerIdentity): PeerIdentity {
  const greeting = greetingCodec.decode(payload)
  if (greeting.versionOldest > version || greeting.versionNewest < version) {
    throw stranger(
      `speaks version ${greeting.versionOldest} to ${greeting.versionNewest} of the shared key's records, ` +
        `this node ${version}`,
    )
  }
  if (!/^[0-9a-f]{32}$/.test(greeting.clusterId)) throw stranger('names no cluster')
  const cluster: ClusterId = clusterId(greeting.clusterId)
  if (cluster !== self.clusterId) throw stranger(`is of another cluster, ${cluster}`)
  if (greeting.nodeId < 1 || greeting.nodeId > nodeIdMax) throw stranger('names no node')
  if (greeting.nodeId === self.nodeId) {
    throw stranger(`says it is node ${greeting.nodeId}, which is this node`)
  }
  return { nodeId: nodeId(greeting.nodeId), clusterId: cluster }
}

/** Worded so that it reads after the name of the peer. */
function stranger(what: string): Fault {
  return new Fault('unauthenticated', what)
}
