// One replica of a keyspace without raft: entries are applied directly, reads ask nobody.

import { groupId, logIndex, term, utf8Encode } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { Group } from '../../raft/index.ts'
import type { Segments, Store } from '../../storage/index.ts'
import { spaceOf, spaceTables, versionKey } from '../core/rows.ts'
import { decodeUpkeepAnswer, type UpkeepAnswer } from '../core/calls.ts'
import {
  type Entry,
  encodeEntry,
  encodeNumbers,
  encodeUpkeep,
  encodeWrite,
  type UpkeepRequest,
  type WriteKind,
} from '../core/entry.ts'
import { decodeAnswer, decodeRangeResponse, encodeRange, encodeTxn } from '../core/wire.ts'
import type { RangeRequest, RangeResponse, TxnRequest, TxnResponse } from '../keyspace.ts'
import { createMachine, type KeyspaceMachine } from '../machine.ts'
import { Replica } from '../replica.ts'
import { ValueShelf } from '../values.ts'

export const group = groupId(3)
const text = utf8Encode

/** One replica whose entries are applied directly. */
export class Bench<Values extends Segments = Segments> {
  readonly host: Host
  readonly store: Store
  readonly segments: Values
  readonly values: ValueShelf
  readonly machine: KeyspaceMachine
  readonly replica: Replica
  sequence = 0
  index = 0
  timeMs = 1_000_000

  constructor(host: Host, store: Store, segments: Values) {
    this.host = host
    this.store = store
    this.segments = segments
    const onFatal = (error: unknown): void => {
      throw error
    }
    this.values = new ValueShelf({ host, store, segments, onFatal })
    this.machine = createMachine({ host, store, values: this.values, group, onFatal })
    const raftGroup = {
      readBarrier: async () => {},
      onLeadership: () => {},
      status: () => ({ role: 'follower', leader: undefined }),
    } as unknown as Group
    this.replica = new Replica({
      host,
      store,
      values: this.values,
      group: raftGroup,
      machine: this.machine,
      quotaBytes: 0,
    })
  }

  /** To its end, in as many turns as it takes. */
  apply(payload: Uint8Array): Uint8Array {
    const index = logIndex(++this.index)
    for (;;) {
      const [answer] = this.store.transaction(() =>
        this.machine.apply([{ index, term: term(1), payload }]),
      )
      if (answer !== undefined) return answer
    }
  }

  applyWrite(
    kind: WriteKind,
    body: Uint8Array,
    id: { session?: number; openedMs?: number; sequence?: number; lowestOpen?: number } = {},
  ): Uint8Array {
    const sequence = id.sequence ?? ++this.sequence
    const { session = 9, openedMs = this.timeMs, lowestOpen = sequence } = id
    return this.propose(
      'write',
      encodeWrite({ kind, session, openedMs, sequence, lowestOpen, body }),
    )
  }

  applyTxn(request: TxnRequest, id: Parameters<Bench['applyWrite']>[2] = {}): Uint8Array {
    return this.applyWrite('txn', encodeTxn(request), id)
  }

  upkeep(kind: WriteKind, request: Partial<UpkeepRequest>): UpkeepAnswer {
    return decodeUpkeepAnswer(this.applyWrite(kind, encodeUpkeep(request)))
  }

  propose(kind: Entry['kind'], body: Uint8Array): Uint8Array {
    return this.apply(encodeEntry({ kind, timeMs: this.timeMs, seed: 1, body }))
  }

  put(key: string, value: string | Uint8Array): number {
    const bytes = typeof value === 'string' ? text(value) : value
    const request = { compares: [], failure: [] }
    const success = [{ kind: 'put', key: text(key), value: bytes } as const]
    return decodeAnswer(this.applyTxn({ ...request, success })).response.revision
  }

  compact(revision: number): void {
    this.propose('compact', encodeNumbers([revision]))
  }

  async txn(request: TxnRequest): Promise<TxnResponse> {
    const answer = await this.replica.complete(this.applyTxn(request))
    return decodeAnswer(answer).response
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    const options = { isSerializable: true, signal: undefined }
    return decodeRangeResponse(await this.replica.read('range', encodeRange(request), options))
  }

  rowCounts(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const table of spaceTables) {
      const rows = this.store.keys(table, { start: new Uint8Array(0) }).length
      counts[table] = table === 'pending' || rows === 0 ? rows : rows - 2
    }
    return counts
  }

  async close(): Promise<void> {
    await this.machine.close()
    await this.values.close()
    await this.segments.close()
    await this.store.close()
  }
}

/** Rows of other groups before and after, which nothing here may see or touch. */
export function addNeighbours(store: Store): void {
  store.transaction(() => {
    for (const table of spaceTables.filter((name) => name !== 'pending')) {
      for (const other of [group - 1, group + 1]) {
        store.put(
          table,
          versionKey(spaceOf(groupId(other), 0), { modRevision: 5, sub: 0 }),
          text('?'),
        )
      }
    }
  })
}
