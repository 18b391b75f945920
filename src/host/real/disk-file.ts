// One open file. All positions are explicit, so that operations on disjoint ranges may overlap.
//
// Invariant: the descriptor is closed only after every operation in flight has ended; otherwise
// 1. a write waits in the pool, 2. close() frees its descriptor, 3. another open() gets the same
// number, 4. the write lands in that other file.

import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncate,
  ftruncateSync,
  openSync,
  readSync,
  readv,
  readvSync,
  writev,
  writevSync,
} from 'node:fs'
import { assert, Fault } from '../../base/index.ts'
import type { DiskFile } from '../host.ts'
import { syncFault, systemFault } from './system-fault.ts'

const readBlockingBytesMax = 256 * 1024
const writeBlockingBytesMax = 64 * 1024
const zeros = new Uint8Array(1024 * 1024)

/** `flags` are those of open(2). */
export function openFile(name: string, flags: number, isBlocking: boolean): DiskFile {
  try {
    return new RealFile(openSync(name, flags, 0o600), name, isBlocking)
  } catch (error) {
    throw systemFault(error, `cannot open ${name}`)
  }
}

class RealFile implements DiskFile {
  readonly #handle: number
  readonly #name: string
  readonly #isBlocking: boolean
  #isClosing = false
  #inFlight = 0
  #onIdle: (() => void) | undefined

  constructor(handle: number, name: string, isBlocking: boolean) {
    this.#handle = handle
    this.#name = name
    this.#isBlocking = isBlocking
  }

  async read(at: number, count: number): Promise<Uint8Array> {
    const memory = Buffer.allocUnsafeSlow(count)
    const target = new Uint8Array(memory.buffer, memory.byteOffset, count)
    await this.readInto(at, [target])
    return target
  }

  async readInto(at: number, parts: readonly Uint8Array[]): Promise<void> {
    this.#mustBeOpen()
    const length = lengthOf(parts)
    const isSynchronous = this.#isBlocking || length <= readBlockingBytesMax
    let rest = parts
    let position = at
    for (let left = length; left > 0; ) {
      const views = rest
      const from = position
      const count = isSynchronous
        ? this.#readNow(from, views)
        : await this.#pooled<number>('read', (done) => readv(this.#handle, views, from, done))
      if (count === 0) throw this.#shortRead(at, length)
      if (count === left) return
      left -= count
      position += count
      rest = skipBytes(rest, count)
    }
  }

  async write(at: number, parts: readonly Uint8Array[]): Promise<void> {
    this.#mustBeOpen()
    let length = lengthOf(parts)
    const isSynchronous = this.#isBlocking || length <= writeBlockingBytesMax
    let rest = parts
    let position = at
    while (length > 0) {
      const views = rest
      const count = isSynchronous
        ? this.#writeNow(position, views)
        : await this.#pooled<number>('write', (done) => writev(this.#handle, views, position, done))
      if (count === length) return
      length -= count
      position += count
      rest = skipBytes(rest, count)
    }
  }

  async sync(): Promise<void> {
    this.#mustBeOpen()
    try {
      if (this.#isBlocking) fdatasyncSync(this.#handle)
      else await this.#pooled<void>('sync', (done) => fdatasync(this.#handle, done))
    } catch (error) {
      throw syncFault(error instanceof Fault ? error.cause : error, this.#name)
    }
  }

  async preallocate(length: number): Promise<void> {
    for (let at = await this.size(); at < length; ) {
      const count = Math.min(zeros.length, length - at)
      await this.write(at, [zeros.subarray(0, count)])
      at += count
    }
  }

  async truncate(length: number): Promise<void> {
    this.#mustBeOpen()
    if (!this.#isBlocking) {
      await this.#pooled<void>('truncate', (done) => ftruncate(this.#handle, length, done))
      return
    }
    try {
      ftruncateSync(this.#handle, length)
    } catch (error) {
      throw systemFault(error, `cannot truncate ${this.#name}`)
    }
  }

  async size(): Promise<number> {
    this.#mustBeOpen()
    return fstatSync(this.#handle).size
  }

  async close(): Promise<void> {
    this.#mustBeOpen()
    this.#isClosing = true
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    closeSync(this.#handle)
  }

  #readNow(at: number, parts: readonly Uint8Array[]): number {
    const [only] = parts
    try {
      return parts.length === 1 && only !== undefined
        ? readSync(this.#handle, only, 0, only.length, at)
        : readvSync(this.#handle, parts, at)
    } catch (error) {
      throw systemFault(error, `cannot read ${this.#name}`)
    }
  }

  #writeNow(at: number, parts: readonly Uint8Array[]): number {
    try {
      return writevSync(this.#handle, parts, at)
    } catch (error) {
      throw systemFault(error, `cannot write ${this.#name}`)
    }
  }

  #pooled<T>(
    verb: string,
    start: (done: (error: Error | null, result?: T) => void) => void,
  ): Promise<T> {
    this.#inFlight++
    return new Promise<T>((resolve, reject) => {
      start((error, result) => {
        this.#inFlight--
        if (this.#inFlight === 0) this.#onIdle?.()
        if (error !== null) reject(systemFault(error, `cannot ${verb} ${this.#name}`))
        else resolve(result as T)
      })
    })
  }

  #mustBeOpen(): void {
    assert(!this.#isClosing, 'a closed file is not used')
  }

  #shortRead(at: number, count: number): Fault {
    return new Fault('corrupt', `${this.#name} ends before byte ${at + count}`)
  }
}

function lengthOf(parts: readonly Uint8Array[]): number {
  let length = 0
  for (const part of parts) length += part.length
  return length
}

function skipBytes(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Uint8Array
    if (skip < part.length) return [part.subarray(skip), ...parts.slice(i + 1)]
    skip -= part.length
  }
  return []
}
