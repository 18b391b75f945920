// The host of a real process: Node's own clocks, files, sockets, servers and threads under one root.

import { assert } from '../../base/index.ts'
import type { Host } from '../host.ts'
import { buildHost } from './build-host.ts'
import type { JournalOptions } from './journal.ts'

export type RealHostOptions = {
  /** The data directory; made when missing. */
  readonly rootPath: string
  readonly journal: JournalOptions
  /**
   * Called once the fatal event is in the journal, and must end the process or unwind by throwing.
   * Default: ends the process with status 70 (an internal error in sysexits.h).
   */
  readonly onFatal?: (event: string, error: unknown) => void
  /** Disk calls block the loop; for tests of that mode. Threads say it in their program. */
  readonly blockingDisk?: boolean
}

export function createRealHost(options: RealHostOptions): Host {
  return buildHost({
    rootPath: options.rootPath,
    isDiskBlocking: options.blockingDisk === true,
    journal: options.journal,
    end: (event, error) => endProcess(options, event, error),
  })
}

function endProcess(options: RealHostOptions, event: string, error: unknown): never {
  if (options.onFatal === undefined) process.exit(70)
  options.onFatal(event, error)
  assert(false, `${event} ends the process`)
}
