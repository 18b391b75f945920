// A copy of a database on its way into a file of this node, be it raft's snapshot or what heals a replica:
//
//   version u8 = 1 | index u64 | digest 32 bytes | length of the file u64 | the file
//
// The file may show later entries than its index: those come again, and the engine passes over them.

import { concatBytes, Fault, readUint64, uint64Bytes } from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'

const version = 1
const digestBytes = 32
const headBytes = 1 + 8 + digestBytes + 8
const noBytes = new Uint8Array(0)

/** What comes before the file. */
export type CopyHead = {
  readonly index: number
  /** Of the state machine at that index. */
  readonly digest: Uint8Array
}

export function encodeCopyHead({ index, digest }: CopyHead, length: number): Uint8Array {
  return concatBytes([Uint8Array.of(version), uint64Bytes(index), digest, uint64Bytes(length)])
}

/** Durable with its last byte. */
export class Incoming {
  readonly #host: Host
  readonly #path: string
  #head: Uint8Array = noBytes
  #file: DiskFile | undefined
  #at = 0
  #isWhole = false

  constructor(host: Host, path: string) {
    this.#host = host
    this.#path = path
  }

  async write(chunk: Uint8Array): Promise<void> {
    const file = await this.#open()
    const rest = this.#takeHead(chunk)
    if (this.#head.length < headBytes) return
    const length = this.#length()
    if (this.#at + rest.length > length) throw corrupt('more arrives than it tells of')
    if (rest.length > 0) await file.write(this.#at, [rest.slice()])
    this.#at += rest.length
    if (this.#at < length || this.#isWhole) return
    await file.sync()
    await file.close()
    await this.#host.disk.syncDirectory(this.#path.slice(0, this.#path.lastIndexOf('/')))
    this.#isWhole = true
  }

  /** Of a snapshot that is whole. */
  head(): CopyHead {
    if (!this.#isWhole) throw corrupt('it ends early')
    return { index: readUint64(this.#head, 1), digest: this.#head.slice(9, 9 + digestBytes) }
  }

  async abort(): Promise<void> {
    if (!this.#isWhole) await this.#file?.close()
    await this.#host.disk.remove(this.#path)
  }

  async #open(): Promise<DiskFile> {
    if (this.#file !== undefined) return this.#file
    for (const suffix of ['', '-wal', '-shm'])
      await this.#host.disk.remove(`${this.#path}${suffix}`)
    this.#file = await this.#host.disk.open(this.#path, { create: true })
    return this.#file
  }

  /** Answers what of the chunk lies behind the head. */
  #takeHead(chunk: Uint8Array): Uint8Array {
    const missing = headBytes - this.#head.length
    if (missing <= 0) return chunk
    this.#head = concatBytes([this.#head, chunk.subarray(0, missing)])
    if (this.#head[0] !== version) throw corrupt(`version ${this.#head[0]}`)
    return chunk.subarray(missing)
  }

  #length(): number {
    return readUint64(this.#head, headBytes - 8)
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed SQL snapshot: ${what}`)
}
