// What is wrong with the cluster, the worst first, each with what to do next.

import type { Certificate, Status } from '../answers.ts'
import { newestOf, worryAbout } from '../certificates.ts'
import { count, counted, listed } from '../format.ts'

export type Concern = {
  readonly kind: 'bad' | 'warn'
  readonly text: string
  readonly next?: string
}

const isAre = (names: readonly string[]): string => (names.length === 1 ? 'is' : 'are')

export function concernsOf(
  status: Status,
  certificates: readonly Certificate[],
  nowMs: number,
): readonly Concern[] {
  const concerns = [
    ...ofGroups(status),
    ...ofStates(status),
    ...ofCertificates(status, certificates, nowMs),
    ...ofData(status),
    ...ofSpace(status),
  ]
  return concerns.sort((a, b) => Number(b.kind === 'bad') - Number(a.kind === 'bad'))
}

function ofGroups({ groups }: Status): readonly Concern[] {
  const leaderless = [...new Set(groups.map((group) => group.name))].filter(
    (name) => !groups.some((group) => group.name === name && group.role === 'leader'),
  )
  if (leaderless.length === 0) return []
  const shown = listed(leaderless.slice(0, 3))
  const more = leaderless.length > 3 ? ` and ${count(leaderless.length - 3)} more` : ''
  return [
    {
      kind: 'bad',
      text: `No leader is seen of ${shown}${more}.`,
      next: 'a majority of its voters must run: start those that are down',
    },
  ]
}

function ofStates({ nodes }: Status): readonly Concern[] {
  const named = (state: string): readonly string[] =>
    nodes.filter((node) => node.state === state).map((node) => node.name)
  const [offline, suspect, draining] = [named('offline'), named('suspect'), named('draining')]
  const concerns: Concern[] = []
  if (offline.length > 0) {
    concerns.push({
      kind: 'bad',
      text: `${listed(offline)} ${isAre(offline)} offline.`,
      next: 'start it again; if its disk is lost, join a machine in its place',
    })
  }
  if (suspect.length > 0) {
    const verb = suspect.length === 1 ? 'does' : 'do'
    concerns.push({ kind: 'warn', text: `${listed(suspect)} ${verb} not answer as usual.` })
  }
  if (draining.length > 0) {
    concerns.push({
      kind: 'warn',
      text: `${listed(draining)} ${isAre(draining)} being drained.`,
      next: 'the page Nodes shows how far it is',
    })
  }
  return concerns
}

function ofCertificates(
  { nodes }: Status,
  certificates: readonly Certificate[],
  nowMs: number,
): readonly Concern[] {
  const worried = (worry: string): readonly string[] =>
    nodes
      .filter(({ id }) => {
        const newest = newestOf(certificates, id)
        return newest !== undefined && worryAbout(newest, nowMs) === worry
      })
      .map(({ name }) => name)
  const [ended, late] = [worried('ended'), worried('late')]
  const next =
    'see its journal for why it does not renew it; a node that is down renews when it starts'
  const concerns: Concern[] = []
  if (ended.length > 0) {
    concerns.push({ kind: 'bad', text: `The certificate of ${listed(ended)} has ended.`, next })
  }
  if (late.length > 0) {
    concerns.push({ kind: 'warn', text: `The certificate of ${listed(late)} ends soon.`, next })
  }
  return concerns
}

function ofData({ underReplicatedShards, damagedShards }: Status): readonly Concern[] {
  const concerns: Concern[] = []
  if (underReplicatedShards > 0) {
    const text = `${counted(underReplicatedShards, 'shard')} missing: being made again from the others.`
    concerns.push({ kind: 'warn', text })
  }
  if (damagedShards > 0) {
    concerns.push({
      kind: 'warn',
      text: `${counted(damagedShards, 'shard')} found damaged since the nodes started, and made again.`,
      next: 'look at the disks that they were on',
    })
  }
  return concerns
}

const fullRatio = 0.9

function ofSpace({ nodes }: Status): readonly Concern[] {
  const full = nodes
    .filter(({ freeBytes, totalBytes }) => totalBytes > 0 && 1 - freeBytes / totalBytes > fullRatio)
    .map(({ name }) => name)
  if (full.length === 0) return []
  return [
    {
      kind: 'warn',
      text: `The disk of ${listed(full)} is almost full.`,
      next: 'delete objects, or let more machines join',
    },
  ]
}
