// A node's end of an engine's process: started when it is first asked, killed when a request takes longer than it may.
// Requests are answered in order; the bytes that wait are bounded.

import { Fault, faultCodec, utf8Encode } from '../base/index.ts'
import type { Host, RunningProcess, Timer } from '../host/index.ts'
import {
  type EngineAct,
  type EngineInput,
  type EngineReply,
  encodeAct,
  rawReplyCodec,
  replyOf,
} from './core/engine-wire.ts'
import { engineProgram } from './engine-program.ts'

export type AskOptions = {
  /** The process is killed then, and every request that waits there fails with 'deadline'. Absent: as long as it takes. */
  readonly deadlineMs?: number
}

type Asked = {
  readonly number: number
  readonly message: Uint8Array
  readonly resolve: (reply: EngineReply) => void
  readonly reject: (fault: Fault) => void
  readonly deadlineMs: number | undefined
}

const waitingBytesMax = 128 * 1024 * 1024

export class EngineClient {
  readonly #host: Host
  readonly #input: EngineInput
  readonly #waiting: Asked[] = []
  #waitingBytes = 0
  #process: RunningProcess | undefined
  #starting: Promise<void> | undefined
  /** What ends of processes that were killed must be over before another is started: they hold the file. */
  #ending: Promise<void> = Promise.resolve()
  #timer: Timer | undefined
  #numbers = 0
  #isClosed = false

  constructor(host: Host, input: EngineInput) {
    this.#host = host
    this.#input = input
  }

  get isRunning(): boolean {
    return this.#process !== undefined
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0
  }

  /**
   * Faults: what the engine says; 'deadline' after a kill; 'unavailable' when the process ended, outcome unknown: a
   * transaction that was open is undone, one that was being committed may be there. 'overloaded' when too much waits.
   */
  ask(act: EngineAct, { deadlineMs }: AskOptions = {}): Promise<EngineReply> {
    if (this.#isClosed) return Promise.reject(new Fault('cancelled', 'the database was closed'))
    const number = ++this.#numbers
    const message = encodeAct(number, act)
    if (this.#waitingBytes + message.length > waitingBytesMax) {
      return Promise.reject(new Fault('overloaded', 'too much waits for the SQL engine'))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ number, message, resolve, reject, deadlineMs })
      this.#waitingBytes += message.length
      if (this.#process === undefined) this.#start()
      else this.#process.port.send(message)
      if (this.#waiting.length === 1) this.#watch()
    })
  }

  /** Ends the process, if there is one; it starts again when it is asked. */
  async stop(): Promise<void> {
    this.#kill(new Fault('unavailable', 'the SQL engine was stopped', { outcome: 'unknown' }))
    await this.#ending
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#starting
    await this.stop()
  }

  #start(): void {
    this.#starting ??= this.#begin().then(
      () => {
        this.#starting = undefined
      },
      (error: unknown) => {
        this.#starting = undefined
        const fault = error instanceof Fault ? error : new Fault('internal', String(error))
        this.#kill(fault)
      },
    )
  }

  async #begin(): Promise<void> {
    await this.#ending
    const input = utf8Encode(JSON.stringify(this.#input))
    let own: RunningProcess | undefined
    const started = await this.#host.processes.start(engineProgram, input, {
      onEnd: (fault) => {
        if (own === undefined || this.#process !== own) return
        this.#host.journal.event('warning', 'sql.engine_ended', { what: fault.message })
        const options = { outcome: 'unknown' } as const
        this.#kill(new Fault('unavailable', `the SQL engine stopped: ${fault.message}`, options))
      },
    })
    own = started
    this.#process = started
    started.port.onMessage = (message) => this.#receive(message)
    for (const { message } of this.#waiting) started.port.send(message)
    this.#watch()
  }

  #receive(message: Uint8Array): void {
    const raw = rawReplyCodec.decode(message)
    const asked = this.#waiting[0]
    if (asked === undefined || raw.number !== asked.number) return
    this.#waiting.shift()
    this.#waitingBytes -= asked.message.length
    this.#watch()
    if (raw.fault.length > 0) asked.reject(faultCodec.decode(raw.fault))
    else asked.resolve(replyOf(raw))
  }

  /** The deadline counts from when the request is the engine's turn. */
  #watch(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const deadlineMs = this.#waiting[0]?.deadlineMs
    if (deadlineMs === undefined || this.#process === undefined) return
    this.#timer = this.#host.clock.after(deadlineMs, () => {
      this.#host.journal.event('warning', 'sql.engine_killed', { afterMs: deadlineMs })
      this.#kill(new Fault('deadline', `the statement ran longer than ${deadlineMs} ms`))
    })
  }

  #kill(fault: Fault): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const ended = this.#process?.kill()
    this.#process = undefined
    if (ended !== undefined) this.#ending = ended
    const waiting = this.#waiting.splice(0)
    this.#waitingBytes = 0
    for (const { reject } of waiting) reject(fault)
  }
}
