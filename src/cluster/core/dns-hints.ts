// Names of a cluster for whoever resolves names on this network: D/hints/hosts, in the form of /etc/hosts, and
// D/hints/dnsmasq.conf. They are hints: nothing of ours reads them.
//
//   rpi1.c-82d5.atoll.internal    a member
//   s3.c-82d5.atoll.internal      every member that serves S3
//   admin.c-82d5.atoll.internal   every member
//
// The same members give the same bytes. A removed member has no name; one that is reached by a name has an alias in
// dnsmasq.conf and a remark in hosts, which knows addresses only.

import type { ClusterId } from '../../base/index.ts'
import type { Member } from '../cluster.ts'
import { hasCapability } from './capabilities.ts'

type Named = Pick<Member, 'id' | 'name' | 'state' | 'control' | 'caps'>

const note = (id: ClusterId): string =>
  `# Cluster ${id}. Written by the node at each change of its members.`

export function renderHosts(clusterId: ClusterId, members: readonly Named[]): string {
  const domain = domainOf(clusterId)
  const lines = present(members).map((member) => {
    const { host } = member.control
    const names = [
      `${label(member)}.${domain}`,
      ...rolesOf(member).map((role) => `${role}.${domain}`),
    ]
    return isAddress(host)
      ? `${host} ${names.join(' ')} n-${label(member)}`
      : `# ${names.join(' ')} is ${host}`
  })
  return `${[note(clusterId), ...lines].join('\n')}\n`
}

export function renderDnsmasq(clusterId: ClusterId, members: readonly Named[]): string {
  const domain = domainOf(clusterId)
  const lines = present(members).flatMap((member) => {
    const { host } = member.control
    const name = `${label(member)}.${domain}`
    if (!isAddress(host)) return [`cname=${name},${host}`]
    return [name, ...rolesOf(member).map((role) => `${role}.${domain}`)].map(
      (one) => `host-record=${one},${host}`,
    )
  })
  return `${[note(clusterId), ...lines].join('\n')}\n`
}

function domainOf(clusterId: ClusterId): string {
  return `c-${clusterId.slice(0, 4)}.atoll.internal`
}

function present(members: readonly Named[]): readonly Named[] {
  return members
    .filter(({ state }) => state !== 'removed' && state !== 'pending' && state !== 'unpaired')
    .sort((a, b) => a.id - b.id)
}

/** Names of nodes may hold dots, which a label of DNS may not. */
function label({ name }: Named): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-')
}

function rolesOf({ caps }: Named): readonly string[] {
  return hasCapability(caps, 's3') ? ['s3', 'admin'] : ['admin']
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^[0-9.]+$/.test(host)
}
