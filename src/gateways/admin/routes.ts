// The table of routes of the admin port: what there is, what a caller must be allowed to do, and who answers. Each
// part of the API has a file that answers a list of routes; the handler serves all lists together.
//
// Invariants: a route is found by method and path alone, whole parts compared; a path that no route has is answered
// only to callers who proved who they are, so that strangers cannot tell what there is; nothing of a body is
// read before the caller was let through. Public routes are the exception, and say why.

import { Fault, faultTable, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'

/** What a caller does, as rights name it: 'admin:CreateToken'. */
export type AdminAction = `admin:${string}`

export type AdminMethod = 'GET' | 'POST' | 'PUT' | 'DELETE'

/** Who asks, as authorisation found out. Routes use the name for the audit log. */
export type AdminCaller = {
  readonly name: string
  /** The tenant that the caller speaks for; the first one's are the operator's. '': nobody's. */
  readonly tenant: string
}

/** One request on its way to a route. */
export type AdminCall = {
  readonly request: HttpRequest
  /** The decoded parts of the path that the route leaves open, by name. */
  readonly params: Readonly<Record<string, string>>
  /** The last of a repeated parameter counts. */
  readonly query: ReadonlyMap<string, string>
  /** Who asks; on a public route nobody in particular. */
  readonly caller: AdminCaller
  /** The JSON of the body: at most 64 KiB, or `bytesMax`. Faults 'invalid', 'too-large'. */
  body(bytesMax?: number): Promise<unknown>
  /** Asks again whether the caller may, for answers that go on. Faults as authorisation's. */
  recheck(): Promise<void>
  /** What was asked turned out to be no administrative act: it is not entered in the audit log. */
  isNoAct(): void
}

export type AdminRoute = {
  readonly method: AdminMethod
  /** '/v1/tokens/{id}'; '{rest...}' at the end takes all parts that are left, at least one. */
  readonly path: string
  /** What the caller must be allowed; or why anybody may ask, which a test lists. */
  readonly needs: AdminAction | { readonly publicBecause: string }
  /** Its acts enter themselves in the audit log; of other routes every call is entered that is not GET. */
  readonly isEnteredByItself?: boolean
  answer(call: AdminCall): Promise<HttpResponse>
}

/** Lets the caller through or throws Fault 'unauthenticated' or 'denied'. Asked before anything is read. */
export type Authorise = (
  request: HttpRequest,
  asked: { readonly action: AdminAction; readonly resource: string },
) => Promise<AdminCaller>

export type FoundRoute = {
  readonly route: AdminRoute
  readonly params: Readonly<Record<string, string>>
}

type Compiled = { readonly route: AdminRoute; readonly parts: readonly string[] }

/** Answers what a method and path mean; undefined when no route has them. */
export function compileRoutes(
  routes: readonly AdminRoute[],
): (method: string, path: string) => FoundRoute | undefined {
  const exact = new Map<string, FoundRoute>()
  const open: Compiled[] = []
  for (const route of routes) {
    if (route.path.includes('{')) open.push({ route, parts: route.path.split('/') })
    else exact.set(`${route.method} ${route.path}`, { route, params: {} })
  }
  return (method, path) => {
    const found = exact.get(`${method} ${path}`)
    if (found !== undefined) return found
    const given = path.split('/')
    for (const { route, parts } of open) {
      if (route.method !== method) continue
      const params = matchParts(parts, given)
      if (params !== undefined) return { route, params }
    }
    return undefined
  }
}

function matchParts(
  parts: readonly string[],
  given: readonly string[],
): Record<string, string> | undefined {
  const params: Record<string, string> = {}
  for (const [at, part] of parts.entries()) {
    if (part.startsWith('{') && part.endsWith('...}')) {
      const rest = given.slice(at).join('/')
      if (rest === '') return undefined
      params[part.slice(1, -4)] = decodePart(rest)
      return params
    }
    const piece = given[at]
    if (piece === undefined) return undefined
    if (part.startsWith('{') && part.endsWith('}')) {
      if (piece === '') return undefined
      params[part.slice(1, -1)] = decodePart(piece)
    } else if (part !== piece) return undefined
  }
  return given.length === parts.length ? params : undefined
}

export function parseQuery(target: string): ReadonlyMap<string, string> {
  const at = target.indexOf('?')
  return new Map(at === -1 ? [] : new URLSearchParams(target.slice(at + 1)))
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new Fault('invalid', 'the path is not percent-encoded UTF-8')
  }
}

export const bodyBytesMax = 64 * 1024

export async function readJson(request: HttpRequest, bytesMax = bodyBytesMax): Promise<unknown> {
  return parseJson(await readBytes(request, bytesMax))
}

/** Fault 'invalid'. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Decode(bytes))
  } catch {
    throw new Fault('invalid', 'the body is not JSON')
  }
}

/** The whole body; Fault 'too-large'. */
export async function readBytes(request: HttpRequest, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const slice of request.body) {
    bytes += slice.length
    if (bytes > bytesMax) throw new Fault('too-large', `more than ${bytesMax} bytes`)
    parts.push(slice.slice())
  }
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export function answerJson(status: number, value: unknown): HttpResponse {
  const body = utf8Encode(`${JSON.stringify(value)}\n`)
  return {
    status,
    headers: [
      ['content-type', 'application/json'],
      ['content-length', String(body.length)],
      ['cache-control', 'no-store'],
    ],
    body,
  }
}

/**
 * {"error": {"code", "message", "next"?, "fields"?, "outcome"?}} with the status of the fault's code; the outcome only where it is
 * 'unknown': what was asked for may have happened.
 */
export function answerFault(fault: Fault): HttpResponse {
  const { code, message, next, fields, outcome } = fault
  const error = {
    code,
    message,
    ...(next === undefined ? {} : { next }),
    ...(Object.keys(fields).length === 0 ? {} : { fields }),
    ...(outcome === 'failed' ? {} : { outcome }),
  }
  return answerJson(faultTable[code].httpStatus, { error })
}
