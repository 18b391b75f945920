// The nodes of one cluster as processes of this machine: formed once by `atoll up`, then each started, killed and
// paused by itself. A place may run its commands elsewhere (a network namespace); nothing outlives stop().

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { Fault } from '../../src/base/index.ts'

export const root = join(import.meta.dirname, '..', '..')
const cli = join(root, 'src', 'cli', 'main.ts')
export const readyMsMax = 120_000

export type NodePlace = {
  readonly id: number
  readonly host: string
  readonly etcdPort: number
  readonly s3Port: number | undefined
  readonly nodeDir: string
  /** Put before the command: empty, or what enters the node's own namespace. */
  readonly prefix: readonly string[]
}

export type Credential = { readonly accessKeyId: string; readonly secretAccessKey: string }

export type ClusterPlan = {
  readonly places: readonly NodePlace[]
  readonly credential: Credential
  readonly region: string
}

/** Forms the cluster with the arguments, unless the directory holds one; it does not run afterwards. */
export async function formCluster(
  dataDir: string,
  args: readonly string[],
): Promise<FormedCluster> {
  const remembered = join(dataDir, 'torture-cluster.json')
  if (existsSync(remembered)) return JSON.parse(readFileSync(remembered, 'utf8')) as FormedCluster
  mkdirSync(dataDir, { recursive: true })
  const child = spawn(
    process.execPath,
    [...nodeFlags, cli, 'up', '--json', '--etcd', '--data-dir', dataDir, ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const line = await firstLine(child)
  const ended = endOf(child)
  child.kill('SIGTERM')
  await ended
  writeFileSync(remembered, line)
  return JSON.parse(line) as FormedCluster
}

/** What `atoll up --json` prints. */
export type FormedCluster = Credential & {
  readonly region: string
  readonly nodes: readonly {
    readonly id: number
    readonly s3: string
    readonly admin: string
    readonly dataDir: string
  }[]
}

const nodeFlags = ['--disable-warning=ExperimentalWarning']

function firstLine(child: ChildProcess): Promise<string> {
  const { stdout } = child
  if (stdout === null) throw new Fault('internal', 'atoll up has no output')
  const lines = createInterface({ input: stdout })
  return new Promise((resolve, reject) => {
    lines.once('line', resolve)
    child.once('exit', (status) => {
      reject(new Fault('unavailable', `atoll up ended with status ${status}`))
    })
  })
}

function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => child.once('exit', () => resolve()))
}

/** One node's process over its lives. */
export class Machine {
  readonly place: NodePlace
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #ready: Promise<void> = Promise.resolve()
  #isMeantToEnd = false
  /** A node that ended though nobody killed it: what it wrote last. */
  onLost: (why: string) => void = () => {}

  constructor(place: NodePlace) {
    this.place = place
  }

  /** As `npm start` has one: starts are many, and the sources the same. */
  get #compileCache(): string {
    return process.env.NODE_COMPILE_CACHE ?? join(dirname(this.place.nodeDir), 'compile-cache')
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  start(): void {
    if (this.#child !== undefined) return
    const { nodeDir, etcdPort, prefix } = this.place
    const journal = openSync(join(nodeDir, 'node.log'), 'a')
    const args = [...nodeFlags, cli, 'node', '--data-dir', nodeDir, '--etcd-port', String(etcdPort)]
    const [command = process.execPath, ...before] = [...prefix, process.execPath]
    const child = spawn(command, [...before, ...args], {
      stdio: ['ignore', journal, journal, 'ipc'],
      env: { ...process.env, NODE_COMPILE_CACHE: this.#compileCache },
    })
    this.#child = child
    this.#isMeantToEnd = false
    this.#ended = new Promise((resolve) => {
      child.once('exit', (status, signal) => {
        if (this.#child === child) this.#child = undefined
        if (!this.#isMeantToEnd) {
          this.onLost(`node ${this.place.id} ended by itself: status ${status}, signal ${signal}`)
        }
        resolve()
      })
    })
    this.#ready = untilReady(child, this.place.id)
    // Who waits for ready() hears of it; a node that is killed before is no news.
    this.#ready.catch(() => {})
  }

  /** Settles when the process that runs now serves; rejects when it does not come to that. */
  ready(): Promise<void> {
    return this.#ready
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#isMeantToEnd = true
    child.kill('SIGKILL')
    await this.#ended
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#isMeantToEnd = true
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
    await this.#ended
    clearTimeout(timer)
  }
}

function untilReady(child: ChildProcess, id: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let last = 'nothing'
    const fail = (why: string): void => {
      clearTimeout(timer)
      reject(new Fault('unavailable', `node ${id} ${why}; the last it said: ${last}`))
    }
    const timer = setTimeout(() => fail(`is not ready after ${readyMsMax} ms`), readyMsMax)
    child.on('message', (notice: { readonly kind: string }) => {
      last = JSON.stringify(notice)
      if (notice.kind !== 'ready') return
      clearTimeout(timer)
      resolve()
    })
    child.once('exit', (status, signal) => fail(`ended with ${status ?? signal}`))
  })
}
