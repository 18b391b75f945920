// A segment file as the room knows it, and the bounded set of open descriptors.

import { assert } from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'
import type { EventList, SegmentEvent } from './core/segment-format.ts'

export type SegmentFile = {
  readonly number: number
  readonly path: string
  readonly salt: Uint8Array
  /** Where the next record goes: everything before it was written. */
  end: number
  /** Everything before it was synced. */
  durable: number
  /** Bytes of records that still mean something: units and seals of live objects, tombstones, touches. */
  live: number
  /** Reads in progress and writes that are not sealed yet: the file must stay. */
  pins: number
  /** No further record: it has a footer, or could not get one. */
  isClosed: boolean
  /** Has its footer, durably. */
  hasFooter: boolean
  /** Set once nothing in it is live: it goes when the last pin does. Its events, to settle accounts. */
  doomed: readonly SegmentEvent[] | undefined
  /** Holds a live object that is damaged: compaction leaves it alone. */
  isDamaged: boolean
  /** For the footer; absent once the file is closed. */
  events: EventList | undefined
}

export function segmentFilePath(directory: string, number: number): string {
  return `${directory}/seg-${String(number).padStart(8, '0')}.bin`
}

const openFilesMax = 256

/** Open descriptors, at most openFilesMax besides those that are pinned or not yet synced. */
export class OpenFiles {
  readonly #host: Host
  /** In order of use, oldest first. */
  readonly #open = new Map<SegmentFile, Promise<DiskFile>>()

  constructor(host: Host) {
    this.#host = host
  }

  async get(file: SegmentFile): Promise<DiskFile> {
    const known = this.#open.get(file)
    if (known !== undefined) {
      this.#open.delete(file)
      this.#open.set(file, known)
      return known
    }
    const opening = this.#host.disk.open(file.path)
    this.#open.set(file, opening)
    try {
      const opened = await opening
      if (this.#open.size > openFilesMax) await this.#closeOldest(file)
      return opened
    } catch (error) {
      this.#open.delete(file)
      throw error
    }
  }

  /** Adds a file that was opened by other means. */
  adopt(file: SegmentFile, opened: DiskFile): void {
    assert(!this.#open.has(file), 'a file is opened once')
    this.#open.set(file, Promise.resolve(opened))
  }

  async close(file: SegmentFile): Promise<void> {
    const opened = this.#open.get(file)
    if (opened === undefined) return
    this.#open.delete(file)
    await (await opened).close()
  }

  async closeAll(): Promise<void> {
    for (const file of [...this.#open.keys()]) await this.close(file)
  }

  async #closeOldest(except: SegmentFile): Promise<void> {
    for (const file of this.#open.keys()) {
      if (file === except || file.pins > 0 || !file.isClosed || file.durable < file.end) continue
      await this.close(file)
      return
    }
  }
}
