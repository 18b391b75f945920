// The replicated state of one namespace on this node: its raft group over the built-in keyspace or over a
// machine of the caller, fenced by the genesis.

import {
  Fault,
  type GroupId,
  keyAfter,
  type NodeId,
  prefixEnd,
  sha256,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import { encodeGenesis, type Genesis, votersOf } from '../founding/index.ts'
import type { Host } from '../host/index.ts'
import type { CoreKeyspaces, FullKeyspace } from '../keyspace/index.ts'
import type { Foreign, Group, GroupStatus, Raft } from '../raft/index.ts'
import type { Store } from '../storage/index.ts'
import type { KeySet } from './core/sets.ts'
import { createDurableMachine } from './durable-machine.ts'
import type { OpenOptions } from './mesh.ts'
import { Strangers } from './strangers.ts'
import { within } from './timeouts.ts'

export type ReplicaEnds = {
  readonly host: Host
  readonly self: NodeId
  readonly raft: Raft
  readonly store: Store
  readonly keyspaces: CoreKeyspaces
}

export type ReplicaOptions = {
  readonly namespace: string
  readonly group: GroupId
  readonly genesis: Genesis
  /** By incarnation; another one with the number of a founder begins with nothing, as a joiner. */
  readonly isFounder: boolean
  readonly open: OpenOptions
}

export type LeadershipListener = (leader: NodeId | undefined) => void

export const payloadBytesMax = 1024 * 1024
const pageKeys = 1_000
const firstKey = new Uint8Array(1)

/** Faults of Raft.open: 'precondition' for state of another cluster, 'corrupt'. */
export async function openReplica(ends: ReplicaEnds, options: ReplicaOptions): Promise<Replica> {
  const { namespace: name, group, genesis, isFounder, open } = options
  const { electionPriority, quotaBytes, machine } = open
  const strangers = new Strangers()
  const shape = {
    name,
    group,
    founders: { voters: isFounder ? votersOf(genesis) : [] },
    clusterId: sha256(encodeGenesis(genesis)),
    onForeign: (foreign: Foreign) => strangers.note(foreign),
    ...(electionPriority === undefined ? {} : { electionPriority }),
  }
  if (machine === undefined) {
    const quota = quotaBytes === undefined ? {} : { quotaBytes }
    await ends.keyspaces.add({ ...shape, ...quota, hasReplica: true })
    const keyspace = await ends.keyspaces.open(name)
    return new Replica(ends, { group: groupAt(ends.raft, group), keyspace, strangers })
  }
  const stateMachine = createDurableMachine(ends.store, { group, machine })
  return new Replica(ends, {
    group: await ends.raft.open({ ...shape, stateMachine }),
    keyspace: undefined,
    strangers,
  })
}

export class Replica {
  readonly group: Group
  readonly #ends: ReplicaEnds
  readonly #keyspace: FullKeyspace | undefined
  readonly #strangers: Strangers
  readonly #listeners = new Set<LeadershipListener>()

  constructor(
    ends: ReplicaEnds,
    parts: {
      readonly group: Group
      readonly keyspace: FullKeyspace | undefined
      readonly strangers: Strangers
    },
  ) {
    this.#ends = ends
    this.group = parts.group
    this.#keyspace = parts.keyspace
    this.#strangers = parts.strangers
    parts.group.onLeadership((leader) => {
      for (const listen of [...this.#listeners]) listen(leader)
    })
  }

  /** Answers what ends it: a replica outlives those who have it open. */
  onLeadership(listen: LeadershipListener): () => void {
    this.#listeners.add(listen)
    return () => {
      this.#listeners.delete(listen)
    }
  }

  /** The ones met so far at once. Answers what ends it. */
  onForeign(listen: (foreign: Foreign) => void): () => void {
    return this.#strangers.listen(listen)
  }

  get keyspace(): FullKeyspace {
    if (this.#keyspace !== undefined) return this.#keyspace
    throw new Fault('unsupported', 'this namespace has a machine of its own, no keyspace', {
      next: 'use apply() and what the machine itself offers',
    })
  }

  /** Fault 'not-leader' with field `leader`. */
  mustLead(): void {
    const status = this.group.status()
    if (status.role !== 'leader') throw notLeader(this.#ends.self, status)
  }

  async barrier(timeoutMs: number): Promise<void> {
    const abort = new AbortController()
    const { clock } = this.#ends.host
    const late = (): Fault => {
      abort.abort()
      return new Fault('deadline', 'no quorum has answered in time')
    }
    await within(clock, this.group.readBarrier(abort.signal), { ms: timeoutMs, late })
  }

  async propose(payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#keyspace !== undefined) {
      throw new Fault('unsupported', 'commands of the built-in keyspace are its own', {
        next: 'use set and delete, or open the namespace with a machine',
      })
    }
    if (payload.length > payloadBytesMax) {
      throw new Fault('too-large', `a payload has at most ${payloadBytesMax} bytes`)
    }
    const late = (): Fault =>
      new Fault('deadline', 'not committed in time; it may still be', { outcome: 'unknown' })
    const { clock } = this.#ends.host
    return within(clock, this.group.propose(payload), { ms: timeoutMs, late })
  }

  /** `value` absent: deletes; answers whether the key was there. Forwards to the leader by itself. */
  async write(key: string, value: Uint8Array | undefined, deadlineMs: number): Promise<boolean> {
    const encoded = utf8Encode(key)
    if (value === undefined) return (await this.keyspace.delete(encoded, { deadlineMs })) > 0
    await this.keyspace.put(encoded, value, { deadlineMs })
    return true
  }

  /** Puts that came together; the fault of each that failed. */
  setAll(sets: readonly KeySet[], deadlineMs: number): Promise<readonly (Fault | undefined)[]> {
    return this.#ends.keyspaces.putAll(this.keyspace.name, sets, { deadlineMs })
  }

  /** `barrierMs` 0: as this replica is. */
  async read(key: string, barrierMs: number): Promise<Uint8Array | undefined> {
    const { keyspace } = this
    if (barrierMs > 0) await this.barrier(barrierMs)
    const { kvs } = await keyspace.range({ key: utf8Encode(key), isSerializable: true })
    return kvs[0]?.value
  }

  async list(
    prefix: string,
    { after, barrierMs }: { readonly after: string; readonly barrierMs: number },
  ): Promise<{ readonly keys: readonly string[]; readonly hasMore: boolean }> {
    const { keyspace } = this
    if (barrierMs > 0) await this.barrier(barrierMs)
    const start = utf8Encode(prefix)
    const key = after === '' ? (start.length === 0 ? firstKey : start) : keyAfter(utf8Encode(after))
    const { kvs, more } = await keyspace.range({
      key,
      rangeEnd: start.length === 0 ? firstKey : prefixEnd(start),
      keysOnly: true,
      limit: pageKeys,
      isSerializable: true,
    })
    return { keys: kvs.map((pair) => utf8Decode(pair.key)), hasMore: more }
  }
}

function notLeader(self: NodeId, { leader }: GroupStatus): Fault {
  const who = leader === undefined ? 'no leader is known' : `node ${leader} leads`
  return new Fault('not-leader', `node ${self} does not lead: ${who}`, {
    fields: { leader: String(leader ?? '') },
    next: 'ask the leader, or use a client, which forwards',
  })
}

function groupAt(raft: Raft, id: GroupId): Group {
  const group = raft.group(id)
  if (group === undefined) throw new Fault('internal', `group ${id} is not open`)
  return group
}
