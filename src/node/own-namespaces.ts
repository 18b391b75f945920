// The namespace behind etcd's API where a setting of the cluster switches it on: made then, once, with the members of that moment, and
// opened on every node from then on, whether it serves the API or not (namespace-follower.ts). Where the flags of the nodes
// say that they serve it, they founded its group with the cluster, and nothing is made here.

import { Fault, type NodeId } from '../base/index.ts'
import {
  type ClusterView,
  levelOf,
  listNamespaces,
  type Patience,
  ownMap,
} from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { CoreKeyspaces, Keyspace, NamespaceOptions } from '../keyspace/index.ts'
import { NamespaceFollower } from './namespace-follower.ts'
import { etcdNamespace } from './namespaces.ts'

type Deps = {
  readonly host: Host
  readonly system: Keyspace
  readonly keyspaces: CoreKeyspaces
  readonly view: ClusterView
  readonly self: NodeId
  readonly members: () => readonly NodeId[]
  /** How that namespace is kept. */
  readonly shape: Pick<NamespaceOptions, 'quotaBytes' | 'historyMs' | 'historyRevisionsMax'>
  /** The flags of this node say that it serves etcd's API: its group is another one. */
  readonly isByFlags: boolean
}

export class OwnNamespaces {
  readonly #deps: Deps
  readonly #follower: NamespaceFollower

  constructor(deps: Deps) {
    this.#deps = deps
    const { keyspaces, shape } = deps
    this.#follower = new NamespaceFollower({
      ...deps,
      map: ownMap,
      events: { failed: 'node.services_failed', waits: 'node.services_wait' },
      opensClosing: false,
      open: async (group) => void (await keyspaces.add({ ...group, ...shape, hasReplica: true })),
      close: (name) => keyspaces.remove(name),
    })
  }

  /** Settles when what there is is open here. Fault 'invalid' where flags and setting speak of two groups. */
  async start(waiting: Patience = {}): Promise<void> {
    const { system, isByFlags } = this.#deps
    if (!isByFlags) return await this.#follower.start(waiting)
    const made = await listNamespaces(system, { isSerializable: true, map: ownMap })
    if (made.length === 0) return
    throw new Fault('invalid', "etcd's API was switched on by the setting etcd.api_bind", {
      next: 'start without --etcd and --etcd-port',
    })
  }

  close(): Promise<void> {
    return this.#follower.close()
  }

  /** Before the setting is changed to `value`. Fault 'precondition' while a member's program knows nothing of it. */
  async prepare(name: string, value: unknown): Promise<void> {
    const { isByFlags, view } = this.#deps
    const isSwitchedOn = name === 'etcd.api_bind' && value !== undefined && value !== ''
    if (!isSwitchedOn || isByFlags) return
    if (!levelOf(view.settings()).supports('etcd-by-setting')) {
      throw new Fault('precondition', 'not every member knows this setting yet', {
        next: 'upgrade them all; `atoll admin upgrade check` says who is missing',
      })
    }
    await this.#follower.create(etcdNamespace)
  }
}
