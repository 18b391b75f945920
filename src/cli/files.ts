// Small files of the launcher: written whole or not at all, secrets readable by their owner only.

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { Fault } from '../base/index.ts'

/** Undefined when there is none. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw new Fault('internal', `cannot read ${path}: ${reason(error)}`, { cause: error })
  }
}

/** Fault 'not-found' that names the file. */
export function requireText(path: string): string {
  const text = readText(path)
  if (text !== undefined) return text
  throw new Fault('not-found', `${path} is missing`, {
    next: 'start the cluster with `atoll up`, which makes it',
  })
}

/** A file that a person named; Fault 'not-found' or 'denied' that names it. */
export function requireBytes(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path))
  } catch (error) {
    const code = systemCode(error) === 'ENOENT' ? 'not-found' : 'denied'
    throw new Fault(code, `cannot read ${path}: ${reason(error)}`, { cause: error })
  }
}

/** Replaces the file atomically and durably; mode 0600 for secrets. */
export function writeText(
  path: string,
  text: string,
  options?: { readonly isSecret: boolean },
): void {
  try {
    mkdirSync(dirname(path), { recursive: true })
    const temporary = `${path}.new`
    const file = openSync(temporary, 'w', options?.isSecret === true ? 0o600 : 0o644)
    try {
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    syncFolder(dirname(path))
  } catch (error) {
    const code = systemCode(error) === 'ENOSPC' ? 'no-space' : 'internal'
    throw new Fault(code, `cannot write ${path}: ${reason(error)}`, { cause: error })
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(folder: string): void {
  const opened = openSync(folder, 'r')
  try {
    fsyncSync(opened)
  } finally {
    closeSync(opened)
  }
}

export function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
