// Calls this side makes on one link. A call settles exactly once: with the answer, the peer's fault, its
// deadline, its signal, or the end of the link. What the peer may have begun has outcome 'unknown'.

import { Fault } from '../base/index.ts'
import type { Timer } from '../host/index.ts'
import { frameType } from './core/frame.ts'
import { decodeFault } from './fault-bytes.ts'
import { deadlineFault } from './handlers.ts'
import { deadlineOnWire, type LinkContext } from './link-context.ts'
import type { CallOptions, MethodNumber } from './rpc.ts'

type PendingCall = {
  readonly resolve: (answer: Uint8Array) => void
  readonly reject: (fault: Fault) => void
  timer: Timer | undefined
  signal: AbortSignal | undefined
  onAbort: (() => void) | undefined
}

export class Calls {
  readonly #context: LinkContext
  readonly #pending = new Map<number, PendingCall>()

  constructor(context: LinkContext) {
    this.#context = context
  }

  get count(): number {
    return this.#pending.size
  }

  start(method: MethodNumber, request: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const refusal = this.#refusal(request, options)
    if (refusal !== undefined) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      const { host, out } = this.#context
      const id = this.#context.nextId()
      const deadlineMs = deadlineOnWire(options.deadlineMs)
      const { signal } = options
      const timer = host.clock.after(deadlineMs, () => this.#giveUp(id, deadlineFault()))
      const call: PendingCall = { resolve, reject, timer, signal, onAbort: undefined }
      if (signal !== undefined) {
        call.onAbort = () => this.#giveUp(id, cancelledFault('unknown'))
        signal.addEventListener('abort', call.onAbort)
      }
      this.#pending.set(id, call)
      out.push({ type: frameType.request, method, id, argument: deadlineMs }, request)
    })
  }

  /** `payload` belongs to the caller of the call from now on. */
  onResponse(id: number, payload: Uint8Array): void {
    this.#take(id)?.resolve(payload)
  }

  onFault(id: number, payload: Uint8Array): void {
    this.#take(id)?.reject(decodeFault(payload))
  }

  failAll(fault: Fault): void {
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(fault)
  }

  has(id: number): boolean {
    return this.#pending.has(id)
  }

  #giveUp(id: number, fault: Fault): void {
    const call = this.#take(id)
    if (call === undefined) return
    this.#context.out.push({ type: frameType.cancel, id })
    call.reject(fault)
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#pending.get(id)
    if (call === undefined) return undefined
    this.#pending.delete(id)
    call.timer?.cancel()
    if (call.onAbort !== undefined) call.signal?.removeEventListener('abort', call.onAbort)
    return call
  }

  #refusal(request: Uint8Array, options: CallOptions): Fault | undefined {
    const { limits, peerHello, out, peer } = this.#context
    if (options.signal?.aborted) return cancelledFault('failed')
    if (request.length > Math.min(limits.callBytesMax, peerHello.callBytesMax)) {
      return new Fault('too-large', `a request of ${request.length} bytes`)
    }
    if (
      this.#pending.size >= limits.callsInFlightMax ||
      out.queuedBytes + request.length > limits.queuedBytesMax
    ) {
      return new Fault('overloaded', `too much is under way to node ${peer}`)
    }
    return undefined
  }
}

export function cancelledFault(outcome: 'failed' | 'unknown'): Fault {
  return new Fault('cancelled', 'the caller has cancelled', { outcome })
}
