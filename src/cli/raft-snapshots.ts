// `atoll raft snapshots` and `atoll raft restore`: the files of whole groups that every node keeps, and making one
// of them the state of a group whose members are all lost.

import { statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Fault, toHex } from '../base/index.ts'
import type { Disk } from '../host/index.ts'
import { createRealHost } from '../host/real/index.ts'
import {
  headOf,
  restorePath,
  scanSnapshotFile,
  type ShelvedSnapshot,
  type SnapshotHead,
  shelvedSnapshots,
  snapshotsPathOf,
} from '../node/index.ts'
import { acquireLock } from '../host/real/lock.ts'
import { loadNodeConfig } from './node-dir.ts'
import { nodePaths } from './paths.ts'
import { size, table } from './status-text.ts'
import { answer, tell } from './terminal.ts'

export type SnapshotsOptions = {
  /** The node's own directory. */
  readonly dataDir: string
  /** Where the node keeps its snapshots, when not in its own directory. */
  readonly snapshotDir: string | undefined
  readonly isJson: boolean
}

/** Lists what the node keeps; it may run meanwhile. */
export async function listSnapshots(options: SnapshotsOptions): Promise<number> {
  const place = placeOf(options)
  const found = await shelvedSnapshots(place.disk, place.path)
  const lines = found.map((one) => lineOf(place.directory, place.path, one))
  if (options.isJson) answer(JSON.stringify({ directory: place.directory, snapshots: lines }))
  else if (lines.length === 0) answer(`no snapshots in ${place.directory}`)
  else {
    const heads = ['group', 'namespace', 'entry/term', 'taken', 'size', 'file']
    const rows = lines.map(({ group, name, index, term, takenAt, bytes, file }) => {
      return [String(group), name, `${index}/${term}`, takenAt, size(bytes), file]
    })
    for (const line of table(heads, rows)) answer(line)
  }
  return 0
}

/** Puts a file where the stopped node installs it at its next start, if it has no state of the group. */
export async function restoreSnapshot(file: string, options: SnapshotsOptions): Promise<number> {
  const lock = acquireLock(nodePaths(options.dataDir).lock, options.dataDir)
  try {
    const from = diskAt(dirname(resolve(file)))
    const head = await mustBeWhole(from, basename(file))
    const place = placeOf(options)
    const target = `${restorePath(place.path)}/${head.group}.snapshot`
    await copy({ disk: from, path: basename(file) }, { disk: place.disk, path: target })
    const { index, term } = head.metadata
    if (options.isJson) {
      answer(JSON.stringify({ group: head.group, name: head.name, index, term }))
      return 0
    }
    tell(
      `Everything after entry ${index} of term ${term} is lost; the group gets a new generation, so that`,
    )
    tell('no former member can come back into it: wipe them and let them join again.')
    answer(
      `group ${head.group} ${head.name} is restored when this node starts, if it has no state of it`,
    )
    return 0
  } finally {
    lock.release()
  }
}

type Place = { readonly disk: Disk; readonly path: string; readonly directory: string }

function placeOf({ dataDir, snapshotDir }: SnapshotsOptions): Place {
  const path = snapshotsPathOf(loadNodeConfig(dataDir, { dataThreads: 0 }))
  const root = snapshotDir ?? dataDir
  return { disk: diskAt(root), path, directory: join(root, path) }
}

function diskAt(rootPath: string): Disk {
  const journal = { format: 'text', level: 'warning', name: 'atoll raft' } as const
  return createRealHost({ rootPath, journal }).disk
}

async function mustBeWhole(disk: Disk, path: string): Promise<SnapshotHead> {
  const head = await headOf(disk, path)
  if (head === undefined) throw new Fault('not-found', `${path} is no snapshot file`)
  const file = await disk.open(path)
  try {
    if (!(await scanSnapshotFile(file)).isWhole) throw new Fault('corrupt', `${path} is damaged`)
  } finally {
    await file.close()
  }
  return head
}

const copyBytes = 1024 * 1024

async function copy(
  from: { readonly disk: Disk; readonly path: string },
  to: { readonly disk: Disk; readonly path: string },
): Promise<void> {
  const temporary = `${to.path}.new`
  await to.disk.remove(temporary)
  const source = await from.disk.open(from.path)
  const target = await to.disk.open(temporary, { create: true })
  try {
    const end = await source.size()
    for (let at = 0; at < end; at += copyBytes) {
      await target.write(at, [await source.read(at, Math.min(copyBytes, end - at))])
    }
    await target.sync()
  } finally {
    await source.close()
    await target.close()
  }
  await to.disk.rename(temporary, to.path)
  await to.disk.syncDirectory(dirname(to.path))
}

function lineOf(directory: string, path: string, { path: file, head }: ShelvedSnapshot) {
  const { group, name, metadata, fence, takenMs } = head
  const absolute = join(directory, file.slice(path.length))
  return {
    group,
    name,
    index: metadata.index,
    term: metadata.term,
    cluster: toHex(fence.clusterId),
    takenAt: new Date(takenMs).toISOString(),
    bytes: statSync(absolute).size,
    file: absolute,
  }
}
