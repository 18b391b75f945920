// Keeps the groups' configurations in step with the member list: on a timer, the leader of each group
// makes the next change that cluster's plan asks for; the leader of the system group declares a joining
// member online once every group here has it.

import type { GroupId, NodeId } from '../base/index.ts'
import { isFault } from '../base/index.ts'
import { type Cluster, planMembership, updateMember, votersMax } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Group, Raft } from '../raft/index.ts'
import type { Rpc } from '../rpc/index.ts'

type Deps = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly cluster: Cluster
  readonly system: Keyspace
  readonly systemGroup: GroupId
}

const reconcileEveryMs = 250

/** Answers a function that ends it. */
export function followMembership(deps: Deps, self: NodeId): () => void {
  const { host, rpc, cluster } = deps
  const tellPeers = (): void => {
    const others = cluster.view.members().filter((member) => member.id !== self)
    rpc.setPeers(new Map(others.map((member) => [member.id, member.control])))
  }
  const unwatch = cluster.view.onChange(tellPeers)
  tellPeers()
  let isBusy = false
  const timer = host.clock.every(reconcileEveryMs, () => {
    if (isBusy) return
    isBusy = true
    const settle = (): void => {
      isBusy = false
    }
    reconcile(deps).then(settle, (error) => {
      settle()
      if (!isFault(error)) host.journal.fatal('node.membership_failed', error)
      host.journal.event('debug', 'node.membership_waits', { reason: error.message })
    })
  })
  return () => {
    unwatch()
    timer.cancel()
  }
}

async function reconcile(deps: Deps): Promise<void> {
  for (const group of deps.raft.groups()) await maybeChange(deps, group)
  await maybeWelcome(deps)
}

async function maybeChange({ host, cluster }: Deps, group: Group): Promise<void> {
  const status = group.status()
  if (status.role !== 'leader') return
  const change = planMembership(cluster.allMembers(), status, votersMax)
  if (change === undefined) return
  host.journal.event('notice', 'node.configuration_changing', {
    group: status.name,
    voters: (change.addVoters ?? []).join(),
    learners: (change.addLearners ?? []).join(),
    leaving: (change.remove ?? []).join(),
  })
  await group.changeMembers(change)
}

async function maybeWelcome({ host, raft, cluster, system, systemGroup }: Deps): Promise<void> {
  if (raft.group(systemGroup)?.status().role !== 'leader') return
  const joining = cluster.allMembers().filter((member) => member.state === 'joining')
  for (const { id } of joining) {
    if (!raft.groups().every((group) => isSettledIn(group, id))) continue
    await updateMember(system, id, (member) =>
      member.state === 'joining' ? { ...member, state: 'online' } : undefined,
    )
    host.journal.event('notice', 'node.member_online', { node: id })
  }
}

function isSettledIn(group: Group, id: NodeId): boolean {
  const { voters, learners, votersOutgoing } = group.status()
  if (votersOutgoing.length > 0) return false
  return voters.includes(id) || (learners.includes(id) && voters.length >= votersMax)
}
