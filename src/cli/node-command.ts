// `atoll node`: runs one node in this process. `atoll up` starts it per node; on several machines it is
// started directly. SIGTERM and SIGINT stop it cleanly; so does the loss of the launcher that started it.

import { existsSync, mkdirSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { Fault, isFault, toFault } from '../base/index.ts'
import { formatAddress } from '../cluster/index.ts'
import type { Address, Disk } from '../host/index.ts'
import { createLoopThreads, createRealHost, type JournalFormat } from '../host/real/index.ts'
import { type NodeConfig, type RunningNode, startNode } from '../node/index.ts'
import { readConsolePages } from './console-pages.ts'
import { readEncryptionKey } from './encryption-key.ts'
import { acquireLock, type Lock } from '../host/real/lock.ts'
import { type EtcdFlags, loadNodeConfig, type SqlFlags } from './node-dir.ts'
import type { NodeNotice } from './node-process.ts'
import { nodePaths } from './paths.ts'
import { portFault, portNames, type UsedPort } from './ports.ts'
import { answer, reportFailure } from './terminal.ts'
import { aborted, stopSignal } from './stop-signal.ts'

export type NodeCommandOptions = {
  readonly dataDir: string
  readonly dataThreads: number
  readonly bind?: string | undefined
  readonly etcd?: EtcdFlags | undefined
  readonly sql?: SqlFlags | undefined
  readonly encryptionKeyFile?: string | undefined
  /** Where raft keeps its snapshot files; in the data directory otherwise. */
  readonly snapshotDir?: string | undefined
  /** Present: reads by leases, on all nodes alike. */
  readonly readLease?: { readonly clockDriftRatio: number } | undefined
  readonly log: JournalFormat
  readonly level: 'debug' | 'notice' | 'warning' | 'error'
  /** Lines of JSON on standard output say what becomes of it: 'serving', 'stopped'. */
  readonly isJson?: boolean | undefined
}

const flushAfterMs = 2_000

/** Settles with the exit status once the node has stopped. `held`: the directory's lock, which it takes over. */
export async function runNode(options: NodeCommandOptions, held?: Lock): Promise<number> {
  const stopping = stopSignal()
  let lock = held
  try {
    if (!existsSync(options.dataDir)) {
      throw new Fault('not-found', `${options.dataDir} does not exist`, {
        next: 'start the cluster with `atoll up`, which makes it',
      })
    }
    lock ??= acquireLock(nodePaths(options.dataDir).lock, options.dataDir)
    const { dataThreads, bind, etcd, sql } = options
    const sharedKeyHex = readEncryptionKey(options.encryptionKeyFile, process.env)
    const loaded = loadNodeConfig(options.dataDir, {
      dataThreads,
      bindHost: bind,
      etcd,
      sql,
      sharedKeyHex,
    })
    const { readLease } = options
    const config =
      readLease === undefined ? loaded : { ...loaded, raft: { ...loaded.raft, readLease } }
    const node = await start(config, options, stopping)
    if (node !== undefined) {
      notify({ kind: 'ready' })
      if (options.isJson === true) answer(JSON.stringify(servingLine(config)))
      // Kept for the next start even if this process is killed; not now, when the first requests come.
      const flushing = setTimeout(flushCompileCache, flushAfterMs)
      await aborted(stopping)
      clearTimeout(flushing)
      await node.stop()
    }
    if (options.isJson === true) answer(JSON.stringify({ event: 'stopped', nodeId: config.self }))
    return 0
  } catch (error) {
    const fault = toFault(error)
    notify({
      kind: 'failed',
      code: fault.code,
      what: fault.message,
      next: fault.next ?? '',
      fields: fault.fields,
    })
    return reportFailure(error)
  } finally {
    lock?.release()
  }
}

async function start(
  config: NodeConfig,
  options: NodeCommandOptions,
  signal: AbortSignal,
): Promise<RunningNode | undefined> {
  const real = createRealHost({
    rootPath: options.dataDir,
    journal: { format: options.log, level: options.level, name: `node ${config.self}` },
  })
  const host = config.dataThreads === 0 ? { ...real, threads: createLoopThreads(real) } : real
  process.on('uncaughtException', (error) => host.journal.fatal('node.uncaught_error', error))
  process.on('unhandledRejection', (error) => host.journal.fatal('node.unhandled_rejection', error))
  notify({ kind: 'waiting', what: 'a majority of the nodes' })
  try {
    const pages = readConsolePages()
    return await startNode(config, host, { signal, pages, ...snapshotDiskOf(options) })
  } catch (error) {
    if (signal.aborted && isFault(error, 'cancelled')) return undefined
    throw explainPort(error, config)
  }
}

function servingLine(config: NodeConfig) {
  const { self, identity, listen } = config
  const at = (scheme: string, address: Address | undefined): string | undefined =>
    address === undefined ? undefined : `${scheme}://${formatAddress(address)}`
  return {
    event: 'serving',
    nodeId: self,
    clusterId: identity.clusterId,
    pid: process.pid,
    admin: at('https', listen.admin),
    s3: at('http', listen.s3),
    s3Tls: at('https', listen.s3Tls),
    etcd: listen.etcd === undefined ? undefined : formatAddress(listen.etcd),
    sql: at(config.isSqlTls === true ? 'https' : 'http', listen.sql),
  }
}

function snapshotDiskOf({ snapshotDir }: NodeCommandOptions): { readonly snapshotDisk?: Disk } {
  if (snapshotDir === undefined) return {}
  mkdirSync(snapshotDir, { recursive: true })
  const journal = { format: 'text', level: 'warning', name: 'snapshots' } as const
  return { snapshotDisk: createRealHost({ rootPath: snapshotDir, journal }).disk }
}

/** A taken port as people meet it: what it is for, and the flag that moves it. */
function explainPort(error: unknown, config: NodeConfig): unknown {
  if (!isFault(error, 'exists') || error.fields.port === undefined) return error
  const port = Number(error.fields.port)
  const isIt = (name: UsedPort): boolean => config.listen[name]?.port === port
  const name = ([...portNames, 'etcd', 'sql'] as const).find(isIt)
  if (name === undefined) return error
  const host = config.listen[name]?.host ?? ''
  return portFault('EADDRINUSE', { host, port, name })
}

function notify(notice: NodeNotice): void {
  if (process.connected && process.send !== undefined) process.send(notice)
}
