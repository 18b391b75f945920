// Probes: /health as all releases of etcd have it, /livez and /readyz as those since 3.5.11 do, in etcd's words.
//
//   livez    serializable_read
//   readyz   linearizable_read, non_learner, data_corruption, serializable_read
//
// Each check is also a page of its own below; '?verbose' lists them, '?exclude=NAME' leaves one out.

import { utf8Encode } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'
import type { Context } from './context.ts'
import { ailmentOf } from './upkeep.ts'

type Check = (context: Context) => Promise<string | undefined>

const allAlarms = ['NOSPACE', 'CORRUPT']

const checks: Readonly<Record<string, Check>> = {
  linearizable_read: (context) =>
    ailmentOf(context, { isSerializable: false, excluded: allAlarms }),
  non_learner: async ({ cluster }) =>
    cluster.group().isLearner ? 'this member is a learner' : undefined,
  data_corruption: async (context) => {
    const { alarms } = await context.keyspace.status()
    return alarms.includes('corrupt') ? 'alarm activated: CORRUPT' : undefined
  },
  serializable_read: (context) => ailmentOf(context, { isSerializable: true, excluded: allAlarms }),
}

const probes: Readonly<Record<string, readonly string[]>> = {
  '/livez': ['serializable_read'],
  '/readyz': ['linearizable_read', 'non_learner', 'data_corruption', 'serializable_read'],
}

/** Undefined when the request is for no probe. */
export async function answerProbe(
  context: Context,
  request: HttpRequest,
): Promise<HttpResponse | undefined> {
  const [path = '', query = ''] = request.target.split('?')
  const names = namesOf(path)
  if (names === undefined && path !== '/health') return undefined
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return plain(405, 'Method Not Allowed\n', [['allow', 'GET']])
  }
  const asked = new URLSearchParams(query)
  if (names !== undefined) return await answerChecks(context, { path, names, asked })
  return await answerHealth(context, asked)
}

/** The checks of a path: all of a probe, or one. */
function namesOf(path: string): readonly string[] | undefined {
  const [, probe = '', name] = /^(\/(?:livez|readyz))(?:\/([a-z_]+))?$/.exec(path) ?? []
  const all = probes[probe]
  if (all === undefined || name === undefined) return all
  return all.includes(name) ? [name] : undefined
}

async function answerHealth(context: Context, asked: URLSearchParams): Promise<HttpResponse> {
  const isSerializable = asked.get('serializable') === 'true'
  const ailment = await ailmentOf(context, { isSerializable, excluded: asked.getAll('exclude') })
  const isWell = ailment === undefined
  if (isWell) context.counters.goodHealth++
  else context.counters.badHealth++
  const body = utf8Encode(JSON.stringify({ health: String(isWell), reason: ailment ?? '' }))
  return { status: isWell ? 200 : 503, headers: [['content-type', 'application/json']], body }
}

async function answerChecks(
  context: Context,
  ask: {
    readonly path: string
    readonly names: readonly string[]
    readonly asked: URLSearchParams
  },
): Promise<HttpResponse> {
  const excluded = ask.asked.getAll('exclude')
  let list = ''
  let isWell = true
  for (const name of ask.names) {
    if (excluded.includes(name)) continue
    const ailment = await checks[name]?.(context)
    if (ailment !== undefined) isWell = false
    list += ailment === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${ailment}\n`
  }
  if (!isWell) return plain(503, `${list}${ask.path} check failed\n`)
  return plain(200, ask.asked.has('verbose') ? `${list}ok\n` : 'ok\n')
}

/** As Go's http.Error answers. */
export function plain(
  status: number,
  text: string,
  more: readonly (readonly [string, string])[] = [],
): HttpResponse {
  const headers = [['content-type', 'text/plain; charset=utf-8'], ...more] as const
  return { status, headers, body: utf8Encode(text) }
}
