// What watchers were told, held against what was written: events in order of revisions, each once, none left
// out, a revision never torn, and every event one that somebody wrote before it was told. These are the
// guarantees Ordered, Unique, Atomic, Reliable, Resumable and Bookmarkable of etcd's API; linearizability
// of the writes themselves is check()'s. What an event tells of the value before is checked too (prevKV, isCreate).
//
// Linear in events. Watchers are compared with the union of what all of them and all writers know.

/** A write of one key. Several of one transaction have the same revision. */
export type WatchedWrite = {
  readonly key: string
  /** null: deleted. */
  readonly value: string | null
  /** undefined: the outcome is unknown; it may have any revision or none. */
  readonly revision: number | undefined
  readonly calledAt: number
}

export type WatchedEvent = {
  readonly key: string
  readonly value: string | null
  readonly revision: number
  /** What the key had before, null: nothing; undefined: it was not told, or not asked for. */
  readonly previous?: string | null | undefined
  /** Of a put: the key was not there before. undefined: not known. */
  readonly isCreate?: boolean | undefined
}

/** One watch as its receiver saw it, from start to close; resumed ones are watches of their own. */
export type WatchRecord = {
  readonly name: string
  /** The first revision that it must show. */
  readonly startRevision: number
  /** Whether a key is in its range and passes its filters. */
  readonly covers: (key: string, value: string | null) => boolean
  readonly responses: readonly {
    readonly at: number
    readonly events: readonly WatchedEvent[]
    /** Everything up to here was told. */
    readonly revision: number
    /** The last event's revision goes on in the next response. */
    readonly isFragment: boolean
  }[]
}

/** Every breach found, one line each, at most `breachesMax`; none: the watches kept their promises. */
export function checkWatches(
  writes: readonly WatchedWrite[],
  watches: readonly WatchRecord[],
): readonly string[] {
  const breaches: string[] = []
  const log = unionOf(writes, watches, breaches)
  for (const watch of watches) {
    breaches.push(...orderBreaches(watch))
    breaches.push(...gapBreaches(watch, log))
    breaches.push(...previousBreaches(watch))
  }
  return breaches.slice(0, breachesMax)
}

const breachesMax = 20

type Known = WatchedEvent & { readonly isWritten: boolean }
/** By revision and key. */
type Log = ReadonlyMap<string, Known>

function idOf({ revision, key }: { readonly revision: number; readonly key: string }): string {
  return `${revision} ${key}`
}

function show({ key, value, revision }: WatchedEvent): string {
  return `${key} = ${value === null ? 'deleted' : JSON.stringify(value)} at ${revision}`
}

/** All writes and events there were; events that nobody wrote and that contradict each other are breaches. */
function unionOf(
  writes: readonly WatchedWrite[],
  watches: readonly WatchRecord[],
  breaches: string[],
): Log {
  const log = new Map<string, Known>()
  const calls = new Map<string, number>()
  const unknown = new Map<string, { readonly calledAt: number }[]>()
  for (const { key, value, revision, calledAt } of writes) {
    const written = JSON.stringify([key, value])
    if (revision === undefined) {
      const same = unknown.get(written)
      if (same === undefined) unknown.set(written, [{ calledAt }])
      else same.push({ calledAt })
      continue
    }
    const event = { key, value, revision, isWritten: true }
    if (log.has(idOf(event))) breaches.push(`two writes were acknowledged as ${show(event)}`)
    log.set(idOf(event), event)
    calls.set(idOf(event), calledAt)
  }
  for (const candidates of unknown.values()) candidates.sort((a, b) => a.calledAt - b.calledAt)
  for (const { event, at, name } of firstSights(watches)) {
    const known = log.get(idOf(event))
    if (known !== undefined) {
      if (known.value !== event.value) breaches.push(`${name}: ${show(event)}, but ${show(known)}`)
      else if ((calls.get(idOf(event)) ?? at) > at) {
        breaches.push(`${name}: ${show(event)} was told before it was asked for`)
      }
      continue
    }
    // Earliest sights take the earliest calls: if any assignment of calls to events exists, this is one.
    const candidates = unknown.get(JSON.stringify([event.key, event.value])) ?? []
    const writer = candidates.shift()
    if (writer === undefined || writer.calledAt > at) {
      breaches.push(`${name}: nobody had written ${show(event)}`)
    }
    log.set(idOf(event), { ...event, isWritten: false })
  }
  return log
}

function firstSights(
  watches: readonly WatchRecord[],
): readonly { readonly event: WatchedEvent; readonly at: number; readonly name: string }[] {
  return watches
    .flatMap(({ name, responses }) => {
      return responses.flatMap(({ at, events }) => events.map((event) => ({ event, at, name })))
    })
    .sort((a, b) => a.at - b.at)
}

/** Ordered, unique, atomic, bookmarkable: what one watch must keep by itself. */
function orderBreaches({ name, startRevision, covers, responses }: WatchRecord): readonly string[] {
  const breaches: string[] = []
  const seen = new Set<string>()
  let last = 0
  let told = startRevision - 1
  let openRevision: number | undefined
  for (const { events, revision, isFragment } of responses) {
    for (const event of events) {
      if (event.revision < startRevision) {
        breaches.push(`${name}: ${show(event)} is before its start at ${startRevision}`)
      }
      if (event.revision < last) breaches.push(`${name}: ${show(event)} comes after ${last}`)
      if (event.revision <= told && event.revision !== openRevision) {
        breaches.push(`${name}: ${show(event)}, though everything up to ${told} had been told`)
      }
      if (seen.has(idOf(event))) breaches.push(`${name}: ${show(event)} comes twice`)
      if (!covers(event.key, event.value)) breaches.push(`${name}: ${show(event)} is not its own`)
      seen.add(idOf(event))
      last = Math.max(last, event.revision)
    }
    if (revision < told)
      breaches.push(`${name}: its revision goes back from ${told} to ${revision}`)
    if (!isFragment && revision < last) breaches.push(`${name}: ${last} is told beyond ${revision}`)
    told = Math.max(told, revision, isFragment ? 0 : last)
    openRevision = isFragment ? events.at(-1)?.revision : undefined
  }
  return breaches
}

/** What an event says of the one before it, where the watch has seen that one itself. */
function previousBreaches({ name, covers, responses }: WatchRecord): readonly string[] {
  const breaches: string[] = []
  const values = new Map<string, string | null>()
  for (const event of responses.flatMap(({ events }) => events)) {
    const { key, value, previous, isCreate } = event
    const before = values.get(key)
    values.set(key, value)
    // A watch that leaves out puts or deletes does not know what came before.
    if (before === undefined || !covers(key, null) || !covers(key, '')) continue
    if (previous !== undefined && previous !== before) {
      breaches.push(`${name}: ${show(event)} came after ${before}, not after ${previous}`)
    }
    if (isCreate !== undefined && isCreate !== (before === null)) {
      const what = isCreate ? 'a creation' : 'no creation'
      breaches.push(`${name}: ${show(event)} is told as ${what}, after ${before}`)
    }
  }
  return breaches
}

/** Reliable and resumable: from the start on, up to the revision that it named, nothing is left out. */
function gapBreaches(watch: WatchRecord, log: Log): readonly string[] {
  const { name, startRevision, covers, responses } = watch
  const seen = new Set(responses.flatMap(({ events }) => events.map(idOf)))
  const end = responses.reduce((most, response) => {
    return Math.max(most, response.revision - (response.isFragment ? 1 : 0))
  }, startRevision - 1)
  const breaches: string[] = []
  for (const event of log.values()) {
    if (event.revision < startRevision || event.revision > end) continue
    if (covers(event.key, event.value) && !seen.has(idOf(event))) {
      const source = event.isWritten ? 'was acknowledged' : 'was told to another'
      breaches.push(`${name}: ${show(event)} ${source} and is left out`)
    }
  }
  return breaches
}
