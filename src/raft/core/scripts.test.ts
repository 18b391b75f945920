// Runs the published Raft scripts, which are not part of this repository, through the runner.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../../..')
const scripts = join(root, '../shared/vectors/raft-scripts')
const skip = existsSync(scripts) ? false : `no published scripts at ${scripts}`

test('the published scripts pass to the letter', { skip }, () => {
  const runner = join(root, 'tools/raft-scripts.ts')
  const { status, stdout } = spawnSync(process.execPath, [runner, scripts], { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
  assert.match(stdout, /\n[1-9]\d* passed, 0 failed\n$/)
})
