// Compaction: what is live in a file that is mostly garbage is written again at the end of the active
// file, and once that is durable the file goes.
//
// A copy keeps the sequence of its seal, so that what overruled it still does. Tombstones move along
// while dead seals of their key remain in other files. The removal of a file is made durable before its
// dead seals stop to count: otherwise 1. file A with a dead seal goes, 2. its tombstone in file B is
// dropped with B, 3. after power loss A is back, B is not, and the object has returned.

import { isFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { ObjectIndex } from './core/object-index.ts'
import { keyBytes, keyText } from './core/key-text.ts'
import type { SegmentEvent } from './core/segment-format.ts'
import { directoryOf } from './disk-errors.ts'
import { addControl, ObjectWrite, type WriteContext } from './object-write.ts'
import type { OpenFiles, SegmentFile } from './segment-files.ts'
import type { SegmentEntry, SegmentReader } from './segment-reader.ts'
import { readEvents } from './segment-recovery.ts'

export type CompactionContext = WriteContext & {
  readonly host: Host
  readonly files: Map<number, SegmentFile>
  readonly open: OpenFiles
  readonly reader: SegmentReader
}

const scannedPerTurn = 4096
/** An active file with less in it is left to grow. */
const activeBytesMin = 1024 * 1024
/** Copies under way at a time. */
const copiesMax = 16

/** Rewrites what pays; answers the bytes that it freed. */
export async function compactFiles(
  context: CompactionContext,
  garbageRatio: number,
): Promise<number> {
  const active = context.appender.active
  if (active !== undefined && active.end > activeBytesMin && isWorthIt(active, garbageRatio)) {
    await context.appender.retireActive()
  }
  const candidates = chooseFiles(context, garbageRatio)
  if (candidates.length === 0) return 0
  const objects = await objectsIn(context, new Set(candidates.map(({ number }) => number)))
  let freed = 0
  for (const file of candidates) {
    const keys = objects.get(file.number) ?? []
    freed += await compactFile(context, file, keys)
  }
  return freed
}

function chooseFiles(context: CompactionContext, garbageRatio: number): readonly SegmentFile[] {
  return [...context.files.values()].filter((file) => {
    if (!file.isClosed || file.doomed !== undefined || file.isDamaged || file.pins > 0) return false
    return isWorthIt(file, garbageRatio)
  })
}

function isWorthIt(file: SegmentFile, garbageRatio: number): boolean {
  return file.end - file.live > garbageRatio * file.end
}

/** Keys of objects with a part in one of the files. Looks at the index a slice at a time. */
async function objectsIn(
  context: CompactionContext,
  numbers: ReadonlySet<number>,
): Promise<ReadonlyMap<number, readonly string[]>> {
  const found = new Map<number, string[]>()
  let after: string | undefined
  for (let isMore = true; isMore; ) {
    let seen = 0
    isMore = false
    context.index.scan(after, (key, entry) => {
      if (seen++ >= scannedPerTurn) {
        isMore = true
        return false
      }
      after = key
      for (const number of filesOf(entry)) {
        if (!numbers.has(number)) continue
        const keys = found.get(number)
        if (keys === undefined) found.set(number, [key])
        else keys.push(key)
      }
      return true
    })
    if (isMore) await new Promise<void>((resolve) => context.host.clock.soon(resolve))
  }
  return found
}

function filesOf(entry: SegmentEntry): ReadonlySet<number> {
  const numbers = new Set<number>()
  for (let i = 0; i < entry.extents.length; i += 3) numbers.add(entry.extents[i] as number)
  if (entry.sealIn !== undefined) numbers.add(entry.sealIn.number)
  return numbers
}

async function compactFile(
  context: CompactionContext,
  file: SegmentFile,
  keys: readonly string[],
): Promise<number> {
  file.pins++
  const garbageBytes = file.end - file.live
  const copied: ObjectWrite[] = []
  try {
    const events = await readEvents(await context.open.get(file), file)
    for (let from = 0; from < keys.length; from += copiesMax) {
      const some = keys.slice(from, from + copiesMax)
      const results = await Promise.allSettled(some.map((key) => copyObject(context, key, file)))
      for (const result of results) {
        if (result.status === 'fulfilled' && result.value !== undefined) copied.push(result.value)
      }
      const failed = results.find((result) => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
    await moveControls(context, file, events)
    if (stillHolds(context, file, keys)) return 0
    file.doomed = events
    return garbageBytes
  } catch (error) {
    if (!isFault(error, 'corrupt')) throw error
    file.isDamaged = true
    context.host.journal.event('error', 'storage.compaction_refused', {
      path: file.path,
      why: error.message,
    })
    return 0
  } finally {
    for (const write of copied) write.unpin()
    file.pins--
    context.unpinned(file)
  }
}

function stillHolds(
  context: CompactionContext,
  file: SegmentFile,
  keys: readonly string[],
): boolean {
  return keys.some((key) => {
    const entry = context.index.get(key)
    return entry !== undefined && filesOf(entry).has(file.number)
  })
}

/** Undefined when the object has left the file by itself. */
async function copyObject(
  context: CompactionContext,
  key: string,
  from: SegmentFile,
): Promise<ObjectWrite | undefined> {
  const entry = context.index.get(key)
  if (entry === undefined || entry.pending !== undefined || !filesOf(entry).has(from.number)) return
  const write = new ObjectWrite(context, { unitBytes: entry.unitBytes, mayUseReserve: true })
  try {
    for await (const unit of context.reader.checkedUnits(entry)) {
      await write.append(unit.bytes, unit.sum)
    }
    const { sequence, stamp, stampSequence } = entry
    const placement = await write.seal({ key: keyBytes(key), sequence, stamp, stampSequence })
    await context.appender.sync()
    if (context.index.get(key) === entry) context.index.place(entry, placement)
    context.index.moved(key)
    return write
  } catch (error) {
    write.abort()
    write.unpin()
    throw error
  }
}

/** Writes the tombstones and touches of a file again that still mean something. */
async function moveControls(
  context: CompactionContext,
  file: SegmentFile,
  events: readonly SegmentEvent[],
): Promise<void> {
  const buried = new Map<string, number>()
  for (const event of events) {
    if (event.kind !== 'seal') continue
    const key = keyText(event.key)
    buried.set(key, (buried.get(key) ?? 0) + 1)
  }
  const moves: Promise<() => void>[] = []
  for (const event of events) {
    if (event.kind !== 'delete' && event.kind !== 'touch') continue
    const key = keyText(event.key)
    if (event.kind === 'touch') {
      const entry = context.index.get(key)
      if (entry?.touchIn !== file || entry.stampSequence !== event.sequence) continue
      moves.push(moveTouch(context, entry, event))
    } else {
      const tombstone = context.index.tombstone(key)
      if (tombstone?.file !== file || tombstone.sequence !== event.sequence) continue
      if (context.index.deadSeals(key) <= (buried.get(key) ?? 0)) continue
      moves.push(moveTombstone(context, key, event))
    }
  }
  const placed = await Promise.all(moves)
  await context.appender.sync()
  for (const apply of placed) apply()
}

async function moveTouch(
  context: CompactionContext,
  entry: SegmentEntry,
  event: SegmentEvent & { readonly kind: 'touch' },
): Promise<() => void> {
  const from = entry.touchIn
  const { file, length } = await addControl(context.appender, { ...event, kind: 'touch' })
  return () => {
    if (entry.touchIn === from && entry.stampSequence === event.sequence && from !== undefined) {
      from.live -= entry.touchLength
      entry.touchIn = file
      entry.touchLength = length
      file.live += length
    }
    file.pins--
    context.unpinned(file)
  }
}

async function moveTombstone(
  context: CompactionContext,
  key: string,
  event: SegmentEvent & { readonly kind: 'delete' },
): Promise<() => void> {
  const { file, length } = await addControl(context.appender, { ...event, kind: 'delete' })
  return () => {
    const { sequence } = event
    if (context.index.tombstone(key)?.sequence === sequence) {
      context.index.delete(key, { sequence, file, length })
    }
    file.pins--
    context.unpinned(file)
  }
}

/** Removes a doomed file that nobody reads any more; its dead seals then count no longer. */
export async function removeFile(
  context: {
    readonly host: Host
    readonly files: Map<number, SegmentFile>
    readonly open: OpenFiles
    readonly index: ObjectIndex<SegmentFile>
  },
  file: SegmentFile,
): Promise<void> {
  const events = file.doomed
  if (events === undefined || !context.files.delete(file.number)) return
  await context.open.close(file)
  await context.host.disk.remove(file.path)
  await context.host.disk.syncDirectory(directoryOf(file.path))
  for (const event of events) if (event.kind === 'seal') context.index.buried(keyText(event.key))
}
