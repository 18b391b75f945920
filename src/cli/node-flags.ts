// The flags of a node's process, as commander and node:util read them: names in camel case, values as text.

import { resolve } from 'node:path'
import type { runNode } from './node-command.ts'
import { parseChoice, parseCount, parseRatio } from './options.ts'

export type Flags = Readonly<Record<string, string | boolean | undefined>>

const levels = ['debug', 'notice', 'warning', 'error'] as const

export function readNode(flags: Flags): Parameters<typeof runNode>[0] {
  const text = (name: string): string | undefined => {
    const value = flags[name]
    return typeof value === 'string' ? value : undefined
  }
  return {
    dataDir: resolve(text('dataDir') ?? ''),
    dataThreads: readDataThreads(text('dataThreads')) ?? 1,
    bind: text('bind'),
    etcd: readNodeEtcd(flags),
    sql: readNodeSql(flags),
    encryptionKeyFile: readPath(text('encryptionKeyFile')),
    snapshotDir: readPath(text('snapshotDir')),
    readLease: readLeaseOf(text('readLease')),
    log: parseChoice('--log', text('log') ?? 'text', ['text', 'json', 'journal']),
    level: parseChoice('--level', text('level') ?? 'notice', levels),
    isJson: flags.json === true,
  }
}

export function readLeaseOf(
  text: string | undefined,
): { readonly clockDriftRatio: number } | undefined {
  return text === undefined ? undefined : { clockDriftRatio: parseRatio('--read-lease', text) }
}

export function readPath(text: string | undefined): string | undefined {
  return text === undefined ? undefined : resolve(text)
}

function readNodeEtcd(flags: Flags) {
  const { port, ...how } = readEtcd(flags)
  return port === undefined ? undefined : { port, ...how }
}

export function readEtcd({ etcdPort, etcdTls, etcdClientCa, etcdWatchProgress }: Flags) {
  return {
    port:
      typeof etcdPort === 'string' ? parseCount('--etcd-port', etcdPort, [1, 65_535]) : undefined,
    isTls: etcdTls === true,
    clientAuthority: typeof etcdClientCa === 'string' ? resolve(etcdClientCa) : undefined,
    progressSeconds:
      typeof etcdWatchProgress === 'string'
        ? parseCount('--etcd-watch-progress', etcdWatchProgress, [1, 86_400])
        : undefined,
  }
}

function readNodeSql(flags: Flags) {
  const { port, isTls } = readSql(flags)
  return port === undefined ? undefined : { port, isTls }
}

export function readSql({ sqlPort, sqlTls }: Flags) {
  return {
    port: typeof sqlPort === 'string' ? parseCount('--sql-port', sqlPort, [1, 65_535]) : undefined,
    isTls: sqlTls === true,
  }
}

export function readDataThreads(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseCount('--data-threads', text, [0, 64])
}
