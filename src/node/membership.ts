// Keeps the groups' configurations in step with the member list: the leader of each group makes the next
// change that cluster's plan asks for; the leader of the system group declares a joining member online once
// every group here has it.
//
// A draining member gives up what it leads first, then its votes.
//
// It looks at once when members have changed, soon after leaders have, often while something is out of step (a learner
// catches up without telling; more often while one that joins is there), and otherwise seldom.

import type { GroupId, NodeId } from '../base/index.ts'
import { isFault } from '../base/index.ts'
import { type Cluster, updateMember, votersMax } from '../cluster/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Group, Raft } from '../raft/index.ts'
import type { Rpc } from '../rpc/index.ts'
import { heirOf } from './heir.ts'
import { isInStepWithRoles, planWithRoles, readRoles } from './etcd-roles.ts'

type Deps = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly cluster: Cluster
  readonly system: Keyspace
  readonly systemGroup: GroupId
  /** Follows the roles of etcd-roles.ts. */
  readonly etcdGroup: () => Group | undefined
  readonly self: NodeId
}

const lookAtOnceMs = 10
/** While a member that joins answers: a few looks until it is in every group. */
const lookOftenMs = 50
const lookSoonMs = 250
const lookSeldomMs = 5_000

/** Answers a function that ends it. */
export function followMembership(deps: Deps): () => void {
  const { host, raft, rpc, cluster, self } = deps
  let wasRemoved = false
  const tellPeers = (): void => {
    const own = cluster.allMembers().find(({ id }) => id === self)
    // The others do not speak to it any more: whoever reads the journal shall know why.
    if (own?.state === 'removed' && !wasRemoved) host.journal.event('warning', 'node.removed', {})
    wasRemoved = own?.state === 'removed'
    const others = cluster.view.members().filter((member) => member.id !== self)
    rpc.setPeers(new Map(others.map((member) => [member.id, member.control])))
  }
  let timer: Timer | undefined
  let isBusy = false
  let isClosed = false
  /** A look is due soon, or must follow the one that runs. */
  let isSoon = false
  let dueMs = 0
  const lookAfter = (ms: number): void => {
    timer?.cancel()
    dueMs = host.clock.monotonicMs() + ms
    if (!isClosed) timer = host.clock.after(ms, look)
  }
  const look = (): void => {
    isBusy = true
    isSoon = false
    reconcile(deps)
      .catch((error) => {
        if (!isFault(error)) host.journal.fatal('node.membership_failed', error)
        host.journal.event('debug', 'node.membership_waits', { reason: error.message })
        return false
      })
      .then((isSettled) => {
        isBusy = false
        isSoon ||= !isSettled
        if (!isSoon) lookAfter(lookSeldomMs)
        else lookAfter(isNewcomerThere(deps) ? lookOftenMs : lookSoonMs)
      })
  }
  const lookSoon = (ms: number): void => {
    // A storm of changes never puts a look off that is due before.
    const isSooner = host.clock.monotonicMs() + ms < dueMs
    if (!isBusy && (!isSoon || isSooner)) lookAfter(ms)
    isSoon = true
  }
  const unwatch = cluster.view.onChange(() => {
    tellPeers()
    lookSoon(lookAtOnceMs)
  })
  const unlisten = deps.system.onRevision(() => lookSoon(lookSoonMs))
  for (const group of raft.groups()) group.onLeadership(() => lookSoon(lookSoonMs))
  tellPeers()
  lookSoon(lookSoonMs)
  return () => {
    isClosed = true
    unwatch()
    unlisten()
    timer?.cancel()
  }
}

function isNewcomerThere({ cluster, rpc }: Deps): boolean {
  return cluster.allMembers().some(({ id, state }) => state === 'joining' && rpc.isReachable(id))
}

/** False while anything is left to do that this node would see to. */
async function reconcile(deps: Deps): Promise<boolean> {
  const { raft, cluster, system } = deps
  const ofEtcd = deps.etcdGroup()
  const leads = ofEtcd?.status().role === 'leader'
  const roles = leads ? await readRoles(system, { isNewest: false }) : new Map()
  const planOf = ({ group }: Group) => ({
    roles: group === ofEtcd?.status().group ? roles : new Map(),
    votersMax,
  })
  for (const group of raft.groups()) await maybeChange(deps, group, planOf(group))
  await maybeWelcome(deps)
  const members = cluster.allMembers()
  if (members.some((member) => member.state === 'joining')) return false
  return raft.groups().every((group) => {
    const status = group.status()
    return status.role !== 'leader' || isInStepWithRoles(members, status, planOf(group))
  })
}

async function maybeChange(
  { host, rpc, cluster, self }: Deps,
  group: Group,
  plan: Parameters<typeof planWithRoles>[2],
): Promise<void> {
  const status = group.status()
  if (status.role !== 'leader') return
  const members = cluster.allMembers()
  const isUp = (id: NodeId): boolean => id === self || rpc.isReachable(id)
  const leaving = new Set(members.filter(({ state }) => state === 'draining').map(({ id }) => id))
  const isHeir = (id: NodeId): boolean => id !== self && !leaving.has(id) && isUp(id)
  // A draining node leads as long as nobody else can; its vote goes after that.
  const successor = leaving.has(self) ? heirOf(status, isHeir) : undefined
  if (successor !== undefined) return await group.transferLeadership(successor)
  const change = planWithRoles(members, { ...status, isUp }, plan)
  if (change === undefined) return
  host.journal.event('notice', 'node.configuration_changing', {
    group: status.name,
    voters: (change.addVoters ?? []).join(),
    learners: (change.addLearners ?? []).join(),
    leaving: (change.remove ?? []).join(),
  })
  const isOwnSeat = [...(change.remove ?? []), ...(change.addLearners ?? [])].includes(self)
  const heir = isOwnSeat ? heirOf(status, (id) => id !== self) : undefined
  // Whoever leads then makes the change: a leader that removes itself would leave the group without one.
  if (heir !== undefined) await group.transferLeadership(heir)
  else await group.changeMembers(change)
}

async function maybeWelcome({
  host,
  raft,
  cluster,
  system,
  systemGroup,
  self,
}: Deps): Promise<void> {
  // Without groups there is nothing to catch up with: a member that reads the state has joined.
  const isOwnWelcome = raft.groups().length === 0
  if (!isOwnWelcome && raft.group(systemGroup)?.status().role !== 'leader') return
  const isMine = (id: NodeId): boolean => !isOwnWelcome || id === self
  const joining = cluster
    .allMembers()
    .filter((member) => member.state === 'joining' && isMine(member.id))
  for (const { id } of joining) {
    if (!raft.groups().every((group) => isSettledIn(group, id))) continue
    let isNews = false
    await updateMember(system, id, (member) => {
      isNews = member.state === 'joining'
      return isNews ? { ...member, state: 'online' } : undefined
    })
    if (isNews) host.journal.event('notice', 'node.member_online', { node: id })
  }
}

function isSettledIn(group: Group, id: NodeId): boolean {
  const { voters, learners, votersOutgoing } = group.status()
  if (votersOutgoing.length > 0) return false
  return voters.includes(id) || (learners.includes(id) && voters.length >= votersMax)
}
