// A short torture of each kind (tools/torture): kill -9 on loopback, and nodes with networks of their own that the kernel cuts.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { whyNoNetworks } from '../../tools/torture/networks.ts'
import { root, run } from './cluster.ts'

async function torture(...args: readonly string[]): Promise<string> {
  const state = mkdtempSync(join(tmpdir(), 'atoll-torture-'))
  try {
    const program = join(root, 'tools', 'torture', 'main.ts')
    const ran = await run(process.execPath, [program, '--state', state, ...args])
    assert.equal(ran.status, 0, ran.stdout + ran.stderr)
    return ran.stdout
  } finally {
    rmSync(state, { recursive: true, force: true })
  }
}

test('nodes are killed under load: nothing acknowledged is lost', async () => {
  const told = await torture('--kills', '3', '--port-offset', '22000')
  assert.match(told, /no problem/)
  assert.match(told, /register operations judged: [1-9]/)
  assert.match(told, /object operations judged: [1-9]/)
})

test('nodes in networks of their own are cut off', { skip: whyNoNetworks() ?? false }, async () => {
  const told = await torture('--netns', '--seconds', '15')
  assert.match(told, /no problem/)
  assert.match(told, /list operations judged: [1-9]/)
})
