// Configuration changes as entry payloads, in the wire format of etcd's raftpb: ConfChangeV2 for entries
// of kind conf-change-v2, and the older ConfChange (one change, no transition) for kind conf-change. An
// empty payload of the newer kind leaves the joint configuration.

import {
  bytes,
  decodeBytes,
  encodeBytes,
  isFault,
  message,
  nested,
  repeated,
  uint,
} from '../../base/index.ts'
import type { ConfChange, ConfChangeKind, Entry } from './types.ts'

const kinds: readonly ConfChangeKind[] = ['add-voter', 'remove', 'update', 'add-learner']
const transitions: readonly ConfChange['transition'][] = [
  'auto',
  'joint-implicit',
  'joint-explicit',
]
const single = message({ kind: uint(1), nodeId: uint(2) })
const current = message({
  transition: uint(1),
  changes: repeated(nested(2, single)),
  context: bytes(3),
})
const older = message({ id: uint(1), kind: uint(2), nodeId: uint(3), context: bytes(4) })

/** The payload of a conf-change-v2 entry. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  return encodeBytes(current, {
    transition: transitions.indexOf(change.transition),
    changes: change.changes.map(({ kind, nodeId }) => ({ kind: kinds.indexOf(kind), nodeId })),
    context: change.context,
  })
}

/** The payload of a conf-change entry: the one change, its transition always auto. */
export function encodeOlderConfChange(kind: ConfChangeKind, nodeId: number): Uint8Array {
  const context = new Uint8Array(0)
  return encodeBytes(older, { id: 0, kind: kinds.indexOf(kind), nodeId, context })
}

/** The change that an entry of either conf-change kind carries; undefined when it is malformed. */
export function decodeConfChange(entry: Pick<Entry, 'kind' | 'payload'>): ConfChange | undefined {
  try {
    if (entry.kind === 'conf-change-v2') return decodeCurrent(entry.payload)
    if (entry.kind === 'conf-change') return decodeOlder(entry.payload)
    return undefined
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

function decodeCurrent(payload: Uint8Array): ConfChange | undefined {
  const decoded = decodeBytes(current, payload)
  const transition = transitions[decoded.transition]
  if (transition === undefined) return undefined
  const changes: { kind: ConfChangeKind; nodeId: number }[] = []
  for (const change of decoded.changes) {
    const kind = kinds[change?.kind ?? 0]
    if (kind === undefined) return undefined
    changes.push({ kind, nodeId: change?.nodeId ?? 0 })
  }
  return { transition, changes, context: decoded.context }
}

function decodeOlder(payload: Uint8Array): ConfChange | undefined {
  const decoded = decodeBytes(older, payload)
  const kind = kinds[decoded.kind]
  if (kind === undefined) return undefined
  return {
    transition: 'auto',
    changes: [{ kind, nodeId: decoded.nodeId }],
    context: decoded.context,
  }
}
