// Reader processes of one database: few, started as they are needed, one request at a time in each, so that a request that
// is killed at its deadline takes nobody with it.

import { BoundedQueue, Fault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { EngineClient } from './engine-client.ts'
import type { SqlResult, SqlStatement } from './sql.ts'

const readersMax = 2
const waitingMax = 256

type Wanted = {
  readonly statements: readonly SqlStatement[]
  readonly deadlineMs: number
  readonly resolve: (results: readonly SqlResult[]) => void
  readonly reject: (error: unknown) => void
}

export class Readers {
  readonly #host: Host
  readonly #path: string
  readonly #idle: EngineClient[] = []
  readonly #all: EngineClient[] = []
  readonly #waiting = new BoundedQueue<Wanted>(waitingMax)
  #isClosed = false

  constructor(host: Host, path: string) {
    this.#host = host
    this.#path = path
  }

  get isIdle(): boolean {
    return this.#idle.length === this.#all.length
  }

  /** Faults 'overloaded', 'deadline', 'unavailable'. */
  query(
    statements: readonly SqlStatement[],
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<readonly SqlResult[]> {
    if (this.#isClosed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      const wanted = { statements, deadlineMs, resolve, reject }
      const reader = this.#idle.pop() ?? this.#maybeMake()
      if (reader !== undefined) return this.#serve(reader, wanted)
      if (!this.#waiting.push(wanted)) {
        reject(new Fault('overloaded', 'too many queries wait for a SQL reader'))
      }
    })
  }

  /** Ends the processes; they start again when they are asked. */
  async stop(): Promise<void> {
    await Promise.all(this.#all.map((reader) => reader.stop()))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      next.reject(closed())
    }
    await Promise.all(this.#all.map((reader) => reader.close()))
  }

  #maybeMake(): EngineClient | undefined {
    if (this.#all.length >= readersMax) return undefined
    const made = new EngineClient(this.#host, { path: this.#path, isReader: true })
    this.#all.push(made)
    return made
  }

  #serve(reader: EngineClient, { statements, deadlineMs, resolve, reject }: Wanted): void {
    reader
      .ask({ kind: 'query', statements }, { deadlineMs })
      .then(({ results }) => resolve(results), reject)
      .then(() => {
        const next = this.#waiting.shift()
        if (next === undefined) this.#idle.push(reader)
        else this.#serve(reader, next)
      })
  }
}

function closed(): Fault {
  return new Fault('unavailable', 'the database is being replaced or closed')
}
