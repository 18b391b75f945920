import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './planting.ts'

// The others take longer: `npm run sim -- --plants` runs them all.
for (const name of ['learner-counted', 'committed-truncated', 'applied-twice']) {
  test(`the plant ${name} is caught within its seeds`, () => {
    const args = [join(root, 'sim', 'main.ts'), '--plant', name]
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    assert.equal(status, 0, stdout)
    assert.match(stdout, new RegExp(`${name}: caught by seed`))
  })
}
