// The console in a real browser, on three real nodes: login, what is shown, by keyboard alone, on a narrow screen, light and
// dark, a token, the audit log page by page, and that a session which was ended at one node is dead at another.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Page } from 'playwright-core'
import { flawsOf, type Look, logIn, Pages, tabTo, waitMs, withoutBrowser } from './browser.ts'
import { type Cluster, root, run, startCluster } from './cluster.ts'

const portOffset = 12_200

describe('console', { skip: withoutBrowser, timeout: 240_000 }, () => {
  const pages = new Pages()
  let cluster: Cluster

  before(async () => {
    cluster = await startCluster({ portOffset })
    await pages.start()
  })
  after(async () => {
    await pages.stop()
    await cluster?.stop()
  })

  const password = (): string => {
    const told = cluster.line.console?.password
    assert.ok(told !== undefined, 'the first start tells the password')
    return told
  }
  const placeAt = (position: number): string => `${cluster.node(position).admin}/console/`
  async function openLoggedIn(position = 0, look: Look = {}): Promise<Page> {
    const page = await pages.open(look)
    await logIn(page, placeAt(position), { password: password() })
    return page
  }
  const headingOf = (page: Page, name: string) => page.getByRole('heading', { name, level: 1 })

  it('refuses a wrong password, and says no more than that', async () => {
    const page = await pages.open()
    await page.goto(`${cluster.node(0).admin}/`)
    assert.equal(page.url(), placeAt(0))
    await page.getByLabel('Password').fill('not the password')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByText('Wrong name or password.').waitFor()
    assert.equal(await page.getByRole('navigation').count(), 0)
  })

  it('shows three nodes, their groups, that all is well, and that it is told what happens', async () => {
    const page = await openLoggedIn()
    const nodes = page.getByRole('table').first()
    for (const { id } of cluster.line.nodes) await nodes.getByText(`#${id}`).waitFor()
    await page.getByText('/raft/system').waitFor()
    await page.getByText('All is well').waitFor()
    await page.getByText('3 nodes online').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    assert.match(await page.title(), /Overview/)
  })

  it('is used by the keyboard alone, from login to logout', async () => {
    const page = await pages.open()
    await page.goto(placeAt(1))
    await tabTo(page, page.getByLabel('Password'))
    await page.keyboard.type(password())
    await page.keyboard.press('Enter')
    await headingOf(page, 'Overview').waitFor()
    const focused = page.locator(':focus')
    await page.keyboard.press('Tab')
    assert.equal(await focused.textContent(), 'Skip to content')
    await tabTo(page, page.getByRole('link', { name: 'Nodes', exact: true }))
    await page.keyboard.press('Enter')
    await headingOf(page, 'Nodes').waitFor()
    assert.equal(await focused.getAttribute('id'), 'main')
    await tabTo(page, page.getByRole('button', { name: 'Drain node-3' }))
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: 'Drain node-3?' })
    await dialog.waitFor()
    // However often, the focus stays within (or on the browser's own bars): never on the page behind.
    for (let presses = 0; presses < 8; presses++) {
      await page.keyboard.press('Tab')
      const within = await dialog.locator(':focus').count()
      assert.equal(await page.locator('main :focus').count(), within)
    }
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    assert.equal(await focused.getAttribute('aria-label'), 'Drain node-3')
    await tabTo(page, page.getByRole('button', { name: 'Log out' }))
    await page.keyboard.press('Enter')
    await page.getByLabel('Password').waitFor()
  })

  it('labels a node by the keyboard, and takes the label away again', async () => {
    const page = await openLoggedIn(1)
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    const row = page.getByRole('row').filter({ hasText: 'node-2' })
    await tabTo(page, row.getByRole('button', { name: 'Edit the labels of node-2' }))
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: 'Labels of node-2' })
    await tabTo(page, dialog.getByLabel('Label 1', { exact: true }))
    await page.keyboard.type('rack')
    await tabTo(page, dialog.getByLabel('Value 1'))
    await page.keyboard.type('r12')
    await page.keyboard.press('Enter')
    await dialog.waitFor({ state: 'detached' })
    await row.getByText('rack=r12').waitFor()
    await row.getByRole('button', { name: 'Edit the labels of node-2' }).click()
    await dialog.getByLabel('Value 1').fill('no good: a space')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByRole('alert').waitFor()
    await dialog.getByRole('button', { name: 'Take label 1 away' }).click()
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    await row.getByText('rack=r12').waitFor({ state: 'detached' })
  })

  it('makes a token by the keyboard, with command, code and file, and revokes it', async () => {
    const page = await openLoggedIn(2)
    await tabTo(page, page.getByRole('link', { name: 'Join', exact: true }))
    await page.keyboard.press('Enter')
    await tabTo(page, page.getByLabel('Only for the machine named'))
    await page.keyboard.type('n4')
    await page.keyboard.press('Enter')
    const token = (await page.getByTestId('token').textContent()) ?? ''
    assert.match(token, /^at1\.[0-9A-Z]{6}\.[0-9A-Z]+\.[0-9A-Z]+$/)
    const name = token.slice(4, 10)
    const { host } = new URL(placeAt(2))
    await page.getByLabel('Its address').fill('10.0.0.4')
    await page.getByLabel('Its directory').fill("/srv/it's here")
    const command = (await page.getByTestId('command').textContent()) ?? ''
    for (const part of [
      `--host ${host}`,
      `--token ${token}`,
      '--node n4',
      '--bind 10.0.0.4',
      "--data-dir '/srv/it'\\''s here'",
    ]) {
      assert.ok(command.includes(part), command)
    }
    await page.getByText('As a bootstrap file').click()
    const file = JSON.parse((await page.getByTestId('bootstrap').textContent()) ?? '')
    assert.deepEqual(
      [file.token, file.controllers, file.bind],
      [token, [`https://${host}`], '10.0.0.4'],
    )
    await page.getByRole('img', { name: `Token ${name} as a QR code` }).waitFor()
    await tabTo(page, page.getByRole('button', { name: `Revoke ${name}` }))
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByRole('row', { name }).getByText('revoked').waitFor()
  })

  it('changes what a node runs and how, by the keyboard, and goes back to the settings before', async () => {
    const page = await openLoggedIn(1)
    await page.getByRole('link', { name: 'Settings' }).click()
    const row = (name: string) => page.getByRole('row').filter({ hasText: name })
    await row('machines').getByText('not in this version').waitFor()
    await row('SQL databases').getByText('node-1, node-2, node-3').waitFor()
    const set = async (name: string, value: string): Promise<void> => {
      await tabTo(page, page.getByRole('button', { name: `Change ${name}` }))
      await page.keyboard.press('Enter')
      const dialog = page.getByRole('dialog', { name: `Change ${name}?` })
      await dialog.getByLabel(name).fill(value)
      await page.keyboard.press('Enter')
      await dialog.waitFor({ state: 'detached' })
    }
    await set('ebs.replicas', '2')
    await set('target_size', '5')
    await row('How many members it is meant to have').getByText('5', { exact: true }).waitFor()
    await row('targetSize = 5').waitFor()
    await page.getByRole('button', { name: 'Change ebs.block_size' }).click()
    const refused = page.getByRole('dialog', { name: 'Change ebs.block_size?' })
    await refused.getByLabel('ebs.block_size').fill('100')
    await refused.getByRole('button', { name: 'Change' }).click()
    await refused.getByText('takes a power of two').waitFor()
    await page.keyboard.press('Escape')
    await row('ebs.replicas = 2').getByRole('button').click()
    await page.getByRole('button', { name: 'Go back' }).last().click()
    await row('How many members it is meant to have')
      .getByText('5', { exact: true })
      .waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    await page.getByRole('button', { name: 'Edit the capabilities of node-3' }).click()
    const caps = page.getByRole('dialog', { name: 'Capabilities of node-3' })
    await caps.getByLabel('Capabilities, separated').fill('control, s3')
    await page.keyboard.press('Enter')
    await row('node-3').getByText('control, s3').waitFor()
    await page.getByRole('button', { name: 'Edit the capabilities of node-3' }).click()
    await caps.getByLabel('Capabilities, separated').fill('')
    await page.keyboard.press('Enter')
    await row('node-3').getByText('all', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Change the address of node-3' }).click()
    const address = page.getByRole('dialog', { name: 'Address of node-3' })
    await address.getByLabel('Address or name').fill('no address')
    await address.getByRole('button', { name: 'Change' }).click()
    await address.getByRole('alert').waitFor()
    await page.keyboard.press('Escape')
  })

  it('enters what was done in the audit log, page by page', async () => {
    const page = await openLoggedIn()
    await page.getByRole('link', { name: 'Audit log' }).click()
    const done = page.getByRole('row').filter({ hasText: 'Log in' })
    await done.filter({ hasText: 'operator admin' }).first().waitFor()
    const turn = (name: string) => page.getByRole('button', { name, exact: true })
    // More than a page of acts.
    const secret = readFileSync(join(cluster.dataDir, 'ca', 'admin-token'), 'utf8').trim()
    for (let at = 0; at < 26; at++) {
      const answer = await page.request.post(`${cluster.node(0).admin}/v1/access/operators`, {
        headers: { authorization: `Bearer ${secret}` },
        data: { name: `extra ${at}` },
      })
      assert.equal(answer.status(), 400)
    }
    await page.getByText('invalid').nth(24).waitFor()
    await turn('Older').click()
    await page.getByText('/v1/access/operators/first').waitFor()
    await turn('Newer').click()
    await page.getByText('/v1/access/operators/first').waitFor({ state: 'detached' })
    assert.ok(await turn('Newest').isDisabled())
  })

  const operator = (...args: readonly string[]) => {
    const command = [join(root, 'scripts/atoll.mjs'), 'admin', 'operator', ...args]
    return run(process.execPath, [...command, '--data-dir', cluster.dataDir, '--json'])
  }

  for (const [what, look] of [
    ['a phone, light', { width: 360, height: 740, colours: 'light' }],
    ['a phone, dark', { width: 360, height: 740, colours: 'dark' }],
    ['a desk, light', { width: 1280, height: 800, colours: 'light' }],
    ['a desk, dark', { width: 1280, height: 800, colours: 'dark' }],
  ] as const) {
    it(`fits ${what}: nothing sticks out, and everything can be read`, async () => {
      const page = await pages.open(look)
      await page.goto(placeAt(0))
      await page.getByLabel('Password').waitFor()
      assert.deepEqual(await flawsOf(page), [], 'login')
      await logIn(page, placeAt(0), { password: password() })
      const ground = 'getComputedStyle(document.body).backgroundColor'
      const expected = look.colours === 'dark' ? 'rgb(14, 19, 23)' : 'rgb(244, 246, 248)'
      assert.equal(await page.evaluate(ground), expected)
      for (const { name, shown } of [
        { name: 'Overview', shown: 'Groups' },
        { name: 'Nodes', shown: 'Members' },
        { name: 'Settings', shown: 'History' },
        { name: 'Join', shown: 'By token' },
      ]) {
        await page.getByRole('link', { name, exact: true }).click()
        await page.getByRole('heading', { name: shown }).waitFor()
        if (name === 'Join') {
          await page.getByRole('button', { name: 'Create token' }).click()
          await page.getByTestId('token').waitFor()
          await page.getByRole('button', { name: 'Show a pairing code' }).click()
          assert.match(
            (await page.getByTestId('words').textContent()) ?? '',
            /^([a-z]{5} ){3}[a-z]{5}$/,
          )
        }
        assert.deepEqual(await flawsOf(page), [], name)
      }
      await page.getByRole('link', { name: 'Nodes', exact: true }).click()
      await page.getByRole('button', { name: 'Remove node-3' }).click()
      await page.getByRole('dialog').waitFor()
      assert.deepEqual(await flawsOf(page), [], 'a dialog')
      await page.keyboard.press('Escape')
      await page.getByRole('link', { name: 'Audit log' }).click()
      await page.getByText('Log in').first().waitFor()
      assert.deepEqual(await flawsOf(page), [], 'Audit log')
    })
  }

  it('keeps to the colours that were chosen', async () => {
    const page = await openLoggedIn(0, { colours: 'dark' })
    await page.getByLabel('Colours').selectOption('light')
    await page.reload()
    await headingOf(page, 'Overview').waitFor()
    const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert.equal(ground, 'rgb(244, 246, 248)')
  })

  it('shows an operator without the scope what he may see, and no way to change it', async () => {
    const made = await operator('create', 'eve', '--scopes', 'metadata')
    const { password: drawn } = JSON.parse(made.stdout)
    const page = await pages.open()
    await logIn(page, placeAt(0), { operator: 'eve', password: drawn })
    await page.getByText('All is well').waitFor()
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    await page.getByRole('heading', { name: 'Members' }).waitFor()
    assert.equal(await page.getByRole('button', { name: /Drain|Remove|Edit/ }).count(), 0)
    await page.getByRole('link', { name: 'Join', exact: true }).click()
    await page.getByText('Your scopes do not include the token list.').waitFor()
    await page.getByRole('link', { name: 'Audit log' }).click()
    await page.getByText('Your scopes do not include the audit log.').waitFor()
    // A password that is changed ends the open page at once: the stream tells it.
    assert.equal((await operator('password', 'eve')).status, 0)
    await page.getByText('Your session has ended.').waitFor()
  })

  it('ends a session at one node, and it is dead at another', async () => {
    const page = await openLoggedIn()
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

  it('tells a node that dies while the page is open, and its return, with a stream and without', async () => {
    const page = await openLoggedIn(0)
    await page.getByText('All is well').waitFor()
    const without = await pages.open()
    await without.route(/events\/stream/, (route) => route.fulfill({ status: 503, body: '{}' }))
    await logIn(without, placeAt(1), { password: password() })
    const listed = without.getByRole('region', { name: 'Events' })
    await listed.getByText('every 2 s').waitFor()
    await cluster.kill(2)
    const events = page.getByRole('region', { name: 'Events' })
    await events.getByText('Member offline').first().waitFor()
    await listed.getByText('Member offline').first().waitFor()
    await page.getByText('node-3 is offline.').waitFor()
    await cluster.startMissing()
    await events.getByText('Member online').first().waitFor()
    await page.getByText('All is well').waitFor()
  })

  it('complained of nothing meanwhile', () => {
    assert.deepEqual(pages.complaints, [])
  })
})
