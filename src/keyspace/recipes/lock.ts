// Locks and elections: the first of a line holds. Both use etcd's keys, so they meet etcd's own.

import { Fault, isFault, type Revision, utf8Encode } from '../../base/index.ts'
import type { FullKeyspace, KeyValue, RequestOptions } from '../keyspace.ts'
import { cancelled, checkRecipeName, type Ground, inBackground, orCancelled } from './ground.ts'
import { type Hold, KeyHold } from './hold.ts'
import {
  announce,
  enterLine,
  leaveLine,
  observeFirst,
  type Place,
  placeKey,
  placeLost,
  readBefore,
  readFirst,
  untilFirst,
} from './line.ts'
import { type Session, toFaultOf } from './session.ts'

export type WaitOptions = {
  /** Ends the wait (Fault 'cancelled') and leaves the line. */
  readonly signal?: AbortSignal
}

const nothing = new Uint8Array(0)

/**
 * Waits in the line of `name` until everybody before has left, and holds. Faults: 'cancelled'; 'conflict' when
 * this session has the lock or waits for it; 'precondition' when the session ends while it waits. However it
 * fails, the place is given up, at the latest with the session's lease.
 */
export async function acquireLock(
  session: Session,
  name: string,
  options: WaitOptions = {},
): Promise<Hold> {
  const { place, giveBack } = await standFirst(session, { name, value: nothing }, options)
  return new KeyHold(session, place, giveBack)
}

/** As acquireLock(), but undefined at once when somebody has it or waits for it. */
export async function tryLock(
  session: Session,
  name: string,
  options: WaitOptions = {},
): Promise<Hold | undefined> {
  const stood = await stand(session, { name, value: nothing }, options)
  const { place, giveBack } = stood
  const wait = waitOf(session, options.signal)
  try {
    const { before } = await readBefore(session.ground.keyspace, place, { signal: wait.signal })
    if (before === undefined) return new KeyHold(session, place, giveBack)
    await orCancelled(leave(session, stood), wait.signal)
    return undefined
  } catch (error) {
    inBackground(leave(session, stood))
    throw wait.faultOf(error)
  } finally {
    wait.end()
  }
}

/** The lead of an election. */
export type Leadership = Hold & {
  /** Tells everybody a new value, as leader. Fault 'precondition' when the lead is gone. */
  announce(value: Uint8Array): Promise<Revision>
}

/** Stands for election under `value`; settles when elected. Faults of acquireLock(). */
export async function campaign(
  session: Session,
  of: { readonly name: string; readonly value: Uint8Array },
  options: WaitOptions = {},
): Promise<Leadership> {
  const { place, giveBack } = await standFirst(session, of, options)
  return new KeyLeadership(session, place, giveBack)
}

class KeyLeadership extends KeyHold implements Leadership {
  readonly #session: Session
  readonly #place: Place

  constructor(session: Session, place: Place, giveBack: () => void) {
    super(session, place, giveBack)
    this.#session = session
    this.#place = place
  }

  async announce(value: Uint8Array): Promise<Revision> {
    const { keyspace } = this.#session.ground
    const of = { place: this.#place, value }
    const told = await this.#session.write((options) => announce(keyspace, of, options))
    if (!told.isDone) throw placeLost()
    return told.revision
  }
}

export type Leader = {
  readonly value: Uint8Array
  /** The leader's fencing token. */
  readonly token: Revision
  readonly key: Uint8Array
}

/** Who leads now; undefined: nobody. */
export async function readLeader(
  keyspace: FullKeyspace,
  name: string,
  options: RequestOptions = {},
): Promise<Leader | undefined> {
  const { first } = await readFirst(keyspace, utf8Encode(name), options)
  return first && leaderOf(first)
}

/** Each leader and each value it announces, the newest only when they come fast; ends when the signal aborts. */
export async function* observeLeader(
  ground: Ground,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<Leader> {
  const leaders = observeFirst(ground, utf8Encode(name), signal)
  try {
    for await (const { first } of leaders) yield leaderOf(first)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function leaderOf({ value, createRevision, key }: KeyValue): Leader {
  return { value, token: createRevision, key }
}

type Stood = { readonly place: Place; readonly giveBack: () => void }

/** In line, and first. */
export async function standFirst(
  session: Session,
  of: { readonly name: string; readonly value: Uint8Array },
  options: WaitOptions,
): Promise<Stood> {
  const stood = await stand(session, of, options)
  const wait = waitOf(session, options.signal)
  try {
    await untilFirst(session.ground, stood.place, { signal: wait.signal })
    session.mustBeLive()
    return stood
  } catch (error) {
    inBackground(leave(session, stood))
    throw wait.faultOf(error)
  } finally {
    wait.end()
  }
}

/** In line. */
async function stand(
  session: Session,
  of: { readonly name: string; readonly value: Uint8Array },
  { signal }: WaitOptions,
): Promise<Stood> {
  const name = utf8Encode(of.name)
  checkRecipeName(name)
  if (signal?.aborted === true) throw cancelled()
  const { ground, lease } = session
  const giveBack = session.reserve(placeKey(name, lease))
  const asked = { name, lease, value: of.value }
  // Not cancelled with the wait: whether it is in line must be known, to leave.
  const entering = session
    .write((options) => enterLine(ground.keyspace, asked, options))
    .then(({ isNew, ...place }): Stood => {
      if (isNew) return { place, giveBack }
      throw new Fault('conflict', 'the lease of the session stands in this line already')
    })
    .catch((error: unknown) => {
      giveBack()
      throw error
    })
  try {
    return await orCancelled(entering, signal)
  } catch (error) {
    if (isFault(error, 'cancelled')) inBackground(entering.then((stood) => leave(session, stood)))
    throw error
  }
}

/** When the session has ended, its lease takes the place away. */
async function leave(session: Session, { place, giveBack }: Stood): Promise<void> {
  await session.insist((options) => leaveLine(session.ground.keyspace, place, options))
  giveBack()
}

/** A signal for as long as the asker and the session both want to wait. */
export function waitOf(
  session: Session,
  signal: AbortSignal | undefined,
): {
  readonly signal: AbortSignal
  readonly faultOf: (error: unknown) => unknown
  readonly end: () => void
} {
  const both = new AbortController()
  const onAbort = (): void => both.abort()
  const unlisten = session.onEnd(onAbort)
  if (signal?.aborted === true) onAbort()
  else signal?.addEventListener('abort', onAbort)
  return {
    signal: both.signal,
    faultOf: (error) => {
      if (signal?.aborted === true || !session.signal.aborted) return error
      return toFaultOf(session.signal)
    },
    end: () => {
      unlisten()
      signal?.removeEventListener('abort', onAbort)
    },
  }
}
