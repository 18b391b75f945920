// etcd's Cluster: who is in the group behind this API. Members of the group are nodes of the cluster; a node joins
// the cluster by its own commands, and then these calls say what it is in the group: voter, learner, or not in it.
// Nothing is answered before the group's configuration says it.

import { type Context, type Method, unary } from './context.ts'
import { EtcdRefusal, etcdErrors, grpcCode } from './core/errors.ts'
import {
  memberAddRequest,
  memberAddResponse,
  type EtcdMemberMessage,
  memberIdRequest,
  memberListRequest,
  memberListResponse,
  memberUpdateRequest,
} from '../../keyspace/etcd/wire.ts'

const { failedPrecondition } = grpcCode
/** Any key: what counts is the round that reading it takes. */
const probe = Uint8Array.of(0)

export const clusterMethods: readonly Method[] = [
  unary(
    'etcdserverpb.Cluster/MemberList',
    [memberListRequest, memberListResponse],
    async (context, { linearizable }, options) => {
      if (linearizable) await context.keyspace.range({ key: probe, countOnly: true }, options)
      return await listed(context)
    },
  ),
  unary(
    'etcdserverpb.Cluster/MemberAdd',
    [memberAddRequest, memberAddResponse],
    async (context, { peerUrls, isLearner }) => {
      const node = nodeAt(context, checkUrls(peerUrls))
      await context.cluster.refresh()
      if (isMember(context, node.id)) throw new EtcdRefusal(etcdErrors.peerUrlExists)
      await context.cluster.setRole(node.id, isLearner ? 'learner' : 'voter')
      const { header, members } = await listed(context)
      return { header, member: members.find(({ id }) => id === node.id), members }
    },
  ),
  unary(
    'etcdserverpb.Cluster/MemberRemove',
    [memberIdRequest, memberListResponse],
    async (context, { id }) => {
      await context.cluster.refresh()
      requireMember(context, id)
      mayLeave(context, id)
      await context.cluster.setRole(id, 'absent')
      return await listed(context)
    },
  ),
  unary(
    'etcdserverpb.Cluster/MemberUpdate',
    [memberUpdateRequest, memberListResponse],
    async (context, { id, peerUrls }) => {
      requireMember(context, id)
      const urls = checkUrls(peerUrls)
      const isSame = ({ peerUrls: known }: { readonly peerUrls: readonly string[] }): boolean =>
        urls.every((url) => known.includes(url))
      const owner = context.cluster.members().find(isSame)
      if (owner?.id === id) return await listed(context)
      if (owner !== undefined) throw new EtcdRefusal(etcdErrors.peerUrlExists)
      const text = 'etcdserver: a node tells its address itself: move it in its cluster.toml'
      throw new EtcdRefusal({ code: failedPrecondition, text })
    },
  ),
  unary(
    'etcdserverpb.Cluster/MemberPromote',
    [memberIdRequest, memberListResponse],
    async (context, { id }) => {
      await context.cluster.refresh()
      requireMember(context, id)
      if (!context.cluster.group().learners.includes(id)) {
        throw new EtcdRefusal(etcdErrors.memberNotLearner)
      }
      if (!context.cluster.isUp(id)) throw new EtcdRefusal(etcdErrors.learnerNotReady)
      await context.cluster.setRole(id, 'voter')
      return await listed(context)
    },
  ),
]

/** Members of the group, in order of their ids. */
export function membersOf({ cluster }: Context): readonly EtcdMemberMessage[] {
  const { voters, learners } = cluster.group()
  return cluster
    .members()
    .filter(({ id }) => voters.includes(id) || learners.includes(id))
    .map((member) => ({ ...member, isLearner: learners.includes(member.id) }))
    .sort((a, b) => a.id - b.id)
}

async function listed(context: Context) {
  await context.cluster.refresh()
  return { header: context.localHeader(), members: membersOf(context) }
}

function isMember({ cluster }: Context, id: number): boolean {
  const { voters, learners } = cluster.group()
  return voters.includes(id) || learners.includes(id)
}

function requireMember(context: Context, id: number): void {
  if (!isMember(context, id)) throw new EtcdRefusal(etcdErrors.memberNotFound)
}

/** As etcd's types.NewURLs: a scheme, a host and a port, and no path. */
function checkUrls(urls: readonly string[]): readonly string[] {
  const isPeer = (url: string): boolean =>
    /^https?:\/\/(\[[0-9a-fA-F:]+\]|[^/:[\]]+):\d{1,5}$/.test(url)
  if (urls.length === 0 || !urls.every(isPeer)) throw new EtcdRefusal(etcdErrors.memberBadUrls)
  return urls
}

/** Peers speak TLS whatever scheme the caller thinks of; host and port tell the node. */
function nodeAt({ cluster }: Context, urls: readonly string[]) {
  const places = urls.map(placeOf)
  const found = cluster
    .members()
    .find(({ peerUrls }) => peerUrls.map(placeOf).some((at) => places.includes(at)))
  if (found !== undefined) return found
  const text = `etcdserver: no node of the cluster is at ${places.join(', ').slice(0, 256)}; it joins the cluster first`
  throw new EtcdRefusal({ code: failedPrecondition, text })
}

function placeOf(url: string): string {
  return url.replace(/^https?:\/\//, '')
}

/** The group stays able to agree without the member. */
function mayLeave({ cluster }: Context, id: number): void {
  const { voters } = cluster.group()
  if (!voters.includes(id)) return
  const rest = voters.filter((voter) => voter !== id)
  const up = rest.filter((voter) => voter === cluster.self || cluster.isUp(voter))
  if (rest.length === 0 || up.length < Math.floor(rest.length / 2) + 1) {
    throw new EtcdRefusal(etcdErrors.membersNotStarted)
  }
}
