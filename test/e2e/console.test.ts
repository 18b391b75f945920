// The console in a real browser, on three real nodes: login, what is shown, by keyboard alone, on a narrow screen, a token, and
// that a session which was ended at one node is dead at another.
//
// The nodes' certificates are of the cluster's own authority, which this browser does not know: it is told not to mind.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { type Cluster, startCluster } from './cluster.ts'

const portOffset = 33_000
const waitMs = 60_000

const candidates = [
  process.env.ATOLL_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
]
const browserPath = candidates.find((path) => path !== undefined && existsSync(path))
const skip =
  browserPath === undefined ? 'no Chromium here: install it, or name it by ATOLL_CHROMIUM' : false

describe('console', { skip }, () => {
  let cluster: Cluster
  let browser: Browser
  const contexts: BrowserContext[] = []
  const complaints: string[] = []

  before(async () => {
    cluster = await startCluster({ portOffset })
    browser = await chromium.launch({
      executablePath: browserPath ?? '',
      // Root, as in a container, has no sandbox to give.
      args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), '--disable-gpu'],
    })
  })
  after(async () => {
    for (const context of contexts) await context.close()
    await browser?.close()
    await cluster?.stop()
  })

  async function open(options: { readonly width?: number; readonly height?: number } = {}) {
    const { width = 1200, height = 900 } = options
    const viewport = { width, height }
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport })
    contexts.push(context)
    const page = await context.newPage()
    page.setDefaultTimeout(waitMs)
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => {
      // What the content policy forbids is told here; answers that are failures are expected.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        complaints.push(message.text())
      }
    })
    return page
  }

  const password = (): string => {
    const told = cluster.line.console?.password
    assert.ok(told !== undefined, 'the first start tells the password')
    return told
  }

  /** Every node of the line has the port of its admin API in its URL. */
  const placeAt = (position: number): string => `${cluster.node(position).admin}/console/`

  async function logIn(page: Page, position = 0): Promise<void> {
    await page.goto(placeAt(position))
    await page.getByLabel('Operator').fill('admin')
    await page.getByLabel('Password').fill(password())
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
  }

  it('refuses a wrong password, and says no more than that', async () => {
    const page = await open()
    await page.goto(`${cluster.node(0).admin}/`)
    assert.equal(page.url(), placeAt(0))
    await page.getByLabel('Password').fill('not the password')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByText('Wrong name or password.').waitFor()
    assert.equal(await page.getByRole('navigation').count(), 0)
  })

  it('shows three nodes, their groups, and that all is well', async () => {
    const page = await open()
    await logIn(page)
    const nodes = page.getByRole('table').first()
    for (const { id } of cluster.line.nodes) await nodes.getByText(`#${id}`).waitFor()
    await page.getByText('/raft/system').waitFor()
    await page.getByText('All is well: 3 nodes online').waitFor()
    assert.match(await page.title(), /Overview/)
  })

  it('is used by the keyboard alone', async () => {
    const page = await open()
    await page.goto(placeAt(1))
    await page.getByLabel('Operator').focus()
    await page.keyboard.press('Tab')
    await page.keyboard.type(password())
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
    const focused = page.locator(':focus')
    await page.keyboard.press('Tab')
    assert.equal(await focused.textContent(), 'Skip to content')
    const seen: (string | null)[] = []
    for (let presses = 0; presses < 3; presses++) {
      await page.keyboard.press('Tab')
      seen.push(await focused.textContent())
    }
    assert.deepEqual(seen, ['Atoll', 'Overview', 'Nodes'])
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Nodes', level: 1 }).waitFor()
    assert.equal(await focused.getAttribute('id'), 'main')
    const drain = page.getByRole('button', { name: 'Drain node-3' })
    await drain.focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: 'Drain node-3?' })
    await dialog.waitFor()
    // However often, the focus stays within (or on the browser's own bars): never on the page behind.
    for (let presses = 0; presses < 8; presses++) {
      await page.keyboard.press('Tab')
      assert.equal(
        await page.locator('main :focus').count(),
        await dialog.locator(':focus').count(),
      )
    }
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    assert.equal(await focused.getAttribute('aria-label'), 'Drain node-3')
  })

  it('makes a token, with the command and the code, and revokes it', async () => {
    const page = await open()
    await logIn(page, 2)
    await page.getByRole('link', { name: 'Join' }).click()
    await page.getByRole('button', { name: 'Create token' }).click()
    const token = (await page.getByTestId('token').textContent()) ?? ''
    assert.match(token, /^at1\.[0-9A-Z]{6}\.[0-9A-Z]+\.[0-9A-Z]+$/)
    const name = token.slice(4, 10)
    const { host } = new URL(placeAt(2))
    const command = await page.locator('pre').textContent()
    assert.ok(
      command?.includes(`--host ${host}`) && command.includes(`--token ${token}`),
      command ?? '',
    )
    await page.getByRole('img', { name: `Token ${name} as a QR code` }).waitFor()
    await page.getByRole('button', { name: `Revoke ${name}` }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByRole('row', { name: name }).getByText('revoked').waitFor()
  })

  it('enters what was done in the audit log', async () => {
    const page = await open()
    await logIn(page)
    await page.getByRole('link', { name: 'Audit log' }).click()
    const done = page.getByRole('row').filter({ hasText: 'CreateToken' })
    await done.filter({ hasText: 'operator admin' }).first().waitFor()
  })

  it('fits a phone, in the dark as well', async () => {
    const page = await open({ width: 360, height: 740 })
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
    await logIn(page)
    for (const { name, shown } of [
      { name: 'Overview', shown: 'Groups' },
      { name: 'Nodes', shown: 'Members' },
      { name: 'Join', shown: 'New token' },
    ]) {
      await page.getByRole('link', { name, exact: true }).click()
      await page.getByRole('heading', { name: shown }).waitFor()
      const width = await page.evaluate('document.documentElement.scrollWidth')
      assert.equal(width, 360, `${name} is ${width} wide`)
    }
    const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert.equal(ground, 'rgb(16, 20, 24)')
    await page.getByLabel('Colours').selectOption('light')
    const light = await page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert.equal(light, 'rgb(246, 247, 249)')
  })

  it('ends a session at one node, and it is dead at another', async () => {
    const page = await open()
    await logIn(page)
    const session = (await page.context().cookies()).find(({ name }) => name === '__Host-atoll')
    assert.ok(session?.httpOnly === true && session.secure && session.sameSite === 'Strict')
    const { request } = page.context()
    const status = async (): Promise<number> => {
      const url = `${cluster.node(1).admin}/v1/status`
      const headers = { cookie: `__Host-atoll=${session.value}` }
      return (await request.get(url, { headers, timeout: waitMs })).status()
    }
    assert.equal(await status(), 200)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    // At most a second later; asked again rather than waited for.
    const endMs = Date.now() + waitMs
    let after = await status()
    while (after === 200 && Date.now() < endMs) after = await status()
    assert.equal(after, 403)
  })

  it('complained of nothing meanwhile', () => {
    assert.deepEqual(complaints, [])
  })
})
