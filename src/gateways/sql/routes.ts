// SQL on the admin port, as rqlite's HTTP API has it, below the name of a database:
//
//   GET    /sql                                 {"databases": [name]}
//   PUT    /sql/NAME, DELETE /sql/NAME          creates it, once however often; drops it with everything in it
//   POST   /sql/NAME/db/execute                 [statement, ...]                ?transaction &timings &pretty
//   GET    /sql/NAME/db/query?q=SELECT..., POST [statement, ...]                ?level &freshness &associative &blob_array
//   POST   /sql/NAME/db/request                 both, as each statement is
//   GET    /sql/NAME/status, /nodes, /leader, /readyz
//   GET    /sql/NAME/v2, /v3                    that this version of Hrana is spoken
//   POST   /sql/NAME/v2/pipeline, /v3/pipeline  a pipeline of Hrana's JSON (hrana/wire.ts)
//   GET    /sql/NAME/replicas                   {"replicas": [{"node", "applied", "digest"}]}, of all members now
//
// Statements of a request are one entry of the log; with `transaction` all of them or none. Levels: none, weak (the default), linearizable,
// strong (as linearizable), auto (as weak). The header `atoll-batch-id` (32 hexadecimal digits) makes asking again safe.
// What is not here answers 501 and says so.

import { Fault, toFault } from '../../base/index.ts'
import type { Host, HttpResponse } from '../../host/index.ts'
import type { SqlDatabase, SqlStatus } from '../../sql/index.ts'
import {
  type AdminAction,
  type AdminCall,
  type AdminMethod,
  type AdminRoute,
  answerJson,
} from '../admin/routes.ts'
import type { answers } from './answers.ts'
import type { Streams } from './hrana/index.ts'

/** Of the thread of the core, or asked for over its port. */
export type AnsweredDatabase = Omit<SqlDatabase, 'status' | 'begin'> & {
  status(): SqlStatus | Promise<SqlStatus>
}

export type SqlActions = {
  list(): Promise<readonly string[]>
  create(name: string): Promise<void>
  drop(name: string): Promise<void>
  database(name: string): Promise<SqlDatabase>
  monotonicMs(): number
  readonly host: Pick<Host, 'clock' | 'random' | 'journal'>
}

/** Method, path below a database, and who answers. */
export const requests: readonly (readonly [AdminMethod, string, keyof typeof answers])[] = [
  ['POST', 'db/execute', 'execute'],
  ['GET', 'db/query', 'query'],
  ['POST', 'db/query', 'query'],
  ['POST', 'db/request', 'request'],
  ['GET', 'status', 'status'],
  ['GET', 'nodes', 'nodes'],
  ['GET', 'replicas', 'replicas'],
  ['GET', 'leader', 'leader'],
  ['GET', 'readyz', 'ready'],
  ['GET', 'db/backup', 'notYet'],
  ['POST', 'db/load', 'notYet'],
  ['POST', 'db/sql', 'notYet'],
]

/** `actions` undefined: another engine keeps the state, so that there are no groups to command. */
export function sqlRoutes(actions: SqlActions | undefined): readonly AdminRoute[] {
  const sql = (): SqlActions => {
    if (actions !== undefined) return actions
    throw new Fault(
      'unsupported',
      'SQL databases are groups of nodes, which another engine replaces',
    )
  }
  const ofDatabases = requests.map(([method, path, name]): AdminRoute => {
    return {
      method,
      path: `/sql/{name}/${path}`,
      needs: 'admin:UseSqlDatabase',
      async answer(call) {
        call.isNoAct()
        const { answers, answerFault } = await import('./answers.ts')
        try {
          const database = await sql().database(nameOf(call))
          return await answers[name]({ call, database, monotonicMs: () => sql().monotonicMs() })
        } catch (error) {
          return answerFault(toFault(error), call)
        }
      },
    }
  })
  return [...manage(sql), ...ofDatabases, ...hrana(sql)]
}

/** Of Hrana, for clients of libSQL: their URL is that of /sql/NAME/. */
function hrana(sql: () => SqlActions): readonly AdminRoute[] {
  let streams: Streams | undefined
  const needs = 'admin:UseSqlDatabase'
  const pipeline = async (call: AdminCall): Promise<HttpResponse> => {
    call.isNoAct()
    const { answerPipeline, Streams } = await import('./hrana/index.ts')
    const { host } = sql()
    streams ??= new Streams(host)
    return await answerPipeline(call, { streams, database: () => sql().database(nameOf(call)) })
  }
  return ['v2', 'v3'].flatMap((version): readonly AdminRoute[] => [
    {
      method: 'GET',
      path: `/sql/{name}/${version}`,
      needs,
      answer: async () => answerJson(200, { version }),
    },
    { method: 'POST', path: `/sql/{name}/${version}/pipeline`, needs, answer: pipeline },
  ])
}

function manage(sql: () => SqlActions): readonly AdminRoute[] {
  const route = (
    method: AdminMethod,
    path: string,
    {
      needs,
      answer,
    }: { readonly needs: AdminAction; readonly answer: (call: AdminCall) => Promise<unknown> },
  ): AdminRoute => ({
    method,
    path,
    needs,
    answer: async (call) => answerJson(200, await answer(call)),
  })
  return [
    route('GET', '/sql', {
      needs: 'admin:ListSqlDatabases',
      answer: async () => ({ databases: await sql().list() }),
    }),
    route('PUT', '/sql/{name}', {
      needs: 'admin:CreateSqlDatabase',
      async answer(call) {
        await sql().create(nameOf(call))
        return (await sql().database(nameOf(call))).status()
      },
    }),
    route('DELETE', '/sql/{name}', {
      needs: 'admin:DropSqlDatabase',
      async answer(call) {
        await sql().drop(nameOf(call))
        return { dropped: nameOf(call) }
      },
    }),
  ]
}

function nameOf({ params }: AdminCall): string {
  return params.name ?? ''
}
