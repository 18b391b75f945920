// Answers of SQL's HTTP API, as routes.ts names them; loaded with the first request.

import { Fault, faultTable, fromHex, utf8Encode } from '../../base/index.ts'
import type { HttpResponse } from '../../host/index.ts'
import type { ReadLevel, SqlResult, SqlStatement, SqlStatus } from '../../sql/index.ts'
import { type AdminCall, readBytes } from '../admin/routes.ts'
import type { AnsweredDatabase } from './routes.ts'
import { answerResults, answerText, parseStatements, type Shape } from './bodies.ts'

export type Answering = {
  readonly call: AdminCall
  readonly database: AnsweredDatabase
  readonly monotonicMs: () => number
}

const bodyBytesMax = 4 * 1024 * 1024
const levels: Readonly<Record<string, ReadLevel>> = {
  none: 'none',
  weak: 'leader',
  auto: 'leader',
  linearizable: 'linearizable',
  strong: 'linearizable',
}
const notHere = [
  'queue',
  'freshness_strict',
  'qualify_columns',
  'raft_index',
  'norwrandom',
  'norwtime',
]
const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }
/** What may be a query; whether it is one the reader says. */
const reading = /^\s*(?:select|values|explain|pragma|with)\b/i

export const answers = {
  execute: (asked: Answering) => timed(asked, executeOn),
  query: (asked: Answering) => timed(asked, queryOn),
  request: (asked: Answering) => timed(asked, requestOn),
  status: async ({ call, database }: Answering) =>
    answerText(200, shownStatus(await database.status()), shapeOf(call)),
  replicas: async ({ call, database }: Answering) =>
    answerText(200, { replicas: await database.replicas() }, shapeOf(call)),
  nodes: async ({ call, database }: Answering) =>
    answerText(200, shownNodes(await database.status()), shapeOf(call)),
  leader: async ({ call, database }: Answering) => answerLeader(call, await database.status()),
  ready: async ({ call, database }: Answering) => answerReady(call, await database.status()),
  notYet: async ({ call }: Answering): Promise<HttpResponse> => {
    throw new Fault('unsupported', `${call.request.target.split('?')[0]} is not available yet`)
  },
}

type Run = (
  call: AdminCall,
  database: AnsweredDatabase,
  statements: readonly SqlStatement[],
) => Promise<readonly SqlResult[]>

async function timed({ call, database, monotonicMs }: Answering, run: Run): Promise<HttpResponse> {
  const found = notHere.find((name) => call.query.has(name))
  if (found !== undefined) throw new Fault('unsupported', `${found} is not available`)
  const statements = await statementsOf(call)
  const startedMs = monotonicMs()
  const results = await run(call, database, statements)
  return answerResults(results, { shape: shapeOf(call), elapsedMs: monotonicMs() - startedMs })
}

async function statementsOf({ request, query }: AdminCall): Promise<readonly SqlStatement[]> {
  if (request.method !== 'GET') return parseStatements(await readBytes(request, bodyBytesMax))
  const sql = query.get('q')
  if (sql === undefined) throw new Fault('invalid', 'the parameter q is the query')
  return [{ sql }]
}

/** A request that only reads needs no entry of the log. */
async function requestOn(
  call: AdminCall,
  database: AnsweredDatabase,
  statements: readonly SqlStatement[],
): Promise<readonly SqlResult[]> {
  if (statements.every(({ sql }) => reading.test(sql))) {
    const results = await queryOn(call, database, statements)
    if (results.every(({ error }) => error !== 'a query may not change anything')) return results
  }
  return await executeOn(call, database, statements)
}

async function executeOn(
  call: AdminCall,
  database: AnsweredDatabase,
  statements: readonly SqlStatement[],
): Promise<readonly SqlResult[]> {
  const isAtomic = isSet(call, 'transaction')
  const id = batchIdOf(call)
  const given = { ...timeoutOf(call), ...(id === undefined ? {} : { id }) }
  const { results } = await database.execute(statements, { isAtomic, ...given })
  return results
}

async function queryOn(
  call: AdminCall,
  database: AnsweredDatabase,
  statements: readonly SqlStatement[],
): Promise<readonly SqlResult[]> {
  const level = levels[call.query.get('level') ?? 'weak']
  if (level === undefined) {
    throw new Fault('invalid', `level is one of ${Object.keys(levels).join(', ')}`)
  }
  const freshMs = durationOf(call, 'freshness')
  const fresh = freshMs === undefined ? {} : { freshMs }
  return await database.query(statements, { level, ...fresh, ...timeoutOf(call) })
}

function batchIdOf({ request }: AdminCall): Uint8Array | undefined {
  const text = request.headers.find(([name]) => name === 'atoll-batch-id')?.[1]
  if (text === undefined) return undefined
  if (/^[0-9a-f]{32}$/.test(text)) return fromHex(text)
  throw new Fault('invalid', 'atoll-batch-id has 32 hexadecimal digits')
}

function shapeOf(call: AdminCall): Shape {
  return {
    isPretty: isSet(call, 'pretty'),
    isAssociative: isSet(call, 'associative'),
    hasTimings: isSet(call, 'timings'),
    hasBlobArrays: isSet(call, 'blob_array'),
  }
}

/** There, and not said to be false. */
function isSet({ query: given }: AdminCall, name: string): boolean {
  const value = given.get(name)
  return value !== undefined && value !== 'false' && value !== '0'
}

function timeoutOf(call: AdminCall): { readonly timeoutMs?: number } {
  const timeoutMs = durationOf(call, 'timeout') ?? durationOf(call, 'db_timeout')
  return timeoutMs === undefined ? {} : { timeoutMs }
}

function durationOf({ query: given }: AdminCall, name: string): number | undefined {
  const text = given.get(name)
  if (text === undefined) return undefined
  const [, count, unit = ''] = /^(\d{1,7}(?:\.\d{1,3})?)(ms|s|m)$/.exec(text) ?? []
  const ms = Number(count) * (unitMs[unit] ?? Number.NaN)
  if (Number.isNaN(ms)) throw new Fault('invalid', `${name} is a duration like 5s or 200ms`)
  return ms
}

function shownStatus(status: SqlStatus): unknown {
  const { role, term, commit, applied, digest, leader, voters, learners, name, group } = status
  const state = role === 'leader' ? 'Leader' : role === 'candidate' ? 'Candidate' : 'Follower'
  const raft = {
    state,
    term,
    commit_index: commit,
    voter: role !== 'learner',
    num_peers: voters.length + learners.length - 1,
  }
  return {
    store: {
      raft,
      leader: { node_id: leader === 0 ? '' : String(leader) },
      db_applied_index: applied,
      digest,
      nodes: [...voters, ...learners].map(String),
    },
    atoll: {
      name,
      group,
      is_engine_running: status.isEngineRunning,
      is_whole: status.isWhole,
      differing: status.differing,
    },
  }
}

function shownNodes({ voters, learners, leader }: SqlStatus): unknown {
  const node = (id: number, voter: boolean) =>
    [String(id), { id: String(id), voter, leader: id === leader }] as const
  return Object.fromEntries([
    ...voters.map((id) => node(id, true)),
    ...learners.map((id) => node(id, false)),
  ])
}

function answerLeader(call: AdminCall, status: SqlStatus): HttpResponse {
  if (status.leader === 0) throw new Fault('unavailable', 'leader not found')
  const leader = { id: String(status.leader), voter: true, leader: true }
  return answerText(200, leader, shapeOf(call))
}

function answerReady(call: AdminCall, { leader }: SqlStatus): HttpResponse {
  const isReady = leader !== 0 || isSet(call, 'noleader')
  const body = utf8Encode(
    `[+]node ok\n[${leader === 0 ? '-' : '+'}]leader ${leader === 0 ? 'not found' : 'ok'}\n`,
  )
  return {
    status: isReady ? 200 : 503,
    headers: [
      ['content-type', 'text/plain; charset=utf-8'],
      ['content-length', String(body.length)],
    ],
    body,
  }
}

/** rqlite's clients read `error` as a text. */
export function answerFault(
  { code, message, next, outcome }: Fault,
  call: AdminCall,
): HttpResponse {
  const more = next === undefined ? {} : { next }
  const error = { error: message, code, outcome, ...more }
  return answerText(faultTable[code].httpStatus, error, shapeOf(call))
}
