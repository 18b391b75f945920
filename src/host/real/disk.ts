// Files below one root, by node:fs.
//
// Which calls wait and which do not: reads up to 256 KiB and writes up to 64 KiB are synchronous (a
// cached read costs 1 us so, 35 us through the pool); larger ones, syncs, renames and removals go
// through libuv's pool so that the loop keeps turning. A blocking disk does everything synchronously:
// it is for a thread that has nothing else to do, because the pool is shared by all threads of the
// process and a log sync would wait there behind bulk writes.
//
// A name is durable when its directory was synced. Directories that come into being on the way are
// synced here, so that syncDirectory(path) suffices for the names inside one.

import {
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  closeSync,
  promises,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
} from 'node:fs'
import { compareBytes, Fault, utf8Encode } from '../../base/index.ts'
import type { Disk, DiskFile } from '../host.ts'
import { openFile } from './disk-file.ts'
import { parentOf, pathUnder } from './paths.ts'
import { errorCode, syncFault, systemFault } from './system-fault.ts'

const newPrefix = '.new-'

export function createDisk(rootPath: string, options: { readonly isBlocking: boolean }): Disk {
  return new RealDisk(rootPath, options.isBlocking)
}

class RealDisk implements Disk {
  readonly rootPath: string
  readonly #isBlocking: boolean
  /** The last replace() of each path, so that two of one path do not share the temporary file. */
  readonly #replacing = new Map<string, Promise<void>>()

  constructor(rootPath: string, isBlocking: boolean) {
    this.rootPath = rootPath.endsWith('/') ? rootPath.slice(0, -1) : rootPath
    this.#isBlocking = isBlocking
  }

  async open(path: string, options: { readonly create?: boolean } = {}): Promise<DiskFile> {
    const name = pathUnder(this.rootPath, path)
    const flags = constants.O_RDWR | (options.create === true ? constants.O_CREAT : 0)
    if (options.create === true) makeDirectory(parentOf(name), this.rootPath)
    return openFile(name, flags, this.#isBlocking)
  }

  async list(path: string): Promise<readonly string[]> {
    try {
      const names = readdirSync(pathUnder(this.rootPath, path))
      return sortNames(names.filter((name) => !name.startsWith(newPrefix)))
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return []
      throw systemFault(error, `cannot list ${path}`)
    }
  }

  async exists(path: string): Promise<boolean> {
    return existsSync(pathUnder(this.rootPath, path))
  }

  async read(path: string, bytesMax: number): Promise<Uint8Array> {
    const name = pathUnder(this.rootPath, path)
    const file = await openFile(name, constants.O_RDONLY, this.#isBlocking)
    try {
      const size = await file.size()
      if (size > bytesMax) {
        throw new Fault('too-large', `${path} has ${size} bytes, more than ${bytesMax}`)
      }
      return await file.read(0, size)
    } finally {
      await file.close()
    }
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const name = pathUnder(this.rootPath, path)
    const before = this.#replacing.get(name) ?? Promise.resolve()
    const mine = before.then(
      () => this.#replaceNow(name, bytes),
      () => this.#replaceNow(name, bytes),
    )
    this.#replacing.set(name, mine)
    try {
      await mine
    } finally {
      if (this.#replacing.get(name) === mine) this.#replacing.delete(name)
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const [fromName, toName] = [pathUnder(this.rootPath, from), pathUnder(this.rootPath, to)]
    makeDirectory(parentOf(toName), this.rootPath)
    await this.#rename(fromName, toName)
  }

  async remove(path: string): Promise<void> {
    const name = pathUnder(this.rootPath, path)
    const how = { recursive: true, force: true }
    try {
      if (this.#isBlocking) rmSync(name, how)
      else await promises.rm(name, how)
    } catch (error) {
      throw systemFault(error, `cannot remove ${path}`)
    }
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#syncDirectory(pathUnder(this.rootPath, path))
  }

  async space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    try {
      const found = statfsSync(this.rootPath)
      return { freeBytes: found.bavail * found.bsize, totalBytes: found.blocks * found.bsize }
    } catch (error) {
      throw systemFault(error, 'cannot measure the file system')
    }
  }

  async #replaceNow(name: string, bytes: Uint8Array): Promise<void> {
    const directory = parentOf(name)
    makeDirectory(directory, this.rootPath)
    const temporary = `${directory}/${newPrefix}${name.slice(directory.length + 1)}`
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC
    const file = await openFile(temporary, flags, this.#isBlocking)
    try {
      await file.write(0, [bytes])
      await file.sync()
    } catch (error) {
      rmSync(temporary, { force: true })
      throw error
    } finally {
      await file.close()
    }
    await this.#rename(temporary, name)
    await this.#syncDirectory(directory)
  }

  async #rename(from: string, to: string): Promise<void> {
    try {
      if (this.#isBlocking) renameSync(from, to)
      else await promises.rename(from, to)
    } catch (error) {
      throw systemFault(error, `cannot rename ${from}`)
    }
  }

  async #syncDirectory(name: string): Promise<void> {
    if (this.#isBlocking) return syncDirectoryNow(name)
    const file = await openFile(name, constants.O_RDONLY, false)
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  }
}

function sortNames(names: readonly string[]): readonly string[] {
  const keyed = names.map((name) => ({ name, key: utf8Encode(name) }))
  keyed.sort((a, b) => compareBytes(a.key, b.key))
  return keyed.map(({ name }) => name)
}

/** Makes a directory and those above it, each name durable in the one above. */
function makeDirectory(name: string, rootPath: string): void {
  if (existsSync(name)) return
  try {
    const first = mkdirSync(name, { recursive: true })
    if (first === undefined) return
    for (let made = name; made.length >= first.length; made = parentOf(made)) {
      syncDirectoryNow(parentOf(made))
    }
  } catch (error) {
    throw systemFault(error, `cannot make a directory under ${rootPath}`)
  }
}

function syncDirectoryNow(name: string): void {
  let handle: number
  try {
    handle = openSync(name, constants.O_RDONLY)
  } catch (error) {
    throw systemFault(error, `cannot open ${name}`)
  }
  try {
    fsyncSync(handle)
  } catch (error) {
    throw syncFault(error, name)
  } finally {
    closeSync(handle)
  }
}
