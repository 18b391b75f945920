// What an operation of the gateway works with, and the shapes of its answers.

import type { Access, Actor, Principal } from '../../access/index.ts'
import { type Fault, utf8Encode } from '../../base/index.ts'
import type { ClusterAdmin, ClusterView } from '../../cluster/index.ts'
import type { Host, HttpRequest, HttpResponse } from '../../host/index.ts'
import type { Objects } from '../../objects/index.ts'
import type { Payload } from './core/payload.ts'
import type { ChunkSigner } from './core/chunked.ts'
import type { WireRequest } from './core/wire-request.ts'
import type { Passed } from './gate.ts'

export type S3Dependencies = {
  readonly host: Pick<Host, 'clock' | 'random' | 'journal'>
  readonly objects: Objects
  readonly view: ClusterView
  readonly admin: ClusterAdmin
  readonly access: Access
}

/** An authenticated request on its way to an operation. */
export type Call = S3Dependencies &
  Passed & {
    readonly region: string
    readonly http: HttpRequest
    readonly wire: WireRequest
    /** Headers with the signed x-amz-* parameters of the query among them. */
    readonly headers: ReadonlyMap<string, string>
    readonly payload: Payload
    readonly signer: ChunkSigner
    readonly principal: Principal
    /** '' where the operation has none. */
    readonly bucket: string
    readonly key: string
    /** The error document of an answer whose status has been sent; what is our own failing is journaled. */
    readonly renderError: (error: unknown) => string
    /** Why a part of the operation failed, for its document; what is our own failing is journaled. */
    readonly faultOf: (error: unknown) => Fault
  }

export type Headers = readonly (readonly [string, string])[]

/** A document of ours with its length. */
export function xmlResponse(xml: string, headers: Headers = [], status = 200): HttpResponse {
  const body = utf8Encode(xml)
  return {
    status,
    headers: [
      ['content-type', 'application/xml'],
      ['content-length', String(body.length)],
      ...headers,
    ],
    body,
  }
}

export function emptyResponse(status: number, headers: Headers = []): HttpResponse {
  const length: Headers = status === 204 || status === 304 ? [] : [['content-length', '0']]
  return { status, headers: [...length, ...headers] }
}

/** Who does what is entered in the audit log. */
export function actorOf({ principal, http }: Call): Actor {
  const name = principal.kind === 'anonymous' ? 'anonymous' : principal.arn
  return { name, source: http.remoteAddress }
}
