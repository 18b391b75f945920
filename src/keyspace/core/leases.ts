// Leases as replicated state: which exist, how long they were granted for, and the keys that hang on
// them. How much of its time a lease has left is no part of it: the leader counts that (lessor.ts).
//
//   leases     space, id       -> ttlSeconds, sealed
//   leasekeys  space, id, key  -> nothing, sealed: the index; made from 'latest' when a snapshot comes in
//
// In memory are numbers only: for each lease its time and how many keys it has.

import {
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  prefixEnd,
  uint,
  uint64Bytes,
} from '../../base/index.ts'
import { getUint64 } from './bytes.ts'
import { leaseKeysMax, leasesMax, leaseTtlSecondsMax, leaseTtlSecondsMin } from './limits.ts'
import { damagedRows, seal, sealedHash, unseal } from './records.ts'
import {
  latestKey,
  type RowReader,
  type RowWriter,
  type Space,
  spaceBytes,
  spaceEnd,
  userKey,
} from './rows.ts'

const pageRows = 1024
const idBytes = 8
const emptyBytes = new Uint8Array(0)
const leaseFields = message({ ttlSeconds: uint(1) })

type Lease = { readonly ttlSeconds: number; keys: number }

export class LeaseTable {
  readonly #space: Space
  readonly #leases = new Map<number, Lease>()
  /** Sum of the hashes of the rows of 'leases', 32 bits. */
  #digest = 0

  constructor(rows: RowReader, space: Space) {
    this.#space = space
    for (const row of rowsOf(rows, 'leases', space)) {
      const { id, ttlSeconds } = decodeLease(userKey(row.key), row.value)
      this.#leases.set(id, { ttlSeconds, keys: 0 })
      this.#digest = (this.#digest + sealedHash(row.value)) >>> 0
    }
    for (const row of rowsOf(rows, 'leasekeys', space)) {
      const lease = this.#leases.get(getUint64(row.key, spaceBytes))
      if (lease === undefined) throw damagedRows('a key hangs on a lease that does not exist')
      lease.keys++
    }
  }

  get digest(): number {
    return this.#digest
  }

  get count(): number {
    return this.#leases.size
  }

  /** In order. */
  ids(): number[] {
    return [...this.#leases.keys()].sort((a, b) => a - b)
  }

  /** In no particular order. */
  known(): IterableIterator<number> {
    return this.#leases.keys()
  }

  find(id: number): Readonly<Lease> | undefined {
    return this.#leases.get(id)
  }

  /** Answers the id and the time granted; `seed` chooses the id when it is 0. Faults as in Leases.grant. */
  grant(
    rows: RowWriter,
    request: { readonly id: number; readonly ttlSeconds: number; readonly seed: number },
  ): { readonly id: number; readonly ttlSeconds: number } {
    if (request.ttlSeconds > leaseTtlSecondsMax) {
      throw new Fault('too-large', 'etcdserver: too large lease TTL')
    }
    if (this.#leases.has(request.id)) {
      throw new Fault('precondition', 'etcdserver: lease already exists')
    }
    if (this.#leases.size >= leasesMax) {
      throw new Fault('overloaded', `a keyspace has at most ${leasesMax} leases`)
    }
    let { id } = request
    for (let draw = request.seed; id === 0 || this.#leases.has(id); draw++) id = draw
    const ttlSeconds = Math.max(leaseTtlSecondsMin, request.ttlSeconds)
    const rowKey = leaseKey(this.#space, id)
    const row = encodeLease(userKey(rowKey), ttlSeconds)
    rows.put('leases', rowKey, row)
    this.#leases.set(id, { ttlSeconds, keys: 0 })
    this.#digest = (this.#digest + sealedHash(row)) >>> 0
    return { id, ttlSeconds }
  }

  /** Its keys are detached already. */
  drop(rows: RowReader & RowWriter, id: number): void {
    const rowKey = leaseKey(this.#space, id)
    const row = rows.get('leases', rowKey)
    if (row === undefined) throw damagedRows('the row of a lease is missing')
    rows.delete('leases', rowKey)
    this.#leases.delete(id)
    this.#digest = (this.#digest - sealedHash(row)) >>> 0
  }

  attach(rows: RowWriter, id: number, key: Uint8Array): void {
    const lease = this.#leases.get(id)
    if (lease === undefined) throw damagedRows('a key was given to a lease that does not exist')
    lease.keys++
    const rowKey = leaseKeyKey(this.#space, id, key)
    rows.put('leasekeys', rowKey, seal(userKey(rowKey), emptyBytes))
  }

  detach(rows: RowWriter, id: number, key: Uint8Array): void {
    const lease = this.#leases.get(id)
    if (lease !== undefined) lease.keys--
    rows.delete('leasekeys', leaseKeyKey(this.#space, id, key))
  }

  /** In order; at most leaseKeysMax. */
  keysOf(rows: RowReader, id: number): Uint8Array[] {
    const prefix = leaseKey(this.#space, id)
    const keys: Uint8Array[] = []
    for (const row of rowsOf(rows, 'leasekeys', prefix)) {
      unseal(userKey(row.key), row.value)
      keys.push(row.key.slice(spaceBytes + idBytes))
    }
    return keys
  }
}

/** Whether `more` keys fit on a lease. Faults 'not-found' and 'too-large'. */
export function checkAttach(leases: LeaseTable, id: number, more: number): void {
  const lease = leases.find(id)
  if (lease === undefined) throw leaseNotFound()
  if (lease.keys + more > leaseKeysMax) {
    throw new Fault('too-large', `a lease has at most ${leaseKeysMax} keys`)
  }
}

export function leaseNotFound(): Fault {
  return new Fault('not-found', 'etcdserver: requested lease not found')
}

/** The row of 'leasekeys' for a key of a lease: what an installed snapshot makes anew. */
export function leaseIndexRow(
  space: Space,
  id: number,
  key: Uint8Array,
): { readonly key: Uint8Array; readonly value: Uint8Array } {
  const rowKey = leaseKeyKey(space, id, key)
  return { key: rowKey, value: seal(userKey(rowKey), emptyBytes) }
}

/** Of a row of 'leases'; its key without the space. Fault 'corrupt'. */
export function decodeLease(
  key: Uint8Array,
  row: Uint8Array,
): { readonly id: number; readonly ttlSeconds: number } {
  if (key.length !== idBytes) throw damagedRows('a lease has a malformed key')
  return { id: getUint64(key, 0), ...decodeBytes(leaseFields, unseal(key, row)) }
}

export function encodeLease(key: Uint8Array, ttlSeconds: number): Uint8Array {
  return seal(key, encodeBytes(leaseFields, { ttlSeconds }))
}

function leaseKey(space: Space, id: number): Uint8Array {
  return latestKey(space, uint64Bytes(id))
}

function leaseKeyKey(space: Space, id: number, key: Uint8Array): Uint8Array {
  const rowKey = new Uint8Array(spaceBytes + idBytes + key.length)
  rowKey.set(space)
  rowKey.set(uint64Bytes(id), spaceBytes)
  rowKey.set(key, spaceBytes + idBytes)
  return rowKey
}

/** All rows that begin with `prefix`; they may be deleted meanwhile. */
function* rowsOf(
  rows: RowReader,
  table: string,
  prefix: Uint8Array,
): Generator<{ readonly key: Uint8Array; readonly value: Uint8Array }> {
  const end = prefix.length === spaceBytes ? spaceEnd(prefix) : prefixEnd(prefix)
  let start = prefix
  for (;;) {
    const page = rows.range(table, { start, end, limit: pageRows })
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < pageRows) return
    start = new Uint8Array(last.key.length + 1)
    start.set(last.key)
  }
}
