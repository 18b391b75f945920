// Namespaces that users open by name: each a group of its own over this node's log, store and connections, opened and closed
// as their map says (namespace-follower.ts). A request names any namespace at any node; the keyspace routes it to the leader.

import { Fault, type GroupId, groupId, type NodeId, nodeId } from '../base/index.ts'
import { beginClosing, dropNamespace, type Patience, userMap } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { CoreKeyspaces, Keyspace } from '../keyspace/index.ts'
import type { Group, Raft } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import { NamespaceFollower, namespaceStaleMs } from './namespace-follower.ts'

type Deps = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly keyspaces: CoreKeyspaces
  readonly system: Keyspace
  /** Those that a new group begins with. */
  readonly members: () => readonly NodeId[]
  readonly self: NodeId
}

export type NamespaceStatus = {
  readonly name: string
  readonly group: number
  readonly role: string
  readonly term: number
  /** 0: none is known here. */
  readonly leader: number
  readonly commit: number
  readonly applied: number
  readonly voters: readonly number[]
  readonly learners: readonly number[]
}

const callMsMax = 10_000
/** For a request that was let in at the last moment to reach its group. */
const marginMs = 500
const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
const deletedAtOnce = 1000

export class UserNamespaces {
  readonly #deps: Deps
  readonly #follower: NamespaceFollower

  constructor(deps: Deps) {
    this.#deps = deps
    const { keyspaces } = deps
    this.#follower = new NamespaceFollower({
      ...deps,
      map: userMap,
      events: { failed: 'node.namespaces_failed', waits: 'node.namespaces_wait' },
      opensClosing: true,
      open: async (group) => void (await keyspaces.add({ ...group, hasReplica: true })),
      close: (name) => keyspaces.remove(name),
    })
    deps.rpc.serve(controlMethod.namespaceTransfer, async ({ request }) => {
      const view = new DataView(request.buffer, request.byteOffset, request.byteLength)
      if (request.length !== 12) throw new Fault('invalid', 'a transfer names a group and a node')
      const group = view.getUint32(0) * 2 ** 32 + view.getUint32(4)
      await this.#group(group).transferLeadership(nodeId(view.getUint32(8)))
      return new Uint8Array(0)
    })
  }

  /** It was open here and is served no more. */
  hasLeft(group: GroupId): boolean {
    return this.#follower.hasLeft(group)
  }

  /** Settles when what the map here shows is open; `waiting` ends with Fault 'cancelled'. */
  start(waiting: Patience = {}): Promise<void> {
    return this.#follower.start(waiting)
  }

  /** Settles when nothing is being opened any more: what it stands on may close then. */
  close(): Promise<void> {
    return this.#follower.close()
  }

  /** The same answer however often it is asked. */
  async create(name: string): Promise<NamespaceStatus> {
    const { group } = await this.#follower.create(name)
    return this.#statusOf(name, group)
  }

  /** With everything in it. Fault 'not-found'. */
  async drop(name: string): Promise<void> {
    const { host, system, keyspaces } = this.#deps
    const record = await beginClosing(system, name)
    await this.#follower.ensureClosing(record)
    // Until no node goes by a map without the mark: what one of them lets in before is deleted with the rest.
    await host.clock.sleep(namespaceStaleMs + marginMs)
    const keyspace = await keyspaces.open(name)
    for (let more = true; more; ) {
      const page = await keyspace.range({ ...everything, limit: deletedAtOnce, keysOnly: true })
      const last = page.kvs.at(-1)
      if (last !== undefined) {
        const rangeEnd = Uint8Array.from([...last.key, 0])
        await keyspace.delete(everything.key, { rangeEnd })
      }
      more = page.more
    }
    await dropNamespace(system, record)
    this.#follower.lookSoon()
  }

  async list(): Promise<readonly NamespaceStatus[]> {
    const records = await this.#follower.list()
    return records.map((record) => this.#statusOf(record.name, record.group))
  }

  async status(name: string): Promise<NamespaceStatus> {
    const group = await this.#find(name)
    return this.#statusOf(name, group)
  }

  /** Faults of checkUserNamespace, 'not-found'. */
  async keyspace(name: string): Promise<Keyspace> {
    await this.#find(name)
    return await this.#deps.keyspaces.open(name)
  }

  /** Whoever is asked: the leader is told. Faults of Group.transferLeadership, 'unavailable'. */
  async transfer(name: string, to: NodeId): Promise<void> {
    const group = await this.#find(name)
    const own = this.#group(group)
    const { leader } = own.status()
    if (leader === undefined) throw new Fault('unavailable', `${name} has no leader now`)
    if (leader === this.#deps.self) return await own.transferLeadership(to)
    const request = new Uint8Array(12)
    const view = new DataView(request.buffer)
    view.setUint32(0, Math.floor(group / 2 ** 32))
    view.setUint32(4, group % 2 ** 32)
    view.setUint32(8, to)
    const call = { deadlineMs: callMsMax }
    await this.#deps.rpc.call(leader, controlMethod.namespaceTransfer, request, call)
  }

  #group(id: number): Group {
    const group = this.#deps.raft.group(groupId(id))
    if (group !== undefined) return group
    throw new Fault('not-found', `this node has no group ${id}`)
  }

  #statusOf(name: string, group: GroupId): NamespaceStatus {
    const status = this.#deps.raft.group(group)?.status()
    return {
      name,
      group,
      role: status === undefined ? 'opening' : status.isLearner ? 'learner' : status.role,
      term: status?.term ?? 0,
      leader: status?.leader ?? 0,
      commit: status?.commit ?? 0,
      applied: status?.applied ?? 0,
      voters: status?.voters ?? [],
      learners: status?.learners ?? [],
    }
  }

  async #find(name: string): Promise<GroupId> {
    const group = await this.#follower.find(name)
    if (group !== undefined) return group
    throw new Fault('not-found', `there is no namespace ${name}`, {
      next: userMap.hint(name),
    })
  }
}
