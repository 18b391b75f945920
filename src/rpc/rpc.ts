// Rpc: the only talk between nodes (law 4). Contract only.
//
// One Rpc serves one port of one thread: the core thread has one on the consensus port (6660), a data
// thread one on the bulk port (9991). A connection carries many concurrent calls in both directions.
// Every call has a deadline and a method number; payloads are bytes. Small messages with no answer
// (raft) go through send(). Limits: message 1 MiB for calls (8 MiB for send), calls in flight 1,024
// per peer, queued bytes 16 MiB per peer; beyond them Fault 'overloaded'.

import type { Fault, NodeId } from '../base/index.ts'
import type { Address, PortSharing, Transport } from '../host/index.ts'
import type { MethodTable } from './methods.ts'

/** Unique per port; the table of numbers is src/rpc/methods.ts. Numbers are never reused. */
export type MethodNumber = number

export type CallOptions = {
  readonly deadlineMs: number
  readonly signal?: AbortSignal
}

/** A call as its handler sees it. */
export type IncomingCall = {
  readonly from: NodeId
  readonly request: Uint8Array
  /** Aborts at the deadline, on cancellation by the caller, and when the connection breaks. */
  readonly signal: AbortSignal
  /** Milliseconds left, as told by the caller (no clocks are compared). */
  readonly deadlineMs: number
}

/** A two-way stream of messages, each at most 256 KiB and a header, with credit-based flow control per direction. */
export type RpcStream = {
  readonly from: NodeId
  /**
   * Settles when the peer's window has room and the message is on its way. Throws the Fault that ended
   * the stream. The message must not change any more after the call: it may leave later. `onLeft` is called
   * when it has left and its memory is free again; never, when the stream ends before.
   */
  send(message: Uint8Array, onLeft?: () => void): Promise<void>
  /** No more messages from this side; settles when all before it are on their way. */
  end(): Promise<void>
  /**
   * Messages of the peer until its end(); throws the Fault that ended the stream. Read once. Views are
   * valid until the next is asked for. Leaving the loop early ends the whole stream on the side that
   * opened it; on the handler's side the rest is thrown away and it may still send.
   */
  readonly messages: AsyncIterable<Uint8Array>
  /** Ends both directions at once; the peer sees this fault. */
  fail(fault: Fault): void
}

export type Rpc = {
  /** Answers with bytes, or throws a Fault that the caller gets as it is. Register before listen(). */
  serve(method: MethodNumber, handler: (call: IncomingCall) => Promise<Uint8Array>): void
  /** The handler owns the stream; returning ends it, throwing fails it. `request` is the opening message. */
  serveStream(
    method: MethodNumber,
    handler: (stream: RpcStream, call: IncomingCall) => Promise<void>,
  ): void
  /**
   * One-way messages, in order of sending while the connection lives; lost when it breaks. The bytes
   * are the receiver's to keep. Throwing a Fault cuts the connection (the peer sent nonsense).
   */
  onMessage(method: MethodNumber, receive: (from: NodeId, message: Uint8Array) => void): void

  call(
    to: NodeId,
    method: MethodNumber,
    request: Uint8Array,
    options: CallOptions,
  ): Promise<Uint8Array>
  /** `bulkTowards` says where most bytes flow, so that they land on a connection the receiver dialled. */
  openStream(
    to: NodeId,
    method: MethodNumber,
    request: Uint8Array,
    options: CallOptions & { readonly bulkTowards?: 'me' | 'peer' },
  ): Promise<RpcStream>
  /**
   * False when the peer is not connected or its queue is full; the message is dropped then. Requests and
   * messages must not change after the call: they may leave later.
   */
  send(to: NodeId, method: MethodNumber, message: Uint8Array): boolean

  /** Who may talk to us and where they are. Others are refused; connections of removed ones are cut. */
  setPeers(peers: ReadonlyMap<NodeId, Address>): void
  /** Connected now, or heard from within heartbeat time. */
  isReachable(peer: NodeId): boolean
  onReachability(changed: (peer: NodeId, isReachable: boolean) => void): void
  listen(): Promise<void>
  close(): Promise<void>
}

export type RpcOptions = {
  /** Secured connections, and who this node is on them: `host.network.secured(identity)` is TLS. */
  readonly transport: Transport
  readonly listen: Address
  /** Pings every period on idle connections; three missed cut it. Default 1,000 ms. */
  readonly heartbeatMs?: number
  /** Threads of one node on the bulk port: the first proves it free, the others join. */
  readonly sharesPort?: PortSharing
  /**
   * Asked when a node of the cluster dials that is not among the peers: true lets it talk to us as a guest, which
   * is never dialled, until setPeers() names it or finds it expected no longer.
   */
  readonly isExpected?: (id: NodeId) => boolean
  /**
   * Who may use which method; a number that it lacks, or that is nobody's, cannot be served. Absent: members may use
   * whatever is served, and guests nothing.
   */
  readonly methods?: MethodTable
  /** Feature levels, told and compared as connections begin. Absent: neither. */
  readonly level?: RpcLevel
  /** Dial again after a break: 50 ms doubling to 2 s, drawn around. */
  readonly limits?: Partial<RpcLimits>
}

export type RpcLevel = {
  /** The newest that this program supports. */
  readonly newest: number
  /** What the cluster goes by, as known here now. Peers whose program does not know it are cut, also when it rises. */
  active(): number
  /** A member goes by a level that this program does not know: it cannot take part any more. */
  onOutgrown(active: number): void
}

export type RpcLimits = {
  readonly callBytesMax: number
  readonly messageBytesMax: number
  readonly streamMessageBytesMax: number
  readonly streamWindowBytes: number
  readonly callsInFlightMax: number
  readonly queuedBytesMax: number
}
