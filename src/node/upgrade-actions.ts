// What the admin API asks about upgrades: the check, the raising by command, and who says when.

import { Fault, type NodeId } from '../base/index.ts'
import {
  changeLevelPolicy,
  type Cluster,
  type HeardLevel,
  type LevelRecord,
  type Member,
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
import type { Heard } from './status.ts'
import { checkUpgrade, type UpgradeFacts } from './upgrade-check.ts'

type Deps = {
  readonly parts: StatusParts
  readonly cluster: Cluster
  readonly system: Keyspace
  readonly trust: MemberTrust | undefined
  readonly lane: () => Lane | undefined
}

export function createUpgradeActions(deps: Deps): UpgradeActions {
  const { system, parts, cluster } = deps
  return {
    check: async () => checkUpgrade(await factsOf(deps)),
    async raise() {
      const heard = await hearAll(parts, { cluster, lane: deps.lane() })
      const how = { atMs: parts.host.clock.wallMs() }
      const { record, plan } = await raiseLevel(system, (all) => levelsOf(all, heard), how)
      if (plan.blockers.length > 0) {
        throw new Fault(
          'precondition',
          `the level stays at ${record.level}: ${plan.blockers.join('; ')}`,
          { next: 'upgrade these nodes, or remove them, and ask again' },
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

/** By what each says when it is asked now: the leader may run a program that does not pass levels on. */
function levelsOf(members: readonly Member[], heard: readonly Heard[]): readonly HeardLevel[] {
  return members.map(({ id, name, state, version }) => {
    const status = heard.find(({ member }) => member.id === id)?.status
    const told = { level: status?.level ?? 0, version: status?.version ?? version }
    return { id, name, state, isHeard: status !== undefined, ...told }
  })
}

async function factsOf(deps: Deps): Promise<UpgradeFacts> {
  const { parts, cluster, system, lane } = deps
  const [heard, record, certificates] = await Promise.all([
    hearAll(parts, { cluster, lane: lane() }),
    readLevel(system),
    certificatesOf(deps),
  ])
  return {
    heard,
    settings: cluster.view.settings(),
    self: parts.self,
    nowMs: parts.host.clock.wallMs(),
    certificates,
    active: record.level,
    isByOperator: record.isByOperator,
    newest: newestLevel,
    plan: planRaise(levelsOf(cluster.view.members(), heard), record.level),
  }
}

async function certificatesOf({ trust }: Deps): Promise<UpgradeFacts['certificates']> {
  if (trust === undefined) return undefined
  const certificates = await trust.desk.certificates()
  return new Map<NodeId, (typeof certificates)[number]>(
    certificates.map((certificate) => [certificate.member, certificate]),
  )
}
