// The node of a directory as a process of its own that outlives the command: started in the background with its
// journal in D/node.log, found by its lock, stopped by a signal.

import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Fault } from '../base/index.ts'
import { isAlive, readHolder, tellToEnd } from '../host/real/lock.ts'
import { nodePaths } from './paths.ts'

const mainPath = fileURLToPath(new URL('./main.ts', import.meta.url))
const pollMs = 20
const stopMsMax = 30_000
const linesShown = 12

/** The process that holds the directory: one that waits to be paired, or a node. */
export function runningPid(dataDir: string): number | undefined {
  return readHolder(nodePaths(dataDir).lock)
}

/** Starts `atoll start` in the background unless one holds the directory already. Answers its process id. */
export function ensureStarted(dataDir: string): number {
  return runningPid(dataDir) ?? spawnStart(dataDir, [])
}

/**
 * The same, before the directory is a node's: the process loads its program while this command still asks, and becomes
 * the node at once. It ends by itself when this command ends without having made one.
 */
export function startEarly(dataDir: string): EarlyStart {
  const running = runningPid(dataDir)
  const pid = running ?? spawnStart(dataDir, ['--await', String(process.pid)])
  return {
    pid,
    giveUp() {
      if (running === undefined) tellToEnd(pid)
    },
  }
}

export type EarlyStart = { readonly pid: number; giveUp(): void }

function spawnStart(dataDir: string, args: readonly string[]): number {
  const log = openSync(nodePaths(dataDir).journal, 'a', 0o644)
  const command = [...process.execArgv, mainPath, 'start', '--data-dir', dataDir, ...args]
  const child = spawn(process.execPath, command, {
    detached: true,
    stdio: ['ignore', log, log],
    env: {
      ...process.env,
      UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '16',
      MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX ?? '2',
      TZ: 'UTC',
    },
  })
  closeSync(log)
  child.unref()
  if (child.pid !== undefined) return child.pid
  throw new Fault('internal', 'the node cannot be started in the background', {
    next: `start it yourself: atoll start --data-dir ${dataDir}`,
  })
}

/** Settles with what `ask` answers; Fault 'unavailable' with the end of the journal when the process is gone. */
export async function untilAnswers<T>(
  node: { readonly dataDir: string; readonly pid: number },
  ask: () => Promise<T | undefined>,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (signal.aborted) throw new Fault('cancelled', 'told to stop; the node goes on by itself')
    if (!isAlive(node.pid)) throw endedFault(node.dataDir)
    await pause(pollMs)
  }
}

export function endedFault(dataDir: string): Fault {
  const { journal } = nodePaths(dataDir)
  return new Fault('unavailable', `the node in ${dataDir} ended\n${lastLines(journal)}`, {
    next: `read ${journal}, then start it again: atoll start --data-dir ${dataDir}`,
  })
}

/** SIGTERM, and waits for the end. False when nothing ran. Fault 'deadline' when it does not end. */
export async function stopRunning(dataDir: string): Promise<boolean> {
  const pid = runningPid(dataDir)
  if (pid === undefined) return false
  tellToEnd(pid)
  const endMs = Date.now() + stopMsMax
  while (isAlive(pid)) {
    if (Date.now() > endMs) {
      throw new Fault('deadline', `process ${pid} has not ended within ${stopMsMax / 1000} s`, {
        next: `look at ${nodePaths(dataDir).journal}; kill -9 ${pid} loses nothing that was acknowledged`,
      })
    }
    await pause(pollMs)
  }
  return true
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-linesShown).join('\n')
  } catch {
    return ''
  }
}
