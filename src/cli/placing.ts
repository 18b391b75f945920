// How a directory becomes a node's: everything is written under D/.placing, synced, marked whole, and then moved to
// its place, node.toml last. Whatever the moment at which the machine stops, the next command finds either
// nothing of a node, or what it needs to finish the moves.
//
//   D/.placing/node/     cluster.toml, node.toml, identity/, cluster.json
//   D/.placing/whole     everything above is on the disk

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Fault, isFault } from '../base/index.ts'
import { syncFolder, writeText } from './files.ts'
import { acquireLock, type Lock, readHolder } from '../host/real/lock.ts'
import { hasIdentity } from './node-dir.ts'
import { nodePaths } from './paths.ts'

/** The last of them makes the directory a node's. */
const last = 'node.toml'

const placingPaths = (dataDir: string) => ({
  folder: join(dataDir, '.placing'),
  node: join(dataDir, '.placing', 'node'),
  whole: join(dataDir, '.placing', 'whole'),
})

/** `write` fills the folder that it is given; afterwards the directory is the node's. */
export async function placeNode(
  dataDir: string,
  write: (folder: string) => Promise<void>,
): Promise<void> {
  const paths = placingPaths(dataDir)
  rmSync(paths.folder, { recursive: true, force: true })
  mkdirSync(paths.node, { recursive: true })
  await write(paths.node)
  syncFolders(paths.node)
  writeText(paths.whole, '1\n')
  syncNamed(paths.folder)
  finishPlacing(dataDir)
}

/** True when the directory is a node's. Finishes what an earlier command was stopped in. */
export function finishPlacing(dataDir: string): boolean {
  const paths = placingPaths(dataDir)
  if (existsSync(paths.whole)) {
    const left = existsSync(paths.node) ? readdirSync(paths.node) : []
    for (const name of [
      ...left.filter((one) => one !== last),
      ...left.filter((one) => one === last),
    ]) {
      const target = join(dataDir, name)
      rmSync(target, { recursive: true, force: true })
      renameSync(join(paths.node, name), target)
      syncNamed(dataDir)
    }
  }
  rmSync(paths.folder, { recursive: true, force: true })
  return hasIdentity(dataDir)
}

/**
 * As finishPlacing, for a process that found the directory: one that a command is just writing is left alone, and is
 * no node's yet. Otherwise: 1. the command writes the first file; 2. the process sees no mark and removes what it
 * takes for left over; 3. the command writes the rest, the mark, and half a node is moved to its place.
 */
export function finishUndisturbed(dataDir: string): boolean {
  if (hasIdentity(dataDir) && !existsSync(placingPaths(dataDir).folder)) return true
  let lock: Lock
  try {
    lock = acquireLock(enrolLockPath(dataDir), dataDir)
  } catch (error) {
    if (isFault(error, 'exists')) return false
    throw error
  }
  try {
    return finishPlacing(dataDir)
  } finally {
    lock.release()
  }
}

/** Held by the command, or the process, that makes the directory a node's. */
export const enrolLockPath = (dataDir: string): string => join(dataDir, 'enrol.lock')

/**
 * Moves all that a directory holds into a folder inside it, so that it is bare again and nothing is lost. Answers
 * the folder; undefined when there was nothing. Fault 'exists' while a node runs there.
 */
export function archiveDir(dataDir: string, stamp: string): string | undefined {
  const holder = readHolder(nodePaths(dataDir).lock)
  if (holder !== undefined) {
    throw new Fault('exists', `a node runs in ${dataDir} (process ${holder})`, {
      next: `stop it first: atoll stop --data-dir ${dataDir}`,
    })
  }
  const names = existsSync(dataDir) ? readdirSync(dataDir) : []
  const moved = names.filter((name) => !/^(archive-|lost\+found$)/.test(name))
  if (moved.length === 0) return undefined
  const folder = join(dataDir, `archive-${stamp}`)
  mkdirSync(folder, { recursive: true })
  for (const name of moved) renameSync(join(dataDir, name), join(folder, name))
  syncNamed(dataDir)
  return folder
}

function syncFolders(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) syncFolders(join(folder, entry.name))
  }
  syncNamed(folder)
}

/** Makes the names in a folder durable, and its own name too. */
function syncNamed(folder: string): void {
  for (const path of [folder, dirname(folder)]) syncFolder(path)
}
