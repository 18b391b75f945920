// npm run sim -- --workload founding --explore [--deep] [--plant NAME]
//
// Explores the ballots core at each scope and prints how many states there are. With a plant it stops at the
// first scope that catches the bug, prints the way there, and fails when none does.

import { type Explored, explore, type Scope } from './explorer.ts'
import { plants } from './plants.ts'

/** Seconds in all. N equal to the nodes, and N founders of more nodes, where founder sets overlap. */
export const quickScopes: readonly Scope[] = [
  { nodes: 3, size: 3, ballots: 2, crashes: 1 },
  { nodes: 3, size: 2, ballots: 2, crashes: 1 },
  { nodes: 4, size: 2, eligible: 3, ballots: 2, crashes: 0 },
  { nodes: 4, size: 4, ballots: 2, crashes: 1 },
  { nodes: 4, size: 3, ballots: 2, crashes: 0 },
]

/** For `npm test`. */
export const usualScopes: readonly Scope[] = [
  ...quickScopes,
  { nodes: 4, size: 3, ballots: 2, crashes: 1 },
  { nodes: 3, size: 3, ballots: 3, crashes: 3 },
  { nodes: 3, size: 2, ballots: 3, crashes: 1 },
]

/** Twenty minutes of CPU and a gigabyte, nearly all for the last one. */
export const deepScopes: readonly Scope[] = [
  ...usualScopes,
  { nodes: 4, size: 4, ballots: 3, crashes: 1 },
  { nodes: 4, size: 3, ballots: 3, crashes: 0 },
  { nodes: 4, size: 3, ballots: 3, crashes: 1 },
]

/** The exit status. */
export function runExploration(
  options: { readonly isDeep: boolean; readonly plant: string | undefined },
  print: (line: string) => void,
): number {
  const scopes = options.isDeep ? deepScopes : usualScopes
  const plant = options.plant === undefined ? undefined : plants.get(options.plant)
  if (options.plant !== undefined && plant === undefined) {
    print(`no plant ${options.plant}; there are: ${[...plants.keys()].join(', ')}`)
    return 64
  }
  let states = 0
  for (const scope of scopes) {
    const explored = explore(plant === undefined ? scope : { ...scope, plant })
    states += explored.states
    print(describe(scope, explored))
    if (explored.violation === undefined) continue
    print(explored.violation)
    print(`${plant?.name ?? 'the protocol'} breaks: ${states} states until then`)
    return plant === undefined ? 1 : 0
  }
  print(`${states} states in ${scopes.length} scopes`)
  if (plant === undefined) return 0
  print(`${plant.name} was not caught`)
  return 1
}

function describe(scope: Scope, explored: Explored): string {
  const { nodes, size, ballots, crashes } = scope
  const eligible = scope.eligible === undefined ? '' : `, ${scope.eligible} may found`
  const { states, steps, decided, completed } = explored
  return `${nodes} nodes${eligible}, ${size} founders, ${ballots} ballots, ${crashes} crashes: ${states} states, ${steps} steps, ${decided} with a decision, ${completed} run to their end`
}
