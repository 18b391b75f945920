import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { workloads } from '../run-seed.ts'
import { plants } from './index.ts'
import { editText, root } from './planting.ts'

test('every plant finds its place in the sources, and has a name and a workload of its own', () => {
  assert.equal(new Set(plants.map(({ name }) => name)).size, plants.length)
  for (const { name, workload, edits, seedsMax } of plants) {
    assert.ok(workloads.has(workload), `${name}: no workload ${workload}`)
    assert.ok(seedsMax > 0 && edits.length > 0)
    const texts = new Map<string, string>()
    for (const edit of edits) {
      const text = texts.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8')
      const edited = editText(text, edit)
      assert.notEqual(edited, text, `${name} changes nothing`)
      texts.set(edit.file, edited)
    }
  }
})
