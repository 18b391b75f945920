// The first frame in each direction: who speaks, which protocol versions, and what this side accepts.
// A connection whose hello does not fit is refused with a reason; nothing else was read before.

import {
  bytes,
  type ClusterId,
  codecOf,
  Fault,
  message,
  type NodeId,
  text,
  uint,
} from '../../base/index.ts'
import type { RpcLevel, RpcLimits } from '../rpc.ts'
import { messageOverheadBytes } from './frame.ts'

/** The newest version spoken and the oldest still understood. */
export const protocolVersion = { newest: 1, oldest: 1 } as const

/** Distinguishes threads and restarts of one node; drawn when the Rpc is made. */
export const instanceBytes = 8

const helloFields = message({
  versionNewest: uint(1),
  versionOldest: uint(2),
  clusterId: text(3),
  nodeId: uint(4),
  instance: bytes(5),
  callBytesMax: uint(6),
  messageBytesMax: uint(7),
  streamMessageBytesMax: uint(8),
  streamWindowBytes: uint(9),
  /** The newest feature level that the program supports, and the one that the cluster goes by there; 0: not told. */
  levelNewest: uint(10),
  levelActive: uint(11),
})

export const helloCodec = codecOf(helloFields)
export type Hello = ReturnType<typeof helloCodec.decode>

export function createHello(
  who: { readonly nodeId: NodeId; readonly clusterId: ClusterId; readonly instance: Uint8Array },
  limits: RpcLimits,
  level?: RpcLevel,
): Hello {
  return {
    versionNewest: protocolVersion.newest,
    versionOldest: protocolVersion.oldest,
    clusterId: who.clusterId,
    nodeId: who.nodeId,
    instance: who.instance,
    callBytesMax: limits.callBytesMax,
    messageBytesMax: limits.messageBytesMax,
    streamMessageBytesMax: limits.streamMessageBytesMax,
    streamWindowBytes: limits.streamWindowBytes,
    levelNewest: level?.newest ?? 0,
    levelActive: level?.active() ?? 0,
  }
}

/** Throws the Fault that refuses the connection. `proved` is what the certificate says. */
export function checkHello(
  hello: Hello,
  proved: { readonly nodeId: NodeId; readonly clusterId: ClusterId },
): void {
  if (
    hello.versionOldest > protocolVersion.newest ||
    hello.versionNewest < protocolVersion.oldest
  ) {
    throw new Fault(
      'unsupported',
      `node ${proved.nodeId} speaks protocol ${hello.versionOldest} to ${hello.versionNewest}, this node ` +
        `${protocolVersion.oldest} to ${protocolVersion.newest}`,
    )
  }
  if (hello.clusterId !== proved.clusterId || hello.nodeId !== proved.nodeId) {
    throw new Fault('unauthenticated', `node ${proved.nodeId} says it is node ${hello.nodeId}`)
  }
  if (hello.instance.length !== instanceBytes)
    throw new Fault('invalid', 'a hello without instance')
  if (hello.streamWindowBytes < hello.streamMessageBytesMax + messageOverheadBytes) {
    throw new Fault('invalid', 'a stream window smaller than a message')
  }
}

/** The Fault of a program that the cluster has outgrown by now. One that tells no level knows the first. */
export function tooOld(hello: Hello, peer: NodeId, level: RpcLevel | undefined): Fault | undefined {
  if (level === undefined) return undefined
  const [theirs, active] = [Math.max(1, hello.levelNewest), level.active()]
  if (theirs >= active) return undefined
  return new Fault(
    'unsupported',
    `the program of node ${peer} knows feature levels up to ${theirs}, and the cluster goes by level ${active}`,
    { next: 'install the version that the other nodes run on it; a level is never lowered' },
  )
}

/** Throws the Fault that refuses the connection. When the peer's cluster is ahead of this program, its owner is told. */
export function checkHelloLevel(hello: Hello, peer: NodeId, level: RpcLevel | undefined): void {
  const fault = tooOld(hello, peer, level)
  if (fault !== undefined) throw fault
  if (level === undefined || hello.levelActive <= level.newest) return
  level.onOutgrown(hello.levelActive)
  throw new Fault('unsupported', `node ${peer} goes by feature level ${hello.levelActive}`)
}
