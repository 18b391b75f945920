// Streams of Hrana over HTTP: a client's session between its requests, found by a baton that only the newest answer has. A stream
// that is not asked for a while ends, and what is open in it is rolled back.

import { Fault, toFault, toHex } from '../../../base/index.ts'
import type { Host, Timer } from '../../../host/index.ts'
import type { SqlDatabase } from '../../../sql/index.ts'
import type { AdminCaller } from '../../admin/routes.ts'
import { SqlSession } from '../session.ts'
import { runPipeline, type StreamState } from './pipeline.ts'
import type { Pipeline } from './wire.ts'

const streamsMax = 1_024
const idleMs = 10_000
const batonBytes = 16

type Stream = StreamState & { readonly owner: string; timer: Timer | undefined }

export class Streams {
  readonly #host: Pick<Host, 'clock' | 'random' | 'journal'>
  readonly #streams = new Map<string, Stream>()
  #running = 0

  constructor(host: Pick<Host, 'clock' | 'random' | 'journal'>) {
    this.#host = host
  }

  /** Answers the body of a pipeline's response. Faults 'invalid' for a baton that is not known (any more), 'overloaded'. */
  async answer(
    database: SqlDatabase,
    caller: AdminCaller,
    { baton, requests }: Pipeline,
  ): Promise<unknown> {
    const owner = JSON.stringify([database.name, caller.tenant, caller.name])
    const stream = this.#take(owner, database, baton ?? undefined)
    this.#running++
    try {
      const results = await runPipeline(stream, requests)
      return { baton: stream.isClosed ? null : this.#keep(stream), base_url: null, results }
    } catch (error) {
      this.#end(stream)
      throw error
    } finally {
      this.#running--
    }
  }

  #take(owner: string, database: SqlDatabase, baton: string | undefined): Stream {
    if (baton === undefined) {
      if (this.#streams.size + this.#running >= streamsMax) {
        throw new Fault('overloaded', `more than ${streamsMax} streams are open on this node`)
      }
      const session = new SqlSession(database)
      return { session, texts: new Map(), isClosed: false, rowBytes: 0, owner, timer: undefined }
    }
    const stream = this.#streams.get(baton)
    // Somebody else's baton is as unknown as one that never was.
    if (stream === undefined || stream.owner !== owner) {
      throw new Fault('invalid', 'this node knows no stream of this baton', {
        next: `begin a new stream: one that is not asked for ${idleMs} ms ends`,
      })
    }
    this.#streams.delete(baton)
    stream.timer?.cancel()
    return stream
  }

  #keep(stream: Stream): string {
    const baton = toHex(this.#host.random.bytes(batonBytes))
    this.#streams.set(baton, stream)
    stream.timer = this.#host.clock.after(idleMs, () => {
      this.#streams.delete(baton)
      this.#end(stream)
    })
    return baton
  }

  #end({ session }: Stream): void {
    session.close().catch((error: unknown) => {
      const what = toFault(error).message
      this.#host.journal.event('notice', 'sql.stream_ended', { what })
    })
  }
}
