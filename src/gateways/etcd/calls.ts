// Running a call for whoever asks: its rule, then the call itself, under one document of users and roles.

import type { RequestOptions } from '../../keyspace/index.ts'
import type { HttpRequest } from '../../host/index.ts'
import { Fault } from '../../base/index.ts'
import type { Context, Method, MessageStream } from './context.ts'
import { checkRule } from './rules.ts'

/** gRPC's metadata 'token' (etcd's own clients), or 'authorization' (what the JSON gateway takes). */
export function tokenOf(request: HttpRequest): string | undefined {
  const named = (wanted: string): string | undefined =>
    request.headers.find(([name]) => name === wanted)?.[1]
  const token = named('token') ?? named('authorization') ?? named('grpc-metadata-token')
  return token?.replace(/^Bearer /i, '')
}

export async function runUnary(
  context: Context,
  method: Method,
  call: {
    readonly request: unknown
    readonly options: RequestOptions
    readonly token: string | undefined
  },
): Promise<unknown> {
  const { request, options, token } = call
  const { run } = method
  if (run.kind !== 'unary') throw new Fault('internal', `${method.name} is a stream`)
  // Another node may have answered the change that this one refers to: 'role name not found' would be wrong.
  if (method.name.startsWith(usersPrefix)) await context.gate.refresh()
  return await context.gate.run(token, async (permit) => {
    const guarded = { ...options, guard: permit.guard, permit }
    if (permit.state.isEnabled) {
      await checkRule(method, permit, { context, request, options: guarded })
    }
    return run.call(context, request, guarded)
  })
}

/** Rules of streams look at who asks; what each message asks for is the stream's to check. */
export async function runStream(
  context: Context,
  method: Method,
  stream: MessageStream<unknown, unknown>,
): Promise<void> {
  const { run } = method
  if (run.kind !== 'stream') throw new Fault('internal', `${method.name} is no stream`)
  const { token, signal } = stream
  if (method.name === watchMethod) await context.gate.ready()
  else {
    await context.gate.run(token, (permit) =>
      checkRule(method, permit, { context, request: noRequest, options: { signal } }),
    )
  }
  await run.call(context, stream)
}

const usersPrefix = 'etcdserverpb.Auth/'
/** Its watches are refused one by one, on a stream that goes on. */
const watchMethod = 'etcdserverpb.Watch/Watch'
const noRequest = {}
