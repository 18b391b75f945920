// What a torture keeps between runs: how far it came, what it has seen, and what must read so for ever.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type TortureState = {
  readonly version: 1
  kills: number
  epochs: number
  seconds: number
  counts: Record<string, number>
  /** Keys of the keyspace, and objects, of epochs that ended: nobody writes them again. */
  keyFacts: Record<string, string | null>
  objectFacts: Record<string, string | null>
  problems: string[]
}

const factsMax = 600
const problemsMax = 20
const fileName = 'state.json'

export function readState(directory: string): TortureState {
  try {
    const state = JSON.parse(readFileSync(join(directory, fileName), 'utf8')) as TortureState
    if (state.version === 1) return state
  } catch {
    // None yet.
  }
  return {
    version: 1,
    kills: 0,
    epochs: 0,
    seconds: 0,
    counts: {},
    keyFacts: {},
    objectFacts: {},
    problems: [],
  }
}

export function writeState(directory: string, state: TortureState): void {
  mkdirSync(directory, { recursive: true })
  state.problems = state.problems.slice(0, problemsMax)
  const path = join(directory, fileName)
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 1)}\n`)
  renameSync(`${path}.new`, path)
}

/** The newest facts are kept, the oldest dropped. */
export function addFacts(
  known: Record<string, string | null>,
  added: ReadonlyMap<string, string | null>,
): Record<string, string | null> {
  const all = [...Object.entries(known), ...added]
  return Object.fromEntries(all.slice(-factsMax))
}
