// Barriers. A simple one is a key: who waits goes on when it is gone. A double one lets a fixed number of members
// begin together and end together (Hunt and others 2010, section 2.4):
//
//   name/members/LEASE   who is in
//   name/ready           the round is on: all are in; it goes when the last has left
//
// Leaving wakes one at a time: the oldest member waits for the youngest, everybody else removes itself and waits
// for the oldest. A round is known by the create revision of `ready`, so that whoever wakes late does not wait for
// the next round's members.

import { concatBytes, Fault, type Revision, utf8Encode } from '../../base/index.ts'
import type { Compare, KeyValue, Operation, RequestOptions } from '../keyspace.ts'
import {
  cancelled,
  checkBound,
  checkRecipeName,
  type Ground,
  inBackground,
  orCancelled,
  untilEvent,
} from './ground.ts'
import { isPlaced, linePrefix, placeKey, placeLost, rangeOf, untilDeleted } from './line.ts'
import { type WaitOptions, waitOf } from './lock.ts'
import type { Session } from './session.ts'

export const membersMax = 1024
const nothing = new Uint8Array(0)

/** Everybody who waits stops here until it is lowered; with a session, also when the session ends. Fault 'exists'. */
export async function raiseBarrier(
  ground: Ground,
  name: string,
  options: RequestOptions & { readonly session?: Session } = {},
): Promise<Revision> {
  const { session, ...request } = options
  const key = barrierKey(name)
  const lease = session?.lease ?? 0
  const raised = await ground.keyspace.txn(
    {
      compares: [isAbsent(key)],
      success: [{ kind: 'put', key, value: nothing, lease }],
      failure: [],
    },
    request,
  )
  if (raised.succeeded) return raised.revision
  throw new Fault('exists', `the barrier ${name} is raised already`)
}

/** Lets everybody go. Nothing happens when it is not raised. */
export async function lowerBarrier(
  ground: Ground,
  name: string,
  options: RequestOptions = {},
): Promise<void> {
  await ground.keyspace.delete(barrierKey(name), options)
}

/** Settles at once when the barrier is not raised, else when it is lowered. Fault 'cancelled'. */
export async function awaitBarrier(
  ground: Ground,
  name: string,
  options: WaitOptions = {},
): Promise<void> {
  const key = barrierKey(name)
  for (;;) {
    const { kvs, revision } = await ground.keyspace.range({ key, keysOnly: true }, options)
    if (kvs.length === 0) return
    await untilDeleted(ground, { key, after: revision }, options.signal)
  }
}

function barrierKey(name: string): Uint8Array {
  const key = utf8Encode(name)
  checkRecipeName(key)
  return key
}

/** One member's part in one round of a double barrier. */
export type BarrierRound = {
  /** The same for all members of the round; later rounds have higher ones. */
  readonly round: Revision
  /** Settles when every member has left or its session has ended. Fault 'cancelled': it has left, and did not wait. */
  leave(options?: WaitOptions): Promise<void>
}

/**
 * Settles when `count` members are in at the same revision. A member whose session ends before is not counted; one
 * that comes while a round is on waits for the next. Faults: 'cancelled', 'conflict' (this session is in already),
 * 'precondition' (the session ended while it waited).
 */
export async function enterBarrier(
  session: Session,
  of: { readonly name: string; readonly count: number },
  options: WaitOptions = {},
): Promise<BarrierRound> {
  checkBound(of.count, 'count', [1, membersMax])
  checkRecipeName(utf8Encode(of.name))
  if (options.signal?.aborted === true) throw cancelled()
  const member = new Member(session, of)
  const wait = waitOf(session, options.signal)
  try {
    const round = await member.enter(of.count, wait.signal)
    return { round, leave: (how = {}) => member.leave(round, how) }
  } catch (error) {
    inBackground(member.remove())
    throw wait.faultOf(error)
  } finally {
    wait.end()
  }
}

class Member {
  readonly #session: Session
  readonly #ground: Ground
  readonly #key: Uint8Array
  readonly #ready: Uint8Array
  readonly #members: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }
  readonly #giveBack: () => void

  constructor(session: Session, { name }: { readonly name: string }) {
    this.#session = session
    this.#ground = session.ground
    const members = utf8Encode(`${name}/members`)
    this.#key = placeKey(members, session.lease)
    this.#ready = utf8Encode(`${name}/ready`)
    this.#members = rangeOf(linePrefix(members))
    this.#giveBack = session.reserve(this.#key)
  }

  async enter(count: number, signal: AbortSignal): Promise<Revision> {
    const revision = await this.#join(signal)
    for (;;) {
      const seen = await this.#look(signal)
      if (seen.ready !== undefined) {
        if (seen.own?.createRevision !== revision) throw placeLost()
        return seen.ready.createRevision
      }
      if (seen.own?.createRevision !== revision) throw placeLost()
      if (seen.count >= count) {
        const { ready } = await orCancelled(this.#begin(revision), signal)
        if (ready !== undefined) return ready
        continue
      }
      // The last to come in begins the round: the others wake once.
      const startRevision = seen.revision + 1
      await untilEvent(this.#ground, { key: this.#ready, startRevision }, signal)
    }
  }

  /** In, before the round begins. While one is on, waits for its end. */
  async #join(signal: AbortSignal): Promise<Revision> {
    for (;;) {
      const put = {
        kind: 'put',
        key: this.#key,
        value: nothing,
        lease: this.#session.lease,
      } as const
      const joining = this.#write([isAbsent(this.#ready)], [put])
      const { succeeded, revision } = await orCancelled(joining, signal)
      if (succeeded) return revision
      const seen = await this.#look(signal)
      if (seen.ready === undefined) continue
      if (seen.oldest === undefined) await orCancelled(this.#finish(), signal)
      else await this.#untilRoundEnds(seen.revision, signal)
    }
  }

  /** A round whose members all died is ended by whoever waits: so both its end and its members are looked at. */
  async #untilRoundEnds(after: number, signal: AbortSignal): Promise<void> {
    const startRevision = after + 1
    const ended = new AbortController()
    const onAbort = (): void => ended.abort()
    signal.addEventListener('abort', onAbort)
    const untilGone = (range: { readonly key: Uint8Array; readonly rangeEnd?: Uint8Array }) =>
      untilEvent(this.#ground, { ...range, startRevision, withoutPuts: true }, ended.signal)
    try {
      await Promise.race([untilGone({ key: this.#ready }), untilGone(this.#members)])
    } finally {
      signal.removeEventListener('abort', onAbort)
      ended.abort()
    }
  }

  async #begin(revision: Revision): Promise<{ readonly ready: Revision | undefined }> {
    const own = isPlaced({ key: this.#key, revision })
    const put = { kind: 'put', key: this.#ready, value: nothing } as const
    const begun = await this.#write([isAbsent(this.#ready), own], [put])
    return { ready: begun.succeeded ? begun.revision : undefined }
  }

  async leave(round: Revision, { signal }: WaitOptions): Promise<void> {
    const wait = waitOf(this.#session, signal)
    try {
      while (!(await this.#leaveStep(round, wait.signal)));
      this.#giveBack()
    } catch (error) {
      inBackground(this.remove())
      throw wait.faultOf(error)
    } finally {
      wait.end()
    }
  }

  /** True: everybody has left. */
  async #leaveStep(round: Revision, signal: AbortSignal): Promise<boolean> {
    const { ready, oldest, youngest, own, revision } = await this.#look(signal)
    if (ready?.createRevision !== round) return true
    if (oldest === undefined || youngest === undefined) {
      await orCancelled(this.#finish(), signal)
      return false
    }
    if (own !== undefined && oldest.createRevision === own.createRevision) {
      if (youngest.createRevision === own.createRevision) {
        await orCancelled(this.#leaveLast(own), signal)
      } else await untilDeleted(this.#ground, { key: youngest.key, after: revision }, signal)
      return false
    }
    if (own !== undefined) {
      await orCancelled(this.#write([], [{ kind: 'delete', key: this.#key }]), signal)
    }
    await untilDeleted(this.#ground, { key: oldest.key, after: revision }, signal)
    return false
  }

  /** Alone in the barrier: leaves and ends the round at once. Does nothing when somebody else is in. */
  async #leaveLast(own: KeyValue): Promise<void> {
    const { key, rangeEnd } = this.#members
    const after = concatBytes([this.#key, Uint8Array.of(0)])
    await this.#write(
      [isPlaced({ key: this.#key, revision: own.createRevision })].concat(
        isAbsent(key, this.#key),
        isAbsent(after, rangeEnd),
      ),
      [
        { kind: 'delete', key: this.#key },
        { kind: 'delete', key: this.#ready },
      ],
    )
  }

  /** Ends a round that has no members. */
  async #finish(): Promise<void> {
    const { key, rangeEnd } = this.#members
    await this.#write([isAbsent(key, rangeEnd)], [{ kind: 'delete', key: this.#ready }])
  }

  /** Gives up, whatever came of it. */
  async remove(): Promise<void> {
    const { keyspace } = this.#ground
    await this.#session.insist((options) => keyspace.delete(this.#key, options))
    this.#giveBack()
  }

  #write(compares: readonly Compare[], success: readonly Operation[]) {
    const request = { compares, success, failure: [] }
    return this.#session.write((options) => this.#ground.keyspace.txn(request, options))
  }

  /** Everything that matters, at one revision. */
  async #look(signal: AbortSignal) {
    const edge = { ...this.#members, sortBy: 'create', limit: 1, keysOnly: true } as const
    const { results, revision } = await this.#ground.keyspace.txn(
      {
        compares: [],
        success: [
          { kind: 'range', request: { key: this.#ready } },
          { kind: 'range', request: { ...edge, isCounted: true } },
          { kind: 'range', request: { ...edge, isReverse: true } },
          { kind: 'range', request: { key: this.#key } },
        ],
        failure: [],
      },
      { signal },
    )
    const found = results.map((result) => (result.kind === 'range' ? result.response : undefined))
    const [ready, oldest, youngest, own] = found.map((response) => response?.kvs[0])
    return { ready, oldest, youngest, own, count: found[1]?.count ?? 0, revision }
  }
}

/** No such key, or no key in the range. */
function isAbsent(key: Uint8Array, rangeEnd?: Uint8Array): Compare {
  const compare = { key, target: 'version', result: 'equal', operand: 0 } as const
  return rangeEnd === undefined ? compare : { ...compare, rangeEnd }
}
