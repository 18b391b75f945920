// Machines for tests of formation: `atoll` as a person runs it on each, with an address and a directory of its own. A
// prefix puts a machine's commands elsewhere (a network namespace). Everything that was started has ended when
// stopAll() settles.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { S3Client } from '@aws-sdk/client-s3'
import { type Ran, root } from './cluster.ts'

/** Below the root of a program. Not the script around it: a kill must reach the command itself. */
const atoll = 'src/cli/main.ts'
const untilMsMax = 120_000

export type Machine = {
  readonly name: string
  readonly host: string
  readonly dataDir: string
  readonly prefix: readonly string[]
}

/** A line of JSON that a command printed. */
export type Line = Readonly<Record<string, unknown>> & { readonly event?: string }

export type Command = {
  readonly child: ChildProcess
  /** Settles with the first line that has this event; rejects when the command ends before. */
  line(event: string): Promise<Line>
  /** Its arguments and the end of its standard error. */
  said(): string
  readonly ended: Promise<Ran>
}

export class Machines {
  readonly #home: string
  readonly #offset: number
  readonly #machines: Machine[] = []
  /** Roots of programs other than this one. */
  readonly #programs = new Map<Machine, string>()
  readonly #clients: S3Client[] = []
  readonly #children: ChildProcess[] = []
  readonly #commands: Command[] = []

  constructor(offset: number) {
    this.#home = mkdtempSync(join(tmpdir(), 'atoll-machines-'))
    this.#offset = offset
  }

  add(name: string, host: string, prefix: readonly string[] = []): Machine {
    const machine = { name, host, prefix, dataDir: join(this.#home, name) }
    this.#machines.push(machine)
    return machine
  }

  /** Commands on this machine are those of the program at this root from now on. Default: this one. */
  install(machine: Machine, program: string = root): void {
    this.#programs.set(machine, program)
  }

  /** What every init and join on this machine begins with. */
  flags(machine: Machine): readonly string[] {
    return [
      ...['--region', 'eu', '--az', 'a', '--node', machine.name, '--bind', machine.host],
      ...['--data-dir', machine.dataDir, '--port-offset', String(this.#offset), '--json'],
    ]
  }

  port(base: number): number {
    return base + this.#offset
  }

  start(machine: Machine, args: readonly string[]): Command {
    const program = this.#programs.get(machine) ?? root
    const [command = process.execPath, ...rest] = [
      ...machine.prefix,
      process.execPath,
      join(program, atoll),
      ...args,
    ]
    const child = spawn(command, rest, {
      cwd: program,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...compiledOnce(program) },
    })
    this.#children.push(child)
    const started = watch(child, args)
    this.#commands.push(started)
    void started.ended.then(() => this.#commands.splice(this.#commands.indexOf(started), 1))
    return started
  }

  run(machine: Machine, args: readonly string[]): Promise<Ran> {
    return this.start(machine, args).ended
  }

  /** Fails with what the command said. */
  async must(machine: Machine, args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(machine, args)
    if (status !== 0) throw new Error(`${args.join(' ')}: status ${status}: ${stderr}`)
    return stdout
  }

  async ask(machine: Machine, ...args: readonly string[]): Promise<Line> {
    const text = await this.must(machine, [...args, '--data-dir', machine.dataDir, '--json'])
    return JSON.parse(text.trim().split('\n').at(-1) ?? '') as Line
  }

  /** kill -9 of the machine's node, and waits for its end. */
  async kill(machine: Machine): Promise<void> {
    const pid = pidOf(machine)
    if (pid === undefined) throw new Error(`no node runs in ${machine.dataDir}`)
    process.kill(pid, 'SIGKILL')
    await until(`the end of ${machine.name}`, async () => !isAlive(pid))
  }

  client(machine: Machine, keys: Line, endpoint?: string): S3Client {
    const client = new S3Client({
      region: String(keys.region),
      endpoint: endpoint ?? `http://${machine.host}:${this.port(9000)}`,
      forcePathStyle: true,
      credentials: {
        accessKeyId: String(keys.accessKeyId),
        secretAccessKey: String(keys.secretAccessKey),
      },
    })
    this.#clients.push(client)
    return client
  }

  /** What all commands that still run have said: told when something does not come about. */
  said(): string {
    return this.#commands.map((command) => command.said()).join('\n')
  }

  async stopAll(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    for (const child of this.#children) child.kill('SIGKILL')
    for (const machine of this.#machines) {
      const pid = pidOf(machine)
      if (pid === undefined || !isAlive(pid)) continue
      process.kill(pid, 'SIGKILL')
      await until(`the end of ${machine.name}`, async () => !isAlive(pid))
    }
    rmSync(this.#home, { recursive: true, force: true })
  }
}

/** As the script around the command, and the unit of a service, have it. */
function compiledOnce(program: string): Record<string, string> {
  const cache = join(program, 'node_modules', '.cache', 'compiled')
  return { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? cache }
}

function watch(child: ChildProcess, args: readonly string[]): Command {
  const output = { stdout: '', stderr: '' }
  const lines: Line[] = []
  const waiting = new Set<() => void>()
  let isOver = false
  const wake = (): void => {
    for (const look of waiting) look()
  }
  const { stdout, stderr } = child
  if (stdout === null || stderr === null) throw new Error('the output of a command is piped')
  createInterface({ input: stdout }).on('line', (text) => {
    output.stdout += `${text}\n`
    if (text.startsWith('{')) lines.push(JSON.parse(text) as Line)
    wake()
  })
  stderr.on('data', (chunk: Buffer) => {
    if (output.stderr.length < 1024 * 1024) output.stderr += chunk.toString()
  })
  const ended = new Promise<Ran>((resolve) => {
    child.on('error', (error) => resolve({ status: 127, stdout: '', stderr: error.message }))
    child.on('close', (status) => {
      isOver = true
      wake()
      resolve({ status, ...output })
    })
  })
  const line = (event: string): Promise<Line> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.find((one) => one.event === event)
        if (found !== undefined) resolve(found)
        else if (isOver)
          reject(new Error(`${args.join(' ')} ended without ${event}: ${output.stderr}`))
        else return
        waiting.delete(look)
      }
      waiting.add(look)
      look()
    })
  const said = (): string => `${args.join(' ')}: ${output.stderr.slice(-2_000)}`
  return { child, line, ended, said }
}

export function pidOf(machine: Machine): number | undefined {
  const path = join(machine.dataDir, 'lock')
  if (!existsSync(path)) return undefined
  const pid = Number(readFileSync(path, 'utf8').split(' ')[0])
  return Number.isSafeInteger(pid) && pid > 0 && isAlive(pid) ? pid : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  return !/^[0-9]+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

/** Polls; the last failure goes into the error. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + untilMsMax
  let last = ''
  while (Date.now() < endMs) {
    try {
      if (await holds()) return
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not within ${untilMsMax} ms: ${what} ${last}`)
}
