// What this node answers: handlers by method number, and one incoming call as its handler sees it.

import { Fault, type NodeId } from '../base/index.ts'
import type { Clock, Timer } from '../host/index.ts'
import type { IncomingCall, MethodNumber, RpcStream } from './rpc.ts'

export type Handlers = {
  readonly calls: Map<MethodNumber, (call: IncomingCall) => Promise<Uint8Array>>
  readonly streams: Map<MethodNumber, (stream: RpcStream, call: IncomingCall) => Promise<void>>
  readonly messages: Map<MethodNumber, (from: NodeId, message: Uint8Array) => void>
}

/** The signal and its timer are made when the handler first asks: most never do. */
export class ServedCall implements IncomingCall {
  readonly from: NodeId
  readonly request: Uint8Array
  readonly deadlineMs: number
  readonly #clock: Clock
  readonly #arrivedMs: number
  #abort: AbortController | undefined
  #timer: Timer | undefined
  #fault: Fault | undefined

  constructor(
    clock: Clock,
    call: { readonly from: NodeId; readonly request: Uint8Array; readonly deadlineMs: number },
  ) {
    this.#clock = clock
    this.#arrivedMs = clock.monotonicMs()
    this.from = call.from
    this.request = call.request
    this.deadlineMs = call.deadlineMs
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) this.#abort = this.#makeSignal()
    return this.#abort.signal
  }

  /** True once nobody waits for the answer. */
  get isCancelled(): boolean {
    return this.#fault !== undefined
  }

  cancel(fault: Fault): void {
    if (this.#fault !== undefined) return
    this.#fault = fault
    this.#timer?.cancel()
    this.#abort?.abort(fault)
  }

  /** The handler has ended. */
  finish(): void {
    this.#timer?.cancel()
  }

  #makeSignal(): AbortController {
    const abort = new AbortController()
    if (this.#fault !== undefined) {
      abort.abort(this.#fault)
      return abort
    }
    const leftMs = this.deadlineMs - (this.#clock.monotonicMs() - this.#arrivedMs)
    this.#timer = this.#clock.after(Math.max(0, leftMs), () => this.cancel(deadlineFault()))
    return abort
  }
}

export function deadlineFault(): Fault {
  return new Fault('deadline', 'the call has run out of time', { outcome: 'unknown' })
}
