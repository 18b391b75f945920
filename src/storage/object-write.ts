// ObjectWrite: one object on its way into segment files: cut into units, each queued as soon as it is
// full, then a seal. And ControlWrite: a record without units (delete, touch).
//
// A write pins every file that holds a part of it until it is in the index (or given up): otherwise
// compaction could take the file for garbage.

import { assert, Fault, type FaultOptions } from '../base/index.ts'
import type { ObjectIndex } from './core/object-index.ts'
import {
  type Body,
  encodeBody,
  type RecordKind,
  recordLength,
  type SealBody,
} from './core/segment-format.ts'
import type { Item, SegmentAppender } from './segment-appender.ts'
import type { SegmentFile } from './segment-files.ts'

/** What writes share. */
export type WriteContext = {
  readonly appender: SegmentAppender
  readonly index: ObjectIndex<SegmentFile>
  nextWrite(): number
  nextSequence(): number
  /** A pin on a file was taken back. */
  unpinned(file: SegmentFile): void
}

/** Where a sealed write lies. */
export type Placement = {
  readonly write: number
  readonly extents: readonly number[]
  readonly sealIn: SegmentFile
  readonly sealLength: number
}

type Waiter = {
  readonly units: number
  readonly resolve: () => void
  readonly reject: (fault: Fault) => void
}

const empty = new Uint8Array(0)

export type ObjectOptions = {
  readonly unitBytes: number
  readonly mayUseReserve?: boolean
}

export class ObjectWrite {
  readonly unitBytes: number
  readonly #context: WriteContext
  readonly #write: number
  readonly #mayUseReserve: boolean
  readonly #files = new Set<SegmentFile>()
  readonly #extents: number[] = []
  /** Of the unit that is not full yet; most last units are much shorter than a unit. */
  #partial: Uint8Array = empty
  #filled = 0
  /** Sum of the partial unit while it is exactly one slice whose sum was given. */
  #partialSum: number | undefined
  #bytes = 0
  #queuedUnits = 0
  #placedUnits = 0
  #nextAt = -1
  #waiters: Waiter[] = []
  #fault: Fault | undefined
  #isEnded = false

  constructor(context: WriteContext, options: ObjectOptions) {
    this.unitBytes = options.unitBytes
    this.#context = context
    this.#write = context.nextWrite()
    this.#mayUseReserve = options.mayUseReserve ?? false
  }

  get bytes(): number {
    return this.#bytes
  }

  get fault(): Fault | undefined {
    return this.#fault
  }

  /** Settles when every unit that it filled is written; the slice must stay unchanged until then. */
  async append(slice: Uint8Array, sum?: number): Promise<void> {
    this.#mustBeOpen()
    const { unitBytes } = this
    const before = this.#queuedUnits
    this.#bytes += slice.length
    for (let at = 0; at < slice.length; ) {
      if (this.#filled === 0 && slice.length - at >= unitBytes) {
        const isWhole = slice.length === unitBytes
        this.#queueUnit(slice.subarray(at, at + unitBytes), isWhole ? sum : undefined)
        at += unitBytes
        continue
      }
      const count = Math.min(unitBytes - this.#filled, slice.length - at)
      this.#partialSum = this.#filled === 0 && count === slice.length ? sum : undefined
      this.#makeRoom(this.#filled + count)
      this.#partial.set(slice.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
      if (this.#filled === unitBytes) this.#queuePartial()
    }
    if (this.#queuedUnits > before) await this.#placed()
    if (this.#fault !== undefined) throw this.#fault
  }

  /** Queues what is left and the seal; settles when all of it is written, which is not yet durable. */
  async seal(body: Omit<SealBody, 'bytes' | 'unitBytes'>): Promise<Placement> {
    this.#mustBeOpen()
    this.#isEnded = true
    if (this.#filled > 0) this.#queuePartial()
    const { appender } = this.#context
    const { unitBytes } = this
    const payload = encodeBody({ kind: 'seal', ...body, bytes: this.#bytes, unitBytes })
    const { promise, resolve, reject } = Promise.withResolvers<SegmentFile>()
    appender.add({
      kind: 'seal',
      write: this.#write,
      number: this.#queuedUnits,
      payload,
      mayUseReserve: this.#mayUseReserve,
      fault: () => this.#fault,
      placed: (file) => {
        this.#pin(file)
        resolve(file)
      },
      failed: (fault) => {
        this.#fail(fault)
        reject(fault)
      },
    })
    const sealIn = await promise
    const sealLength = recordLength(payload.length)
    return { write: this.#write, extents: this.#extents, sealIn, sealLength }
  }

  /** Gives the write up: what is queued is left out, what is written becomes garbage. */
  abort(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#fail(new Fault('cancelled', 'the write was given up'))
  }

  /** The files of the write need no more protection from it. */
  unpin(): void {
    for (const file of this.#files) {
      file.pins--
      this.#context.unpinned(file)
    }
    this.#files.clear()
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#partial.length) return
    const wider = new Uint8Array(
      Math.min(this.unitBytes, Math.max(bytes, 2 * this.#partial.length)),
    )
    wider.set(this.#partial.subarray(0, this.#filled))
    this.#partial = wider
  }

  #queuePartial(): void {
    assert(this.#filled > 0, 'a filled unit exists')
    const unit = this.#partial.subarray(0, this.#filled)
    this.#partial = empty
    this.#filled = 0
    this.#queueUnit(unit, this.#partialSum)
  }

  #queueUnit(payload: Uint8Array, sum: number | undefined): void {
    this.#context.appender.add(new UnitItem(this, this.#queuedUnits++, { payload, sum }))
  }

  #placed(): Promise<void> {
    if (this.#fault !== undefined || this.#placedUnits >= this.#queuedUnits)
      return Promise.resolve()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.push({ units: this.#queuedUnits, resolve, reject })
    return promise
  }

  get id(): number {
    return this.#write
  }

  get mayUseReserve(): boolean {
    return this.#mayUseReserve
  }

  unitPlaced(file: SegmentFile, at: number, length: number): void {
    if (this.#fault !== undefined) return
    this.#pin(file)
    const extents = this.#extents
    const last = extents.length - 3
    if (last >= 0 && extents[last] === file.number && this.#nextAt === at) {
      extents[last + 2] = (extents[last + 2] as number) + 1
    } else extents.push(file.number, at, 1)
    this.#nextAt = at + recordLength(length)
    this.#placedUnits++
    while (this.#waiters.length > 0 && (this.#waiters[0] as Waiter).units <= this.#placedUnits) {
      this.#waiters.shift()?.resolve()
    }
  }

  unitFailed(fault: Fault): void {
    this.#fail(fault)
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault
    for (const { reject } of this.#waiters) reject(this.#fault)
    this.#waiters = []
    this.unpin()
  }

  #pin(file: SegmentFile): void {
    if (this.#files.has(file) || this.#fault !== undefined) return
    this.#files.add(file)
    file.pins++
  }

  #mustBeOpen(): void {
    if (this.#fault !== undefined) throw this.#fault
    assert(!this.#isEnded, 'a sealed or aborted write takes no more bytes')
  }
}

class UnitItem implements Item {
  readonly kind: RecordKind = 'unit'
  readonly number: number
  readonly payload: Uint8Array
  readonly sum: number | undefined
  readonly #object: ObjectWrite

  constructor(
    object: ObjectWrite,
    number: number,
    unit: { readonly payload: Uint8Array; readonly sum: number | undefined },
  ) {
    this.#object = object
    this.number = number
    this.payload = unit.payload
    this.sum = unit.sum
  }

  get write(): number {
    return this.#object.id
  }

  get mayUseReserve(): boolean {
    return this.#object.mayUseReserve
  }

  fault(): Fault | undefined {
    return this.#object.fault
  }

  placed(file: SegmentFile, at: number): void {
    this.#object.unitPlaced(file, at, this.payload.length)
  }

  failed(fault: Fault): void {
    this.#object.unitFailed(fault)
  }
}

/** Queues a delete or touch. It settles, with its file pinned, when it is written. */
export function addControl(
  appender: SegmentAppender,
  body: Exclude<Body, { readonly kind: 'seal' }>,
): Promise<{ readonly file: SegmentFile; readonly length: number }> {
  const payload = encodeBody(body)
  const { promise, resolve, reject } = Promise.withResolvers<{
    file: SegmentFile
    length: number
  }>()
  appender.add({
    kind: body.kind,
    write: 0,
    number: 0,
    payload,
    mayUseReserve: true,
    fault: () => undefined,
    placed(file) {
      file.pins++
      resolve({ file, length: recordLength(payload.length) })
    },
    failed: reject,
  })
  return promise
}

export function objectMissing(options: FaultOptions = {}): Fault {
  return new Fault('not-found', 'there is no such object in the segments', options)
}
