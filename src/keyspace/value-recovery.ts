// A long value that rots on this node, from another replica of its group. Rows have the same revision and sub
// everywhere, and the SHA-256 of the value: so any replica may be asked, and none has to be believed.

import {
  equalBytes,
  Fault,
  type GroupId,
  isFault,
  type NodeId,
  readUint64,
  sha256,
  uint64Bytes,
} from '../base/index.ts'
import type { Group } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { Store } from '../storage/index.ts'
import { encodeCall } from './core/calls.ts'
import { decodeHistory, readLongTail } from './core/records.ts'
import { readVersionKey, userKey } from './core/rows.ts'
import type { Recover } from './values.ts'

const askMs = 2_000
const atBytes = 12

type VersionAt = { readonly modRevision: number; readonly sub: number }

function encodeVersionAt({ modRevision, sub }: VersionAt): Uint8Array {
  const encoded = new Uint8Array(atBytes)
  encoded.set(uint64Bytes(modRevision))
  new DataView(encoded.buffer).setUint32(8, sub)
  return encoded
}

/** Fault 'invalid'. */
export function decodeVersionAt(encoded: Uint8Array): VersionAt {
  if (encoded.length !== atBytes) throw new Fault('invalid', 'a version is named by 12 bytes')
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  const modRevision = readUint64(encoded, 0)
  if (Number.isSafeInteger(modRevision)) return { modRevision, sub: view.getUint32(8) }
  throw new Fault('invalid', 'a version has no such revision')
}

/**
 * Asks the other members, one after the other; also voters that are leaving. Without these: 1. a value is on the leader
 * and on a voter that two new ones are to replace; 2. it rots on the leader; 3. the new ones, without whom the change
 * cannot end, need a snapshot, which needs the value: nobody who is asked has it, for ever.
 */
export function recoverFrom(dependencies: {
  readonly store: Store
  readonly rpc: Rpc
  readonly self: NodeId
  readonly groupOf: (id: GroupId) => Group | undefined
}): Recover {
  const { store, rpc, self, groupOf } = dependencies
  return async (key) => {
    const row = store.get('history', key)
    const id = readUint64(key, 0) as GroupId
    const status = groupOf(id)?.status()
    if (row === undefined || status === undefined) return undefined
    const { kind, tail } = decodeHistory(userKey(key), row)
    if (kind !== 'long') return undefined
    const { digest } = readLongTail(tail)
    const body = encodeVersionAt(readVersionKey(key))
    const request = encodeCall({ group: id, kind: 'value', isSerializable: true, body })
    const { voters, votersOutgoing, learners } = status
    for (const member of new Set([...voters, ...votersOutgoing, ...learners])) {
      if (member === self) continue
      const value = await ask(rpc, member, request)
      if (value !== undefined && equalBytes(sha256(value), digest)) return value
    }
    return undefined
  }
}

async function ask(rpc: Rpc, to: NodeId, request: Uint8Array): Promise<Uint8Array | undefined> {
  try {
    return await rpc.call(to, controlMethod.keyspaceRequest, request, { deadlineMs: askMs })
  } catch (error) {
    if (!isFault(error)) throw error
    return undefined
  }
}
