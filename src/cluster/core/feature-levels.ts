// Feature levels: what a cluster of programs of different versions may do already.
//
// A program supports all levels from `oldestLevel` to `newestLevel`. The cluster has one active level, in its system
// namespace; code that would do what an older program does not understand, or does otherwise, asks
// `levelOf(settings).supports(...)` first. The level is raised once every member supports the next one, and is never
// lowered: from then on a program that does not know it is refused.
//
// A level is added at the end of the table and keeps its meaning for ever. What depends on no level any more (all programs
// that may be mixed with this one have it) is taken out together with its level, by raising `oldestLevel`.

import { Fault } from '../../base/index.ts'
import type { KeyValue } from '../../keyspace/index.ts'
import type { MemberState } from '../cluster.ts'
import { programVersion } from './program-version.ts'
import { levelCodec, type LevelRecord } from './records.ts'

/** The level of clusters that were founded before there were levels, and of programs that tell none. */
export const firstLevel = 1

/** The record of `levelKey`; undefined: none was ever written. */
export function levelRecordOf(kv: KeyValue | undefined): LevelRecord {
  if (kv !== undefined) return levelCodec.decode(kv.value)
  return { level: firstLevel, isByOperator: false, raisedMs: 0 }
}

/** Each feature with the level that switches it on, and what that means for people. */
export const featureTable = {
  'services-by-capability': {
    level: 2,
    what: "each node serves S3 and etcd's API as its capabilities say, also when an operator changes them",
  },
  'sql-databases': {
    level: 3,
    what: 'SQL databases can be created: every node opens its replica of each',
  },
  'etcd-by-setting': {
    level: 4,
    what: "etcd's API is switched on and off for the whole cluster by a setting, etcd.api_bind",
  },
} as const satisfies Readonly<Record<string, { readonly level: number; readonly what: string }>>

export type Feature = keyof typeof featureTable

export const oldestLevel = firstLevel
export const newestLevel = Object.values(featureTable).reduce(
  (newest, { level }) => Math.max(newest, level),
  firstLevel,
)

/** What a cluster goes by. `settings.level` absent: the first. */
export function levelOf({ level = firstLevel }: { readonly level?: number }) {
  return { supports: (feature: Feature): boolean => featureTable[feature].level <= level }
}

/** Features that come with a level above `from`, up to `to`, in the order of their names. */
export function featuresBetween(
  from: number,
  to: number,
): readonly { readonly name: Feature; readonly level: number; readonly what: string }[] {
  const names = Object.keys(featureTable).sort() as Feature[]
  return names
    .map((name) => ({ name, ...featureTable[name] }))
    .filter(({ level }) => level > from && level <= to)
}

/** The Fault of a program that may not take part: too old for the cluster, or newer than it can be mixed with. */
export function levelFault(
  active: number,
  program: { readonly newest: number; readonly oldest: number } = {
    newest: newestLevel,
    oldest: oldestLevel,
  },
): Fault | undefined {
  const { newest, oldest } = program
  if (active > newest) {
    return new Fault(
      'precondition',
      `this program (${programVersion}) is too old: it knows feature levels up to ${newest}, and the cluster goes by level ${active}`,
      { next: 'install the version that the other nodes run; a level is never lowered' },
    )
  }
  if (active >= oldest) return undefined
  return new Fault(
    'precondition',
    `this program (${programVersion}) is too new: it knows feature levels from ${oldest}, and the cluster goes by level ${active}`,
    { next: 'install the release in between on all nodes first, and let the level rise' },
  )
}

/** A member as it is heard now. */
export type HeardLevel = {
  readonly id: number
  readonly name: string
  readonly state: MemberState
  /** False: it has not been heard since its leader began to listen. */
  readonly isHeard: boolean
  /** The newest that its program supports; 0 when it tells none. */
  readonly level: number
  readonly version: string
}

export type RaisePlan = {
  /** To which level it can be raised now; the active one when it cannot. */
  readonly to: number
  /** Who stands in the way of the next level, in words. */
  readonly blockers: readonly string[]
}

/**
 * What the leader may do now. Everybody who is not removed counts, also who is silent: it may come back with the program
 * that it had. `newest`: of the leader's own program, which does not raise to what it does not know.
 */
export function planRaise(
  members: readonly HeardLevel[],
  active: number,
  newest: number = newestLevel,
): RaisePlan {
  const counted = members.filter(({ state }) => state !== 'removed')
  const supported = counted.reduce((least, member) => Math.min(least, ableTo(member)), newest)
  if (newest <= active || counted.length === 0) return { to: active, blockers: [] }
  const blockers = counted
    .filter((member) => ableTo(member) <= active)
    .map((member) => blockerText(member, active + 1))
  return { to: Math.max(active, supported), blockers }
}

/** 0: nobody knows, because it is not here to say. */
function ableTo({ state, isHeard, level }: HeardLevel): number {
  const isHere = isHeard && (state === 'online' || state === 'draining')
  return isHere ? Math.max(firstLevel, level) : 0
}

function blockerText({ name, state, isHeard, version }: HeardLevel, next: number): string {
  if (state !== 'online' && state !== 'draining') return `${name} is ${state}`
  if (!isHeard) return `${name} has not been heard`
  return `${name} runs ${version === '' ? 'an older program' : version}, which does not know level ${next}`
}
