// Plants in leases, watches, sessions and the recipes on them.

import type { Plant } from './plant.ts'

const recipes = 'src/keyspace/recipes'

const leasePlants: readonly Plant[] = [
  {
    name: 'lease-expired-early',
    does: 'a keepalive is answered, and the time of the lease does not begin anew',
    workload: 'lease',
    seedsMax: 5,
    edits: [
      {
        file: 'src/keyspace/lessor.ts',
        find: 'this.#deadlines.set(id, this.#now() + lease.ttlSeconds * 1000)',
        replace: '',
      },
    ],
  },
  {
    name: 'lease-time-outlives-the-lead',
    does: 'who leads again counts on from when it led before, whatever others promised meanwhile',
    workload: 'lease',
    seedsMax: 60,
    edits: [
      {
        file: 'src/keyspace/lessor.ts',
        find: 'this.#stint++\n    this.#deadlines.clear()',
        replace: 'this.#stint++',
      },
    ],
  },
]

const watchPlants: readonly Plant[] = [
  {
    name: 'watch-event-skipped-after-compaction',
    does: 'a watch behind the compacted revision goes on behind it, instead of ending',
    workload: 'keyspace',
    seedsMax: 60,
    edits: [
      {
        file: 'src/keyspace/watch-source.ts',
        find: 'if (from.modRevision < this.compacted) throw compactedFault(this.compacted)',
        replace:
          'if (from.modRevision < this.compacted) return { modRevision: this.compacted + 1, sub: 0 }',
      },
    ],
  },
  {
    name: 'watch-told-before-its-start',
    does: 'a watch that begins beyond its node is told how far the node is',
    workload: 'keyspace',
    seedsMax: 60,
    edits: [
      {
        file: 'src/keyspace/watch-fan.ts',
        find: 'if (watching.next.modRevision > chunk.revision + 1) return\n',
        replace: '',
      },
      {
        file: 'src/keyspace/watch-fan.ts',
        find: 'const revision = toRevision(watching.next.modRevision - 1)',
        replace: 'const revision = toRevision(chunk.revision)',
      },
    ],
  },
  {
    name: 'watch-joins-behind-the-feed',
    does: 'a watch joins its feed wherever the feed is',
    workload: 'keyspace',
    seedsMax: 60,
    edits: [
      {
        file: 'src/keyspace/watch-feed.ts',
        find: 'next.modRevision > revision && !isBefore(next, this.#cursor)',
        replace: '!isBefore(next, { modRevision: 0, sub: 0 })',
      },
    ],
  },
]

const valuePlants: readonly Plant[] = [
  {
    name: 'rotten-value-left-to-rot',
    does: 'a value whose bytes are damaged on one node is asked of nobody else',
    workload: 'keyspace',
    seedsMax: 150,
    edits: [
      {
        file: 'src/keyspace/value-recovery.ts',
        find: 'if (value !== undefined && equalBytes(sha256(value), digest)) return value',
        replace: 'if (value !== undefined && value.length < 0) return value',
      },
    ],
  },
]

const sessionPlants: readonly Plant[] = [
  {
    name: 'sessions-missing-from-the-snapshot',
    does: 'a snapshot has no answers, so that a copy of a request runs again where it was installed',
    workload: 'once',
    seedsMax: 60,
    edits: [
      {
        file: 'src/keyspace/snapshot.ts',
        find: 'for (const row of rowsOf(view, table, space)) {',
        replace: "for (const row of table === 'sessions' ? [] : rowsOf(view, table, space)) {",
      },
    ],
  },
  {
    name: 'closed-request-runs-again',
    does: 'a copy of a request that its asker has closed is taken for a new one',
    workload: 'once',
    seedsMax: 5,
    edits: [
      {
        file: 'src/keyspace/core/sessions.ts',
        find: 'if (id.sequence < session.lowestOpen) {',
        replace: 'if (id.sequence < 0) {',
      },
    ],
  },
  {
    name: 'expired-session-runs-again',
    does: 'a copy that outlives its session is taken for the first request of a new one',
    workload: 'once',
    seedsMax: 30,
    edits: [
      {
        file: 'src/keyspace/core/sessions.ts',
        find: 'if (timeMs - id.openedMs >= sessionExpiryMs) throw sessionExpired(timeMs)',
        replace: '',
      },
    ],
  },
  {
    name: 'payload-not-compared',
    does: 'another request under the number of an answered one gets that answer',
    workload: 'once',
    seedsMax: 5,
    edits: [
      {
        file: 'src/keyspace/core/state.ts',
        find: 'if (duplicate.requestCrc === requestCrc) return duplicate.answer',
        replace: 'return duplicate.answer',
      },
    ],
  },
]

const holdPlants: readonly Plant[] = [
  {
    name: 'lock-without-fence',
    does: 'the guard of a hold holds for everybody, also for a holder that is late',
    workload: 'lock',
    seedsMax: 60,
    edits: [
      {
        file: `${recipes}/hold.ts`,
        find: 'return isPlaced(this.#place)',
        replace: "return { ...isPlaced(this.#place), result: 'not-equal', operand: 1 }",
      },
    ],
  },
  {
    name: 'lock-token-is-the-lease',
    does: 'the token is the number of the lease, which does not rise from holder to holder',
    workload: 'lock',
    seedsMax: 5,
    edits: [
      {
        file: `${recipes}/hold.ts`,
        find: 'this.token = place.revision',
        replace: 'this.token = place.lease',
      },
    ],
  },
  {
    name: 'lock-held-when-somebody-leaves',
    does: 'who waits takes the end of one before for its turn, without looking again',
    workload: 'lock',
    seedsMax: 10,
    edits: [
      {
        file: `${recipes}/line.ts`,
        find: 'await untilDeleted(ground, { key: before.key, after: revision }, options.signal)',
        replace:
          'await untilDeleted(ground, { key: before.key, after: revision }, options.signal)\n    return',
      },
    ],
  },
  {
    name: 'one-permit-too-many',
    does: 'the first of the line takes a permit when all are held',
    workload: 'semaphore',
    seedsMax: 5,
    edits: [
      {
        file: `${recipes}/semaphore.ts`,
        find: 'if (count < wanted.permits)',
        replace: 'if (count <= wanted.permits)',
      },
    ],
  },
  {
    name: 'barrier-begins-early',
    does: 'a round begins when one is missing',
    workload: 'barrier',
    seedsMax: 5,
    edits: [
      {
        file: `${recipes}/barrier.ts`,
        find: 'if (seen.count >= count) {',
        replace: 'if (seen.count >= count - 1) {',
      },
    ],
  },
]

const workPlants: readonly Plant[] = [
  {
    name: 'late-acknowledgement-taken',
    does: 'an acknowledgement does not ask whether its receiver still has the message',
    workload: 'queue',
    seedsMax: 20,
    edits: [
      {
        file: `${recipes}/claims.ts`,
        find: 'const request = { compares: [this.guard()], success, failure: [] }',
        replace: 'const request = { compares: [], success, failure: [] }',
      },
    ],
  },
  {
    name: 'visibility-not-begun-anew',
    does: 'a lease is used for another message with the time that the last one left',
    workload: 'queue',
    seedsMax: 20,
    edits: [
      {
        file: `${recipes}/claims.ts`,
        find: 'const { ttlSeconds } = await leases.keepAlive(id)',
        replace: 'const { ttlSeconds } = await leases.timeToLive(id)',
      },
    ],
  },
  {
    name: 'tick-resumed-without-count',
    does: 'a new leader repeats the attempt of the one before under its number',
    workload: 'schedule',
    seedsMax: 30,
    edits: [
      {
        file: `${recipes}/schedule.ts`,
        find: "await this.#again(run, 'the node that ran it went away')",
        replace: 'await this.#attempt(run)',
      },
    ],
  },
  {
    name: 'dead-tick-still-runs',
    does: 'a tick that became a dead letter is tried again by the next leader',
    workload: 'schedule',
    seedsMax: 10,
    edits: [
      {
        file: `${recipes}/schedule.ts`,
        find: '[this.#dropRun(run), put, ...room]',
        replace: '[put, ...room]',
      },
    ],
  },
]

export const recipePlants: readonly Plant[] = [
  ...leasePlants,
  ...watchPlants,
  ...valuePlants,
  ...sessionPlants,
  ...holdPlants,
  ...workPlants,
]
