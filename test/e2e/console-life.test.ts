// A cluster's life in its console, in a real browser: the operator whom `admin init` made logs in; a machine is paired by four
// words on its setup page; another comes by a token that asks first, and is approved; it is drained and removed, with the
// sentence of what that costs. The page that watches is never loaded again: it is told.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Page } from 'playwright-core'
import { flawsOf, logIn, Pages, withoutBrowser } from './browser.ts'
import { type Line, Machines, until } from './machines.ts'

const offset = 15_200

describe('the console of a cluster that grows and shrinks', {
  skip: withoutBrowser,
  timeout: 240_000,
}, () => {
  const pages = new Pages()
  const machines = new Machines(offset)
  const one = machines.add('n1', '127.0.0.61')
  const two = machines.add('n2', '127.0.0.62')
  const three = machines.add('n3', '127.0.0.63')
  const home = `https://${one.host}:${machines.port(7777)}/console/`
  let watching: Page
  let working: Page

  before(async () => {
    await pages.start()
    const flags = [...machines.flags(one), '--rs', '2+1', '--nodes', '3', '--no-wait']
    const started = await machines.start(one, ['admin', 'init', ...flags]).line('started')
    const told = started.console as Line
    assert.equal(told.url, home)
    const password = String(told.password)
    const kept = readFileSync(join(one.dataDir, 'identity', 'operator-password'), 'utf8')
    assert.equal(kept.trim(), password)
    watching = await pages.open()
    await logIn(watching, home, { password })
    working = await pages.open({ width: 390, height: 844, colours: 'dark' })
    await logIn(working, home, { password })
  })
  after(async () => {
    await pages.stop()
    await machines.stopAll()
  })

  const events = () => watching.getByRole('region', { name: 'Events' })
  const go = (page: Page, name: string) => page.getByRole('link', { name, exact: true }).click()

  it('pairs a machine by the four words that the console shows', async () => {
    machines.start(two, [
      ...['start', '--data-dir', two.dataDir, '--bind', two.host],
      ...['--port-offset', String(machines.port(0))],
    ])
    const setup = `http://${two.host}:${machines.port(7777)}`
    await until('the setup page is served', async () => (await fetch(`${setup}/state`)).ok)
    await go(working, 'Join')
    await working.getByRole('button', { name: 'Show a pairing code' }).click()
    const words = (await working.getByTestId('words').textContent()) ?? ''
    assert.deepEqual(await flawsOf(working), [])
    const machine = await pages.open({ width: 390, height: 844 })
    await machine.goto(setup)
    await machine.getByLabel('Address of a member').fill(new URL(home).host)
    await machine.getByLabel('Pairing code').fill(words)
    await machine.getByLabel('Name of this machine').fill('n2')
    await machine.getByLabel('Region').fill('eu')
    await machine.getByLabel('Availability zone').fill('a')
    assert.deepEqual(await flawsOf(machine), [])
    await machine.getByRole('button', { name: 'Join' }).click()
    await events().getByText('n2 was let in').waitFor()
    await watching.getByRole('row').filter({ hasText: 'n2' }).getByText('online').waitFor()
  })

  it('lets a machine in that waits, after the keys were compared', async () => {
    await go(working, 'Join')
    await working.getByLabel('Ask me before it is let in').check()
    await working.getByRole('button', { name: 'Create token' }).click()
    const token = (await working.getByTestId('token').textContent()) ?? ''
    const args = ['--host', new URL(home).host, '--token', token]
    const joining = machines.start(three, ['admin', 'join', ...machines.flags(three), ...args])
    await events()
      .getByText(/^n3 at 127\.0\.0\.63:\d+ waits to be let in$/)
      .waitFor()
    await working.getByText('A machine waits to be let in.').waitFor()
    await working.getByRole('link', { name: 'Look and decide' }).click()
    await working.getByRole('heading', { name: '1 machine waits to be let in' }).waitFor()
    assert.deepEqual(await flawsOf(working), [])
    const key = (await working.locator('.waiting code').textContent()) ?? ''
    assert.match(key, /^([a-z]{5} ){3}[a-z]{5}$/)
    await working.getByRole('button', { name: 'Approve n3' }).click()
    const dialog = working.getByRole('dialog', { name: 'Let n3 in?' })
    assert.ok((await dialog.textContent())?.includes(key))
    await dialog.getByRole('button', { name: 'Let it in' }).click()
    const { status, stderr } = await joining.ended
    assert.equal(status, 0, stderr)
    await events().getByText('n3 was let in').waitFor()
    const row = working.getByRole('row').filter({ hasText: 'n3' })
    await row.getByText('online').waitFor()
    // Certificates of a week: their end is told, and no reason to worry.
    await row.getByText(/^in 6 d/).waitFor()
  })

  it('drains it by force alone, says what that costs, and shows how far it is', async () => {
    await working.getByRole('button', { name: 'Drain n3' }).click()
    const dialog = working.getByRole('dialog', { name: 'Drain n3?' })
    await dialog.getByRole('button', { name: 'Drain', exact: true }).click()
    await dialog.getByText('2 members would stay and the code 2+1 needs 3').waitFor()
    const forced = dialog.getByRole('button', { name: 'Drain all the same' })
    assert.ok(await forced.isDisabled())
    assert.deepEqual(await flawsOf(working), [])
    await dialog.getByLabel('I accept that').check()
    await forced.click()
    await dialog.waitFor({ state: 'detached' })
    await events().getByText('n3 is being drained, by force').waitFor()
    const leaving = working.getByRole('region', { name: 'Leaving' })
    await leaving.getByText('n3').first().waitFor()
    await leaving.getByText('Empty: it can be removed without loss.').waitFor()
    for (const step of ['leads no group', 'holds no shards', 'votes in no group']) {
      await leaving.getByText(step).waitFor()
    }
    assert.deepEqual(await flawsOf(working), [])
    await events().getByText('n3 is empty: it can be removed').waitFor()
  })

  it('keeps it after all, and drains it again', async () => {
    await working.getByRole('button', { name: 'Keep n3' }).click()
    await working.getByRole('button', { name: 'Keep the node' }).click()
    await events().getByText('n3: the drain was called off').waitFor()
    await working.getByRole('button', { name: 'Drain n3' }).click()
    const dialog = working.getByRole('dialog', { name: 'Drain n3?' })
    await dialog.getByRole('button', { name: 'Drain', exact: true }).click()
    await dialog.getByLabel('I accept that').check()
    await dialog.getByRole('button', { name: 'Drain all the same' }).click()
    await working.getByText('Empty: it can be removed without loss.').waitFor()
  })

  it('removes it, which costs nothing now that it is empty', async () => {
    await working.getByRole('button', { name: 'Remove n3, which is empty' }).click()
    const dialog = working.getByRole('dialog', { name: 'Remove n3?' })
    await dialog.getByRole('button', { name: 'Remove', exact: true }).click()
    await dialog.waitFor({ state: 'detached' })
    await events().getByText('n3 was removed', { exact: true }).waitFor()
    await working.getByRole('row').filter({ hasText: 'n3' }).waitFor({ state: 'detached' })
    // The button that was pressed has gone with the node: the focus goes to the page, not to nowhere.
    await working.locator('main:focus').waitFor()
  })

  it('complained of nothing meanwhile', () => {
    assert.deepEqual(pages.complaints, [])
  })
})
