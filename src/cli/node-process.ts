// One node as a child process of the launcher: started, watched until it says that it is ready, stopped
// within a bounded time. The child talks over Node's channel (node-command.ts); when the channel breaks,
// because the launcher was killed, the child stops by itself.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Fault, faultCodeOf } from '../base/index.ts'
import type { EtcdFlags, SqlFlags } from './node-dir.ts'
import { nodePaths } from './paths.ts'

/** What a node tells its launcher. */
export type NodeNotice =
  | { readonly kind: 'waiting'; readonly what: string }
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'failed'
      readonly code: string
      readonly what: string
      readonly next: string
      readonly fields: Readonly<Record<string, string>>
    }

export type NodeProcessOptions = {
  readonly nodeDir: string
  readonly dataThreads: number | undefined
  readonly etcd?: EtcdFlags | undefined
  readonly sql?: SqlFlags | undefined
  readonly encryptionKeyFile?: string | undefined
  readonly snapshotDir?: string | undefined
  readonly readLease?: { readonly clockDriftRatio: number } | undefined
  /** 'json': the node's journal goes to our standard error as JSON lines; else into node.log. */
  readonly log: 'json' | 'file'
}

export type NodeEnd = { readonly status: number | null; readonly signal: string | null }

export type NodeProcess = {
  readonly pid: number
  /** Settles when the node serves; rejects with the Fault that ended it. */
  readonly ready: Promise<void>
  readonly ended: Promise<NodeEnd>
  /** What it last said it waits for. */
  waitsFor(): string
  /** SIGTERM, and SIGKILL when it is not gone after stopMsMax. */
  stop(): Promise<void>
}

const stopMsMax = 15_000
const mainPath = fileURLToPath(new URL('./node-main.ts', import.meta.url))

export function startNodeProcess(options: NodeProcessOptions): NodeProcess {
  const paths = nodePaths(options.nodeDir)
  const file = options.log === 'json' ? undefined : openSync(paths.journal, 'a', 0o644)
  const output = file ?? 2
  const args = ['node', '--data-dir', options.nodeDir]
  if (options.dataThreads !== undefined) args.push('--data-threads', String(options.dataThreads))
  if (options.etcd !== undefined) args.push(...etcdArgs(options.etcd))
  const { encryptionKeyFile, snapshotDir, readLease, sql } = options
  if (sql !== undefined) args.push('--sql-port', String(sql.port))
  if (sql?.isTls === true) args.push('--sql-tls')
  if (encryptionKeyFile !== undefined) args.push('--encryption-key-file', encryptionKeyFile)
  if (snapshotDir !== undefined) args.push('--snapshot-dir', snapshotDir)
  if (readLease !== undefined) args.push('--read-lease', String(readLease.clockDriftRatio))
  if (options.log === 'json') args.push('--log', 'json')
  const child = spawn(process.execPath, [...process.execArgv, mainPath, ...args], {
    stdio: ['ignore', output, output, 'ipc'],
    env: environment(),
  })
  if (file !== undefined) closeSync(file)
  return watch(child, options.nodeDir)
}

function etcdArgs({ port, isTls, clientAuthority, progressSeconds }: EtcdFlags): readonly string[] {
  const args = ['--etcd-port', String(port)]
  if (isTls) args.push('--etcd-tls')
  if (clientAuthority !== undefined) args.push('--etcd-client-ca', clientAuthority)
  if (progressSeconds !== undefined) args.push('--etcd-watch-progress', String(progressSeconds))
  return args
}

/** Two heaps of the C library for all threads: one for each would keep what its thread once needed. */
function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '16',
    MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX ?? '2',
    TZ: 'UTC',
  }
}

function watch(child: ChildProcess, nodeDir: string): NodeProcess {
  let waiting = 'its start'
  let failure: Fault | undefined
  const ended = new Promise<NodeEnd>((resolve) => {
    child.once('exit', (status, signal) => resolve({ status, signal }))
    child.once('error', () => resolve({ status: null, signal: null }))
  })
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (notice: NodeNotice) => {
      if (notice.kind === 'ready') resolve()
      else if (notice.kind === 'waiting') waiting = notice.what
      else failure = faultOf(notice)
    })
    ended.then((end) => reject(failure ?? unexpectedEnd(end, nodeDir)), reject)
  })
  ready.catch(() => undefined)
  return {
    pid: child.pid ?? 0,
    ready,
    ended,
    waitsFor: () => waiting,
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
      await ended
      clearTimeout(timer)
    },
  }
}

function faultOf(notice: Extract<NodeNotice, { kind: 'failed' }>): Fault {
  const code = faultCodeOf(notice.code)
  return new Fault(code, notice.what, {
    fields: notice.fields,
    ...(notice.next === '' ? {} : { next: notice.next }),
  })
}

function unexpectedEnd(end: NodeEnd, nodeDir: string): Fault {
  const how = end.signal === null ? `status ${end.status}` : end.signal
  const { journal } = nodePaths(nodeDir)
  return new Fault('internal', `the node in ${nodeDir} ended with ${how}\n${lastLines(journal)}`, {
    next: `read ${journal}`,
  })
}

const linesShown = 12

function lastLines(path: string): string {
  try {
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    return lines.slice(-linesShown).join('\n')
  } catch {
    return ''
  }
}
