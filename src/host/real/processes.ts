// Processes as child processes of the node: the same program of ours, its port two pipes, its standard error the node's.
// A child whose standard input ends ends itself; one that is inside a statement then is killed (reaper.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Fault } from '../../base/index.ts'
import type { Port, ProcessProgram, Processes, RunningProcess } from '../host.ts'
import { FrameReader, frameParts } from './frames.ts'
import { watchOver } from './reaper.ts'

/** A small young generation: what such a program needs lies outside of V8's heap. */
const flags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1']

type StartOptions = Parameters<Processes['start']>[2]

export async function startProcess(
  program: ProcessProgram,
  input: Uint8Array,
  { nice = 0, onEnd }: StartOptions,
): Promise<RunningProcess> {
  const bootstrap = fileURLToPath(new URL('./process-bootstrap.ts', import.meta.url))
  const parts = [bootstrap, program.name, program.moduleUrl, program.exportName]
  const child = spawn(process.execPath, [...flags, ...parts], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH ?? '', TZ: 'UTC' },
  })
  const gone = new Promise<void>((resolve) => child.on('close', () => resolve()))
  const state = { isKilled: false }
  await untilSpawned(child, program.name)
  const { pid } = child
  if (nice > 0 && pid !== undefined) setPriority(pid, nice)
  const unwatch = pid === undefined ? () => undefined : watchOver(pid)
  child.on('exit', unwatch)
  child.on('exit', (status, signal) => {
    if (state.isKilled) return
    onEnd(new Fault('unavailable', `${program.name} ended: ${signal ?? `status ${status}`}`))
  })
  const port = new PipePort(child)
  port.send(input)
  return {
    port,
    async kill() {
      state.isKilled = true
      child.kill('SIGKILL')
      await gone
    },
  }
}

function untilSpawned(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.on('error', (cause) => {
      reject(new Fault('unavailable', `${name} cannot be started: ${cause.message}`, { cause }))
    })
  })
}

class PipePort implements Port {
  readonly #child: ChildProcess
  #receive: ((message: Uint8Array) => void) | undefined
  #early: Uint8Array[] = []

  constructor(child: ChildProcess) {
    this.#child = child
    const reader = new FrameReader((message) => {
      if (this.#receive === undefined) this.#early.push(message)
      else this.#receive(message)
    })
    child.stdout?.on('data', (slice: Uint8Array) => reader.push(slice))
    // Writing to a process that is gone fails; its end is told by 'exit'.
    child.stdin?.on('error', () => undefined)
  }

  set onMessage(receive: (message: Uint8Array) => void) {
    this.#receive = receive
    const early = this.#early
    this.#early = []
    for (const message of early) receive(message)
  }

  get onMessage(): (message: Uint8Array) => void {
    return this.#receive ?? (() => undefined)
  }

  send(message: Uint8Array): void {
    const [head, body] = frameParts(message.slice())
    this.#child.stdin?.cork()
    this.#child.stdin?.write(head)
    this.#child.stdin?.write(body)
    this.#child.stdin?.uncork()
  }

  close(): void {
    this.#child.stdin?.end()
  }
}
