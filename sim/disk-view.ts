// The disk as one life of a node sees it: every operation takes time, drawn from the seed, and takes
// effect when that time has passed, unless the node is gone by then. A sync makes durable what had
// taken effect when it was called.

import { compareBytes, Fault, utf8Encode } from '../src/base/index.ts'
import type { Disk, DiskFile } from '../src/host/index.ts'
import type { SimDisk, SimFile } from './disk.ts'
import type { SimHost } from './sim-host.ts'

type Settle = <T>(baseMs: number, label: string, effect: () => T) => Promise<T>

/** Operations take their time, and those of a slow disk more, unless it recovers meanwhile. */
function operationsOf(host: SimHost, disk: SimDisk): Settle {
  return (baseMs, label, effect) => {
    const ms = baseMs * (1 + disk.random.integer(100) / 50)
    return new Promise((resolve, reject) => {
      const end = (): void => {
        disk.slowOperations.delete(hurry)
        try {
          resolve(effect())
        } catch (error) {
          reject(error)
        }
      }
      const event = host.schedule(disk.slowness * ms, label, end)
      const hurry = (): void => {
        event.cancel()
        host.schedule(ms, label, end)
      }
      if (disk.slowness > 1) disk.slowOperations.add(hurry)
    })
  }
}

export function diskOf(host: SimHost, disk: SimDisk): Disk {
  const settle = operationsOf(host, disk)
  const file = (path: string): SimFile => {
    const found = disk.find(checked(path))
    if (found === undefined) throw new Fault('not-found', `no file ${path}`)
    return found
  }
  return {
    rootPath: '',
    open: (path, options = {}) =>
      settle(0.05, 'disk open', () => {
        const found = disk.find(checked(path))
        if (found !== undefined) return openFile(host, disk, found)
        if (options.create !== true) throw new Fault('not-found', `no file ${path}`)
        refuseWhenFull(disk)
        return openFile(host, disk, disk.create(path))
      }),
    list: (path) =>
      settle(0.05, 'disk list', () => {
        const at = checked(path)
        const start = at === '' ? 0 : at.length + 1
        const names = disk.under(at).map((found) => found.slice(start).split('/')[0] as string)
        return sortNames([...new Set(names)])
      }),
    exists: (path) =>
      settle(0.02, 'disk exists', () => {
        return disk.find(checked(path)) !== undefined || disk.under(path).length > 0
      }),
    read: (path, bytesMax) =>
      settle(0.1, 'disk read', () => {
        const found = file(path)
        if (found.length > bytesMax) {
          throw new Fault('too-large', `${path} has ${found.length} bytes, more than ${bytesMax}`)
        }
        const bytes = new Uint8Array(found.length)
        found.read(0, bytes)
        return bytes
      }),
    replace: (path, bytes) => {
      const copy = bytes.slice()
      return settle(1, 'disk replace', () => {
        refuseWhenFull(disk)
        disk.replace(checked(path), copy)
      })
    },
    rename: (from, to) => settle(0.1, 'disk rename', () => disk.rename(checked(from), checked(to))),
    remove: (path) => settle(0.1, 'disk remove', () => disk.remove(checked(path))),
    syncDirectory: (path) => settle(0.5, 'disk sync names', () => disk.syncNames(checked(path))),
    space: () =>
      settle(0.02, 'disk space', () => ({
        freeBytes: disk.isFull ? 0 : disk.totalBytes - disk.usedBytes(),
        totalBytes: disk.totalBytes,
      })),
  }
}

function openFile(host: SimHost, disk: SimDisk, file: SimFile): DiskFile {
  const operate = operationsOf(host, disk)
  let isClosed = false
  const settle = <T>(baseMs: number, label: string, effect: () => T): Promise<T> => {
    if (isClosed) return Promise.reject(new Fault('internal', 'the file is closed'))
    return operate(baseMs, label, effect)
  }
  return {
    read: (at, count) =>
      settle(0.03, 'file read', () => {
        const bytes = new Uint8Array(count)
        file.read(at, bytes)
        return bytes
      }),
    readInto: (at, parts) =>
      settle(0.03, 'file read', () => {
        let from = at
        for (const part of parts) {
          file.read(from, part)
          from += part.length
        }
      }),
    write: (at, parts) => {
      const copies = parts.map((part) => part.slice())
      return settle(0.03, 'file write', () => {
        let to = at
        for (const part of copies) to += part.length
        if (to > file.length) refuseWhenFull(disk)
        to = at
        for (const part of copies) {
          file.write(to, part)
          to += part.length
        }
      })
    },
    sync: () => {
      const through = file.changeNumber
      return settle(0.4, 'file sync', () => file.synced(through))
    },
    preallocate: (length) =>
      settle(0.2, 'file preallocate', () => {
        if (length <= file.length) return
        refuseWhenFull(disk)
        file.setLength(length)
      }),
    truncate: (length) => settle(0.05, 'file truncate', () => file.setLength(length)),
    size: () => settle(0.02, 'file size', () => file.length),
    close: () => {
      isClosed = true
      return host.settle(0, 'file close', () => {})
    },
  }
}

function checked(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (path.startsWith('/') || parts.includes('..')) {
    throw new Fault('invalid', `the path ${path} leaves the root`)
  }
  return parts.join('/')
}

function refuseWhenFull(disk: SimDisk): void {
  if (disk.isFull) throw new Fault('no-space', 'the disk is full')
}

function sortNames(names: string[]): readonly string[] {
  return names.sort((a, b) => compareBytes(utf8Encode(a), utf8Encode(b)))
}
