// The databases of a node as its data thread sees them: requests go to the core over a port (core/lane-wire.ts).

import { assert, faultCodec } from '../base/index.ts'
import type { Host, Port } from '../host/index.ts'
import { resultOf } from './core/answer.ts'
import { rawStatement } from './core/entry.ts'
import {
  emptyRequest,
  type LaneAct,
  type LaneReply,
  type LaneRequest,
  laneReplyCodec,
  laneRequestCodec,
} from './core/lane-wire.ts'
import { executeAnswerOf, makeBatch, timeoutOf } from './requests.ts'
import type { SqlDatabase, SqlReplica, SqlStatus } from './sql.ts'

export type LaneDatabases = {
  list(): Promise<readonly string[]>
  create(name: string): Promise<void>
  drop(name: string): Promise<void>
  /** Whether it is there the first request says. */
  database(name: string): LaneDatabase
}

/** As SqlDatabase without transactions that wait; its status is asked for. */
export type LaneDatabase = Omit<SqlDatabase, 'status' | 'begin'> & { status(): Promise<SqlStatus> }

export function createLaneDatabases(host: Host, port: Port): LaneDatabases {
  const lane = new Lane(port)
  return {
    async list() {
      return JSON.parse((await lane.ask('list', {})).json)
    },
    create: async (name) => void (await lane.ask('create', { name })),
    drop: async (name) => void (await lane.ask('drop', { name })),
    database: (name) => databaseOf(lane, host, name),
  }
}

function databaseOf(lane: Lane, host: Host, name: string): LaneDatabase {
  return {
    name,
    async execute(statements, options = {}) {
      const batch = makeBatch(host, statements, options)
      const timeoutMs = timeoutOf(options.timeoutMs)
      return executeAnswerOf(await lane.ask('execute', { name, batch, timeoutMs }))
    },
    async query(statements, { level = 'leader', freshMs, timeoutMs } = {}) {
      const { results, elapsedUs } = await lane.ask('query', {
        name,
        statements: statements.map(rawStatement),
        level,
        freshMs: freshMs === undefined ? 0 : Math.floor(freshMs) + 1,
        timeoutMs: timeoutOf(timeoutMs),
      })
      return results.flatMap((one, at) =>
        one === undefined ? [] : [{ ...resultOf(one), elapsedUs: elapsedUs[at] ?? 0 }],
      )
    },
    async status() {
      return JSON.parse((await lane.ask('status', { name })).json) as SqlStatus
    },
    async replicas() {
      return JSON.parse((await lane.ask('replicas', { name })).json) as readonly SqlReplica[]
    },
  }
}

/** Requests are bounded by who serves people, and by the core. */
class Lane {
  readonly #port: Port
  readonly #waiting = new Map<
    number,
    { readonly resolve: (reply: LaneReply) => void; readonly reject: (fault: unknown) => void }
  >()
  #numbers = 0

  constructor(port: Port) {
    this.#port = port
    port.onMessage = (encoded) => this.#receive(laneReplyCodec.decode(encoded))
  }

  ask(act: LaneAct, request: Partial<LaneRequest>): Promise<LaneReply> {
    const number = ++this.#numbers
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject })
      this.#port.send(laneRequestCodec.encode({ ...emptyRequest, ...request, act, number }))
    })
  }

  #receive(reply: LaneReply): void {
    const waiting = this.#waiting.get(reply.number)
    assert(waiting !== undefined, 'the core answers what it was asked, once')
    this.#waiting.delete(reply.number)
    if (reply.fault.length > 0) waiting.reject(faultCodec.decode(reply.fault))
    else waiting.resolve(reply)
  }
}
