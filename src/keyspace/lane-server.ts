// The core's end of a data thread's port: runs its requests, answers once per turn, and tells how fresh
// the replicas are: within 100 ms of a change of a revision, and every 400 ms, so that an idle node
// rests. A data thread belongs to the node and is trusted with the kinds that it names; that a request
// is well formed is checked again where it is applied.

import { Fault, faultCodec, toFault } from '../base/index.ts'
import type { Host, Port, Timer } from '../host/index.ts'
import type { Transport } from './client.ts'
import {
  decodeLaneRequests,
  decodeName,
  encodeLaneNews,
  type LaneAnswer,
  type LaneFreshness,
  type LaneRequest,
} from './core/lane-wire.ts'

const revisionMs = 100
const ageMs = 400
const inFlightMax = 4096
/** Answers beyond this many bytes go in a further message of the same turn. */
const messageBytesMax = 8 * 1024 * 1024
const emptyBytes = new Uint8Array(0)

type LaneNamespace = { readonly name: string; readonly transport: Transport }

export class LaneServer {
  readonly #host: Host
  readonly #port: Port
  readonly #find: (name: string) => Transport
  readonly #namespaces: LaneNamespace[] = []
  readonly #running = new Map<number, AbortController>()
  readonly #timer: Timer
  readonly #unlisten: (() => void)[] = []
  #tellSoon: Timer | undefined
  #answers: LaneAnswer[] = []
  #answerBytes = 0
  #isFlushing = false
  #isClosed = false

  constructor(host: Host, port: Port, options: { readonly find: (name: string) => Transport }) {
    this.#host = host
    this.#port = port
    this.#find = options.find
    this.#timer = host.clock.every(ageMs, () => this.#tell())
    port.onMessage = (bytes) => {
      for (const request of decodeLaneRequests(bytes)) this.#take(request)
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer.cancel()
    this.#tellSoon?.cancel()
    for (const unlisten of this.#unlisten) unlisten()
    for (const running of this.#running.values()) running.abort()
    const answers = this.#answers
    this.#answers = []
    this.#port.send(encodeLaneNews({ answers, freshness: [], isClosed: true }))
  }

  #take(request: LaneRequest): void {
    if (this.#isClosed) return
    if (request.kind === 'cancel') this.#running.get(request.id)?.abort()
    else if (request.kind === 'open') this.#open(request)
    else void this.#run(request)
  }

  #open(request: LaneRequest): void {
    try {
      const name = decodeName(request.body)
      const transport = this.#find(name)
      let namespace = this.#namespaces.findIndex((known) => known.name === name) + 1
      if (namespace === 0) {
        namespace = this.#namespaces.push({ name, transport })
        this.#unlisten.push(transport.onRevision(() => this.#revisionChanged()))
      }
      this.#answer({ id: request.id, fault: emptyBytes, body: emptyBytes, namespace })
      this.#flush({ withFreshness: true })
    } catch (error) {
      this.#fail(request.id, toFault(error))
    }
  }

  /** Never rejects. */
  async #run(request: LaneRequest): Promise<void> {
    const { id, kind, deadlineMs, isSerializable } = request
    const controller = new AbortController()
    try {
      const transport = this.#namespaces[request.namespace - 1]?.transport
      if (transport === undefined || kind === 'open' || kind === 'cancel') {
        throw new Fault('invalid', 'the namespace was not opened')
      }
      if (this.#running.size >= inFlightMax) {
        throw new Fault('overloaded', `a data thread has ${inFlightMax} requests in flight`)
      }
      this.#running.set(id, controller)
      const { signal } = controller
      const options = { deadlineMs, isSerializable, signal }
      const body = await transport.request(kind, request.body, options)
      this.#answer({ id, fault: emptyBytes, body, namespace: 0 })
    } catch (error) {
      this.#fail(id, toFault(error))
    } finally {
      if (this.#running.get(id) === controller) this.#running.delete(id)
    }
  }

  #fail(id: number, fault: Fault): void {
    this.#answer({ id, fault: faultCodec.encode(fault), body: emptyBytes, namespace: 0 })
  }

  #answer(answer: LaneAnswer): void {
    this.#answers.push(answer)
    this.#answerBytes += answer.body.length
    if (this.#answerBytes >= messageBytesMax) {
      this.#flush({ withFreshness: false })
      return
    }
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#host.clock.soon(() => this.#flush({ withFreshness: false }))
  }

  #revisionChanged(): void {
    if (this.#isClosed) return
    this.#tellSoon ??= this.#host.clock.after(revisionMs, () => this.#tell())
  }

  #tell(): void {
    this.#tellSoon?.cancel()
    this.#tellSoon = undefined
    this.#flush({ withFreshness: true })
  }

  #flush(options: { readonly withFreshness: boolean }): void {
    if (!options.withFreshness) this.#isFlushing = false
    if (this.#isClosed) return
    const answers = this.#answers
    this.#answers = []
    this.#answerBytes = 0
    const freshness = options.withFreshness ? this.#freshness() : []
    if (answers.length === 0 && freshness.length === 0) return
    this.#port.send(encodeLaneNews({ answers, freshness, isClosed: false }), { transfer: true })
  }

  #freshness(): LaneFreshness[] {
    return this.#namespaces.map(({ transport }, i) => ({
      namespace: i + 1,
      ...transport.freshness(),
    }))
  }
}
