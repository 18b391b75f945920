// The last placement table, for as long as member list and rule are the same objects: a thread asks for every
// chunk, and the lists change seldom.

import type { ChooseHolders, Member, PlacementRule } from './cluster.ts'
import { PlacementTable } from './core/placement.ts'

/** chooseHolders with a memory of one. */
export function createChooseHolders(): ChooseHolders {
  let last:
    | {
        readonly members: readonly Member[]
        readonly rule: PlacementRule | undefined
        readonly table: PlacementTable
      }
    | undefined
  return (chunk, members, options) => {
    const { rule } = options
    if (last?.members !== members || last.rule !== rule) {
      last = { members, rule, table: new PlacementTable(members, rule) }
    }
    return last.table.choose(chunk, options)
  }
}
