// Processes without processes (simulator, tests): programs run on the caller's loop behind a port, so that what they do
// cannot be cut short there: a kill ends the talk, between two messages.

import { toFault } from '../base/index.ts'
import type { Host, Processes } from './host.ts'
import { createLoopPorts } from './loop-threads.ts'

export function createLoopProcesses(host: Pick<Host, 'clock'>): Processes {
  return {
    async start(program, input, { onEnd }) {
      const [ours, theirs] = createLoopPorts((run) => host.clock.soon(run))
      program
        .run(theirs, input.slice(), host.clock)
        .catch((error: unknown) => onEnd(toFault(error)))
      return {
        port: ours,
        async kill() {
          ours.close()
        },
      }
    },
  }
}
