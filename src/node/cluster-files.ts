// Files in the data directory that follow the member list: cluster.toml, the same bytes on every node, for the next
// start; and hints for the network's name server. One write at a time, and none when nothing has changed.
//
// A node that was removed keeps its last file: one without itself would keep it from saying so at its next start.

import { isFault, type NodeId, utf8Encode } from '../base/index.ts'
import {
  type Cluster,
  followMembers,
  renderDnsmasq,
  renderHosts,
  renderTopology,
  type Topology,
} from '../cluster/index.ts'
import type { Host } from '../host/index.ts'

type Deps = {
  readonly host: Host
  readonly cluster: Cluster
  readonly topology: Topology
  readonly self: NodeId
  /** 'cluster.toml' or 'predastore.toml'. */
  readonly fileName: string
}

/** Answers a function that ends it; what is being written then is finished. */
export function followClusterFiles(deps: Deps): () => Promise<void> {
  const { host, cluster, topology, self, fileName } = deps
  const written = new Map([[fileName, renderTopology(topology)]])
  let running: Promise<void> | undefined
  let isStale = false
  const put = async (name: string, text: string): Promise<void> => {
    if (written.get(name) === text) return
    await host.disk.replace(name, utf8Encode(text))
    written.set(name, text)
  }
  const write = async (): Promise<void> => {
    while (isStale) {
      isStale = false
      const members = cluster.allMembers()
      const { clusterId } = cluster.view.settings()
      const next = followMembers(topology, members)
      if (next.db.some(({ id }) => id === self)) await put(fileName, renderTopology(next))
      await put('hints/hosts', renderHosts(clusterId, members))
      await put('hints/dnsmasq.conf', renderDnsmasq(clusterId, members))
    }
  }
  const follow = (): void => {
    isStale = true
    running ??= write()
      .catch((error: unknown) => {
        if (!isFault(error)) return host.journal.fatal('node.files_failed', error)
        // A full disk: the member list itself is safe, and the next change writes them again.
        host.journal.event('warning', 'node.files_not_written', { reason: error.message })
      })
      .finally(() => {
        running = undefined
        if (isStale) follow()
      })
  }
  const unwatch = cluster.view.onChange(follow)
  follow()
  return async () => {
    unwatch()
    while (running !== undefined) await running
  }
}
