// Where a namespace's keys lie in the cluster's one keyspace, and what else this engine keeps there.
//
//   <root><name> 00 <key>            a key of the namespace
//   <root><name> 01 <session>        written to learn how far a watch has come: just behind the namespace's keys, so
//                                    that a watch of the namespace's end can see it
//   <root> 00 session/<id>           one boot of one thread, under its lease
//   <root> 00 session/<id>/<slot>    how many requests of that slot were run (its version), and the last one's branch
//
// Names begin with '/' and hold no zero byte, so none of these meet.

import { concatBytes, Fault, prefixEnd, utf8Encode } from '../../../base/index.ts'

const nothing = new Uint8Array(0)
const keysMark = Uint8Array.of(0)
const progressMark = Uint8Array.of(1)

export class Space {
  readonly name: string
  readonly #prefix: Uint8Array
  readonly #end: Uint8Array
  readonly #progress: Uint8Array
  /** Behind the namespace's keys and its marks of progress. */
  readonly progressEnd: Uint8Array

  constructor(root: string, name: string) {
    this.name = name
    const place = utf8Encode(`${root}${name}`)
    this.#prefix = concatBytes([place, keysMark])
    this.#end = prefixEnd(this.#prefix)
    this.#progress = concatBytes([place, progressMark])
    this.progressEnd = prefixEnd(this.#progress)
  }

  /** Fault 'invalid' for an empty key, which etcd could not refuse behind a prefix. */
  outer(key: Uint8Array): Uint8Array {
    if (key.length === 0) throw new Fault('invalid', 'etcdserver: key is not provided')
    return concatBytes([this.#prefix, key])
  }

  /** Absent or empty: one key. */
  outerEnd(rangeEnd: Uint8Array | undefined): Uint8Array {
    if (rangeEnd === undefined || rangeEnd.length === 0) return nothing
    const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
    return isOpen ? this.#end : concatBytes([this.#prefix, rangeEnd])
  }

  /** Undefined for what is no key of the namespace. */
  inner(key: Uint8Array): Uint8Array | undefined {
    for (let at = 0; at < this.#prefix.length; at++) {
      if (key[at] !== this.#prefix[at]) return undefined
    }
    return key.subarray(this.#prefix.length)
  }

  progressKey(session: string): Uint8Array {
    return concatBytes([this.#progress, utf8Encode(session)])
  }
}

export function sessionKey(root: string, session: number): Uint8Array {
  return utf8Encode(`${root}\0session/${sessionText(session)}`)
}

export function slotKey(root: string, session: number, slot: number): Uint8Array {
  return utf8Encode(`${root}\0session/${sessionText(session)}/${slot}`)
}

/** Of a transaction within a slot's transaction: which branch it took. */
export function branchKey(slot: Uint8Array, path: string): Uint8Array {
  return concatBytes([slot, utf8Encode(path)])
}

export function sessionText(session: number): string {
  return session.toString(16)
}
