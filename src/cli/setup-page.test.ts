import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Decode, utf8Encode } from '../base/index.ts'
import type { Host, HttpHandler, HttpRequest } from '../host/index.ts'
import { serveSetupPage, type SetupForm, type SetupState } from './setup-page.ts'

async function open(state: Partial<SetupState> = {}, bind = '127.0.0.2') {
  const served: HttpHandler[] = []
  const submitted: SetupForm[] = []
  const host = {
    journal: {
      fatal: (_event: string, error: unknown) => {
        throw error
      },
    },
    clock: { wallMs: () => 0 },
    pki: {
      makeAuthority: async () => ({}),
      makeRequest: async () => ({ requestPem: '', privateKeyPem: '' }),
      issue: async () => '',
    },
    http: {
      async serve(address: unknown, { handler }: { handler: HttpHandler }) {
        served.push(handler)
        return { address, close: async () => undefined, replaceTls: () => undefined }
      },
    },
  } as unknown as Host
  const form = {
    controller: '',
    secret: '',
    name: 'x',
    bind: '',
    region: 'eu',
    zone: 'a',
    caps: '',
    labels: '',
  }
  const page = await serveSetupPage(host, {
    port: 7777,
    bind,
    state: () => ({
      state: 'unpaired',
      message: '',
      isFailure: false,
      fingerprint: 'lusab babad',
      form,
      ...state,
    }),
    submit: (given) => submitted.push(given),
  })
  const handler = served[0]
  assert.ok(handler !== undefined)
  const ask = async (
    method: string,
    target: string,
    given: { headers?: readonly (readonly [string, string])[]; body?: string } = {},
  ) => {
    const request: HttpRequest = {
      method,
      target,
      headers: given.headers ?? [['host', '127.0.0.2:7777']],
      body: (async function* () {
        yield utf8Encode(given.body ?? '')
      })(),
      remoteAddress: '127.0.0.1',
      isSecure: false,
      signal: new AbortController().signal,
    }
    const { status, body } = await handler(request)
    return { status, text: body instanceof Uint8Array ? utf8Decode(body) : '' }
  }
  return {
    page,
    ask,
    submitted,
    number: /name="number" value="([0-9a-f]{32})"/.exec((await ask('GET', '/')).text)?.[1],
  }
}

test('the page has a form, which is taken with the number that the page was given', async () => {
  const { page, ask, submitted, number } = await open()
  assert.deepEqual(page.urls, ['http://127.0.0.2:7777/'])
  const fields = {
    controller: '10.0.0.1',
    secret: 'at1.x',
    name: 'rpi2',
    bind: '127.0.0.2',
    region: 'eu',
    zone: 'a',
    caps: '',
    labels: '',
  }
  const body = new URLSearchParams({ ...fields, number: number ?? '' }).toString()
  assert.equal((await ask('POST', '/join', { body })).status, 303)
  assert.deepEqual(submitted, [fields])
})

test('a page of somebody else cannot fill the form in', async () => {
  const { ask, submitted, number } = await open()
  const body = `number=${number}&secret=x`
  const wrong = [
    { body: 'secret=x' },
    { body: `number=${'0'.repeat(32)}` },
    { body, headers: [['host', 'evil.example']] as const },
    { body, headers: [['host', 'evil.example:7777']] as const },
    { body, headers: [] },
    {
      body,
      headers: [
        ['host', '127.0.0.2:7777'],
        ['origin', 'https://evil.example'],
      ] as const,
    },
    {
      body,
      headers: [
        ['host', '127.0.0.2:7777'],
        ['origin', 'null'],
      ] as const,
    },
    { body: 'x'.repeat(20_000) },
  ]
  for (const one of wrong)
    assert.equal((await ask('POST', '/join', one)).status, 400, JSON.stringify(one).slice(0, 90))
  assert.equal((await ask('GET', '/', { headers: [['host', 'evil.example:7777']] })).status, 400)
  assert.equal((await ask('GET', '/other')).status, 404)
  assert.deepEqual(submitted, [])
  const origin = [
    ['host', '127.0.0.2:7777'],
    ['origin', 'http://127.0.0.2:7777'],
  ] as const
  assert.equal((await ask('POST', '/join', { body, headers: origin })).status, 303)
})

test('an address of version 6 is named in brackets', async () => {
  const { page, ask } = await open({}, 'FD00::1')
  assert.deepEqual(page.urls, ['http://127.0.0.1:7777/', 'https://[FD00::1]:7777/'])
  const at = async (host: string) => (await ask('GET', '/', { headers: [['host', host]] })).status
  assert.deepEqual([await at('[fd00::1]:7777'), await at('[fd00::2]:7777')], [200, 400])
})

test('what a machine says of itself is shown as text, and the secret never', async () => {
  const form = {
    controller: '"><script>',
    secret: 'at1.secret',
    name: "'",
    bind: '',
    region: '',
    zone: '',
    caps: '',
    labels: '',
  }
  const { ask } = await open({ form, message: '<b>', isFailure: true })
  const { text } = await ask('GET', '/')
  assert.ok(!text.includes('<script') && !text.includes('<b>') && !text.includes('at1.secret'))
  const waiting = await open({ state: 'pending', message: 'asking' })
  const shown = await waiting.ask('GET', '/state')
  assert.deepEqual(JSON.parse(shown.text), {
    state: 'pending',
    message: 'asking',
    fingerprint: 'lusab babad',
  })
  assert.match((await waiting.ask('GET', '/')).text, /http-equiv="refresh"/)
})
