import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')

for (const [program, said] of [
  ['sim/main.ts', /npm run sim -- --seed .*\n/],
  ['tools/torture/main.ts', /npm run torture -- /],
  ['tools/check-histories.ts', /npm run check:histories -- DIR/],
  ['tools/raft-scripts.ts', /npm run raft:scripts -- DIR/],
  ['tools/raft-trace.ts', /npm run raft:trace -- --seed 7/],
] as const) {
  test(`${program} says how it is used`, () => {
    const ran = spawnSync(process.execPath, [join(root, program), '--help'], { encoding: 'utf8' })
    assert.equal(ran.status, 0, ran.stderr)
    assert.match(ran.stdout, said)
    assert.doesNotMatch(ran.stdout, /^\/\//m)
  })
}
