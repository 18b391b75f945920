// What is in the segment files at start: each file's events, from its footer, or by walking its record
// headers (payloads are skipped).
//
// Torn or damaged? A record's `durable` proves that many bytes of its file to have been synced. Beyond
// the highest proof, a crash may have left anything: there, units are read and checked, and the file is
// cut at the first record that is not whole. Before it, an unreadable record is damage: it is skipped to
// the next intact header, and what needs it will be found damaged when it is read. So nothing that was
// acknowledged is lost with a neighbour, and nothing that was not is ever half there. A clean close proves
// the whole file (segment-ends.ts); one that is shorter than was proved takes no more records.

import { crc32c, equalBytes, isFault } from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'
import {
  claimedSalt,
  decodeEvent,
  decodeEvents,
  decodeFileHeader,
  decodeTrailer,
  EventList,
  fileHeaderBytes,
  type RecordHeader,
  readRecordHeader,
  recordBytes,
  recordLength,
  type SegmentEvent,
  trailerBytes,
} from './core/segment-format.ts'
import type { SegmentEnd } from './core/segment-ends.ts'
import { readSegmentEnds } from './segment-ends.ts'
import { type OpenFiles, type SegmentFile, segmentFilePath } from './segment-files.ts'

export type FoundFile = {
  readonly file: SegmentFile
  readonly events: readonly SegmentEvent[]
  /** Everything before this offset is known to have been durable. */
  readonly proven: number
  /** Durable bytes at its end are gone: no record may take their place, for they count as proven. */
  readonly isShort: boolean
}

export type FoundSegments = {
  readonly files: readonly FoundFile[]
  /** The highest number of any file, also of one that was removed or cannot be used. */
  readonly lastNumber: number
}

const nearBytes = 256 * 1024
const farBytes = 4 * 1024
const bodyBytesMax = 64 * 1024 * 1024

/** Opens every file of the directory in order of number; removes those that never held a record. */
export async function recoverSegments(
  host: Host,
  directory: string,
  open: OpenFiles,
): Promise<FoundSegments> {
  const found: FoundFile[] = []
  const ends = await readSegmentEnds(host, directory)
  let lastNumber = Math.max(0, ...ends.keys())
  for (const name of await host.disk.list(directory)) {
    const match = /^seg-(\d{8})\.bin$/.exec(name)
    if (match === null) continue
    const number = Number(match[1])
    lastNumber = Math.max(lastNumber, number)
    const one = await recoverFile(host, { directory, number, proof: ends.get(number) })
    if (one === undefined) continue
    open.adopt(one.file, one.opened)
    if (one.file.isClosed) await open.close(one.file)
    found.push(one)
  }
  return { files: found, lastNumber }
}

/** Cuts a file that has no footer: what follows `end` was never durable. */
export async function cutFile(found: FoundFile, end: number, open: OpenFiles): Promise<FoundFile> {
  const { file, proven, isShort } = found
  const opened = await open.get(file)
  await opened.truncate(end)
  await opened.sync()
  const events = found.events.filter(({ at }) => at < end)
  file.end = end
  file.durable = end
  file.events = new EventList()
  for (const event of events) file.events.add(event)
  return { file, events, proven, isShort }
}

/** The events of a file that is closed already. */
export async function readEvents(
  opened: DiskFile,
  file: SegmentFile,
): Promise<readonly SegmentEvent[]> {
  const size = await opened.size()
  const footer = await readFooter(opened, size, file.salt)
  if (footer !== undefined) return footer.events
  const { end, salt, durable } = file
  return (await walkFile(opened, { size: end, salt, proven: durable })).events
}

type Place = {
  readonly directory: string
  readonly number: number
  /** Of a file of that number. */
  readonly proof: SegmentEnd | undefined
}

async function recoverFile(
  host: Host,
  place: Place,
): Promise<(FoundFile & { readonly opened: DiskFile }) | undefined> {
  const path = segmentFilePath(place.directory, place.number)
  const opened = await host.disk.open(path)
  const size = await opened.size()
  const salt = await readSalt(opened, place, size)
  if (salt === undefined) {
    await opened.close()
    if (size > fileHeaderBytes || place.proof !== undefined) {
      host.journal.event('error', 'storage.segment_damaged', { path, why: 'header' })
    } else await host.disk.remove(path)
    return undefined
  }
  const base = {
    number: place.number,
    path,
    salt,
    live: 0,
    pins: 0,
    doomed: undefined,
    isDamaged: false,
  }
  const footer = await readFooter(opened, size, salt)
  if (footer !== undefined) {
    const file = {
      ...base,
      end: footer.at,
      durable: footer.at,
      isClosed: true,
      hasFooter: true,
      events: undefined,
    }
    return { file, opened, events: footer.events, proven: size, isShort: false }
  }
  const proof =
    place.proof !== undefined && equalBytes(place.proof.salt, salt) ? place.proof : undefined
  const proven = proof?.durable ?? fileHeaderBytes
  const walked = await walkFile(opened, { size, salt, proven })
  const isShort = size < proven
  if (walked.damagedAt.length > 0 || isShort) {
    const at = [...walked.damagedAt, ...(isShort ? [size] : [])].join(' ')
    host.journal.event('error', 'storage.segment_damaged', { path, at })
  }
  if (walked.end < size) await opened.truncate(walked.end)
  await opened.sync()
  const list = new EventList()
  for (const event of walked.events) list.add(event)
  const file = {
    ...base,
    end: walked.end,
    durable: walked.end,
    isClosed: false,
    hasFooter: false,
    events: list,
  }
  return { file, opened, events: walked.events, proven: walked.durable, isShort }
}

/** From the header, or, when that is damaged, from a first record that is intact under its own salt, or the proven one. */
async function readSalt(
  opened: DiskFile,
  { number, proof }: Place,
  size: number,
): Promise<Uint8Array | undefined> {
  const start = await opened.read(0, Math.min(size, farBytes))
  const salt = decodeFileHeader(start, number)
  if (salt !== undefined || size <= fileHeaderBytes) return salt
  const claimed = claimedSalt(start, fileHeaderBytes)
  const first = readRecordHeader(start, fileHeaderBytes, { salt: claimed })
  return first === undefined ? proof?.salt : claimed
}

async function readFooter(
  opened: DiskFile,
  size: number,
  salt: Uint8Array,
): Promise<{ readonly at: number; readonly events: readonly SegmentEvent[] } | undefined> {
  if (size < fileHeaderBytes + recordBytes + trailerBytes) return undefined
  const trailer = decodeTrailer(await opened.read(size - trailerBytes, trailerBytes))
  if (trailer === undefined || trailer.at + recordLength(trailer.length) + trailerBytes !== size) {
    return undefined
  }
  const record = await opened.read(trailer.at, recordBytes + trailer.length)
  if (readRecordHeader(record, 0, { salt })?.kind !== 'footer') return undefined
  return { at: trailer.at, events: decodeEvents(record.subarray(recordBytes)) }
}

type Walked = {
  readonly events: readonly SegmentEvent[]
  readonly durable: number
  readonly end: number
  readonly damagedAt: readonly number[]
}

type Step = {
  readonly at: number
  readonly header: RecordHeader
  readonly event: SegmentEvent | undefined
}

async function walkFile(
  opened: DiskFile,
  {
    size,
    salt,
    proven,
  }: {
    readonly size: number
    readonly salt: Uint8Array
    /** So much is known to have been durable, whatever the records say. */
    readonly proven: number
  },
): Promise<Walked> {
  const window = new Window(opened, size)
  const steps: Step[] = []
  const gaps: number[] = []
  let at = fileHeaderBytes
  let durable = Math.max(fileHeaderBytes, proven)
  while (at + recordBytes <= size) {
    const header = await readHeader(window, at, salt)
    if (header === undefined || at + recordLength(header.length) > size) {
      gaps.push(at)
      at = await findNext(window, at + 8, salt)
      continue
    }
    durable = Math.max(durable, Math.min(header.durable, at))
    if (header.kind !== 'footer') {
      const event = await readEvent(window, at, header)
      steps.push({ at, header, event })
    } else durable = Math.max(durable, at)
    at += recordLength(header.length)
  }
  if (at < size) gaps.push(at)
  const end = await findEnd(window, { steps, gaps, durable, size })
  const events = steps.filter((step) => step.at < end).flatMap(({ event }) => event ?? [])
  return { events, durable, end, damagedAt: gaps.filter((gap) => gap < end) }
}

/** The first offset beyond the proof at which the file is not whole. */
async function findEnd(
  window: Window,
  {
    steps,
    gaps,
    durable,
    size,
  }: {
    readonly steps: readonly Step[]
    readonly gaps: readonly number[]
    readonly durable: number
    readonly size: number
  },
): Promise<number> {
  let end = Math.min(size, gaps.find((gap) => gap >= durable) ?? size)
  const last = steps.at(-1)
  if (last !== undefined) end = Math.min(end, last.at + recordLength(last.header.length))
  else end = Math.min(end, fileHeaderBytes)
  end = Math.max(end, Math.min(durable, size - (size % 8)))
  for (const { at, header } of steps) {
    if (at < durable || at >= end || header.kind !== 'unit') continue
    if (at + recordBytes + header.length > size) return at
    const unit = await window.file.read(at + recordBytes, header.length)
    if (crc32c(unit) !== header.unitChecksum) return at
  }
  return end
}

async function readHeader(
  window: Window,
  at: number,
  salt: Uint8Array,
): Promise<RecordHeader | undefined> {
  let bytes = await window.load(at, recordBytes)
  let need = 0
  const isCut = (count: number): void => {
    need = count
  }
  const header = readRecordHeader(bytes, 0, { salt, isCut })
  if (header !== undefined || need === 0 || need > bodyBytesMax || at + need > window.size)
    return header
  bytes = await window.load(at, need)
  return readRecordHeader(bytes, 0, { salt })
}

async function readEvent(
  window: Window,
  at: number,
  header: RecordHeader,
): Promise<SegmentEvent | undefined> {
  if (header.kind === 'unit') {
    const { write, number, length } = header
    return { kind: 'units', at, write, number, count: 1, length }
  }
  const record = await window.load(at, recordBytes + header.length)
  try {
    const body = record.slice(recordBytes, recordBytes + header.length)
    return decodeEvent(header, at, body)
  } catch (error) {
    if (isFault(error, 'corrupt')) return undefined
    throw error
  }
}

/** The next intact header from `from` on; the file's size when there is none. */
async function findNext(window: Window, from: number, salt: Uint8Array): Promise<number> {
  for (let at = from; at + recordBytes <= window.size; ) {
    const bytes = await window.load(at, nearBytes)
    let found = 0
    while (
      found + recordBytes <= bytes.length &&
      !(bytes[found] === 0x41 && bytes[found + 1] === 0x53)
    ) {
      found += 8
    }
    at += found
    if (found + recordBytes > bytes.length) continue
    if ((await readHeader(window, at, salt)) !== undefined) return at
    at += 8
  }
  return window.size
}

/** A piece of the file in memory: large where headers are close together, small where they are far apart. */
class Window {
  readonly file: DiskFile
  readonly size: number
  #at = 0
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(file: DiskFile, size: number) {
    this.file = file
    this.size = size
  }

  /** At least `count` bytes from `at` on (all that is loaded), less only at the end of the file. */
  async load(at: number, count: number): Promise<Uint8Array> {
    const end = this.#at + this.#bytes.length
    if (at < this.#at || Math.min(at + count, this.size) > end) {
      const isNear = at >= this.#at && at - end < farBytes * 4
      const length = Math.max(count, isNear ? nearBytes : farBytes)
      this.#bytes = await this.file.read(at, Math.min(length, this.size - at))
      this.#at = at
    }
    return this.#bytes.subarray(at - this.#at)
  }
}
