// Threads without threads (zero-thread mode, tests): programs run on the caller's loop, their messages
// are copied and delivered in order on a later turn, so that a program cannot tell the difference.

import { Fault, toFault } from '../base/index.ts'
import type { Host, Port, ThreadProgram, Threads } from './host.ts'

/** Runs every program on the loop of `host`, with a host that starts further programs there too. */
export function createLoopThreads(host: Host): Threads {
  const threads: Threads = {
    async start(program, input) {
      const [ours, theirs] = createLoopPorts((run) => host.clock.soon(run))
      startOnLoop({ ...host, threads }, program, { port: theirs, input: input.slice() })
      return {
        port: ours,
        async stop() {
          ours.close()
        },
      }
    },
  }
  return threads
}

function startOnLoop(
  host: Host,
  program: ThreadProgram,
  given: { readonly port: Port; readonly input: Uint8Array },
): void {
  program.run(host, given.port, given.input).catch((error: unknown) => {
    host.journal.fatal('thread.failed', toFault(error))
  })
}

/** Two ends of a channel; `soon` runs a function on a later turn, in order of asking. */
export function createLoopPorts(soon: (run: () => void) => void): readonly [Port, Port] {
  const a = new LoopPort(soon)
  const b = new LoopPort(soon)
  a.peer = b
  b.peer = a
  return [a, b]
}

class LoopPort implements Port {
  peer: LoopPort | undefined
  readonly #soon: (run: () => void) => void
  #isClosed = false
  #arrived: Uint8Array[] = []
  #isScheduled = false
  #receive: ((message: Uint8Array) => void) | undefined

  constructor(soon: (run: () => void) => void) {
    this.#soon = soon
  }

  set onMessage(receive: (message: Uint8Array) => void) {
    this.#receive = receive
    if (this.#arrived.length > 0) this.#schedule()
  }

  get onMessage(): (message: Uint8Array) => void {
    return this.#receive ?? refuseUnset
  }

  send(message: Uint8Array, options?: { readonly transfer?: boolean }): void {
    const peer = this.peer
    if (this.#isClosed || peer === undefined || peer.#isClosed) return
    peer.#arrived.push(options?.transfer === true ? moveBytes(message) : new Uint8Array(message))
    if (peer.#receive !== undefined) peer.#schedule()
  }

  close(): void {
    this.#isClosed = true
    if (this.peer !== undefined) this.peer.#isClosed = true
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#soon(() => {
      this.#isScheduled = false
      const messages = this.#arrived
      this.#arrived = []
      for (const message of messages) if (!this.#isClosed) this.#receive?.(message)
    })
  }
}

function refuseUnset(): void {
  throw new Fault('internal', 'a port receives nothing before its onMessage is set')
}

/** The bytes in a buffer of their own; the given view becomes empty when it covers its whole buffer. */
function moveBytes(view: Uint8Array): Uint8Array {
  const { buffer } = view
  if (!(buffer instanceof ArrayBuffer) || view.length !== buffer.byteLength) {
    return new Uint8Array(view)
  }
  return new Uint8Array(buffer.transfer())
}
