// The core's end of a data thread's requests for databases. How many are under way is bounded; beyond it they are refused.

import { Fault, faultCodec, toFault } from '../base/index.ts'
import type { Port } from '../host/index.ts'
import { rawResult } from './core/answer.ts'
import { statementOf } from './core/entry.ts'
import {
  emptyReply,
  type LaneReply,
  type LaneRequest,
  laneReplyCodec,
  laneRequestCodec,
} from './core/lane-wire.ts'
import type { LocalDatabase, ReadLevel } from './sql.ts'

export type ServedDatabases = {
  list(): Promise<readonly string[]>
  create(name: string): Promise<void>
  drop(name: string): Promise<void>
  /** Fault 'not-found'. */
  database(name: string): Promise<LocalDatabase>
}

const underWayMax = 8192

/** `databases` undefined: this node keeps none, and every request is refused. */
export function serveSqlLane(port: Port, databases: ServedDatabases | undefined): void {
  let underWay = 0
  const answer = async (asked: LaneRequest): Promise<Partial<LaneReply>> => {
    if (underWay > underWayMax) throw new Fault('overloaded', 'too many SQL requests are under way')
    if (databases === undefined) {
      throw new Fault(
        'unsupported',
        'SQL databases are groups of nodes, which another engine replaces',
      )
    }
    return await answerOne(asked, databases)
  }
  port.onMessage = (encoded) => {
    const asked = laneRequestCodec.decode(encoded)
    underWay++
    answer(asked)
      .catch((error: unknown) => ({ fault: faultCodec.encode(toFault(error)) }))
      .then((reply) => {
        underWay--
        port.send(laneReplyCodec.encode({ ...emptyReply, ...reply, number: asked.number }))
      })
  }
}

async function answerOne(
  asked: LaneRequest,
  databases: ServedDatabases,
): Promise<Partial<LaneReply>> {
  const { act, name, batch, timeoutMs } = asked
  if (act === 'list') return { json: JSON.stringify(await databases.list()) }
  if (act === 'create') {
    await databases.create(name)
    return {}
  }
  if (act === 'drop') {
    await databases.drop(name)
    return {}
  }
  const database = await databases.database(name)
  if (act === 'execute') {
    const ran = await database.executeEncoded(batch.slice(), { timeoutMs })
    return { answer: ran.answer, elapsedUs: ran.elapsedUs }
  }
  if (act === 'status') return { json: JSON.stringify(database.status()) }
  if (act === 'replicas') return { json: JSON.stringify(await database.replicas()) }
  const { level, freshMs, statements } = asked
  const given = statements.flatMap((one) => (one === undefined ? [] : [statementOf(one)]))
  const results = await database.query(given, {
    level: level as ReadLevel,
    timeoutMs,
    ...(freshMs === 0 ? {} : { freshMs: freshMs - 1 }),
  })
  return { results: results.map(rawResult), elapsedUs: results.map(({ elapsedUs }) => elapsedUs) }
}
