// A counting semaphore: at most `permits` hold at any revision. Those who wait stand in a line (line.ts) of their
// own; only its first looks at the permits, and goes from the line to the permits in one transaction, which demands
// that it still is first. Nobody else may add a permit, so a count that was read can only have fallen since.
//
//   name/limit        how many there are, in decimal; agreed on by the first who asks
//   name/wait/LEASE   places in line
//   name/held/LEASE   permits

import { concatBytes, Fault, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Compare } from '../keyspace.ts'
import { checkBound, checkRecipeName, inBackground, untilEvent } from './ground.ts'
import { type Hold, KeyHold } from './hold.ts'
import { isPlaced, linePrefix, type Place, placeKey, placeLost, rangeOf } from './line.ts'
import { standFirst, type WaitOptions, waitOf } from './lock.ts'
import type { Session } from './session.ts'

/** Of one semaphore. */
export const permitsMax = 10_000

/**
 * Waits in line for one of `permits` and holds it; who came first gets one first. A session has at most one permit
 * of a semaphore. Faults: 'cancelled'; 'conflict' when the session has a permit or waits, or when the semaphore has
 * another number of permits; 'precondition' when the session ends.
 */
export async function acquirePermit(
  session: Session,
  of: { readonly name: string; readonly permits: number },
  options: WaitOptions = {},
): Promise<Hold> {
  checkBound(of.permits, 'permits', [1, permitsMax])
  const name = utf8Encode(of.name)
  checkRecipeName(name)
  await agree(session, of)
  const heldName = concatBytes([name, utf8Encode('/held')])
  const key = placeKey(heldName, session.lease)
  const giveBack = session.reserve(key)
  try {
    const line = { name: `${of.name}/wait`, value: new Uint8Array(0) }
    const first = await standFirst(session, line, options)
    try {
      const permit = { name: heldName, key, permits: of.permits }
      const revision = await takePermit(session, { first: first.place, ...permit }, options)
      const held = { name, key, lease: session.lease, revision }
      return new KeyHold(session, held, giveBack)
    } finally {
      first.giveBack()
    }
  } catch (error) {
    giveBack()
    throw error
  }
}

async function agree(
  session: Session,
  of: { readonly name: string; readonly permits: number },
): Promise<void> {
  const key = utf8Encode(`${of.name}/limit`)
  const value = utf8Encode(String(of.permits))
  const { results } = await session.write((options) =>
    session.ground.keyspace.txn(
      {
        compares: [{ key, target: 'create', result: 'equal', operand: 0 }],
        success: [{ kind: 'put', key, value }],
        failure: [{ kind: 'range', request: { key } }],
      },
      options,
    ),
  )
  const [known] = results
  if (known?.kind !== 'range') return
  const limit = utf8Decode(known.response.kvs[0]?.value ?? value)
  if (limit === String(of.permits)) return
  throw new Fault('conflict', `the semaphore ${of.name} has ${limit} permits`)
}

type Wanted = {
  readonly first: Place
  readonly name: Uint8Array
  readonly key: Uint8Array
  readonly permits: number
}

/** As the first of the line: waits until fewer than all permits are held, and takes one. */
async function takePermit(session: Session, wanted: Wanted, { signal }: WaitOptions) {
  const { ground } = session
  const held = rangeOf(linePrefix(wanted.name))
  const wait = waitOf(session, signal)
  try {
    for (;;) {
      const request = { ...held, countOnly: true }
      const { count, revision } = await ground.keyspace.range(request, { signal: wait.signal })
      if (count < wanted.permits) return await move(session, wanted)
      await untilEvent(
        ground,
        { ...held, startRevision: revision + 1, withoutPuts: true },
        wait.signal,
      )
    }
  } catch (error) {
    inBackground(giveUp(session, wanted))
    throw wait.faultOf(error)
  } finally {
    wait.end()
  }
}

async function move(session: Session, { first, key }: Wanted) {
  const { keyspace } = session.ground
  const { succeeded, revision } = await session.write((options) =>
    keyspace.txn(
      {
        compares: [isPlaced(first), isFirst(first)],
        success: [
          { kind: 'delete', key: first.key },
          { kind: 'put', key, value: new Uint8Array(0), lease: first.lease },
        ],
        failure: [],
      },
      options,
    ),
  )
  if (!succeeded) throw placeLost()
  return revision
}

/** Nobody in the line came before. */
function isFirst({ name, revision }: Place): Compare {
  const line = rangeOf(linePrefix(name))
  return { ...line, target: 'create', result: 'greater', operand: revision - 1 }
}

async function giveUp(session: Session, { first, key }: Wanted): Promise<void> {
  await session.insist((options) =>
    session.ground.keyspace.txn(
      {
        compares: [],
        success: [
          { kind: 'delete', key: first.key },
          { kind: 'delete', key },
        ],
        failure: [],
      },
      options,
    ),
  )
}
