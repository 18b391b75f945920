import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = mkdtempSync(`${tmpdir()}/atoll-processes-`)
after(() => rmSync(root, { recursive: true, force: true }))
const script = fileURLToPath(new URL('../testing/endless-process.ts', import.meta.url))

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`a process that looks at nothing ends with its node (${signal})`, async () => {
    const node = spawn(process.execPath, [script, root], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [told] = (await once(node.stdout, 'data')) as [Buffer]
    const pid = Number(told.toString())
    assert.ok(isRunning(pid))
    node.kill(signal)
    await once(node, 'exit')
    const endMs = Date.now() + 10_000
    while (isRunning(pid) && Date.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    if (!isRunning(pid)) return
    process.kill(pid, 'SIGKILL')
    assert.fail('it went on without its node')
  })
}

/** Not one that nobody has asked for its status yet. */
function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
