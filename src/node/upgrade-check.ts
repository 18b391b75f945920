// Whether a node may be stopped and started with another program now, and what follows once all run it: pure, from what
// all nodes answered.
//
// An upgrade takes one node away at a time. So it is safe when everything is whole (then one less is what the cluster is
// built for), when nothing is on the move, and when every node that is stopped will come back: its certificate and its
// disk must last. What is not known counts as not safe.

import { featuresBetween, type RaisePlan } from '../cluster/index.ts'
import { type ClusterStatus, type Heard, composeStatus } from './status.ts'
import { planReserves } from './config.ts'

export type UpgradeFacts = {
  readonly heard: readonly Heard[]
  readonly settings: Parameters<typeof composeStatus>[0]
  readonly self: number
  readonly nowMs: number
  /** Newest certificate per member, issued at 0 where that is not known; undefined where members have none. */
  readonly certificates:
    | ReadonlyMap<number, { readonly issuedMs: number; readonly notAfterMs: number }>
    | undefined
  readonly active: number
  readonly isByOperator: boolean
  /** Of the program that answers. */
  readonly newest: number
  readonly plan: RaisePlan
}

export type UpgradeCheck = {
  readonly isSafe: boolean
  readonly level: {
    readonly active: number
    readonly newest: number
    readonly isByOperator: boolean
    /** To which it can be raised now. */
    readonly to: number
    readonly blockers: readonly string[]
    /** What switches on with the newest level. */
    readonly features: readonly {
      readonly name: string
      readonly level: number
      readonly what: string
    }[]
  }
  readonly nodes: readonly UpgradeNode[]
  readonly checks: readonly Check[]
}

type Check = { readonly name: string; readonly isSafe: boolean; readonly text: string }
type UpgradeNode = {
  readonly id: number
  readonly name: string
  readonly state: string
  readonly version: string
  /** 0: its program tells none. */
  readonly level: number
  /** 0: it has none. */
  readonly certificateNotAfterMs: number
  readonly freeBytes: number
  readonly totalBytes: number
}

/** A certificate is renewed at half of its life: one with less than this left was not. */
const certificateRatioMin = 0.25
/** Of one whose life is not known. */
const restMsMin = 3_600_000
/** Shards stop at their reserve; below half as much again there is no room for a day's writes. */
const reserveRatioMin = 1.5

export function checkUpgrade(facts: UpgradeFacts): UpgradeCheck {
  const { heard, settings, self, active, newest, isByOperator, plan } = facts
  const status = composeStatus(settings, self, heard)
  const checks = [
    checkNodes(status),
    checkQuorum(status),
    checkRedundancy(status),
    checkObjects(status),
    checkMoves(status),
    checkCertificates(facts),
    checkDisks(status),
  ]
  return {
    isSafe: checks.every(({ isSafe }) => isSafe),
    level: { active, newest, isByOperator, ...plan, features: featuresBetween(active, newest) },
    nodes: heard.map((one) => nodeOf(one, facts, status)),
    checks,
  }
}

function nodeOf({ member, status }: Heard, facts: UpgradeFacts, whole: ClusterStatus): UpgradeNode {
  const row = whole.nodes.find(({ id }) => id === member.id)
  return {
    id: member.id,
    name: member.name,
    state: row?.state ?? member.state,
    version: status?.version ?? member.version,
    level: status?.level ?? 0,
    certificateNotAfterMs: facts.certificates?.get(member.id)?.notAfterMs ?? 0,
    freeBytes: row?.freeBytes ?? 0,
    totalBytes: row?.totalBytes ?? 0,
  }
}

function judge(name: string, problems: readonly string[], whole: string): Check {
  const isSafe = problems.length === 0
  return { name, isSafe, text: isSafe ? whole : problems.join('; ') }
}

function checkNodes({ nodes }: ClusterStatus): Check {
  const problems = nodes
    .filter(({ state }) => state !== 'online')
    .map(({ name, state }) => `${name} is ${state}`)
  return judge('nodes', problems, `all ${nodes.length} are online`)
}

/** Of each group as its leader has it: any one voter away, a majority of all must be there. */
function checkQuorum({ nodes, groups }: ClusterStatus): Check {
  const online = new Set(nodes.filter(({ state }) => state === 'online').map(({ id }) => id))
  const names = [...new Set(groups.map(({ name }) => name))].sort()
  const problems = names.flatMap((name) => {
    const leader = groups.find((group) => group.name === name && group.role === 'leader')
    if (leader === undefined) return [`${name} has no leader`]
    const { voters } = leader
    const there = voters.filter((id) => online.has(id)).length
    if (there - 1 >= Math.floor(voters.length / 2) + 1) return []
    return [`${name} has ${there} of ${voters.length} voters, and one less is no majority`]
  })
  if (names.length === 0) return judge('quorum', ['no group has answered'], '')
  return judge('quorum', problems, `${names.length} groups keep a majority without any one node`)
}

function checkRedundancy({ underReplicatedShards: missing }: ClusterStatus): Check {
  if (missing < 0) return judge('redundancy', ['shards are being counted'], '')
  return judge('redundancy', missing === 0 ? [] : [`${missing} shards are missing`], 'complete')
}

function checkObjects({ nodes, code }: ClusterStatus): Check {
  const without = nodes.filter(({ state }) => state === 'online').length - 1
  const isEnough = without >= code.data
  const text = `code ${code.data}+${code.parity}: objects cannot be read with ${without} nodes`
  return judge('objects', isEnough ? [] : [text], `can be read with ${without} nodes`)
}

function checkMoves({ moves }: ClusterStatus): Check {
  const { shardsLeft } = moves
  return judge('moves', shardsLeft === 0 ? [] : [`${shardsLeft} shards are on their way`], 'none')
}

function checkCertificates({ heard, certificates, nowMs }: UpgradeFacts): Check {
  if (certificates === undefined) return judge('certificates', [], 'not used here')
  const problems = heard.flatMap(({ member: { id, name } }) => {
    const known = certificates.get(id)
    if (known === undefined) return [`${name} has none that is recorded`]
    const lifeMs = known.notAfterMs - known.issuedMs
    const leastMs = known.issuedMs === 0 ? restMsMin : lifeMs * certificateRatioMin
    const leftMs = known.notAfterMs - nowMs
    if (leftMs >= leastMs) return []
    return [`that of ${name} ends in ${Math.max(0, Math.round(leftMs / 60_000))} min`]
  })
  return judge('certificates', problems, 'none is about to end')
}

function checkDisks({ nodes }: ClusterStatus): Check {
  const problems = nodes.flatMap(({ name, freeBytes, totalBytes }) => {
    if (totalBytes === 0) return [`${name} has not told`]
    const { shards } = planReserves(totalBytes)
    if (freeBytes >= shards * reserveRatioMin) return []
    return [`${name} has ${Math.round(freeBytes / 2 ** 20)} MiB left`]
  })
  return judge('disk', problems, 'enough on every node')
}
