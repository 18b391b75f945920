// The node's API as the console uses it. Every failure is an ApiFault with what the node said, or that it said nothing.
//
// The session is a cookie that scripts cannot read. What changes something carries the session's CSRF token, which the
// node tells with the session.

export type Session = {
  readonly operator: string
  readonly scopes: readonly string[]
  readonly expiresMs: number
  readonly csrf: string
}

export class ApiFault extends Error {
  readonly code: string
  readonly status: number
  readonly next: string | undefined
  readonly fields: Readonly<Record<string, string>>

  constructor(fault: {
    code: string
    status: number
    message: string
    next?: string | undefined
    fields?: Readonly<Record<string, string>> | undefined
  }) {
    super(fault.message)
    this.fields = fault.fields ?? {}
    this.code = fault.code
    this.status = fault.status
    this.next = fault.next
  }

  /** The node has no such route: it is of another version, or serves no such thing. */
  get isMissing(): boolean {
    return this.status === 404
  }
}

let csrf = ''
const listeners = new Set<() => void>()

/** Called when the node says that there is no session (any more). Answers what ends that. */
export function onSignedOut(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export async function readSession(): Promise<Session | undefined> {
  try {
    return keep(await ask<Session>('GET', '/v1/console/session', { isQuiet: true }))
  } catch (error) {
    const isOut = error instanceof ApiFault && (error.code === 'unauthenticated' || error.isMissing)
    if (isOut) return undefined
    throw error
  }
}

export async function login(operator: string, password: string): Promise<Session> {
  const body = { operator, password }
  return keep(await ask<Session>('POST', '/v1/console/login', { body, isQuiet: true }))
}

export async function logout(): Promise<void> {
  await ask('POST', '/v1/console/logout', { body: {}, isQuiet: true })
  csrf = ''
}

function keep(session: Session): Session {
  csrf = session.csrf
  return session
}

export function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  return ask<T>('GET', path, signal === undefined ? {} : { signal })
}

export function change<T>(
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  body: unknown = {},
): Promise<T> {
  return ask<T>(method, path, { body })
}

type Asked = {
  readonly body?: unknown
  readonly signal?: AbortSignal
  /** Listeners are not told that there is no session. */
  readonly isQuiet?: boolean
}

const patienceMs = 20_000

async function ask<T>(method: string, path: string, { body, signal, isQuiet }: Asked): Promise<T> {
  const limit = AbortSignal.timeout(patienceMs)
  let response: Response
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      ...(method === 'GET'
        ? {}
        : {
            headers: { 'content-type': 'application/json', 'x-atoll-csrf': csrf },
            body: JSON.stringify(body ?? {}),
          }),
    })
  } catch (error) {
    if (signal?.aborted === true) throw error
    const message = limit.aborted
      ? 'The node does not answer in time.'
      : 'The node cannot be reached.'
    const next = 'see that the node runs (atoll status), or open the console of another node'
    throw new ApiFault({ code: 'unreachable', status: 0, message, next })
  }
  if (response.ok) return (response.status === 204 ? {} : await jsonOf(response)) as T
  const fault = await faultOf(response)
  if (fault.code === 'unauthenticated' && isQuiet !== true) for (const told of listeners) told()
  throw fault
}

async function jsonOf(response: Response): Promise<unknown> {
  try {
    return await response.json()
  } catch {
    const message = 'The answer was cut off, or is no answer of a node.'
    throw new ApiFault({ code: 'unknown', status: response.status, message, next: 'try again' })
  }
}

async function faultOf(response: Response): Promise<ApiFault> {
  const { status } = response
  try {
    const { error } = (await response.json()) as {
      error: { code: string; message: string; next?: string; fields?: Record<string, string> }
    }
    return new ApiFault({ ...error, status })
  } catch {
    const message = `The node answered with status ${status}.`
    return new ApiFault({ code: 'unknown', status, message })
  }
}
