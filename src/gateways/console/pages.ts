// The console's pages: the bundle, given as plain values, below /console/. Everything else goes on to the admin API.
//
// Names of scripts and styles contain the hash of their content, so they never change and are kept for ever; the page
// that names them is asked for each time. Paths without a file's name are places within the page and answered with it.
//
// Headers: scripts and styles from here alone and nothing inline, so that a text of somebody that slipped into the
// page would still not run; no frames around it; nothing sent to anybody else.

import { Fault, utf8Encode } from '../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'
import { answerFault } from '../admin/routes.ts'

export type ConsoleAsset = {
  /** Below /console/: 'index.html', 'main-4F2A77QX.js'. */
  readonly name: string
  readonly contentType: string
  readonly bytes: Uint8Array
  /** The same, compressed by gzip. */
  readonly gzip: Uint8Array
}

const place = '/console/'
const page = 'index.html'

const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const strict: HttpResponse['headers'] = [
  ['content-security-policy', contentPolicy],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-opener-policy', 'same-origin'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['permissions-policy', 'camera=(), microphone=(), geolocation=(), payment=(), usb=()'],
]

/** Without assets the place says that this node has none. */
export function servePages(assets: readonly ConsoleAsset[], next: HttpHandler): HttpHandler {
  const byName = new Map(assets.map((asset) => [asset.name, asset]))
  return async (request) => {
    const path = request.target.split('?')[0] ?? ''
    if (request.method === 'GET') {
      if (path === '/console' || (path === '/' && wantsPage(request))) return redirect
      if (path.startsWith(place)) return answerPage(byName, path.slice(place.length), request)
    }
    const response = await next(request)
    return { ...response, headers: [...response.headers, ['x-content-type-options', 'nosniff']] }
  }
}

const redirect: HttpResponse = {
  status: 302,
  headers: [['location', place], ['content-length', '0'], ['cache-control', 'no-store'], ...strict],
  body: new Uint8Array(0),
}

function wantsPage({ headers }: HttpRequest): boolean {
  return headers.some(([name, value]) => name === 'accept' && value.includes('text/html'))
}

function answerPage(
  assets: ReadonlyMap<string, ConsoleAsset>,
  name: string,
  request: HttpRequest,
): HttpResponse {
  const isPlace = !name.includes('.')
  const asset = assets.get(isPlace ? page : name)
  if (asset === undefined) {
    return isPlace ? withoutPages : plain(new Fault('not-found', `the console has no such file`))
  }
  const isZipped = takesGzip(request)
  const body = isZipped ? asset.gzip : asset.bytes
  const isPage = asset.name === page
  return {
    status: 200,
    headers: [
      ['content-type', asset.contentType],
      ['content-length', String(body.length)],
      ['cache-control', isPage ? 'no-cache' : 'public, max-age=31536000, immutable'],
      ['vary', 'accept-encoding'],
      ...(isZipped ? ([['content-encoding', 'gzip']] as const) : []),
      ...strict,
    ],
    body,
  }
}

function takesGzip({ headers }: HttpRequest): boolean {
  const given = headers.filter(([name]) => name === 'accept-encoding').map(([, value]) => value)
  const choices = given.join(',').split(',')
  return choices.some((choice) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(choice))
}

function plain(fault: Fault): HttpResponse {
  const response = answerFault(fault)
  return { ...response, headers: [...response.headers, ...strict] }
}

const withoutPagesText = utf8Encode(
  'This node was started without the pages of the console. Where Atoll is run from its sources, make them with\n' +
    '`npm run console` and start the node again.\n',
)
const withoutPages: HttpResponse = {
  status: 501,
  headers: [
    ['content-type', 'text/plain; charset=utf-8'],
    ['content-length', String(withoutPagesText.length)],
    ['cache-control', 'no-store'],
    ...strict,
  ],
  body: withoutPagesText,
}
