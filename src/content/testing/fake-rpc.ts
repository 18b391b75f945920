// Rpc by queues between the nodes of one test. Received messages are overwritten once the next is asked
// for, as the contract allows.

import { Fault, type NodeId, toFault } from '../../base/index.ts'
import type { IncomingCall, Rpc, RpcStream } from '../../rpc/index.ts'

/** What the cluster of a test knows about who reaches whom. */
export type RpcWorld = {
  readonly pipes: Set<Pipe>
  turn(): Promise<void>
  isLinked(a: NodeId, b: NodeId): boolean
  /** Fault 'unavailable' when it cannot be reached. */
  peer(from: NodeId, to: NodeId): { readonly rpc: FakeRpc }
  end(pipe: Pipe, self: NodeId): RpcStream
}

export class Half {
  readonly #waiting: (Uint8Array | 'end')[] = []
  #fault: Fault | undefined
  #wake: (() => void) | undefined

  put(item: Uint8Array | 'end'): void {
    this.#waiting.push(item)
    this.#wake?.()
  }
  fail(fault: Fault): void {
    this.#fault ??= fault
    this.#wake?.()
  }
  get fault(): Fault | undefined {
    return this.#fault
  }
  get depth(): number {
    return this.#waiting.length
  }
  async *messages(): AsyncGenerator<Uint8Array, void, void> {
    let lent: Uint8Array | undefined
    for (;;) {
      lent?.fill(0xee)
      const item = this.#waiting.shift()
      if (item === 'end') return
      if (item !== undefined) {
        lent = item
        yield item
        continue
      }
      if (this.#fault !== undefined) throw this.#fault
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

export type Pipe = {
  readonly a: NodeId
  readonly b: NodeId
  readonly halves: readonly [Half, Half]
  readonly abort: AbortController
}
type StreamHandler = (stream: RpcStream, call: IncomingCall) => Promise<void>
type CallHandler = (call: IncomingCall) => Promise<Uint8Array>
export const windowMessages = 4

export class FakeRpc implements Rpc {
  readonly self: NodeId
  readonly calls = new Map<number, CallHandler>()
  readonly streams = new Map<number, StreamHandler>()
  readonly #world: RpcWorld
  readonly #changed: ((peer: NodeId, isReachable: boolean) => void)[] = []

  constructor(world: RpcWorld, self: NodeId) {
    this.#world = world
    this.self = self
  }
  serve(method: number, handler: CallHandler) {
    this.calls.set(method, handler)
  }
  serveStream(method: number, handler: StreamHandler) {
    this.streams.set(method, handler)
  }
  onMessage() {}
  async call(to: NodeId, method: number, request: Uint8Array) {
    await this.#world.turn()
    const signal = new AbortController().signal
    const peer = this.#world.peer(this.self, to)
    const handler = peer.rpc.calls.get(method) as CallHandler
    const answer = await handler({
      from: this.self,
      request: request.slice(),
      signal,
      deadlineMs: 1,
    })
    this.#world.peer(this.self, to)
    return answer.slice()
  }
  async openStream(
    to: NodeId,
    method: number,
    request: Uint8Array,
    options: { readonly signal?: AbortSignal },
  ): Promise<RpcStream> {
    await this.#world.turn()
    const peer = this.#world.peer(this.self, to)
    const pipe: Pipe = {
      a: this.self,
      b: to,
      halves: [new Half(), new Half()],
      abort: new AbortController(),
    }
    this.#world.pipes.add(pipe)
    const mine = this.#world.end(pipe, this.self)
    const theirs = this.#world.end(pipe, to)
    options.signal?.addEventListener('abort', () => mine.fail(new Fault('cancelled', 'aborted')))
    const call = {
      from: this.self,
      request: request.slice(),
      signal: pipe.abort.signal,
      deadlineMs: 1,
    }
    const handler = peer.rpc.streams.get(method) as StreamHandler
    void handler(theirs, call).then(
      () => theirs.end().catch(() => undefined),
      (error: unknown) => theirs.fail(toFault(error)),
    )
    return mine
  }
  send() {
    return false
  }
  setPeers() {}
  isReachable(peer: NodeId) {
    return this.#world.isLinked(this.self, peer)
  }
  onReachability(changed: (peer: NodeId, isReachable: boolean) => void) {
    this.#changed.push(changed)
  }
  announce(peer: NodeId, isReachable: boolean) {
    for (const changed of this.#changed) changed(peer, isReachable)
  }
  async listen() {}
  async close() {}
}
