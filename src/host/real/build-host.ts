// The real host's parts put together; once for the process and once more in each worker.

import { realpathSync } from 'node:fs'
import { mkdirSync } from 'node:fs'
import type { Host } from '../host.ts'
import { realClock } from './clock.ts'
import { createDisk } from './disk.ts'
import { createHttp } from './http.ts'
import {
  createJournal,
  type FatalEnd,
  type JournalOptions,
  writeToStandardError,
} from './journal.ts'
import { createNetwork } from './network.ts'
import { realRandom } from './random.ts'
import { systemFault } from './system-fault.ts'
import { createThreads } from './threads.ts'

export type HostParts = {
  readonly rootPath: string
  readonly isDiskBlocking: boolean
  readonly journal: JournalOptions
  /** How the process or thread ends after a fatal event. */
  readonly end: FatalEnd
}

export function buildHost(parts: HostParts): Host {
  const rootPath = makeRoot(parts.rootPath)
  const journal = createJournal(parts.journal, parts.end)
  return {
    clock: realClock,
    random: realRandom,
    disk: createDisk(rootPath, { isBlocking: parts.isDiskBlocking }),
    network: createNetwork(journal),
    http: createHttp(journal),
    threads: createThreads({
      rootPath,
      journalOptions: parts.journal,
      journal,
      writeLine: parts.journal.write ?? writeToStandardError,
    }),
    journal,
    memory: { residentBytes: () => process.memoryUsage.rss() },
  }
}

function makeRoot(path: string): string {
  try {
    mkdirSync(path, { recursive: true })
    return realpathSync(path)
  } catch (error) {
    throw systemFault(error, `cannot use ${path} as data directory`)
  }
}
