// A lock file per data directory: two processes on one log would destroy it. The file holds the pid of
// its holder and the moment that process started, so that a pid the system gave to somebody else after
// a crash does not look like a holder.
//
// Only who creates the file holds the lock. A file that is still empty is being written by its maker. What the dead left
// is removed by one process at a time, which holds FILE.taking and looks once more. Otherwise: 1. two processes find the same
// dead holder; 2. the first removes the file and makes its own; 3. the second removes that one, and both hold the lock.

import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { Fault } from '../../base/index.ts'
import { errorCode, systemFault } from './system-fault.ts'

export type Lock = { release(): void }

/** An empty file that is older was left by a process that died while it took the lock. */
const writtenWithinMs = 10_000

/** Fault 'exists' with field {pid} while a living process holds it. */
export function acquireLock(path: string, what: string): Lock {
  try {
    mkdirSync(dirname(path), { recursive: true })
  } catch (error) {
    throw systemFault(error, `cannot lock ${path}`)
  }
  for (let attempt = 0; attempt < 3; attempt++) {
    if (createExclusively(path)) return { release: () => removeLock(path) }
    const holder = readHolder(path)
    if (holder !== undefined) {
      throw new Fault('exists', `${what} is in use by process ${holder}`, {
        fields: { pid: String(holder) },
        next: holder === process.pid ? 'close it there first' : `stop process ${holder} first`,
      })
    }
    if (isBeingTaken(path) || !removeLeft(path)) break
  }
  throw new Fault('exists', `${what} is being locked by another process at this moment`, {
    next: 'see what it does, and try again',
  })
}

/** Removes what the dead left. False while another process does. */
function removeLeft(path: string): boolean {
  const guard = `${path}.taking`
  if (!createExclusively(guard)) {
    if (readHolder(guard) !== undefined || isBeingTaken(guard)) return false
    removeLock(guard)
    return true
  }
  try {
    if (readHolder(path) === undefined && !isBeingTaken(path)) removeLock(path)
  } finally {
    removeLock(guard)
  }
  return true
}

function isBeingTaken(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.size === 0 && Date.now() - found.mtimeMs < writtenWithinMs
}

/** The living process that holds the lock; undefined when nobody does. */
export function readHolder(path: string): number | undefined {
  const [pidText, startText] = readLock(path).trim().split(' ')
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
    if (errorCode(error) === 'EEXIST') return false
    throw systemFault(error, `cannot lock ${path}`)
  }
}

/** '' when there is none. */
function readLock(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ''
    throw systemFault(error, `cannot read ${path}`)
  }
}

function removeLock(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      throw systemFault(error, `cannot unlock ${path}`)
    }
  }
}

/** SIGTERM; nothing for one that has ended. Fault 'denied' for a process of another user. */
export function tellToEnd(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ESRCH') return
    if (code !== 'EPERM') throw error
    throw new Fault('denied', `process ${pid} is of another user`, {
      next: 'run the command as that user, or as root; systemctl stop, where systemd started it',
    })
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return errorCode(error) === 'EPERM'
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
