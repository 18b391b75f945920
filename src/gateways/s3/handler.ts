// The S3 gateway: one HTTP handler that authenticates, routes, translates and answers. It holds no state
// but a cache of signing keys; objects, buckets and credentials are the rooms' below.
//
// Order, for every request: parse, authenticate, route, refuse what is not here, run. Only the operation
// reads the body. Every answer has a request id; every fault becomes S3's error document.

import { AssertionFailure, isFault, toFault, toHex, utf8Encode } from '../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'
import { authenticate } from './authenticate.ts'
import type { Call, S3Dependencies } from './call.ts'
import { formatHttpDate } from './core/dates.ts'
import { accessDenied, errorXml, s3Fault } from './core/fault.ts'
import { checkFeatures } from './core/features.ts'
import { locate } from './core/names.ts'
import { type Operation, routeRequest } from './core/route.ts'
import { SigningKeys } from './core/sigv4.ts'
import { base64Encode } from './core/text.ts'
import { effectiveHeaders, readWireRequest } from './core/wire-request.ts'
import { type Passed, passGate } from './gate.ts'
import { operations } from './operations/table.ts'

export type S3Options = {
  /** What requests must be signed for, and what buckets are in. */
  readonly region: string
  /** Host names below which the first label is a bucket ('s3.localhost'). Default none: path style only. */
  readonly baseDomains?: readonly string[]
  /** How far a signature's date may be from ours. Default 900,000 (15 minutes), as in S3. */
  readonly clockSkewMsMax?: number
}

const serverName = 'Atoll'
const signingKeysMax = 1024

/** The handler of S3's HTTP ports. */
export function createS3Handler(dependencies: S3Dependencies, options: S3Options): HttpHandler {
  const gateway = new S3Gateway(dependencies, options)
  return (request) => gateway.answer(request)
}

/** HttpServerOptions.onMalformed: what a client gets whose request is no HTTP. */
export function s3Malformed(what: string): HttpResponse {
  const fault = s3Fault('InvalidRequest', 400, `The request is malformed: ${what}`)
  const body = utf8Encode(errorXml(fault, { resource: '', requestId: '', hostId: '' }))
  return {
    status: 400,
    headers: [
      ['content-type', 'application/xml'],
      ['content-length', String(body.length)],
      ['server', serverName],
      ['connection', 'close'],
    ],
    body,
  }
}

/** What is known of a request by the time it fails. */
type Trace = {
  readonly requestId: string
  readonly method: string
  readonly resource: string
  operation: Operation | undefined
}

class S3Gateway {
  readonly #dependencies: S3Dependencies
  readonly #options: S3Options
  readonly #keys = new SigningKeys(signingKeysMax)
  readonly #baseDomains: readonly string[]
  readonly #hostId: string
  #dateSecond = -1
  #date = ''

  constructor(dependencies: S3Dependencies, options: S3Options) {
    this.#dependencies = dependencies
    this.#options = options
    this.#baseDomains = (options.baseDomains ?? []).map((domain) => domain.toLowerCase())
    this.#hostId = base64Encode(dependencies.host.random.bytes(24))
  }

  async answer(request: HttpRequest): Promise<HttpResponse> {
    const { host } = this.#dependencies
    const startMs = host.clock.monotonicMs()
    const trace: Trace = {
      requestId: toHex(host.random.bytes(8)).toUpperCase(),
      method: request.method,
      resource: resourceOf(request.target),
      operation: undefined,
    }
    let response: HttpResponse
    let code = ''
    try {
      response = await this.#run(request, trace)
    } catch (error) {
      code = this.#journalFailure(error, trace)
      response = this.#errorResponse(error, trace)
    }
    host.journal.event('debug', 's3.request_answered', {
      requestId: trace.requestId,
      operation: trace.operation ?? request.method,
      status: response.status,
      code,
      elapsedMs: Math.round((host.clock.monotonicMs() - startMs) * 1000) / 1000,
    })
    return this.#complete(response, trace)
  }

  async #run(request: HttpRequest, trace: Trace): Promise<HttpResponse> {
    const wire = readWireRequest(request.method, request.target, request.headers)
    const nowMs = this.#dependencies.host.clock.wallMs()
    const { region } = this.#options
    const identity = await authenticate(wire, {
      access: this.#dependencies.access,
      keys: this.#keys,
      rules: {
        region,
        service: 's3',
        nowMs,
        clockSkewMsMax: this.#options.clockSkewMsMax ?? 900_000,
      },
    })
    const headers = effectiveHeaders(wire)
    const place = locate(wire.headers.get('host') ?? '', wire.path, this.#baseDomains)
    const operation = routeRequest(wire, place, headers)
    trace.operation = operation
    const { access, view } = this.#dependencies
    const { principal, signedAtMs } = identity
    const passed = await passGate(
      { wire, headers, http: request, place, operation, principal, signedAtMs, nowMs, region },
      { access, view },
    )
    checkFeatures(headers)
    const call: Call = {
      ...this.#dependencies,
      ...passed,
      principal,
      region,
      http: request,
      wire,
      headers,
      payload: identity.payload,
      signer: identity.signer,
      bucket: place.bucket ?? '',
      key: place.key ?? '',
      renderError: (error) => {
        this.#journalFailure(error, trace)
        return this.#errorXml(error, trace)
      },
      faultOf: (error) => {
        this.#journalFailure(error, trace)
        return toFault(error)
      },
    }
    try {
      return await operations[operation](call)
    } catch (error) {
      throw hideMissing(error, passed)
    }
  }

  /**
   * Answers the S3 code. What is our own failing is journaled as such; clients see a neutral text. A broken invariant goes
   * on to the top level, also where the error would be told in a document.
   */
  #journalFailure(error: unknown, trace: Trace): string {
    if (error instanceof AssertionFailure) throw error
    const fault = toFault(error)
    if (isFault(fault, 'internal') || isFault(fault, 'corrupt')) {
      this.#dependencies.host.journal.event('warning', 's3.request_failed', {
        requestId: trace.requestId,
        operation: trace.operation ?? trace.method,
        what: fault.message,
      })
    }
    return fault.s3.code
  }

  #errorXml(error: unknown, trace: Trace): string {
    const { requestId, resource } = trace
    return errorXml(toFault(error), { resource, requestId, hostId: this.#hostId })
  }

  #errorResponse(error: unknown, trace: Trace): HttpResponse {
    const fault = toFault(error)
    const extra: [string, string][] = []
    const { Region: region, ActualObjectSize: size } = fault.fields
    if (region !== undefined) extra.push(['x-amz-bucket-region', region])
    if (fault.s3.status === 416 && size !== undefined) {
      extra.push(['content-range', `bytes */${size}`])
    }
    if (trace.method === 'HEAD') return { status: fault.s3.status, headers: extra }
    const body = utf8Encode(this.#errorXml(fault, trace))
    return {
      status: fault.s3.status,
      headers: [
        ['content-type', 'application/xml'],
        ['content-length', String(body.length)],
        ...extra,
      ],
      body,
    }
  }

  #complete(response: HttpResponse, trace: Trace): HttpResponse {
    const headers: (readonly [string, string])[] = [
      ['x-amz-request-id', trace.requestId],
      ['x-amz-id-2', this.#hostId],
      ['date', this.#httpDate()],
      ['server', serverName],
    ]
    for (const pair of response.headers) headers.push(pair)
    return { ...response, headers }
  }

  #httpDate(): string {
    const nowMs = this.#dependencies.host.clock.wallMs()
    const second = Math.floor(nowMs / 1000)
    if (second !== this.#dateSecond) {
      this.#dateSecond = second
      this.#date = formatHttpDate(nowMs)
    }
    return this.#date
  }
}

/** Who may not list hears of a key that is missing what he would hear of one that is denied, as in S3. */
function hideMissing(error: unknown, passed: Passed): unknown {
  const isMissing = isFault(error, 'not-found') && error.s3.code === 'NoSuchKey'
  return isMissing && !passed.mayMiss() ? accessDenied() : error
}

/** The path as the client wrote it, for the error document: without the query, which may hold a signature. */
function resourceOf(target: string): string {
  const mark = target.indexOf('?')
  return mark < 0 ? target : target.slice(0, mark)
}
