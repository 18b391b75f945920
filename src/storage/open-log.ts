// The caller's side of the log: encodes what append() is given, sends what a turn collected as one
// buffer, and calls `done` in the order of append(). The files are a LogBackend's (log-lane.ts).

import { assert, Fault, type GroupId, type LogIndex } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { BatchEncoder } from './core/log-batch.ts'
import { type LogBackend, openLoopBackend, openThreadBackend } from './log-thread.ts'
import type {
  GroupAppend,
  Log,
  LogEntry,
  LogOptions,
  LogStatistics,
  RecoveredGroup,
} from './log.ts'

const segmentBytesDefault = 4 * 1024 * 1024
const waitingBytesDefault = 64 * 1024 * 1024

/**
 * Opens the log below `options.path` and recovers what it holds. Fault 'corrupt' when acknowledged
 * bytes are damaged. A failed write or sync later stops the node through host.journal.fatal.
 */
export async function openLog(host: Host, options: LogOptions): Promise<Log> {
  const lane = { path: options.path, segmentBytes: options.segmentBytes ?? segmentBytesDefault }
  let log: SharedLog | undefined
  const onDone = (batches: number, fault: Fault | undefined): void => log?.onDone(batches, fault)
  const open = options.ownThread === false ? openLoopBackend : openThreadBackend
  const backend = await open(host, lane, onDone)
  log = new SharedLog(host, backend, options.waitingBytesMax ?? waitingBytesDefault)
  return log
}

type Waiting = { readonly done: (fault?: Fault) => void; readonly bytes: number }

class SharedLog implements Log {
  readonly recovered: ReadonlyMap<GroupId, RecoveredGroup>
  readonly #host: Host
  readonly #backend: LogBackend
  readonly #waitingBytesMax: number
  readonly #encoder = new BatchEncoder()
  #waiting: Waiting[] = []
  #waitingHead = 0
  #waitingBytes = 0
  #appendedBatches = 0
  #isSendScheduled = false
  #isClosed = false
  #onIdle: (() => void) | undefined
  readonly #send = (): void => {
    this.#isSendScheduled = false
    if (this.#encoder.length > 0) this.#backend.write(this.#encoder.take())
  }

  constructor(host: Host, backend: LogBackend, waitingBytesMax: number) {
    this.#host = host
    this.#backend = backend
    this.#waitingBytesMax = waitingBytesMax
    this.recovered = new Map(backend.recovered.map((group) => [group.group, group]))
  }

  append(batch: readonly GroupAppend[], done: (fault?: Fault) => void): void {
    assert(!this.#isClosed, 'a closed log is not used')
    if (this.#waitingBytes >= this.#waitingBytesMax) {
      throw new Fault('overloaded', `${this.#waitingBytes} bytes wait for the log's disk already`)
    }
    const before = this.#encoder.length
    this.#encoder.addBatch(batch)
    const bytes = this.#encoder.length - before
    this.#waiting.push({ done, bytes })
    this.#waitingBytes += bytes
    this.#appendedBatches++
    if (this.#isSendScheduled) return
    this.#isSendScheduled = true
    this.#host.clock.soon(this.#send)
  }

  read(
    group: GroupId,
    range: { readonly low: LogIndex; readonly high: LogIndex; readonly bytesMax: number },
  ): Promise<readonly LogEntry[]> {
    return this.#backend.read(group, range)
  }

  statistics(): LogStatistics {
    return { ...this.#backend.statistics(), appendedBatches: this.#appendedBatches }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#waiting.length > this.#waitingHead) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    await this.#backend.close()
  }

  onDone(batches: number, fault: Fault | undefined): void {
    for (let i = 0; i < batches; i++) {
      const waiting = this.#waiting[this.#waitingHead++]
      assert(waiting !== undefined, 'every reported batch was appended')
      this.#waitingBytes -= waiting.bytes
      waiting.done(fault)
    }
    if (this.#waitingHead === this.#waiting.length) {
      this.#waiting = []
      this.#waitingHead = 0
      this.#onIdle?.()
    } else if (this.#waitingHead > 4096) {
      this.#waiting = this.#waiting.slice(this.#waitingHead)
      this.#waitingHead = 0
    }
  }
}
