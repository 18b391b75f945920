// What the admin API asks about upgrades: the check, the raising by command, and who says when.

import { Fault, isFault, type NodeId } from '../base/index.ts'
import {
  type BeatRow,
  changeLevelPolicy,
  type Cluster,
  type Heartbeats,
  heardLevels,
  type LevelRecord,
  type MemberTrust,
  newestLevel,
  planRaise,
  raiseLevel,
  readLevel,
} from '../cluster/index.ts'
import type { UpgradeActions } from '../gateways/admin/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Lane } from './lane.ts'
import { hearAll, type StatusParts } from './own-status.ts'
import { checkUpgrade, type UpgradeFacts } from './upgrade-check.ts'

type Deps = {
  readonly parts: StatusParts
  readonly cluster: Cluster
  readonly system: Keyspace
  readonly heartbeats: Heartbeats | undefined
  readonly trust: MemberTrust | undefined
  readonly lane: () => Lane | undefined
}

export function createUpgradeActions(deps: Deps): UpgradeActions {
  const { system, parts, heartbeats } = deps
  return {
    check: async () => checkUpgrade(await factsOf(deps)),
    async raise() {
      const rows = await heartbeats?.rows()
      if (rows === undefined) {
        throw new Fault('unsupported', 'another engine keeps the state: nobody hears all members')
      }
      const { record, plan } = await raiseLevel(system, rows, { atMs: parts.host.clock.wallMs() })
      if (plan.to < newestLevel && plan.blockers.length > 0) {
        throw new Fault(
          'precondition',
          `the level stays at ${record.level}: ${plan.blockers.join('; ')}`,
          {
            next: 'upgrade these nodes, or remove them, and ask again',
          },
        )
      }
      return shown(record)
    },
    setPolicy: async (isByOperator) => shown(await changeLevelPolicy(system, isByOperator)),
  }
}

function shown({ level, isByOperator, raisedMs }: LevelRecord) {
  return { level, raise: isByOperator ? 'by-operator' : 'automatic', raisedMs }
}

async function factsOf(deps: Deps): Promise<UpgradeFacts> {
  const { parts, cluster, system, heartbeats, lane } = deps
  const [heard, record, rows, certificates] = await Promise.all([
    hearAll(parts, { cluster, lane: lane() }),
    readLevel(system),
    rowsOf(heartbeats),
    certificatesOf(deps),
  ])
  const members = cluster.view.members()
  return {
    heard,
    settings: cluster.view.settings(),
    self: parts.self,
    nowMs: parts.host.clock.wallMs(),
    certificates,
    levels: rows === undefined ? undefined : new Map(rows.map(({ id, level }) => [id, level])),
    active: record.level,
    isByOperator: record.isByOperator,
    newest: newestLevel,
    plan: planRaise(heardLevels(members, rows ?? []), record.level),
  }
}

async function rowsOf(heartbeats: Heartbeats | undefined): Promise<readonly BeatRow[] | undefined> {
  try {
    return await heartbeats?.rows()
  } catch (error) {
    if (!isFault(error)) throw error
    return undefined
  }
}

async function certificatesOf({ trust }: Deps): Promise<UpgradeFacts['certificates']> {
  if (trust === undefined) return undefined
  const certificates = await trust.desk.certificates()
  return new Map<NodeId, (typeof certificates)[number]>(
    certificates.map((certificate) => [certificate.member, certificate]),
  )
}
