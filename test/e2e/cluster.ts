// A real cluster for tests: `atoll up` as a person runs it, in a data directory of its own and with its
// own ports, with an S3 client per node. Everything it started has ended when stop() settles.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'

export const root = join(import.meta.dirname, '..', '..')
const startedMsMax = 60_000

export type NodeLine = {
  readonly id: number
  readonly pid: number
  readonly s3: string
  readonly admin: string
  readonly dataDir: string
}
export type ClusterLine = {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly nodes: readonly NodeLine[]
  /** The password is told by the first start only. */
  readonly console?: { readonly url: string; readonly operator: string; readonly password?: string }
}
export type Status = {
  readonly nodes: readonly { readonly id: number; readonly state: string }[]
  readonly groups: readonly Record<string, unknown>[]
  readonly objects: number
  readonly underReplicatedShards: number
}

export type Cluster = {
  readonly dataDir: string
  readonly line: ClusterLine
  node(position: number): NodeLine
  client(position: number, options?: { readonly attemptsMax?: number }): S3Client
  /** kill -9, and waits for the end of the process. */
  kill(position: number): Promise<void>
  /** Starts what is not running again, as a person would, and waits until it is ready. */
  startMissing(): Promise<void>
  /** Takes new nodes into the cluster; positions follow those there are. */
  addNodes(count: number): Promise<void>
  status(position?: number): Promise<Status>
  /** Polls until the condition holds; the last status goes into the error. */
  until(what: string, holds: (status: Status) => boolean, withinMs?: number): Promise<Status>
  stop(): Promise<void>
}

/** Ports of concurrent clusters must not meet: each test file takes its own offset. */
export async function startCluster(options: {
  readonly portOffset: number
  readonly args?: readonly string[]
  readonly dataDir?: string
}): Promise<Cluster> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'atoll-e2e-'))
  const isOwn = options.dataDir === undefined
  const args = ['--port-offset', String(options.portOffset), ...(options.args ?? [])]
  const launchers: ChildProcess[] = []
  let line = await up(dataDir, args, launchers)
  const clients: S3Client[] = []
  const node = (position: number): NodeLine => {
    const found = line.nodes[position]
    if (found === undefined) throw new Error(`the cluster has no node at position ${position}`)
    return found
  }
  const status = (position = 0) => readStatus(dataDir, node(position).id)
  return {
    dataDir,
    get line() {
      return line
    },
    node,
    status,
    client(position, { attemptsMax } = {}) {
      const client = new S3Client({
        region: line.region,
        endpoint: node(position).s3,
        forcePathStyle: true,
        credentials: { accessKeyId: line.accessKeyId, secretAccessKey: line.secretAccessKey },
        ...(attemptsMax === undefined ? {} : { maxAttempts: attemptsMax }),
      })
      clients.push(client)
      return client
    },
    async kill(position) {
      const { pid } = node(position)
      process.kill(pid, 'SIGKILL')
      await untilGone(pid)
    },
    async startMissing() {
      if (line.nodes.every(({ pid }) => isAlive(pid))) return
      line = await up(dataDir, args, launchers)
    },
    async addNodes(count) {
      const withinMs = 2 * startedMsMax * count
      line = await up(dataDir, ['--add-nodes', String(count)], launchers, withinMs)
    },
    async until(what, holds, withinMs = 60_000) {
      const endMs = Date.now() + withinMs
      let last: Status | Error | undefined
      while (Date.now() < endMs) {
        for (let position = 0; position < line.nodes.length; position++) {
          if (!isAlive(node(position).pid)) continue
          last = await status(position).catch((error: unknown) => error as Error)
          if (!(last instanceof Error) && holds(last)) return last
          break
        }
        await new Promise((resolve) => setTimeout(resolve, 250))
      }
      const shown = last instanceof Error ? last.message : JSON.stringify(last)
      throw new Error(`not within ${withinMs} ms: ${what}; last status: ${shown}`)
    },
    async stop() {
      for (const client of clients) client.destroy()
      for (const launcher of launchers) launcher.kill('SIGTERM')
      await Promise.all(launchers.map(ended))
      for (const { pid } of line.nodes) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
      if (isOwn) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

async function up(
  dataDir: string,
  args: readonly string[],
  launchers: ChildProcess[],
  withinMs = startedMsMax,
): Promise<ClusterLine> {
  const command = [join(root, 'scripts/atoll.mjs'), 'up', '--json', '--data-dir', dataDir, ...args]
  const launcher = spawn(process.execPath, command, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  launchers.push(launcher)
  const errors: string[] = []
  launcher.stderr.on('data', (chunk: Buffer) => {
    errors.push(chunk.toString())
    if (errors.length > 200) errors.shift()
  })
  const lines = createInterface({ input: launcher.stdout })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(`no line within ${withinMs} ms`), withinMs)
    const fail = (why: string) => {
      clearTimeout(timer)
      launcher.kill('SIGTERM')
      reject(new Error(`atoll up: ${why}\n${errors.join('')}`))
    }
    launcher.once('exit', (status) => fail(`ended with status ${status}`))
    lines.once('line', (text) => {
      clearTimeout(timer)
      launcher.removeAllListeners('exit')
      try {
        resolve(JSON.parse(text) as ClusterLine)
      } catch {
        fail(`printed ${JSON.stringify(text.slice(0, 200))}`)
      }
    })
  })
}

async function readStatus(dataDir: string, id: number): Promise<Status> {
  const args = ['status', '--json', '--data-dir', dataDir, '--node', String(id)]
  const { status, stdout, stderr } = await run(process.execPath, [
    join(root, 'scripts/atoll.mjs'),
    ...args,
  ])
  if (status !== 0) throw new Error(`atoll status: exit status ${status}: ${stderr}`)
  return JSON.parse(stdout) as Status
}

export type Ran = {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end; output is kept up to 4 MiB each. */
export function run(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: Record<string, string>
    readonly cwd?: string
  } = {},
): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      if (output[name].length < 4 * 1024 * 1024) output[name] += chunk.toString()
    })
  }
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ status: 127, stdout: '', stderr: error.message }))
    child.on('close', (status) => resolve({ status, ...output }))
  })
}

/** Whether a client is installed; tests that need it say so when it is not. */
export async function hasCommand(name: string): Promise<boolean> {
  return (await run('sh', ['-c', `command -v ${name}`])).status === 0
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export async function getHash(client: S3Client, bucket: string, key: string): Promise<string> {
  const response = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  const hash = createHash('sha256')
  for await (const chunk of response.Body as AsyncIterable<Uint8Array>) hash.update(chunk)
  return hash.digest('hex')
}

export function randomFile(bytes: number): Buffer {
  return randomBytes(bytes)
}

export function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}/exe`) && alive(pid)
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function untilGone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20))
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => child.once('exit', () => resolve()))
}
