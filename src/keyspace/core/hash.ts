// The digest of live pairs at any readable revision: the same sum that 'keyspaces' keeps for the newest
// one, made by walking all keys. A version read from history is put into the form that 'latest' had
// while it was the newest, so that equal pairs give equal hashes wherever they are found.

import { crc32c } from '../../base/index.ts'
import { putUint32 } from './bytes.ts'
import { decodeLatest, encodeLatest, latestHash, type RowHash, type Version } from './records.ts'
import { latestKey, type RowReader, type Space, spaceEnd, userKey } from './rows.ts'
import { versionAt } from './scan.ts'

export class HashScan {
  readonly #rows: RowReader
  readonly #space: Space
  readonly #revision: number
  #start: Uint8Array
  #a = 0
  #b = 0

  constructor(rows: RowReader, space: Space, revision: number) {
    this.#rows = rows
    this.#space = space
    this.#revision = revision
    this.#start = latestKey(space, new Uint8Array(0))
  }

  /** Reads at most `rowsMax` keys; true when all are in. */
  step(rowsMax: number): boolean {
    const end = spaceEnd(this.#space)
    const page = this.#rows.range('latest', { start: this.#start, end, limit: rowsMax })
    for (const row of page) {
      const key = userKey(row.key)
      const latest = decodeLatest(key, row.value)
      const revision = this.#revision
      const version = versionAt(this.#rows, this.#space, { latest, revision })
      if (version === undefined) continue
      const record = version === latest ? row.value : encodeLatest(key, asLatest(version))
      const hash = latestHash(key, record)
      this.#a = (this.#a + hash.a) >>> 0
      this.#b = (this.#b + hash.b) >>> 0
    }
    const last = page.at(-1)
    if (last === undefined || page.length < rowsMax) return true
    this.#start = new Uint8Array(last.key.length + 1)
    this.#start.set(last.key)
    return false
  }

  result(): number {
    return hashOf({ a: this.#a, b: this.#b })
  }
}

/** One number of 32 bits from the two lanes of the running digest. */
export function hashOf({ a, b }: RowHash): number {
  return (a ^ ((b << 13) | (b >>> 19))) >>> 0
}

function asLatest(version: Version): Version {
  if (version.kind !== 'short' || version.tail.length !== version.valueBytes) return version
  const tail = new Uint8Array(4)
  putUint32(tail, 0, crc32c(version.tail) >>> 0)
  return { ...version, tail }
}
