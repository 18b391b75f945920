// `atoll raft recover`: makes what one surviving node holds the whole truth of its groups, after a majority
// was lost for good. Says exactly what may be lost and asks before it writes.

import { createInterface } from 'node:readline/promises'
import { Fault, type GroupId, groupId, isFault } from '../base/index.ts'
import { createLoopThreads, createRealHost } from '../host/real/index.ts'
import { openOffline, type OfflineNode, type QuorumRecovery } from '../node/index.ts'
import { acquireLock } from '../host/real/lock.ts'
import { loadNodeConfig } from './node-dir.ts'
import { nodePaths } from './paths.ts'
import { answer, tell } from './terminal.ts'

export type RecoverOptions = {
  /** The node's own directory. */
  readonly dataDir: string
  readonly which:
    | { readonly kind: 'namespace'; readonly name: string }
    | { readonly kind: 'group'; readonly id: number }
    | { readonly kind: 'all' }
  readonly isConfirmed: boolean
  readonly isJson: boolean
}

/** Settles with the exit status: 0 once everything asked for is recovered durably. */
export async function recover(options: RecoverOptions): Promise<number> {
  const lock = acquireLock(nodePaths(options.dataDir).lock, options.dataDir)
  try {
    const config = loadNodeConfig(options.dataDir, { dataThreads: 0 })
    const journal = { format: 'text', level: 'warning', name: 'atoll raft recover' } as const
    const real = createRealHost({ rootPath: options.dataDir, journal })
    const node = await openOffline(config, { ...real, threads: createLoopThreads(real) })
    try {
      return await recoverIn(node, config.self, options)
    } finally {
      await node.close()
    }
  } finally {
    lock.release()
  }
}

async function recoverIn(
  node: OfflineNode,
  self: number,
  { which, isConfirmed, isJson }: RecoverOptions,
): Promise<number> {
  const plans = planAll(node, which)
  if (!isJson) for (const plan of plans) for (const line of describe(plan, self)) tell(line)
  if (!isConfirmed) await mustConfirm(self)
  for (const plan of plans) await node.recover(plan)
  if (isJson) {
    answer(JSON.stringify({ node: self, recovered: plans }))
    return 0
  }
  const count = plans.length === 1 ? '1 group is' : `${plans.length} groups are`
  answer(
    `${count} recovered: node ${self} is the only voter. Start this node, then let others join.`,
  )
  return 0
}

function planAll(node: OfflineNode, which: RecoverOptions['which']): readonly QuorumRecovery[] {
  if (which.kind === 'group') return [node.planRecovery(groupId(which.id))]
  const groups = node.groups()
  if (which.kind === 'namespace') {
    const found = groups.filter(({ name }) => name === which.name)
    if (found.length === 0) {
      const known = groups.map(({ group, name }) => `${group} ${name}`).join(', ')
      throw new Fault('not-found', `this data directory holds no namespace ${which.name}`, {
        next: `it holds: ${known === '' ? 'nothing' : known}`,
      })
    }
    return found.map(({ group }) => node.planRecovery(group))
  }
  const plans = groups.flatMap(({ group }) => planUnlessWhole(node, group))
  if (plans.length > 0) return plans
  throw new Fault('precondition', 'this node is the only voter of all of its groups already')
}

/** A recovery that was broken off is taken up again: what is recovered already stays as it is. */
function planUnlessWhole(node: OfflineNode, group: GroupId): readonly QuorumRecovery[] {
  try {
    return [node.planRecovery(group)]
  } catch (error) {
    if (isFault(error, 'precondition') && error.next === undefined) return []
    throw error
  }
}

function describe(plan: QuorumRecovery, self: number): readonly string[] {
  const { voters, learners, applied, committed, last, uncertain, voidedChanges } = plan
  const others = [...new Set([...voters, ...learners])].filter((id) => id !== self)
  const lines = [
    `group ${plan.group} ${plan.name} of cluster ${plan.cluster}`,
    `  node ${self} becomes its only voter; given up: nodes ${others.join(', ') || 'none'}`,
    `  kept: entries up to ${last} (applied ${applied}, known as committed ${committed})`,
    `  lost: every write that was acknowledged by others and is not in this log, that is all after entry ${last}`,
  ]
  if (uncertain > 0) {
    lines.push(
      `  uncertain: ${uncertain} entries after ${committed} take effect, acknowledged or not`,
    )
  }
  if (voidedChanges > 0) {
    lines.push(`  void: ${voidedChanges} changes of members that were under way`)
  }
  if (plan.wasLearner) {
    lines.push(
      `  warning: node ${self} was a learner, which may lag far behind; a former voter is better`,
    )
  }
  return lines
}

async function mustConfirm(self: number): Promise<void> {
  if (process.stdin.isTTY !== true) {
    throw new Fault('invalid', 'a recovery gives up data and must be confirmed', {
      next: 'give --yes once you have read what would be lost',
    })
  }
  tell('The other members must be stopped for good. When they come back they are refused as stale,')
  tell('and must be wiped and join again under new identities.')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const reply = await terminal.question(`Recover on node ${self}? Type 'recover' to go on: `)
  terminal.close()
  if (reply.trim() !== 'recover') throw new Fault('cancelled', 'nothing was changed')
}
