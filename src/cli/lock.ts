// A lock file per data directory: two processes on one log would destroy it. The file holds the pid of
// its holder and the moment that process started, so that a pid the system gave to somebody else after
// a crash does not look like a holder.

import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Fault } from '../base/index.ts'
import { readText, reason, systemCode } from './files.ts'

export type Lock = { release(): void }

/** Fault 'exists' with field {pid} while a living process holds it. */
export function acquireLock(path: string, what: string): Lock {
  mkdirSync(dirname(path), { recursive: true })
  for (let attempt = 0; attempt < 3; attempt++) {
    if (createExclusively(path)) return { release: () => removeLock(path) }
    const holder = readHolder(path)
    if (holder !== undefined) {
      throw new Fault('exists', `${what} is in use by process ${holder}`, {
        fields: { pid: String(holder) },
        next: `stop process ${holder} first`,
      })
    }
    removeLock(path)
  }
  throw new Fault('exists', `${what} is being locked by others again and again`)
}

/** The living process that holds the lock; undefined when nobody does. */
export function readHolder(path: string): number | undefined {
  const [pidText, startText] = (readText(path) ?? '').trim().split(' ')
  const pid = Number(pidText)
  if (!Number.isSafeInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined
  const startedAt = startOf(pid)
  if (startText !== undefined && startedAt !== '' && startedAt !== startText) return undefined
  return pid
}

function createExclusively(path: string): boolean {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, `${process.pid} ${startOf(process.pid)}\n`)
    closeSync(file)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw new Fault('internal', `cannot lock ${path}: ${reason(error)}`, { cause: error })
  }
}

function removeLock(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') {
      throw new Fault('internal', `cannot unlock ${path}: ${reason(error)}`, { cause: error })
    }
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
  return stateOf(pid) !== 'Z'
}

/** Clock ticks after boot at which the process started ('' where the system does not tell). */
function startOf(pid: number): string {
  return statFields(pid)[19] ?? ''
}

function stateOf(pid: number): string {
  return statFields(pid)[0] ?? ''
}

/** Fields of /proc/PID/stat after the program's name, which may itself hold spaces and brackets. */
function statFields(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
