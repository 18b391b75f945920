// The trash: bodies that no head names any more. A body gets here in the very transaction that drops its
// name, so nothing leaks when a node dies, and freeing it is idempotent, so it matters little who does
// it: the live member with the lowest id, and every member for itself when nobody else is up.
//
// Freeing waits graceMs for readers that began before; when the disks are nearly full it does not wait.

import { Fault, isFault, keyAfter } from '../base/index.ts'
import type { ChunkRef } from '../content/index.ts'
import type { Keyspace, Operation } from '../keyspace/index.ts'
import { allCompleted, allTrash, manifestKey, partKey, partRange, smallKey } from './core/keys.ts'
import {
  type Body,
  decodeCompleted,
  decodeManifest,
  decodePart,
  decodeTrash,
} from './core/records.ts'
import { exists, type Rooms, remove } from './rooms.ts'

const graceMs = 60_000
const completedKeptMs = 24 * 60 * 60 * 1000
const rowsMax = 200
/** Chunks freed by one transaction: each is up to 2 + 2 (k + m) operations. */
const chunksPerTxn = 64
const partsPerTxn = 256

/** One round over a namespace's trash; answers how many bodies were freed. */
export async function emptyTrash(rooms: Rooms, keyspace: Keyspace): Promise<number> {
  let freed = 0
  let start = allTrash.key
  while (true) {
    const page = await keyspace.range({
      key: start,
      rangeEnd: allTrash.rangeEnd,
      limit: rowsMax,
      isSerializable: true,
    })
    for (const kv of page.kvs) {
      const { body, freedMs } = decodeTrash(kv.value)
      if (!isDue(rooms, freedMs)) continue
      await freeBody(rooms, keyspace, { body, trashRow: kv.key })
      freed++
    }
    const last = page.kvs.at(-1)
    if (!page.more || last === undefined) return freed
    start = keyAfter(last.key)
  }
}

/** Answers of completed uploads are remembered for a day. */
export async function forgetCompleted(rooms: Rooms, keyspace: Keyspace): Promise<void> {
  const page = await keyspace.range({ ...allCompleted, limit: rowsMax, isSerializable: true })
  const oldestMs = rooms.host.clock.wallMs() - completedKeptMs
  const expired = page.kvs.filter((kv) => decodeCompleted(kv.value).completedMs < oldestMs)
  if (expired.length === 0) return
  await keyspace.txn({ compares: [], success: expired.map((kv) => remove(kv.key)), failure: [] })
}

function isDue(rooms: Rooms, freedMs: number): boolean {
  const ageMs = rooms.host.clock.wallMs() - freedMs
  return ageMs >= graceMs || rooms.content.status().isDiskLow
}

type Trash = { readonly body: Body; readonly trashRow: Uint8Array }

async function freeBody(rooms: Rooms, keyspace: Keyspace, trash: Trash): Promise<void> {
  const { body } = trash
  const rows =
    body.kind === 'parts'
      ? await freeParts(rooms, keyspace, trash)
      : await freeChunks(rooms, keyspace, trash)
  await commit(keyspace, trash, [...rows, remove(trash.trashRow)])
}

/** Frees all chunks but those of the last batch, whose operations it answers together with what remains. */
async function freeChunks(
  rooms: Rooms,
  keyspace: Keyspace,
  trash: Trash,
): Promise<readonly Operation[]> {
  const { body } = trash
  if (body.kind === 'small') return [remove(smallKey(body.version))]
  if (body.kind === 'chunks') return releaseAll(rooms, keyspace, { trash, chunks: body.chunks })
  const kv = (await keyspace.range({ key: manifestKey(body.version) })).kvs[0]
  const chunks = kv === undefined ? [] : decodeManifest(kv.value).chunks
  const last = await releaseAll(rooms, keyspace, { trash, chunks })
  return [...last, remove(manifestKey(body.version))]
}

async function releaseAll(
  rooms: Rooms,
  keyspace: Keyspace,
  freed: { readonly trash: Trash; readonly chunks: readonly ChunkRef[] },
): Promise<readonly Operation[]> {
  const { trash, chunks } = freed
  let at = 0
  while (true) {
    const batch = chunks.slice(at, at + chunksPerTxn)
    const length = batch.reduce((sum, chunk) => sum + chunk.length, 0)
    const operations = await rooms.content.release({ length, chunks: batch }, keyspace)
    at += chunksPerTxn
    if (at >= chunks.length) return operations
    await commit(keyspace, trash, operations)
  }
}

/** The parts that m/ names, or every part of the upload when there is no such row (an aborted upload). */
async function freeParts(
  rooms: Rooms,
  keyspace: Keyspace,
  trash: Trash,
): Promise<readonly Operation[]> {
  const { uploadId, version } = trash.body
  const kv = (await keyspace.range({ key: manifestKey(version) })).kvs[0]
  const named = kv === undefined ? undefined : decodeManifest(kv.value).parts
  let done = 0
  let start = partRange(uploadId).key
  while (true) {
    const batch = named?.slice(done, done + partsPerTxn)
    const rows =
      batch === undefined
        ? await keyspace.range({ ...partRange(uploadId), key: start, limit: partsPerTxn })
        : await rangeOfKeys(
            keyspace,
            batch.map(({ number }) => partKey(uploadId, number)),
          )
    for (const row of rows.kvs) {
      const { body } = decodePart(row.value)
      const operations = await freeChunks(rooms, keyspace, { ...trash, body })
      await commit(keyspace, trash, [...operations, remove(row.key)])
    }
    done += partsPerTxn
    const last = rows.kvs.at(-1)
    const isDone = named === undefined ? !rows.more || last === undefined : done >= named.length
    if (isDone) return kv === undefined ? [] : [remove(kv.key)]
    if (last !== undefined) start = keyAfter(last.key)
  }
}

async function rangeOfKeys(keyspace: Keyspace, keys: readonly Uint8Array[]) {
  const response = await keyspace.txn({
    compares: [],
    success: keys.map((key) => ({ kind: 'range', request: { key } })),
    failure: [],
  })
  const kvs = response.results.flatMap((result) =>
    result.kind === 'range' ? result.response.kvs : [],
  )
  return { kvs, more: false }
}

/** Fault 'conflict' when another member freed the body first. */
async function commit(
  keyspace: Keyspace,
  trash: Trash,
  operations: readonly Operation[],
): Promise<void> {
  if (operations.length === 0) return
  const response = await keyspace.txn({
    compares: [exists(trash.trashRow, true)],
    success: operations,
    failure: [],
  })
  if (!response.succeeded) throw new Fault('conflict', 'another member freed this body')
}

/** Background rounds until closed. */
export function startTrashRounds(
  rooms: Rooms,
  options: {
    readonly namespaces: readonly string[]
    readonly everyMs: number
    readonly isMine: () => boolean
  },
): { close(): void; runNow(): Promise<number> } {
  let running: Promise<number> | undefined
  const round = async (): Promise<number> => {
    let freed = 0
    for (const name of options.namespaces) {
      const keyspace = await rooms.keyspaces.open(name)
      freed += await emptyTrash(rooms, keyspace)
      await forgetCompleted(rooms, keyspace)
    }
    return freed
  }
  const runNow = (): Promise<number> => {
    running ??= round().finally(() => {
      running = undefined
    })
    return running
  }
  const timer = rooms.host.clock.every(options.everyMs, () => {
    if (!options.isMine()) return
    runNow().catch((error: unknown) => {
      if (!isFault(error)) rooms.host.journal.fatal('objects.trash_failed', error)
      rooms.host.journal.event('debug', 'objects.trash_deferred', { what: error.message })
    })
  })
  return { close: () => timer.cancel(), runNow }
}
