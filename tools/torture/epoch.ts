// One epoch: fresh keys, all loads at once, rounds of faults, then everything up and judged. Between epochs the
// cluster lives on, and what earlier epochs left behind must still read the same.

import { seededRandom } from '../../src/base/index.ts'
import { currentRevision, hashAt, range } from './etcd-client.ts'
import { anyRound, type FaultRound, killRound } from './faults.ts'
import { createListLoad } from './list-load.ts'
import { type Counts, type Epoch, insist, type Load } from './load.ts'
import { createLockLoad } from './lock-load.ts'
import type { Machine } from './machines.ts'
import type { Networks } from './networks.ts'
import { createObjectLoad, type ObjectAccess, readObject } from './object-load.ts'
import { createRegisterLoad } from './register-load.ts'
import type { TortureState } from './state.ts'

export type EpochOptions = {
  readonly machines: readonly Machine[]
  readonly networks: Networks | undefined
  /** Undefined: no S3. */
  readonly access: ObjectAccess | undefined
  readonly number: number
  readonly counts: Counts
  readonly state: TortureState
  readonly mustEnd: (kills: number) => boolean
  readonly onKills: (kills: number) => void
}

export type EpochResult = {
  readonly kills: number
  readonly problems: readonly string[]
  readonly keyFacts: ReadonlyMap<string, string | null>
  readonly objectFacts: ReadonlyMap<string, string | null>
}

export async function runEpoch(options: EpochOptions): Promise<EpochResult> {
  const { machines, counts, number, access, networks } = options
  const places = machines.map(({ place }) => place)
  const random = seededRandom(number * 7_919 + 1)
  // An epoch that was broken off left keys behind, and its number comes again.
  const name = `e${number}.${Date.now().toString(36)}/`
  const epoch: Epoch = { name, places, random, counts, isOver: false }
  const [first] = places
  const revision = await insist(async () => first && (await currentRevision(first)))
  if (revision === undefined) return failed('the keyspace does not answer before the epoch')
  const keyLoads: Load[] = [createRegisterLoad(epoch, revision + 1), createListLoad(epoch)]
  keyLoads.push(createLockLoad(epoch))
  const objectLoads = access === undefined ? [] : [createObjectLoad(epoch, access)]
  const loads = [...keyLoads, ...objectLoads]
  const problems: string[] = []
  const running = Promise.all(loads.map((load) => load.run()))
  const round: FaultRound = {
    machines,
    random: seededRandom(number * 104_729 + 3),
    counts,
    networks,
  }
  let kills = 0
  try {
    while (!options.mustEnd(kills)) {
      const killed = await (networks === undefined ? killRound(round) : anyRound(round))
      kills += killed
      options.onKills(killed)
    }
    await Promise.all(machines.map((machine) => machine.ready()))
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error))
  }
  epoch.isOver = true
  await running
  for (const load of loads) problems.push(...(await load.judge()))
  problems.push(...(await hashProblems(machines)))
  problems.push(...(await factProblems(machines, options)))
  return {
    kills,
    problems,
    keyFacts: new Map(keyLoads.flatMap((load) => [...load.facts()])),
    objectFacts: new Map(objectLoads.flatMap((load) => [...load.facts()])),
  }
}

function failed(problem: string): EpochResult {
  return { kills: 0, problems: [problem], keyFacts: new Map(), objectFacts: new Map() }
}

/** Replicas agree on everything up to a revision that all of them have. */
async function hashProblems(machines: readonly Machine[]): Promise<readonly string[]> {
  const [first] = machines
  const revision = await insist(async () => first && (await currentRevision(first.place)))
  if (revision === undefined) return ['no revision to compare replicas at']
  const hashes = new Map<number, string | undefined>()
  for (const { place } of machines) {
    hashes.set(place.id, await insist(() => hashAt(place, revision)))
  }
  const different = new Set(hashes.values())
  if (different.size === 1 && !different.has(undefined)) return []
  const told = [...hashes].map(([id, hash]) => `node ${id} ${hash ?? 'none'}`).join(', ')
  return [`replicas differ at revision ${revision}: ${told}`]
}

/** A sample of what earlier epochs left behind, each from a node of its own. */
async function factProblems(
  machines: readonly Machine[],
  { state, access, number }: EpochOptions,
): Promise<readonly string[]> {
  const problems: string[] = []
  const random = seededRandom(number)
  const place = () => (machines[random.integer(machines.length)] as Machine).place
  for (const [key, expected] of sample(state.keyFacts, random)) {
    const found = await insist(() => range(place(), key))
    if (found?.value !== expected) {
      problems.push(`${key} was ${expected} at the end of its epoch and reads ${found?.value}`)
    }
  }
  if (access === undefined) return problems
  for (const [key, expected] of sample(state.objectFacts, random)) {
    const found = await insist(() => readObject(place(), access, key))
    if (found !== expected) {
      problems.push(`object ${key} was ${expected} at the end of its epoch and reads ${found}`)
    }
  }
  return problems
}

const sampleMax = 40

function sample(
  facts: Readonly<Record<string, string | null>>,
  random: { integer(limit: number): number },
): readonly (readonly [string, string | null])[] {
  const all = Object.entries(facts)
  return Array.from({ length: Math.min(sampleMax, all.length) }, () => {
    return all[random.integer(all.length)] as [string, string | null]
  })
}
