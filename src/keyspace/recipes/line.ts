// A waiting line, key for key that of etcd's client library (concurrency.Mutex and Election): a place is the
// key name/lease (in hexadecimal), created once; whose place was created first is first. So the recipes here,
// etcd's own services in the gateway, and programs that use that library meet on the same keys.
//
// Everybody waits for the one before: of N who wait, one wakes when one leaves. The create revision of a place
// only grows along the line, which makes it the fencing token.

import {
  concatBytes,
  Fault,
  isFault,
  prefixEnd,
  type Revision,
  utf8Encode,
} from '../../base/index.ts'
import type { Compare, FullKeyspace, KeyValue, RequestOptions } from '../keyspace.ts'
import { type Ground, untilEvent } from './ground.ts'

/** `revision`: at which it was created. */
export type Place = {
  readonly name: Uint8Array
  readonly key: Uint8Array
  readonly lease: number
  readonly revision: Revision
}

export function linePrefix(name: Uint8Array): Uint8Array {
  return concatBytes([name, utf8Encode('/')])
}

export function placeKey(name: Uint8Array, lease: number): Uint8Array {
  return concatBytes([linePrefix(name), utf8Encode(lease.toString(16))])
}

/** Holds while the place is there: the compare of a fenced transaction. */
export function isPlaced({ key, revision }: Pick<Place, 'key' | 'revision'>): Compare {
  return { key, target: 'create', result: 'equal', operand: revision }
}

/** Everything below a prefix that ends with '/'. */
export function rangeOf(prefix: Uint8Array): {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
} {
  return { key: prefix, rangeEnd: prefixEnd(prefix) }
}

/** Takes the lease's place at the end of the line; `isNew` false: it had one, whose value stays. */
export async function enterLine(
  keyspace: FullKeyspace,
  of: { readonly name: Uint8Array; readonly lease: number; readonly value: Uint8Array },
  options: RequestOptions = {},
): Promise<Place & { readonly isNew: boolean }> {
  const { name, lease, value } = of
  const key = placeKey(name, lease)
  const { succeeded, revision, results } = await keyspace.txn(
    {
      compares: [{ key, target: 'create', result: 'equal', operand: 0 }],
      success: [{ kind: 'put', key, value, lease }],
      failure: [{ kind: 'range', request: { key } }],
    },
    options,
  )
  const [known] = results
  const kv = known?.kind === 'range' ? known.response.kvs[0] : undefined
  return { name, key, lease, revision: kv?.createRevision ?? revision, isNew: succeeded }
}

/** Changes what the place says. False: the place is gone. */
export async function announce(
  keyspace: FullKeyspace,
  of: { readonly place: Pick<Place, 'key' | 'revision' | 'lease'>; readonly value: Uint8Array },
  options: RequestOptions = {},
): Promise<{ readonly isDone: boolean; readonly revision: Revision }> {
  const { key, lease } = of.place
  const { succeeded, revision } = await keyspace.txn(
    {
      compares: [isPlaced(of.place)],
      success: [{ kind: 'put', key, value: of.value, lease }],
      failure: [],
    },
    options,
  )
  return { isDone: succeeded, revision }
}

/** Gives the place up; a later place under the same key stays. */
export async function leaveLine(
  keyspace: FullKeyspace,
  place: Pick<Place, 'key' | 'revision'>,
  options: RequestOptions = {},
): Promise<Revision> {
  const success = [{ kind: 'delete', key: place.key }] as const
  const { revision } = await keyspace.txn(
    { compares: [isPlaced(place)], success, failure: [] },
    options,
  )
  return revision
}

/** Who is before the place, at one revision. Fault placeLost() when the place itself is gone. */
export async function readBefore(
  keyspace: FullKeyspace,
  { name, key, revision }: Place,
  options: RequestOptions = {},
): Promise<{ readonly before: KeyValue | undefined; readonly revision: Revision }> {
  const before = { sortBy: 'create', isReverse: true, limit: 1, keysOnly: true } as const
  const request = { ...rangeOf(linePrefix(name)), ...before, maxCreateRevision: revision - 1 }
  const answer = await keyspace.txn(
    {
      compares: [],
      success: [
        { kind: 'range', request },
        { kind: 'range', request: { key, keysOnly: true } },
      ],
      failure: [],
    },
    options,
  )
  const [others, own] = answer.results.map((result) => {
    return result.kind === 'range' ? result.response.kvs[0] : undefined
  })
  if (own?.createRevision !== revision) throw placeLost()
  return { before: others, revision: answer.revision }
}

/**
 * Waits until everybody who came before has left. Faults placeLost(), 'cancelled', 'too-large' when more than
 * 16,384 stand in the line.
 */
export async function untilFirst(
  ground: Ground,
  place: Place,
  options: RequestOptions = {},
): Promise<void> {
  for (;;) {
    const { before, revision } = await readBefore(ground.keyspace, place, options)
    if (before === undefined) return
    await untilDeleted(ground, { key: before.key, after: revision }, options.signal)
  }
}

/** Settles when the key was deleted after a revision, or when that is to be looked at again. */
export function untilDeleted(
  ground: Ground,
  of: { readonly key: Uint8Array; readonly after: number },
  signal: AbortSignal | undefined,
): Promise<void> {
  const request = { key: of.key, startRevision: of.after + 1, withoutPuts: true }
  return untilEvent(ground, request, signal)
}

/** Who is first, and what the first one says. */
export async function readFirst(
  keyspace: FullKeyspace,
  name: Uint8Array,
  options: RequestOptions = {},
): Promise<{ readonly first: KeyValue | undefined; readonly revision: Revision }> {
  const request = { ...rangeOf(linePrefix(name)), sortBy: 'create', limit: 1 } as const
  const { kvs, revision } = await keyspace.range(request, options)
  return { first: kvs[0], revision }
}

/**
 * Each that is first, and each value that it announces, until the signal aborts (Fault 'cancelled'); what was
 * replaced meanwhile may be left out.
 */
export async function* observeFirst(
  ground: Ground,
  name: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<{ readonly first: KeyValue; readonly revision: Revision }> {
  let shown: KeyValue | undefined
  for (;;) {
    const { first, revision } = await readFirst(ground.keyspace, name, { signal })
    // Whoever is next may have announced itself before the one before did last.
    const isNews =
      first?.createRevision !== shown?.createRevision || first?.modRevision !== shown?.modRevision
    if (first !== undefined && isNews) {
      shown = first
      yield { first, revision }
    }
    const startRevision = revision + 1
    // Those who wait in line come and go unseen while somebody is first.
    const range = first === undefined ? rangeOf(linePrefix(name)) : { key: first.key }
    await untilEvent(ground, { ...range, startRevision }, signal)
  }
}

/** The place was deleted: its lease ended, or somebody deleted it. */
export function placeLost(): Fault {
  return new Fault('precondition', 'the place in the line is gone: its lease has ended', {
    fields: { place: 'lost' },
  })
}

/** The fault is placeLost(). */
export function isPlaceLost(error: unknown): boolean {
  return isFault(error, 'precondition') && error.fields.place === 'lost'
}
