// What runs where, for people: every service that there is a setting or a capability for, whether this version has it, what was set for
// it, which members are to run it and which say that they do. What a member does not tell is not guessed.

import {
  type Cluster,
  defaultServices,
  hasCapability,
  capabilityKinds,
  type Settings,
} from '../cluster/index.ts'
import type { Heard } from './status.ts'

export type CapabilityRow = {
  readonly name: string
  readonly about: string
  /** False: this version has no program for it; its settings are kept for one that has. */
  readonly isHere: boolean
  /** As in cluster.json. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly nodes: readonly CapabilityOnNode[]
}

/** `runs` undefined: it does not answer, or its program does not tell. */
export type CapabilityOnNode = {
  readonly id: number
  readonly name: string
  readonly isWanted: boolean
  readonly runs: boolean | undefined
}

/** What cluster.json has as its place is where it would be: without a setting, or flags of a node, it is served nowhere. */
const unsetEtcd = { api_bind: '', client_certificate: true }

/** Programs from this feature level on tell what they run. */
const tellingLevel = 4

export function reportServices(
  settings: Settings,
  targetSize: number,
  heard: readonly Heard[],
): readonly CapabilityRow[] {
  const set = settings.services ?? {}
  const own: Readonly<Record<string, Readonly<Record<string, unknown>>>> = { etcd: unsetEtcd }
  const defaults = defaultServices(settings.clusterId, targetSize)
  const named = heard.flatMap(({ member }) => member.caps)
  const known = Object.keys(capabilityKinds)
  const others = [...named, ...Object.keys(set)].filter((name) => !known.includes(name)).sort()
  return [...new Set([...known, ...others])].map((name) => {
    const kind = Object.hasOwn(capabilityKinds, name) ? capabilityKinds[name] : undefined
    const isHere = kind?.isHere ?? false
    return {
      name,
      about: kind?.about ?? 'not known to this version',
      isHere,
      settings: { ...defaults[name], ...own[name], ...set[name] },
      nodes: heard.map(({ member, status }) => ({
        id: member.id,
        name: member.name,
        // What is not here is asked for by name only: a node without a list runs all that there is.
        isWanted: isHere ? isWantedOn(name, member.caps) : member.caps.includes(name),
        runs: !isHere
          ? false
          : (status?.level ?? 0) < tellingLevel
            ? undefined
            : status?.services.includes(name),
      })),
    }
  })
}

/** The console is on every node, whatever its capabilities. */
function isWantedOn(name: string, caps: readonly string[]): boolean {
  return name === 'console' || hasCapability(caps, name)
}

/** What the core of a node runs of itself. */
export function coreServices(
  { view }: Cluster,
  given: {
    readonly self: number
    readonly hasSql: boolean
    readonly hasPages: boolean
    readonly hasDesk: boolean
  },
): readonly string[] {
  const caps = view.members().find(({ id }) => id === given.self)?.caps ?? []
  return [
    ...(given.hasPages ? ['console'] : []),
    ...(given.hasDesk && hasCapability(caps, 'control') ? ['control'] : []),
    ...(given.hasSql && hasCapability(caps, 'sql') ? ['sql'] : []),
  ]
}
