// Replays the events of all segment files into the index.
//
// A seal whose units are not all there has two possible reasons. If nothing proves that the seal had
// been durable, its object was never acknowledged, and the file is cut there (all that follows was not
// durable either): if it stayed, later records would seem to prove it. Otherwise units were damaged on
// disk: the object stays, as a damaged one, so that reading it says so and repair can find it.

import { type Entry, type ObjectIndex, unplacedEntry } from './core/object-index.ts'
import { keyText } from './core/key-text.ts'
import { encodeBody, recordLength, type SegmentEvent } from './core/segment-format.ts'
import type { OpenFiles, SegmentFile } from './segment-files.ts'
import { cutFile, type FoundFile } from './segment-recovery.ts'

/** Highest numbers in use: writes and sequences go on from there. */
export type Highest = { write: number; sequence: number }

/** The units of a write that were found so far. */
type FoundWrite = {
  extents: number[]
  units: number
  bytes: number
  next: number
  isBroken: boolean
}

/** The files without what was never acknowledged, in order. */
export async function cutUnproven(
  found: readonly FoundFile[],
  open: OpenFiles,
): Promise<readonly FoundFile[]> {
  const writes = new Map<number, FoundWrite>()
  const kept: FoundFile[] = []
  for (const one of found) {
    let cut: number | undefined
    for (const event of one.events) {
      if (event.kind === 'units') addUnits(writes, one.file, event)
      if (event.kind !== 'seal') continue
      if (event.at >= one.proven && !isWhole(event, writes.get(event.write))) {
        cut = event.at
        break
      }
      writes.delete(event.write)
    }
    kept.push(cut === undefined ? one : await cutFile(one, cut, open))
  }
  return kept
}

/** Feeds the index with every event. */
export function replay(index: ObjectIndex<SegmentFile>, found: readonly FoundFile[]): Highest {
  const writes = new Map<number, FoundWrite>()
  const highest: Highest = { write: 0, sequence: 0 }
  for (const { file, events } of found) {
    for (const event of events) {
      if (event.kind === 'units') {
        highest.write = Math.max(highest.write, event.write)
        addUnits(writes, file, event)
        continue
      }
      highest.sequence = Math.max(highest.sequence, event.sequence)
      if (event.kind === 'seal') {
        highest.write = Math.max(highest.write, event.write)
        highest.sequence = Math.max(highest.sequence, event.stampSequence)
        replaySeal(index, { file, event, write: writes.get(event.write) })
        writes.delete(event.write)
      } else replayControl(index, file, event)
    }
  }
  index.dropUselessTombstones()
  return highest
}

function addUnits(
  writes: Map<number, FoundWrite>,
  file: SegmentFile,
  event: SegmentEvent & { readonly kind: 'units' },
): void {
  let write = writes.get(event.write)
  if (write === undefined) {
    write = { extents: [], units: 0, bytes: 0, next: -1, isBroken: false }
    writes.set(event.write, write)
  }
  if (event.number !== write.units) write.isBroken = true
  const { extents } = write
  const last = extents.length - 3
  if (last >= 0 && extents[last] === file.number && write.next === event.at) {
    extents[last + 2] = (extents[last + 2] as number) + event.count
  } else extents.push(file.number, event.at, event.count)
  write.units += event.count
  write.bytes = event.length
  write.next = event.count === 1 ? event.at + recordLength(event.length) : -1
}

function isWhole(
  event: SegmentEvent & { readonly kind: 'seal' },
  write: FoundWrite | undefined,
): boolean {
  if (event.units === 0) return event.bytes === 0
  if (write === undefined || write.isBroken || write.units !== event.units) return false
  return write.bytes === event.bytes - (event.units - 1) * event.unitBytes
}

/** The object of a seal; without extents when its units are damaged. */
function replaySeal(
  index: ObjectIndex<SegmentFile>,
  {
    file,
    event,
    write,
  }: {
    readonly file: SegmentFile
    readonly event: SegmentEvent & { readonly kind: 'seal' }
    readonly write: FoundWrite | undefined
  },
): void {
  const key = keyText(event.key)
  const entry: Entry<SegmentFile> = {
    ...unplacedEntry(event.sequence, event.stamp),
    bytes: event.bytes,
    unitBytes: event.unitBytes,
    write: event.write,
    stampSequence: event.stampSequence,
    extents: isWhole(event, write) ? (write?.extents ?? []) : [],
    sealIn: file,
    sealLength: recordLength(encodeBody({ ...event, kind: 'seal' }).length),
  }
  index.seal(key, entry)
}

function replayControl(
  index: ObjectIndex<SegmentFile>,
  file: SegmentFile,
  event: SegmentEvent & { readonly kind: 'delete' | 'touch' },
): void {
  const key = keyText(event.key)
  const length = recordLength(encodeBody(event).length)
  const { sequence } = event
  if (event.kind === 'delete') index.delete(key, { sequence, file, length })
  else index.touch(key, { sequence, file, length, stamp: event.stamp })
}
