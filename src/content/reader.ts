// Content.read: the chunks of a range, one after the other. Records are looked up a few chunks ahead, and the
// next chunk's shards are asked for while the last stripes of the present one are read, so that no pause falls
// between chunks. At most two chunks are open.

import { Fault } from '../base/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { ChunkReader } from './chunk-reader.ts'
import type { Manifest } from './content.ts'
import type { Context } from './context.ts'
import { stripeBytes } from './core/layout.ts'
import type { ChunkRecord } from './core/records.ts'
import { caught } from './faults.ts'
import type { StoredShards } from './stored-shards.ts'

/** Records looked up ahead. */
const recordsAhead = 8
/** The next chunk is opened when this many stripes of the present one are left. */
const stripesAhead = 4

export type ReadOptions = {
  readonly keyspace: Keyspace
  readonly at: number
  readonly count: number
  readonly signal?: AbortSignal
}

type Piece = { readonly id: Uint8Array; readonly from: number; readonly to: number }

export async function* readContent(
  context: Context,
  stored: StoredShards,
  manifest: Manifest,
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const pieces = planPieces(manifest, options.at, options.count)
  const open = createOpener(context, stored, pieces, options)
  let current = open(0)
  let upcoming: OpenPiece | undefined
  try {
    for (let i = 0; current !== undefined; i++) {
      const { piece } = current
      let given = 0
      for (
        let result = await current.first();
        result !== undefined;
        result = await current.next()
      ) {
        given += result.length
        yield result
        const left = piece.to - piece.from - given
        if (upcoming === undefined && left <= current.openNextAt()) upcoming = open(i + 1)
      }
      current = upcoming ?? open(i + 1)
      upcoming = undefined
    }
  } finally {
    current?.close()
    upcoming?.close()
  }
}

/** The parts of chunks that make up a range; Fault 'invalid' beyond the manifest. */
function planPieces(manifest: Manifest, at: number, count: number): readonly Piece[] {
  if (at < 0 || count < 0 || at + count > manifest.length) {
    throw new Fault('invalid', `bytes ${at} to ${at + count} are beyond ${manifest.length}`)
  }
  const pieces: Piece[] = []
  let start = 0
  for (const { id, length } of manifest.chunks) {
    const from = Math.max(at - start, 0)
    const to = Math.min(at + count - start, length)
    if (from < to) pieces.push({ id, from, to })
    start += length
  }
  return pieces
}

type OpenPiece = {
  readonly piece: Piece
  first(): Promise<Uint8Array | undefined>
  next(): Promise<Uint8Array | undefined>
  /** Bytes left at which it is time to open the next one. */
  openNextAt(): number
  close(): void
}

/** Opens pieces by number and starts reading them at once; undefined past the end. */
function createOpener(
  context: Context,
  stored: StoredShards,
  pieces: readonly Piece[],
  { keyspace, signal }: ReadOptions,
): (number: number) => OpenPiece | undefined {
  const records = new Map<number, Promise<ChunkRecord | Fault>>()
  const lookAhead = (from: number): void => {
    for (let i = from; i < Math.min(from + recordsAhead, pieces.length); i++) {
      const piece = pieces[i] as Piece
      if (!records.has(i)) records.set(i, context.table.record(keyspace, piece.id).catch(caught))
    }
  }
  return (number) => {
    const piece = pieces[number]
    if (piece === undefined) return undefined
    lookAhead(number)
    const looked = records.get(number) as Promise<ChunkRecord | Fault>
    records.delete(number)
    let nextAt = 0
    const slices = (async function* () {
      const record = await looked
      if (record instanceof Fault) throw record
      nextAt = stripesAhead * stripeBytes(record)
      const reader = new ChunkReader(context, stored, { keyspace, id: piece.id, record })
      yield* reader.read({ from: piece.from, to: piece.to, signal })
    })()
    const first = slices.next().then(sliceOf, caught)
    return {
      piece,
      first: () => first.then(thrown),
      next: async () => sliceOf(await slices.next()),
      openNextAt: () => nextAt,
      close: () => {
        void slices.return().catch(caught)
      },
    }
  }
}

function sliceOf(result: IteratorResult<Uint8Array, void>): Uint8Array | undefined {
  return result.done === true ? undefined : result.value
}

function thrown(slice: Uint8Array | undefined | Fault): Uint8Array | undefined {
  if (slice instanceof Fault) throw slice
  return slice
}
