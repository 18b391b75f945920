// Locks made of a key under a lease, with the revision that made the key as the fencing token; the resource that they
// guard is here and refuses tokens that are too old. Leases are short and often left to run out.

import {
  check,
  formatViolation,
  HistoryRecorder,
  type LockInput,
  type LockOutput,
  lockModel,
} from '../../sim/histories/index.ts'
import { grantLease, txn } from './etcd-client.ts'
import { count, type Epoch, type Load, pick, sleep } from './load.ts'
import type { NodePlace } from './machines.ts'

const clientCount = 3
const lockCount = 6
const ttlSeconds = 2
const pauseMsMax = 400
const afterFailureMs = 300

export function createLockLoad(epoch: Epoch): Load {
  const { random, places, counts } = epoch
  const recorder = new HistoryRecorder<LockInput, LockOutput>()
  const locks = Array.from({ length: lockCount }, (_, at) => `${epoch.name}k/${at}`)
  const fences = new Map<string, number>()
  let nextOwner = 1

  /** The lease may run out at any time from now on: a call of nobody that never returns. */
  const mayLapse = (lock: string, owner: string): void => {
    recorder.lost(recorder.called(-1, { kind: 'lapse', lock, owner }))
  }

  const acquire = async (
    client: number,
    {
      lock,
      owner,
      place,
    }: { readonly lock: string; readonly owner: string; readonly place: NodePlace },
  ): Promise<number | undefined> => {
    const lease = await grantLease(place, ttlSeconds)
    if (lease === undefined) return undefined
    const call = recorder.called(client, { kind: 'acquire', lock, owner })
    const isFree = { key: lock, target: 'CREATE', revision: 0 } as const
    const outcome = await txn(place, [isFree], { key: lock, value: owner, lease })
    if (outcome.kind === 'refused') {
      recorder.refused(call)
      return undefined
    }
    if (outcome.kind === 'unknown') {
      mayLapse(lock, owner)
      recorder.lost(call)
      return undefined
    }
    const { succeeded, revision } = outcome.answer
    if (succeeded) mayLapse(lock, owner)
    count(counts, succeeded ? 'locks granted' : 'locks refused')
    recorder.returned(call, { token: succeeded ? revision : null })
    return succeeded ? revision : undefined
  }

  const guard = (client: number, lock: string, token: number): void => {
    const call = recorder.called(client, { kind: 'guarded', lock, token })
    const isDone = token >= (fences.get(lock) ?? 0)
    if (isDone) fences.set(lock, token)
    else count(counts, 'late owners refused by the fence')
    recorder.returned(call, { isDone })
  }

  const release = async (
    client: number,
    {
      lock,
      owner,
      place,
      token,
    }: {
      readonly lock: string
      readonly owner: string
      readonly place: NodePlace
      readonly token: number
    },
  ): Promise<void> => {
    const call = recorder.called(client, { kind: 'release', lock, owner })
    const isMine = { key: lock, target: 'CREATE', revision: token } as const
    const outcome = await txn(place, [isMine], { key: lock, value: null })
    if (outcome.kind === 'refused') recorder.refused(call)
    else if (outcome.kind === 'unknown') recorder.lost(call)
    else recorder.returned(call, { isDone: outcome.answer.succeeded })
  }

  const client = async (number: number): Promise<void> => {
    while (!epoch.isOver) {
      await sleep(random.integer(pauseMsMax))
      const lock = pick(locks, random)
      const owner = `${nextOwner++}`
      const token = await acquire(number, { lock, owner, place: pick(places, random) })
      if (token === undefined) {
        await sleep(afterFailureMs)
        continue
      }
      await sleep(random.integer(random.chance(0.3) ? 3_000 : pauseMsMax))
      guard(number, lock, token)
      if (random.chance(0.7)) {
        await release(number, { lock, owner, token, place: pick(places, random) })
      }
    }
  }

  return {
    run: async () => {
      await Promise.all(Array.from({ length: clientCount }, (_, number) => client(number)))
    },
    facts: () => new Map(),
    async judge() {
      const verdict = check(recorder.history(), lockModel)
      count(counts, 'lock operations judged', verdict.operations)
      if (verdict.kind === 'violated') return [formatViolation(verdict, lockModel)]
      if (verdict.kind === 'unknown') return [`locks: too wide to judge (${verdict.reason})`]
      return []
    },
  }
}
