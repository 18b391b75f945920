// A node that starts a process which never looks at its port again, for the test that it ends with the node. Prints the
// process's number once it is busy.

import { createRealHost } from '../real/index.ts'
import type { Port } from '../host.ts'

const bytesOfPid = 4

/** The program. */
export async function runForEver(port: Port): Promise<void> {
  const told = Buffer.alloc(bytesOfPid)
  told.writeUInt32BE(process.pid)
  port.send(told)
  for (;;) Math.sqrt(2)
}

const [, , rootPath] = process.argv
if (rootPath !== undefined && import.meta.main) {
  const host = createRealHost({ rootPath, journal: { format: 'json', level: 'error' } })
  const program = {
    name: 'endless',
    moduleUrl: import.meta.url,
    exportName: 'runForEver',
    run: runForEver,
  }
  const { port } = await host.processes.start(program, new Uint8Array(0), { onEnd: () => {} })
  port.onMessage = (told) => process.stdout.write(`${Buffer.from(told).readUInt32BE()}\n`)
  setInterval(() => {}, 1000)
}
