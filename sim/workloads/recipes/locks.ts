// Locks and elections. Owners hold, write to a resource that they share, and let go, or forget to; some give up
// waiting. The resource is outside of the keyspace: what an owner sends to it arrives after a while, also when
// the owner is gone by then.
//
// Checked: somebody who never heard of a loss had it alone from grant to release; tokens rise from holder to
// holder; the resource never took a write of an older holder after one of a newer (sim/histories, lockModel);
// no transaction with an older guard came after one with a newer; observers see leaders in order of tokens.

import { isFault, type Random, utf8Encode } from '../../../src/base/index.ts'
import {
  acquireLock,
  campaign,
  type Hold,
  observeLeader,
  openSession,
  type Session,
  tryLock,
} from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import {
  check,
  formatViolation,
  type History,
  HistoryRecorder,
  lockModel,
  type LockInput,
  type LockOutput,
  type OpenCall,
} from '../../histories/index.ts'
import type { RunningNode } from '../keyspace-cluster.ts'
import { nodeFaultKinds } from '../promises.ts'
import {
  type Exercise,
  type ExerciseKind,
  groundOf,
  padded,
  repeat,
  type Stage,
  unpadded,
} from '../recipes.ts'

const names = ['lock', 'other lock', 'election']
const ownersPerNode = 2
const ttlSeconds = 2
const messageMsMax = 400

export const locks: ExerciseKind = {
  name: 'lock',
  promises: [
    'holds granted',
    'holds lost',
    'holds released',
    'waits given up',
    'writes refused by the fence',
    'guarded transactions',
    'guards refused',
    'leaders observed',
    'fault flipped bit',
  ],
  faults: [...nodeFaultKinds, 'flipped bit', 'flipped bit'],
  create: (stage) => new Locks(stage),
}

class Locks implements Exercise {
  readonly #stage: Stage
  readonly #recorder = new HistoryRecorder<LockInput, LockOutput>()
  /** The resource's memory: the highest token that it has seen. */
  readonly #fences = new Map<string, number>()
  #owners = 0

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    for (let i = 0; i < ownersPerNode; i++) {
      repeat(this.#stage, node, (random) => this.#own(node, random))
    }
    this.#observe(node).catch((error: unknown) => {
      if (!isFault(error)) this.#stage.world.fail(error)
    })
  }

  async settle(): Promise<void> {}

  check(): void {
    const verdict = check(ofGrants(this.#recorder.history()), lockModel)
    this.#stage.world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') throw new WorldFailure(formatViolation(verdict, lockModel))
    if (verdict.kind === 'unknown') throw new WorldFailure(`too wide to judge: ${verdict.reason}`)
  }

  async #own(node: RunningNode, random: Random): Promise<void> {
    const session = await openSession(groundOf(node), { ttlSeconds })
    for (let turn = 0; turn < 6 && session.isLive() && !this.#stage.isOver; turn++) {
      await this.#holdOnce(node, session, random)
      await node.host.clock.sleep(random.integer(100))
    }
    if (random.chance(0.5)) await session.close()
    else await node.host.clock.sleep(100)
  }

  async #holdOnce(node: RunningNode, session: Session, random: Random): Promise<void> {
    const lock = names[random.integer(names.length)] as string
    const owner = `${node.host.node}.${++this.#owners}`
    const call = this.#recorder.called(node.host.node, { kind: 'acquire', lock, owner })
    const lapse = this.#recorder.called(node.host.node, { kind: 'lapse', lock, owner })
    const hold = await this.#acquire(session, lock, random).catch((error: unknown) => {
      if (!isFault(error)) throw error
      if (error.code === 'cancelled') this.#stage.world.count('waits given up')
      return undefined
    })
    if (hold === undefined) return
    this.#stage.world.count('holds granted')
    this.#recorder.returned(call, { token: hold.token })
    const work = 1 + random.integer(3)
    for (let i = 0; i < work; i++) {
      this.#send(node, lock, hold.token)
      await this.#writeGuarded(node, lock, hold)
      await node.host.clock.sleep(random.integer(random.chance(0.1) ? 3_000 : 150))
      if (!hold.isHeld() && random.chance(0.7)) break
    }
    await this.#letGo(node, { lock, owner, hold, lapse, session, random })
  }

  async #acquire(session: Session, lock: string, random: Random): Promise<Hold | undefined> {
    const { clock } = session.ground.host
    const stopping = new AbortController()
    const timer = random.chance(0.3)
      ? clock.after(random.integer(1_500), () => stopping.abort())
      : undefined
    const { signal } = stopping
    try {
      if (lock === 'election') {
        const value = utf8Encode(String(session.lease))
        return await campaign(session, { name: lock, value }, { signal })
      }
      if (random.chance(0.2)) return await tryLock(session, lock, { signal })
      return await acquireLock(session, lock, { signal })
    } finally {
      timer?.cancel()
    }
  }

  async #letGo(
    node: RunningNode,
    held: {
      readonly lock: string
      readonly owner: string
      readonly hold: Hold
      readonly lapse: OpenCall<LockInput>
      readonly session: Session
      readonly random: Random
    },
  ): Promise<void> {
    const { lock, owner, hold, lapse, session, random } = held
    if (!hold.isHeld()) {
      this.#stage.world.count('holds lost')
      return
    }
    if (random.chance(0.1)) {
      // Forgotten: it ends with the session.
      await session.close().catch((error: unknown) => {
        if (!isFault(error)) throw error
      })
      return
    }
    // It was held all the time: nobody else had it.
    this.#recorder.refused(lapse)
    const call = this.#recorder.called(node.host.node, { kind: 'release', lock, owner })
    await hold.release()
    if (!session.isLive()) {
      this.#recorder.lost(call)
      return
    }
    this.#stage.world.count('holds released')
    this.#recorder.returned(call, { isDone: true })
  }

  /** A write to the resource under the token, which arrives when it arrives. */
  #send(node: RunningNode, lock: string, token: number): void {
    const { world } = this.#stage
    const call = this.#recorder.called(node.host.node, { kind: 'guarded', lock, token })
    world.schedule(world.random.integer(messageMsMax), 'write to the resource', () => {
      const isDone = token >= (this.#fences.get(lock) ?? 0)
      if (isDone) this.#fences.set(lock, token)
      else world.count('writes refused by the fence')
      this.#recorder.returned(call, { isDone })
    })
  }

  /** The transaction shows whose came before. */
  async #writeGuarded({ keyspace }: RunningNode, lock: string, hold: Hold): Promise<void> {
    const { world } = this.#stage
    const key = utf8Encode(`guarded ${lock}`)
    const value = padded(String(hold.token))
    const { succeeded, results } = await keyspace.txn({
      compares: [hold.guard()],
      success: [{ kind: 'put', key, value, previous: true }],
      failure: [],
    })
    world.count(succeeded ? 'guarded transactions' : 'guards refused')
    const [put] = results
    if (put?.kind !== 'put' || put.previous === undefined) return
    const before = Number(unpadded(put.previous.value))
    if (before > hold.token) {
      throw new WorldFailure(`${lock}: a write guarded by ${hold.token} came after ${before}'s`)
    }
  }

  async #observe(node: RunningNode): Promise<void> {
    const never = new AbortController().signal
    let last = 0
    for await (const { token, value } of observeLeader(groundOf(node), 'election', never)) {
      this.#stage.world.count('leaders observed')
      if (token < last) throw new WorldFailure(`leader ${token} was seen after leader ${last}`)
      if (value.length === 0) throw new WorldFailure(`leader ${token} says nothing`)
      last = token
    }
  }
}

/** Who never knew of a grant held nothing: it may have kept others waiting, which nobody judges. */
function ofGrants(history: History<LockInput, LockOutput>): History<LockInput, LockOutput> {
  const granted = new Set<string>()
  for (const { input, output } of history) {
    if (input.kind === 'acquire' && output !== undefined) granted.add(input.owner)
  }
  return history.filter(({ input }) => input.kind === 'guarded' || granted.has(input.owner))
}
