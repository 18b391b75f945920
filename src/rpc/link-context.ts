// What the parts of one link share.

import type { BufferPool, NodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Hello } from './core/hello.ts'
import type { Handlers } from './handlers.ts'
import type { OutQueue } from './out-queue.ts'
import type { MethodNumber, RpcLimits } from './rpc.ts'

export type LinkContext = {
  readonly host: Host
  readonly peer: NodeId
  readonly out: OutQueue
  readonly pool: BufferPool
  readonly handlers: Handlers
  readonly limits: RpcLimits
  /** What the peer accepts and supports; set before any call or stream exists. */
  peerHello: Hello
  /** Whether the peer may use the method, being who it is now. */
  mayUse(method: MethodNumber): boolean
  /** A fresh id of this side's parity. */
  nextId(): number
}

/** Timers take at most this; a longer deadline is none that anybody waits for. */
export const deadlineMsMax = 0x7fff_ffff

/** Whole milliseconds, at least one, as it goes on the wire. */
export function deadlineOnWire(deadlineMs: number): number {
  return Math.min(deadlineMsMax, Math.max(1, Math.ceil(deadlineMs)))
}
