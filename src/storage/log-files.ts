// The log's directory: names of segment files, and what recovery makes of them.
//
// Recovery reads every segment, finds the unbroken run of records in each, and joins the runs by record
// number. It accepts exactly what could be the remains of a crash:
//   - after the last record, anything, as long as nothing proves that more had been durable;
//   - segments before the oldest that matters, and segments that never received a durable record.
// Anything else is damage of durable bytes: Fault 'corrupt' names file and offset, nothing is changed.

import { Fault } from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'
import {
  decodeSegmentHeader,
  highestProven,
  type LogRecord,
  type SegmentHeader,
  scanRecords,
} from './core/log-format.ts'

export const spareName = 'spare.bin'

/** A segment file that is in use. */
export type LogSegment = {
  readonly sequence: number
  readonly path: string
  readonly file: DiskFile
  readonly salt: Uint8Array
  /** Size of the file. */
  bytes: number
  /** Where the next record goes. */
  end: number
  live: number
  liveBytes: number
  /** Reads in progress: the file must not be recycled. */
  readers: number
}

export type FoundSegment = { readonly segment: LogSegment; readonly records: readonly LogRecord[] }

export type FoundLog = {
  readonly segments: readonly FoundSegment[]
  readonly nextRecord: number
  readonly nextSequence: number
}

type Scan = {
  readonly sequence: number
  readonly path: string
  readonly bytes: Uint8Array
  readonly header: SegmentHeader | undefined
  readonly records: readonly LogRecord[]
  readonly end: number
}

const segmentBytesMax = 2 ** 31

export function segmentPath(directory: string, sequence: number): string {
  return `${directory}/log-${String(sequence).padStart(12, '0')}.bin`
}

/** Reads what is there, checks it, and clears away what does not matter. */
export async function recoverLog(host: Host, directory: string): Promise<FoundLog> {
  const scans = await scanDirectory(host, directory)
  const nextSequence = (scans.at(-1)?.sequence ?? 0) + 1
  const kept = keptScans(scans)
  for (const { path } of scans.filter((scan) => !kept.includes(scan))) await host.disk.remove(path)
  if (kept.length < scans.length) await host.disk.syncDirectory(directory)
  const segments: FoundSegment[] = []
  for (const scan of kept) segments.push(await openScanned(host, scan, scan === kept.at(-1)))
  const last = kept.at(-1)
  const nextRecord = last?.header === undefined ? 1 : last.header.firstRecord + last.records.length
  return { segments, nextRecord, nextSequence }
}

async function scanDirectory(host: Host, directory: string): Promise<readonly Scan[]> {
  const scans: Scan[] = []
  for (const name of await host.disk.list(directory)) {
    const match = /^log-(\d{12})\.bin$/.exec(name)
    if (match === null) continue
    const sequence = Number(match[1])
    const path = `${directory}/${name}`
    const bytes = await host.disk.read(path, segmentBytesMax)
    const header = decodeSegmentHeader(bytes, sequence)
    const run = header === undefined ? { records: [], end: 0 } : scanRecords(bytes, header)
    scans.push({ sequence, path, bytes, header, ...run })
  }
  return scans
}

/** The segments that matter, checked to be whole and joined. */
function keptScans(scans: readonly Scan[]): readonly Scan[] {
  const newest = scans.findLast(({ records }) => records.length > 0)
  const oldest = newest === undefined ? 0 : newest.sequence - (newest.records.at(-1)?.oldest ?? 0)
  const mattering = scans.filter(
    ({ sequence, header }) => sequence >= oldest && header !== undefined,
  )
  const first = mattering[0]
  if (newest !== undefined && first?.sequence !== oldest) {
    throw damage(
      `segment ${oldest} of the log is missing or its header is damaged`,
      scans[0]?.path ?? '',
    )
  }
  const kept: Scan[] = []
  let next = first?.header?.firstRecord ?? 1
  for (const scan of mattering) {
    const header = scan.header as SegmentHeader
    if (header.firstRecord !== next) {
      mustBeUnused(scan, kept.at(-1), next)
      continue
    }
    mustEndTorn(kept.at(-1), scan)
    kept.push(scan)
    next += scan.records.length
  }
  mustEndTorn(kept.at(-1), undefined)
  return kept
}

/** A segment that does not follow on may only be one that never received a durable record. */
function mustBeUnused(scan: Scan, before: Scan | undefined, next: number): void {
  const proven = highestProven(scan.bytes, { from: 0, salt: (scan.header as SegmentHeader).salt })
  if (scan.records.length === 0 && proven < next) return
  throw damage(
    `record ${next} of the log is damaged at ${before?.path ?? scan.path}, offset ${before?.end ?? 0}, ` +
      `but ${scan.path} holds later ones`,
    before?.path ?? scan.path,
  )
}

/** Where a run of records ends, nothing beyond may prove that the next record had been durable. */
function mustEndTorn(scan: Scan | undefined, following: Scan | undefined): void {
  if (scan?.header === undefined) return
  const next = scan.header.firstRecord + scan.records.length
  if (following !== undefined && following.records.length > 0) return
  const proven = highestProven(scan.bytes, { from: scan.end, salt: scan.header.salt })
  if (proven < next) return
  throw damage(
    `record ${next} of the log is damaged at ${scan.path}, offset ${scan.end}: intact records that follow ` +
      'prove that it was durable',
    scan.path,
  )
}

function damage(what: string, path: string): Fault {
  return new Fault('corrupt', what, {
    fields: { path },
    next:
      'the disk has changed acknowledged bytes: restore the file from a copy, or remove this ' +
      "node's data directory and let it rejoin as a replacement",
  })
}

/** The last one loses its torn tail, so that no old bytes can ever follow on new records. */
async function openScanned(host: Host, scan: Scan, isLast: boolean): Promise<FoundSegment> {
  const file = await host.disk.open(scan.path)
  let bytes = scan.bytes.length
  if (isLast && bytes > scan.end) {
    await file.truncate(scan.end)
    await file.sync()
    bytes = scan.end
  }
  const { sequence, path, end } = scan
  const salt = (scan.header as SegmentHeader).salt
  const segment = { sequence, path, file, salt, bytes, end, live: 0, liveBytes: 0, readers: 0 }
  return { segment, records: scan.records }
}
