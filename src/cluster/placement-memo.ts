// The last placement tables, for as long as member list and rule are the same objects: a thread asks for every
// chunk, and the lists change seldom.

import type { ChooseHolders, Member, PlacementRule } from './cluster.ts'
import { PlacementTable } from './core/placement.ts'

type Prepared = {
  readonly members: readonly Member[]
  readonly rule: PlacementRule | undefined
  readonly table: PlacementTable
}

/** chooseHolders with a memory of two: who may take shards now, and where they belong in the long run. */
export function createChooseHolders(): ChooseHolders {
  let last: Prepared | undefined
  let other: Prepared | undefined
  return (chunk, members, options) => {
    const { rule } = options
    if (last === undefined || last.members !== members || last.rule !== rule) {
      const before = last
      last =
        other !== undefined && other.members === members && other.rule === rule
          ? other
          : { members, rule, table: new PlacementTable(members, rule) }
      other = before
    }
    return last.table.choose(chunk, options)
  }
}
