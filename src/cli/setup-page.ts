// The setup page of a machine that is no member yet: a form without scripts, on port 7777 of loopback, and of the
// machine's own address over TLS with a certificate made for the moment, because what is typed there is a secret.
//
// A page of somebody else that is open in the same browser must not be able to fill the form in: it is taken only with the
// number that the page itself was given, from an origin that is this server, under a host name that is this machine.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { Fault, isFault, utf8Decode, utf8Encode } from '../base/index.ts'
import { formatAddress } from '../cluster/index.ts'
import type { Host, HttpRequest, HttpResponse, Listener } from '../host/index.ts'

export type SetupForm = {
  readonly controller: string
  /** A token, or four words. */
  readonly secret: string
  readonly name: string
  readonly bind: string
  readonly region: string
  readonly zone: string
  readonly caps: string
  readonly labels: string
}

export type SetupState = {
  readonly state: 'unpaired' | 'pending' | 'joining' | 'online'
  /** What happens now, or why the last try came to nothing. */
  readonly message: string
  readonly isFailure: boolean
  /** Of the machine's key, as words. */
  readonly fingerprint: string
  readonly form: SetupForm
}

export type SetupPage = { readonly urls: readonly string[]; close(): Promise<void> }

const formBytesMax = 16 * 1024

export async function serveSetupPage(
  host: Host,
  options: {
    readonly port: number
    /** The machine's own address, when it is known. */
    readonly bind: string | undefined
    state(): SetupState
    /** Fault 'invalid' for what makes no sense; everything else happens later. */
    submit(form: SetupForm): void
  },
): Promise<SetupPage> {
  const number = randomBytes(16).toString('hex')
  const { port } = options
  const names = ['localhost', '127.0.0.1', ...(options.bind === undefined ? [] : [options.bind])]
  const origins = names.map((host) => formatAddress({ host, port }).toLowerCase())
  const answer = createAnswer({ ...options, number, origins })
  const handler = async (request: HttpRequest): Promise<HttpResponse> => {
    try {
      return await answer(request)
    } catch (error) {
      if (!isFault(error)) return host.journal.fatal('setup.request_failed', error)
      return page(400, failureText(error.message))
    }
  }
  const listeners: Listener[] = []
  const urls: string[] = []
  const isLoopback = options.bind === undefined || options.bind.startsWith('127.')
  const local = isLoopback ? (options.bind ?? '127.0.0.1') : '127.0.0.1'
  const near = { host: local, port }
  listeners.push(await host.http.serve(near, { handler }))
  urls.push(`http://${formatAddress(near)}/`)
  if (options.bind !== undefined && !isLoopback) {
    const tls = await temporaryCertificate(host, options.bind)
    const address = { host: options.bind, port }
    listeners.push(await host.http.serve(address, { tls, handler }))
    urls.push(`https://${formatAddress(address)}/`)
  }
  return {
    urls,
    async close() {
      for (const listener of listeners) await listener.close()
    },
  }
}

async function temporaryCertificate(host: Host, bind: string) {
  const nowMs = host.clock.wallMs()
  const times = { notBeforeMs: nowMs - 86_400_000, notAfterMs: nowMs + 86_400_000 }
  const authority = await host.pki.makeAuthority({ subjectName: 'Atoll setup page', ...times })
  const { requestPem, privateKeyPem } = await host.pki.makeRequest('Atoll setup page')
  const leaf = {
    subjectName: 'Atoll setup page',
    uris: [],
    hosts: [bind],
    usage: 'server' as const,
  }
  const certificatePem = await host.pki.issue(authority, { ...leaf, ...times, requestPem })
  return { certificatePem, privateKeyPem }
}

type AnswerOptions = Parameters<typeof serveSetupPage>[1] & {
  readonly number: string
  /** Host and port, as browsers name them. */
  readonly origins: readonly string[]
}

function createAnswer(options: AnswerOptions): (request: HttpRequest) => Promise<HttpResponse> {
  const { number, origins } = options
  return async (request) => {
    const asked = headerOf(request, 'host') ?? ''
    if (!origins.includes(asked.toLowerCase())) {
      throw new Fault('denied', `this page is not served as ${asked.slice(0, 64)}`)
    }
    const path = request.target.split('?')[0]
    if (request.method === 'GET' && path === '/')
      return page(200, pageText(options.state(), number))
    if (request.method === 'GET' && path === '/state') {
      const { state, message, fingerprint } = options.state()
      return json({ state, message, fingerprint })
    }
    if (request.method !== 'POST' || path !== '/join')
      return page(404, failureText('There is no such page.'))
    const origin = headerOf(request, 'origin')
    if (
      origin !== undefined &&
      !origins.some((own) => origin === `http://${own}` || origin === `https://${own}`)
    ) {
      throw new Fault('denied', 'the form was sent from another page')
    }
    const fields = await readForm(request)
    if (!isSame(fields.get('number') ?? '', number)) {
      throw new Fault('denied', 'the form is not of this page; load it again')
    }
    options.submit(formOf(fields))
    return { status: 303, headers: [['location', '/'], ...bareHeaders] }
  }
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}

function headerOf(request: HttpRequest, name: string): string | undefined {
  return request.headers.find(([key]) => key === name)?.[1]
}

async function readForm(request: HttpRequest): Promise<URLSearchParams> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const slice of request.body) {
    bytes += slice.length
    if (bytes > formBytesMax) throw new Fault('too-large', 'the form is too long')
    parts.push(slice.slice())
  }
  return new URLSearchParams(utf8Decode(new Uint8Array(Buffer.concat(parts))))
}

function formOf(fields: URLSearchParams): SetupForm {
  const text = (name: string): string => (fields.get(name) ?? '').trim()
  return {
    controller: text('controller'),
    secret: text('secret'),
    name: text('name'),
    bind: text('bind'),
    region: text('region'),
    zone: text('zone'),
    caps: text('caps'),
    labels: text('labels'),
  }
}

const bareHeaders: readonly (readonly [string, string])[] = [
  ['cache-control', 'no-store'],
  [
    'content-security-policy',
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  ],
  // Without any referrer browsers send the form's origin as 'null', which is nobody's.
  ['referrer-policy', 'same-origin'],
  ['x-content-type-options', 'nosniff'],
]

function page(status: number, text: string): HttpResponse {
  const body = utf8Encode(text)
  const headers = [
    ['content-type', 'text/html; charset=utf-8'],
    ['content-length', String(body.length)],
    ...bareHeaders,
  ] as const
  return { status, headers, body }
}

function json(value: unknown): HttpResponse {
  const body = utf8Encode(`${JSON.stringify(value)}\n`)
  const headers = [
    ['content-type', 'application/json'],
    ['content-length', String(body.length)],
    ...bareHeaders,
  ] as const
  return { status: 200, headers, body }
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`)
}

const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;
background:light-dark(#f4f6f8,#0e1317);color:light-dark(#18212a,#e6ebf0)}h1{font-size:1.6rem}
label{display:block;margin:.8rem 0 .2rem}input,button{font:inherit;color:inherit;border:1px solid light-dark(#8f9aa5,#5d6873);border-radius:10px}
input{width:100%;box-sizing:border-box;padding:.5rem .8rem;background:light-dark(#fff,#161c22)}
button{margin-top:1.2rem;padding:.6rem 1.4rem;font-weight:600;background:light-dark(#0b62a8,#6cb8f5);color:light-dark(#fff,#06121c);cursor:pointer}
:focus-visible{outline:3px solid light-dark(#0b62a8,#6cb8f5);outline-offset:2px}.words{font-size:1.2rem;letter-spacing:.05em}
.failure{border-left:.3rem solid #c33;padding-left:.8rem}`

function shell(content: string, refreshes: boolean): string {
  const refresh = refreshes ? '<meta http-equiv="refresh" content="2">' : ''
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Atoll: set up this machine</title>
<meta name="viewport" content="width=device-width, initial-scale=1">${refresh}<style>${style}</style></head>
<body><main><h1>Set up this machine</h1>${content}</main></body></html>
`
}

function failureText(what: string): string {
  return shell(
    `<p class="failure" role="alert">${escapeHtml(what)}</p><p><a href="/">Back</a></p>`,
    false,
  )
}

const inputs: readonly (readonly [keyof SetupForm, string, boolean])[] = [
  ['controller', 'Address of a member of the cluster, for example 10.11.12.1:7777', true],
  ['secret', 'Pairing code (four words) or join token', true],
  ['name', 'Name of this machine', true],
  ['bind', 'Address of this machine, as the others reach it', true],
  ['region', 'Region', true],
  ['zone', 'Availability zone', true],
  ['caps', 'Capabilities, separated by commas (empty: all)', false],
  ['labels', 'Labels, for example rack=r12,dc=fra-1', false],
]

function pageText(state: SetupState, number: string): string {
  const key = `<p>Key of this machine: <strong class="words">${escapeHtml(state.fingerprint)}</strong></p>`
  const kind = state.isFailure ? 'class="failure" role="alert"' : 'role="status"'
  const message = state.message === '' ? '' : `<p ${kind}>${escapeHtml(state.message)}</p>`
  if (state.state !== 'unpaired') {
    const then =
      '<p>This page ends when the machine is a member; it is in the console of the cluster then.</p>'
    return shell(`<p>State: <strong>${state.state}</strong></p>${message}${key}${then}`, true)
  }
  const rows = inputs.map(([name, label, isRequired]) => {
    const value = name === 'secret' ? '' : escapeHtml(state.form[name])
    const required = isRequired ? ' required' : ''
    return `<label for="${name}">${label}</label><input id="${name}" name="${name}" value="${value}" autocomplete="off" spellcheck="false" maxlength="300"${required}>`
  })
  const hint =
    '<p>An operator makes a code in the console of the cluster (page Join), or on a member: <code>atoll admin token create --pairing</code></p>'
  const form = `<form method="post" action="/join"><input type="hidden" name="number" value="${number}">${rows.join('')}<button>Join</button></form>`
  return shell(`<p>State: <strong>unpaired</strong></p>${message}${hint}${key}${form}`, false)
}
