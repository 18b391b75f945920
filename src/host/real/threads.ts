// Threads as worker_threads. Each worker runs thread-bootstrap.ts, which builds the same host over the
// same root and calls the program. Two channels join it to its parent: the program's port (bytes) and
// a control channel for the journal's lines and for failures.
//
// A thread never fails alone: an error nobody caught, a fatal event, or an end that nobody asked for
// stops the node.

import { setFlagsFromString } from 'node:v8'
import { MessageChannel, type MessagePort, type Transferable, Worker } from 'node:worker_threads'
import { Fault } from '../../base/index.ts'
import type { Journal, Port, ThreadProgram, Threads } from '../host.ts'
import type { JournalOptions } from './journal.ts'

/** What a worker is started with (workerData). */
export type ThreadStart = {
  readonly rootPath: string
  readonly journal: Omit<JournalOptions, 'write'>
  readonly name: string
  readonly moduleUrl: string
  readonly exportName: string
  readonly isDiskBlocking: boolean
  readonly nice: number
  readonly input: Uint8Array
  readonly port: MessagePort
}

/** What a worker tells its parent on the control channel. */
export type ThreadNotice =
  | { readonly kind: 'ready' }
  | { readonly kind: 'line'; readonly line: string }
  | {
      readonly kind: 'fatal'
      readonly event: string
      readonly what: string
      readonly stack: string
    }

export type ThreadsOptions = {
  readonly rootPath: string
  readonly journalOptions: JournalOptions
  readonly journal: Journal
  /** Writes a line as it is. */
  readonly writeLine: (line: string) => void
}

export function createThreads(options: ThreadsOptions): Threads {
  return {
    start: (program, input, limits = {}) => startThread(options, { program, input, limits }),
  }
}

type Start = {
  readonly program: ThreadProgram
  readonly input: Uint8Array
  readonly limits: { readonly nice?: number }
}

// The flag of the process (scripts/node24.mjs) would go before what a thread is given of its own.
setFlagsFromString('--max-semi-space-size=0')
/** What a message makes dies young, and bytes lie outside of V8's heaps. */
const semiSpaceMebibytesDefault = 2
/** V8 counts two semi-spaces and what lies between them. */
const semiSpacesOfYoung = 3

async function startThread(
  options: ThreadsOptions,
  { program, input, limits }: Start,
): Promise<{ readonly port: Port; stop(): Promise<void> }> {
  const channel = new MessageChannel()
  const { write: _write, ...journal } = options.journalOptions
  const start: ThreadStart = {
    rootPath: options.rootPath,
    journal,
    name: program.name,
    moduleUrl: program.moduleUrl,
    exportName: program.exportName,
    isDiskBlocking: program.blockingDisk === true,
    nice: limits.nice ?? 0,
    input: new Uint8Array(input),
    port: channel.port2,
  }
  const worker = new Worker(new URL('./thread-bootstrap.ts', import.meta.url), {
    name: program.name,
    workerData: start,
    transferList: [channel.port2],
    resourceLimits: {
      maxYoungGenerationSizeMb:
        semiSpacesOfYoung * (program.semiSpaceMebibytes ?? semiSpaceMebibytesDefault),
    },
  })
  const state = { isStopping: false }
  await untilReady(worker, options, { name: program.name, state })
  return {
    port: createPort(channel.port1),
    async stop() {
      state.isStopping = true
      channel.port1.close()
      await worker.terminate()
    },
  }
}

function untilReady(
  worker: Worker,
  options: ThreadsOptions,
  { name, state }: { readonly name: string; readonly state: { readonly isStopping: boolean } },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (event: string, error: unknown) => {
      if (state.isStopping) return
      reject(new Fault('internal', `thread ${name} failed`, { cause: error }))
      options.journal.fatal(event, error)
    }
    worker.on('message', (notice: ThreadNotice) => {
      if (notice.kind === 'ready') resolve()
      else if (notice.kind === 'line') options.writeLine(notice.line)
      else fail(notice.event, remoteError(notice))
    })
    worker.on('messageerror', (error) => fail('thread.failed', error))
    // An error may overtake what the thread told before it; the exit comes after all of that.
    let last: unknown
    worker.on('error', (error) => {
      last = error
    })
    worker.on('exit', (status) => {
      const ended = new Fault('internal', `thread ${name} ended with status ${status}`)
      fail('thread.failed', last ?? ended)
    })
  })
}

function remoteError(notice: { readonly what: string; readonly stack: string }): Error {
  const error = new Fault('internal', notice.what)
  error.stack = notice.stack
  return error
}

/** A program's end of a channel over a MessagePort. */
export function createPort(channel: MessagePort): Port {
  return new WorkerPort(channel)
}

const cloneBytesMax = 4096

class WorkerPort implements Port {
  readonly #channel: MessagePort
  #receive: ((message: Uint8Array) => void) | undefined

  constructor(channel: MessagePort) {
    this.#channel = channel
  }

  set onMessage(receive: (message: Uint8Array) => void) {
    const isFirst = this.#receive === undefined
    this.#receive = receive
    if (isFirst) this.#channel.on('message', (message: Uint8Array) => this.#receive?.(message))
  }

  get onMessage(): (message: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  send(message: Uint8Array, options?: { readonly transfer?: boolean }): void {
    const isWhole = message.buffer.byteLength === message.length && isTransferable(message.buffer)
    if (options?.transfer === true && isWhole) {
      this.#channel.postMessage(message, [message.buffer as Transferable & ArrayBuffer])
      return
    }
    // Cloning a view clones its whole buffer, so the copy is made here and moved when it is large.
    const copy = new Uint8Array(message)
    if (copy.length <= cloneBytesMax) this.#channel.postMessage(copy)
    else this.#channel.postMessage(copy, [copy.buffer])
  }

  close(): void {
    this.#channel.close()
  }
}

function isTransferable(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer
}
