// The adapter without its packages: a fault that says what to install. (Its other tests need them.)

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadLibp2p } from '../adapters/libp2p/libp2p.ts'
import { isFault } from '../src/base/index.ts'
import { root } from './steps.ts'

test('libp2p is loaded where it is installed, else missed by name', async () => {
  const isInstalled = existsSync(join(root, 'adapters', 'libp2p', 'node_modules'))
  const loading = loadLibp2p()
  if (isInstalled) {
    assert.equal(typeof (await loading).createNode, 'function')
    return
  }
  await assert.rejects(loading, (error) => {
    assert.ok(isFault(error, 'unsupported'))
    assert.match(error.message, /needs the package libp2p/)
    assert.match(String(error.next), /npm ci --prefix adapters\/libp2p/)
    return true
  })
})
