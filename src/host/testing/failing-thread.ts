// A process whose thread fails: run by a test that looks at how the process ends. The argument says how
// it fails: 'throw' in a timer, 'reject' from run, 'fatal' through the journal, 'exit' by ending.

import { createRealHost } from '../real/index.ts'
import type { Host, Port } from '../host.ts'
import { isMainThread } from 'node:worker_threads'

/** The program: fails in the way its input names. */
export async function fail(host: Host, port: Port, input: Uint8Array): Promise<void> {
  const how = new TextDecoder().decode(input)
  port.onMessage = () => undefined
  if (how === 'reject') throw new Error('rejected on purpose')
  if (how === 'fatal') host.journal.fatal('test.fatal', new Error('fatal on purpose'))
  if (how === 'exit') process.exit(0)
  host.clock.after(1, () => {
    throw new Error('thrown on purpose')
  })
}

if (isMainThread && process.argv[2] !== undefined) {
  const [, , how, rootPath = ''] = process.argv
  const host = createRealHost({ rootPath, journal: { format: 'text', level: 'notice' } })
  const program = { name: 'failing', moduleUrl: import.meta.url, exportName: 'fail', run: fail }
  await host.threads.start(program, new TextEncoder().encode(how))
  await host.clock.sleep(60_000)
}
