// What transactions state of the keys that they were decided on.

import { revision } from '../../base/index.ts'
import type { Compare, KeyValue, Operation } from '../../keyspace/index.ts'

/** The key is as it was read; undefined: there was none. */
export function unchanged(key: Uint8Array, kv: KeyValue | undefined): Compare {
  return { key, target: 'mod', result: 'equal', operand: kv?.modRevision ?? revision(0) }
}

export function absent(key: Uint8Array): Compare {
  return { key, target: 'create', result: 'equal', operand: 0 }
}

export function put(key: Uint8Array, value: Uint8Array): Operation {
  return { kind: 'put', key, value }
}
