// The real host's parts put together; once for the process and once more in each worker. Servers and
// sockets are loaded on first use: threads that only write files never need them.

import { realpathSync } from 'node:fs'
import { mkdirSync } from 'node:fs'
import type { CertifiedTransport, Host, Http, Journal, Network } from '../host.ts'
import { realClock } from './clock.ts'
import { createDisk } from './disk.ts'
import {
  createJournal,
  type FatalEnd,
  type JournalOptions,
  writeToStandardError,
} from './journal.ts'
import { realPasswords } from './passwords.ts'
import { realPki } from './pki.ts'
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
    network: createLazyNetwork(journal),
    http: createLazyHttp(journal),
    threads: createThreads({
      rootPath,
      journalOptions: parts.journal,
      journal,
      writeLine: parts.journal.write ?? writeToStandardError,
    }),
    processes: {
      start: async (program, input, options) =>
        await (await import('./processes.ts')).startProcess(program, input, options),
    },
    journal,
    memory: { residentBytes: () => process.memoryUsage.rss() },
    passwords: realPasswords,
    pki: realPki,
    datagrams: {
      open: async (options) => (await import('./datagrams.ts')).openDatagrams(options),
    },
  }
}

function createLazyNetwork(journal: Journal): Network {
  let loading: Promise<Network> | undefined
  const load = (): Promise<Network> => {
    loading ??= import('./network.ts').then(({ createNetwork }) => createNetwork(journal))
    return loading
  }
  return {
    secured(identity) {
      let newest = identity
      let transport: Promise<CertifiedTransport> | undefined
      const open = (): Promise<CertifiedTransport> => {
        transport ??= load().then((network) => network.secured(newest))
        return transport
      }
      return {
        self: { nodeId: identity.nodeId, clusterId: identity.clusterId },
        listen: async (address, options) => (await open()).listen(address, options),
        connect: async (address, options) => (await open()).connect(address, options),
        replace(renewed) {
          newest = renewed
          // A failure to load is told by listen() and connect().
          transport?.then((opened) => opened.replace(renewed)).catch(() => undefined)
        },
      }
    },
    plain: {
      listen: async (address, options) => (await load()).plain.listen(address, options),
      connect: async (address, options) => (await load()).plain.connect(address, options),
    },
  }
}

function createLazyHttp(journal: Journal): Http {
  return {
    async serve(address, options) {
      const { createHttp } = await import('./http.ts')
      return await createHttp(journal).serve(address, options)
    },
    async connect(address, options) {
      const { connectHttp } = await import('./http2-client.ts')
      return await connectHttp(address, options)
    },
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
