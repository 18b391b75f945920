// The proof of a clean close: how long each segment file without a footer was when everything in it was
// durable. Recovery does not take what lies before such an end for a torn tail. Without it: 1. an object is
// sealed, synced, acknowledged, and the process ends well; 2. a bit of the file's last records flips, or
// the file loses its end; 3. no later record says that those had been durable, so the next start cuts the
// file there, and whatever was behind is gone without a word.

import { isFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import {
  decodeSegmentEnds,
  encodeSegmentEnds,
  type SegmentEnd,
  segmentEndsBytesMax,
  segmentEndsMax,
} from './core/segment-ends.ts'

const endsPath = (directory: string): string => `${directory}/seg-ends.bin`

/** By number of file. Empty where no close was clean, or where the proof itself is damaged (journaled). */
export async function readSegmentEnds(
  host: Host,
  directory: string,
): Promise<ReadonlyMap<number, SegmentEnd>> {
  const path = endsPath(directory)
  try {
    const ends = decodeSegmentEnds(await host.disk.read(path, segmentEndsBytesMax))
    return new Map(ends.map((end) => [end.number, end]))
  } catch (error) {
    if (isFault(error, 'not-found')) return new Map()
    if (!isFault(error, 'corrupt') && !isFault(error, 'too-large')) throw error
    host.journal.event('error', 'storage.segment_damaged', { path, why: error.message })
    return new Map()
  }
}

/** Replaces the proof; all of `ends` must be durable. A full disk leaves the old one, which is still true. */
export async function writeSegmentEnds(
  host: Host,
  directory: string,
  ends: readonly SegmentEnd[],
): Promise<void> {
  const path = endsPath(directory)
  const newest = ends.toSorted((a, b) => a.number - b.number).slice(-segmentEndsMax)
  try {
    await host.disk.replace(path, encodeSegmentEnds(newest))
  } catch (error) {
    if (!isFault(error, 'no-space')) throw error
    host.journal.event('warning', 'storage.segment_ends_unproven', { path })
  }
}
