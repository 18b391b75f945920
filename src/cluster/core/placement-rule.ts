// The rule of placement and labels as people give them: checks, and the rule of a cluster where none was set.

import { Fault } from '../../base/index.ts'
import type { Member, PlacementRule, Settings } from '../cluster.ts'

const shardsMax = 32
const labelsMax = 32
const ruledLabelsMax = 8
const labelKey = /^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$/
const labelValue = /^[A-Za-z0-9]([A-Za-z0-9._:-]{0,61}[A-Za-z0-9])?$/
const repairAfterMsMax = 30 * 24 * 3_600_000
export const defaultRepairAfterMs = 600_000

/** What holds where no rule was set. */
export function ruleOf(settings: Settings): PlacementRule {
  const { dataShards, parityShards, placement } = settings
  return (
    placement ?? {
      dataShards,
      parityShards,
      minDistinct: {},
      weights: 'capacity',
      repairAfterMs: defaultRepairAfterMs,
    }
  )
}

/** Fault 'invalid' for what no cluster can keep to. */
export function checkRule(rule: PlacementRule): void {
  const { dataShards, parityShards, minDistinct, repairAfterMs } = rule
  requireWhole('data shards', dataShards, [1, shardsMax])
  requireWhole('parity shards', parityShards, [0, shardsMax - 1])
  requireWhole('data and parity shards', dataShards + parityShards, [1, shardsMax])
  requireWhole('milliseconds before repair', repairAfterMs, [0, repairAfterMsMax])
  const least = Object.entries(minDistinct)
  if (least.length > ruledLabelsMax) {
    throw new Fault('invalid', `a rule speaks of at most ${ruledLabelsMax} labels`)
  }
  for (const [label, count] of least) {
    checkLabelKey(label)
    requireWhole(`distinct values of ${label}`, count, [1, dataShards + parityShards])
  }
}

/** Fault 'invalid'. */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels)
  if (entries.length > labelsMax) {
    throw new Fault('invalid', `a member has at most ${labelsMax} labels`)
  }
  for (const [key, value] of entries) {
    checkLabelKey(key)
    if (labelValue.test(value)) continue
    throw new Fault('invalid', `'${value.slice(0, 80)}' is no value for the label ${key}`, {
      next: 'use up to 63 letters, digits and ".", "_", ":", "-" between them',
    })
  }
}

/** Labels of a rule of which the members that take shards have too few values. */
export function unmetLabels(
  rule: PlacementRule,
  members: readonly Member[],
): readonly { readonly label: string; readonly wanted: number; readonly found: number }[] {
  return Object.entries(rule.minDistinct).flatMap(([label, wanted]) => {
    const found = new Set(members.map(({ labels }) => labels[label] ?? '')).size
    return found >= wanted ? [] : [{ label, wanted, found }]
  })
}

function checkLabelKey(key: string): void {
  if (labelKey.test(key)) return
  throw new Fault('invalid', `'${key.slice(0, 80)}' is no name for a label`, {
    next: 'use up to 63 of a-z, 0-9 and ".", "_", "/", "-" between them: rack, zone, dc',
  })
}

function requireWhole(what: string, given: number, [least, most]: readonly [number, number]): void {
  if (Number.isSafeInteger(given) && given >= least && given <= most) return
  throw new Fault('invalid', `${what}: ${given} is not a whole number from ${least} to ${most}`)
}
