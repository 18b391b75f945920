// A counting semaphore. Checked: never more owners than permits, where an owner counts from its grant to its
// release or loss; tokens rise (sim/histories, semaphoreModel); who came first was served first; after the heal
// all permits can be had at once.

import { isFault, type Random } from '../../../src/base/index.ts'
import { acquirePermit, openSession, type Session } from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import {
  check,
  formatViolation,
  type History,
  HistoryRecorder,
  type OpenCall,
} from '../../histories/index.ts'
import {
  semaphoreModel,
  type SemaphoreInput,
  type SemaphoreOutput,
} from '../../histories/models/semaphore.ts'
import type { RunningNode } from '../keyspace-cluster.ts'
import { type Exercise, type ExerciseKind, groundOf, repeat, type Stage } from '../recipes.ts'

const permits = 2
const semaphore = 'semaphore'
const ownersPerNode = 2
const ttlSeconds = 2

export const semaphores: ExerciseKind = {
  name: 'semaphore',
  promises: ['permits granted', 'permits lost', 'permits released', 'waits given up'],
  create: (stage) => new Semaphores(stage),
}

class Semaphores implements Exercise {
  readonly #stage: Stage
  readonly #recorder = new HistoryRecorder<SemaphoreInput, SemaphoreOutput>()
  #owners = 0

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    for (let i = 0; i < ownersPerNode; i++) {
      repeat(this.#stage, node, (random) => this.#own(node, random))
    }
  }

  async settle(): Promise<void> {
    const { cluster, world } = this.#stage
    for (let i = 0; i < permits; i++) {
      let isHeld = false
      const running = cluster.running.get(1)
      if (running === undefined) throw new WorldFailure('node 1 is down after the heal')
      running.host.schedule(0, 'take a permit', () => {
        openSession(groundOf(running))
          .then((session) => acquirePermit(session, { name: semaphore, permits }))
          .then(() => {
            isHeld = true
          })
          .catch((error: unknown) => world.fail(error))
      })
      await cluster.until('all permits can be had at once', () => isHeld)
    }
  }

  check(): void {
    const verdict = check(ofGrants(this.#recorder.history()), semaphoreModel)
    this.#stage.world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') {
      throw new WorldFailure(formatViolation(verdict, semaphoreModel))
    }
    if (verdict.kind === 'unknown') throw new WorldFailure(`too wide to judge: ${verdict.reason}`)
  }

  async #own(node: RunningNode, random: Random): Promise<void> {
    const session = await openSession(groundOf(node), { ttlSeconds })
    for (let turn = 0; turn < 6 && session.isLive() && !this.#stage.isOver; turn++) {
      await this.#holdOnce(node, session, random)
    }
    if (random.chance(0.5)) await session.close()
  }

  async #holdOnce(node: RunningNode, session: Session, random: Random): Promise<void> {
    const { world } = this.#stage
    const { clock } = node.host
    const owner = `${node.host.node}.${++this.#owners}`
    const input = (kind: SemaphoreInput['kind']): OpenCall<SemaphoreInput> =>
      this.#recorder.called(node.host.node, { kind, semaphore, owner, permits })
    const call = input('acquire')
    const lapse = input('lapse')
    const stopping = new AbortController()
    const timer = random.chance(0.3)
      ? clock.after(random.integer(2_000), () => stopping.abort())
      : undefined
    const { signal } = stopping
    const hold = await acquirePermit(session, { name: semaphore, permits }, { signal })
      .catch((error: unknown) => {
        if (!isFault(error)) throw error
        if (error.code === 'cancelled') world.count('waits given up')
        return undefined
      })
      .finally(() => timer?.cancel())
    if (hold === undefined) return
    world.count('permits granted')
    this.#recorder.returned(call, { token: hold.token })
    await clock.sleep(random.integer(random.chance(0.1) ? 3_000 : 300))
    if (!hold.isHeld()) {
      world.count('permits lost')
      return
    }
    this.#recorder.refused(lapse)
    const release = input('release')
    await hold.release()
    if (!session.isLive()) {
      this.#recorder.lost(release)
      return
    }
    world.count('permits released')
    this.#recorder.returned(release, { isDone: true })
  }
}

type Owned = History<SemaphoreInput, SemaphoreOutput>

/** Who never knew of a grant held nothing. */
function ofGrants(history: Owned): Owned {
  const granted = new Set<string>()
  for (const { input, output } of history) {
    if (input.kind === 'acquire' && output !== undefined) granted.add(input.owner)
  }
  return history.filter(({ input }) => granted.has(input.owner))
}
