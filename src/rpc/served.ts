// Calls the peer makes on one link: each runs its handler once; the answer is dropped when nobody waits
// for it any more. A handler that throws anything but a Fault has a broken invariant and stops the node.

import { Fault, isFault, type NodeId } from '../base/index.ts'
import { type FrameHeader, frameType } from './core/frame.ts'
import { encodeFault } from './fault-bytes.ts'
import { ServedCall } from './handlers.ts'
import type { LinkContext } from './link-context.ts'

export class Served {
  readonly #context: LinkContext
  /** Those somebody waits for. */
  readonly #calls = new Map<number, ServedCall>()
  /** Handlers that run: a cancelled one counts until it ends. */
  #running = 0

  constructor(context: LinkContext) {
    this.#context = context
  }

  /** `request` belongs to the handler. Throws Fault 'invalid' when the peer uses an id twice. */
  onRequest(header: FrameHeader, request: Uint8Array): void {
    const { host, peer, handlers, limits, mayUse } = this.#context
    const { id, method, argument } = header
    if (this.#calls.has(id)) throw new Fault('invalid', `node ${peer} uses call id ${id} twice`)
    if (this.#running >= limits.callsInFlightMax) {
      this.#refuse(id, new Fault('overloaded', 'too many calls of one peer'))
      return
    }
    const handler = handlers.calls.get(method)
    if (handler === undefined) {
      this.#refuse(id, unknownMethod(method))
      return
    }
    if (!mayUse(method)) {
      this.#refuse(id, noMember(peer, method))
      return
    }
    const call = new ServedCall(host.clock, { from: peer, request, deadlineMs: argument })
    this.#calls.set(id, call)
    this.#running++
    handler(call).then(
      (answer) => this.#answer(id, call, answer),
      (error: unknown) => this.#fail(id, call, error),
    )
  }

  onCancel(id: number): void {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    call?.cancel(new Fault('cancelled', 'the caller has cancelled'))
  }

  cancelAll(fault: Fault): void {
    for (const call of this.#calls.values()) call.cancel(fault)
    this.#calls.clear()
  }

  #answer(id: number, call: ServedCall, answer: Uint8Array): void {
    if (!this.#finish(id, call)) return
    const { out, limits, peerHello } = this.#context
    if (answer.length > Math.min(limits.callBytesMax, peerHello.callBytesMax)) {
      const what = `an answer of ${answer.length} bytes`
      this.#refuse(id, new Fault('too-large', what, { outcome: 'unknown' }))
      return
    }
    if (out.queuedBytes + answer.length > limits.queuedBytesMax) {
      const what = 'answers wait for a slow reader'
      this.#refuse(id, new Fault('overloaded', what, { outcome: 'unknown' }))
      return
    }
    out.push({ type: frameType.response, id }, answer)
  }

  #fail(id: number, call: ServedCall, error: unknown): void {
    const isAwaited = this.#finish(id, call)
    if (!isFault(error)) this.#context.host.journal.fatal('rpc.handler_failed', error)
    else if (isAwaited) this.#refuse(id, error)
  }

  /** False when nobody waits for the answer. */
  #finish(id: number, call: ServedCall): boolean {
    this.#running--
    call.finish()
    if (this.#calls.get(id) !== call) return false
    this.#calls.delete(id)
    return !call.isCancelled
  }

  #refuse(id: number, fault: Fault): void {
    this.#context.out.push({ type: frameType.fault, id }, encodeFault(fault))
  }
}

/** Not for ever: the list here may lag behind. */
export function noMember(peer: NodeId, method: number): Fault {
  return new Fault(
    'unavailable',
    `node ${peer} is not in the member list as it is here: method ${method} is for members`,
  )
}

export function unknownMethod(method: number): Fault {
  return new Fault('unsupported', `method ${method} is not served here`)
}
