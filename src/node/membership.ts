// Keeps the groups' configurations in step with the member list: the leader of each group makes the next
// change that cluster's plan asks for; the leader of the system group declares a joining member online once
// every group here has it.
//
// It looks soon after members or leaders have changed, often while something is out of step (a learner
// catches up without telling), and otherwise seldom.

import type { GroupId, NodeId } from '../base/index.ts'
import { isFault } from '../base/index.ts'
import {
  type Cluster,
  isInStep,
  planMembership,
  updateMember,
  votersMax,
} from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'
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

const lookSoonMs = 250
const lookSeldomMs = 5_000

/** Answers a function that ends it. */
export function followMembership(deps: Deps, self: NodeId): () => void {
  const { host, raft, rpc, cluster } = deps
  const tellPeers = (): void => {
    const others = cluster.view.members().filter((member) => member.id !== self)
    rpc.setPeers(new Map(others.map((member) => [member.id, member.control])))
  }
  let timer: Timer | undefined
  let isBusy = false
  let isClosed = false
  const lookAfter = (ms: number): void => {
    timer?.cancel()
    if (!isClosed) timer = host.clock.after(ms, look)
  }
  const look = (): void => {
    isBusy = true
    reconcile(deps)
      .catch((error) => {
        if (!isFault(error)) host.journal.fatal('node.membership_failed', error)
        host.journal.event('debug', 'node.membership_waits', { reason: error.message })
        return false
      })
      .then((isSettled) => {
        isBusy = false
        lookAfter(isSettled ? lookSeldomMs : lookSoonMs)
      })
  }
  const lookSoon = (): void => {
    if (!isBusy) lookAfter(lookSoonMs)
  }
  const unwatch = cluster.view.onChange(() => {
    tellPeers()
    lookSoon()
  })
  for (const group of raft.groups()) group.onLeadership(lookSoon)
  tellPeers()
  lookSoon()
  return () => {
    isClosed = true
    unwatch()
    timer?.cancel()
  }
}

/** False while anything is left to do that this node would see to. */
async function reconcile(deps: Deps): Promise<boolean> {
  const { raft, cluster } = deps
  for (const group of raft.groups()) await maybeChange(deps, group)
  await maybeWelcome(deps)
  const members = cluster.allMembers()
  if (members.some((member) => member.state === 'joining')) return false
  return raft.groups().every((group) => {
    const status = group.status()
    return status.role !== 'leader' || isInStep(members, status, votersMax)
  })
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
