// What `etcdctl snapshot save` writes: every pair at one revision. The file has etcd's frame (a multiple of 512
// bytes, then their SHA-256, which clients check) around our own records: it is a backup to read back with this
// program's tools, not a database file of etcd's.
//
//   magic "atoll-keyspace\0\1" | uint32 length, message (revision) | uint32 length, message of pairs, any number |
//   uint32 0 | zeros up to a multiple of 512 | SHA-256 of all before

import { concatBytes, encodeBytes, message, startDigest, utf8Encode } from '../../../base/index.ts'
import type { KeyValue } from '../../../keyspace/index.ts'
import { int64, nested, repeated } from './fields.ts'
import { keyValue } from './messages.ts'

const magic = utf8Encode('atoll-keyspace\0\u0001')
const pageBytes = 512

const head = message({ revision: int64(1) })
const pairs = message({ kvs: repeated(nested(1, keyValue)) })

export class SnapshotWriter {
  readonly #digest = startDigest('sha256')
  #bytes = 0

  begin(revision: number): Uint8Array {
    return this.#note(concatBytes([magic, record(encodeBytes(head, { revision }))]))
  }

  add(kvs: readonly KeyValue[]): Uint8Array {
    if (kvs.length === 0) return new Uint8Array(0)
    return this.#note(record(encodeBytes(pairs, { kvs })))
  }

  finish(): Uint8Array {
    const end = new Uint8Array(4)
    const total = this.#bytes + end.length
    const padding = new Uint8Array((pageBytes - (total % pageBytes)) % pageBytes)
    const last = this.#note(concatBytes([end, padding]))
    return concatBytes([last, this.#digest.digest()])
  }

  #note(bytes: Uint8Array): Uint8Array {
    this.#digest.update(bytes)
    this.#bytes += bytes.length
    return bytes
  }
}

function record(body: Uint8Array): Uint8Array {
  const framed = new Uint8Array(4 + body.length)
  new DataView(framed.buffer).setUint32(0, body.length)
  framed.set(body, 4)
  return framed
}
