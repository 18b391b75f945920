// The first module of every worker: builds the host, loads the program's module and runs it.

import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/index.ts'
import type { ThreadProgram } from '../host.ts'
import { buildHost } from './build-host.ts'
import { createPort, type ThreadNotice, type ThreadStart } from './threads.ts'

const start = workerData as ThreadStart

function tell(notice: ThreadNotice): void {
  parentPort?.postMessage(notice)
}

/** The message reaches the parent, which stops the node; throwing only unwinds this thread. */
function endThread(event: string, error: unknown): never {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  tell({
    kind: 'fatal',
    event,
    what: error instanceof Error ? error.message : String(error),
    stack,
  })
  throw error
}

async function run(): Promise<void> {
  // On Linux a thread has its own priority; elsewhere this would lower the whole process.
  if (start.nice > 0 && process.platform === 'linux') setPriority(0, start.nice)
  const host = buildHost({
    rootPath: start.rootPath,
    isDiskBlocking: start.isDiskBlocking,
    journal: { ...start.journal, write: (line) => tell({ kind: 'line', line }) },
    end: endThread,
  })
  const module: Record<string, unknown> = await import(start.moduleUrl)
  const program = module[start.exportName]
  assert(isRun(program), `${start.exportName} is a function of ${start.moduleUrl}`)
  const port = createPort(start.port)
  tell({ kind: 'ready' })
  await program(host, port, start.input)
}

function isRun(value: unknown): value is ThreadProgram['run'] {
  return typeof value === 'function'
}

await run()
