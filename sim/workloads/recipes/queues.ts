// A queue with receivers that are slow, forget, give up and die. Checked: nothing acknowledged to a producer is lost: it
// is acknowledged by one receiver exactly once, or is a dead letter after all its deliveries; nothing is delivered that
// nobody enqueued; attempts count up, tokens rise, and a message is with nobody else before its visibility is over;
// first deliveries are a FIFO queue's answers (sim/histories, queueModel); effects that go with an acknowledgement
// happen once.

import { isFault, type Random, type Revision, utf8Encode } from '../../../src/base/index.ts'
import {
  createQueue,
  type Delivery,
  openSession,
  type Queue,
  type Session,
} from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import {
  check,
  formatViolation,
  type History,
  HistoryRecorder,
  type Operation,
  type QueueInput,
  queueModel,
  type QueueOutput,
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

const name = 'queue'
const visibilitySeconds = 2
const deliveriesMax = 3
/** Clocks differ by 0.2 % each way, skewed ones apart. */
const caution = 0.995
const options = { name, visibilitySeconds, deliveriesMax }
/** Nobody acknowledges these: they become dead letters. */
const poisonRatio = 0.08

export const queues: ExerciseKind = {
  name: 'queue',
  promises: [
    'messages enqueued',
    'messages delivered',
    'messages delivered again',
    'messages acknowledged',
    'acknowledgements refused',
    'dead letters',
    'waits given up',
    'fault flipped bit',
  ],
  faults: [...nodeFaultKinds, 'flipped bit'],
  create: (stage) => new Queues(stage),
}

type Sent = { readonly body: string; isKnown: boolean }
type Received = {
  readonly attempt: number
  readonly token: Revision
  readonly returnedMs: number
  /** Of the recorder. */
  readonly at: number
  /** What the receiver was told then, by its own clock. */
  readonly leftMs: number
  /** Given back or forgotten on purpose: others may have it before its time is over. */
  isReleased: boolean
}

class Queues implements Exercise {
  readonly #stage: Stage
  readonly #recorder = new HistoryRecorder<QueueInput, QueueOutput>()
  readonly #sent = new Map<string, Sent>()
  readonly #received = new Map<string, Received[]>()
  readonly #acknowledged = new Map<string, number>()
  /** Acknowledgements whose outcome is not known. */
  readonly #maybe = new Set<string>()
  readonly #dead = new Set<string>()
  #bodies = 0
  /** Receivers forget nothing any more. */
  #isDraining = false

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    const queue = createQueue(groundOf(node), options)
    repeat(this.#stage, node, (random) => this.#produce(node, queue, random))
    repeat(this.#stage, node, (random) => this.#consume(node, queue, random))
  }

  async #produce(node: RunningNode, queue: Queue, random: Random): Promise<void> {
    await node.host.clock.sleep(random.integer(1_500))
    const isPoison = random.chance(poisonRatio)
    const body = `${isPoison ? 'poison' : 'message'} ${++this.#bodies}`
    const sent = { body, isKnown: false }
    this.#sent.set(body, sent)
    const call = this.#recorder.called(node.host.node, {
      kind: 'enqueue',
      queue: name,
      value: body,
    })
    try {
      await queue.enqueue(padded(body))
    } catch (error) {
      if (isFault(error) && error.outcome === 'failed') {
        this.#recorder.refused(call)
        this.#sent.delete(body)
      } else this.#recorder.lost(call)
      throw error
    }
    sent.isKnown = true
    this.#stage.world.count('messages enqueued')
    this.#recorder.returned(call, {})
  }

  async #consume(node: RunningNode, queue: Queue, random: Random): Promise<void> {
    const session = await openSession(groundOf(node), { ttlSeconds: 2 })
    while (session.isLive() && !this.#stage.isOver) {
      const delivery = await this.#receive(node, queue, { session, random })
      if (delivery !== undefined) await this.#work(node, delivery, random)
    }
    await session.close()
  }

  async #receive(
    node: RunningNode,
    queue: Queue,
    { session, random }: { readonly session: Session; readonly random: Random },
  ): Promise<Delivery | undefined> {
    const { world } = this.#stage
    const call = this.#recorder.called(node.host.node, { kind: 'dequeue', queue: name })
    const stopping = new AbortController()
    const timer = node.host.clock.after(500 + random.integer(2_500), () => stopping.abort())
    try {
      const delivery = await queue.receive(session, { signal: stopping.signal })
      const body = unpadded(delivery.body)
      const { attempt, token } = delivery
      const known = this.#received.get(body) ?? []
      this.#received.set(body, known)
      known.push({ attempt, token, ...this.#timesOf(delivery), isReleased: false })
      world.count(attempt === 1 ? 'messages delivered' : 'messages delivered again')
      // Only first deliveries are in order; the others take nothing from the queue of those.
      if (attempt === 1) this.#recorder.returned(call, { value: body })
      else this.#recorder.refused(call)
      return delivery
    } catch (error) {
      this.#recorder.lost(call)
      if (!isFault(error)) throw error
      if (error.code === 'cancelled') world.count('waits given up')
      return undefined
    } finally {
      timer.cancel()
    }
  }

  #timesOf(delivery: Delivery) {
    const { nowMs } = this.#stage.world
    return { returnedMs: nowMs, leftMs: delivery.leftMs(), at: this.#recorder.moment() }
  }

  /** Nobody else has it before. Its receiver and the leader count by their own clocks: one may be slow, the other fast. */
  #endOf({ returnedMs, leftMs }: Received): number {
    const { clockRateMin, clockRateMax } = this.#stage.world
    const allMs = visibilitySeconds * 1_000
    const goneMs = (allMs - leftMs * caution) / clockRateMin
    return returnedMs + allMs / clockRateMax - goneMs
  }

  async #work(node: RunningNode, delivery: Delivery, random: Random): Promise<void> {
    const { world } = this.#stage
    const body = unpadded(delivery.body)
    const isLong = !this.#isDraining && random.chance(0.1)
    await node.host.clock.sleep(random.integer(isLong ? 3_500 : 200))
    if (isLong && random.chance(0.3)) await delivery.extend()
    const draw = this.#isDraining ? -1 : random.integer(20)
    if (draw === 0) return
    if (draw === 1 || body.startsWith('poison')) {
      const last = this.#received.get(body)?.findLast(({ token }) => token === delivery.token)
      if (last !== undefined) last.isReleased = true
      await delivery.release()
      return
    }
    const effect = { kind: 'put', key: utf8Encode(`effect/${body}`), value: delivery.body } as const
    try {
      await delivery.acknowledge([effect])
      world.count('messages acknowledged')
      this.#acknowledged.set(body, (this.#acknowledged.get(body) ?? 0) + 1)
    } catch (error) {
      if (isFault(error, 'precondition')) world.count('acknowledgements refused')
      else this.#maybe.add(body)
      throw error
    }
  }

  /** Receives until everything is done or dead. */
  async settle(): Promise<void> {
    const { cluster } = this.#stage
    const node = cluster.running.get(1)
    if (node === undefined) throw new WorldFailure('node 1 is down after the heal')
    this.#isDraining = true
    const queue = createQueue(groundOf(node), options)
    const random = this.#stage.world.drawRandom()
    await cluster.until('the queue is empty', async () => {
      try {
        const { messages } = await cluster.at(1, 20_000, () => queue.depth())
        if (messages === 0) return true
        await cluster.at(1, 20_000, () => this.#drainOne(node, queue, random))
      } catch (error) {
        if (!isFault(error)) throw error
      }
      return false
    })
    for (const { body } of await cluster.ask('dead letters', () => queue.deadLetters())) {
      this.#stage.world.count('dead letters')
      this.#dead.add(unpadded(body))
    }
    await this.#effectsAreOnce()
  }

  async #drainOne(node: RunningNode, queue: Queue, random: Random): Promise<void> {
    const call = this.#recorder.called(node.host.node, { kind: 'dequeue', queue: name })
    const delivery = await queue.tryReceive().catch((error: unknown) => {
      this.#recorder.lost(call)
      throw error
    })
    if (delivery === undefined) {
      this.#recorder.refused(call)
      return
    }
    const body = unpadded(delivery.body)
    const { attempt, token } = delivery
    const known = this.#received.get(body) ?? []
    this.#received.set(body, known)
    known.push({ attempt, token, ...this.#timesOf(delivery), isReleased: false })
    if (attempt === 1) this.#recorder.returned(call, { value: body })
    else this.#recorder.refused(call)
    await this.#work(node, delivery, random)
  }

  async #effectsAreOnce(): Promise<void> {
    const range = { key: utf8Encode('effect/'), rangeEnd: utf8Encode('effect0') }
    const { kvs } = await this.#stage.cluster.ask('effects', (keyspace) => keyspace.range(range))
    const done = new Set<string>()
    for (const { value, version } of kvs) {
      const body = unpadded(value)
      if (version !== 1) throw new WorldFailure(`${body} took effect ${version} times`)
      done.add(body)
      if (!this.#acknowledged.has(body) && !this.#maybe.has(body) && !this.#mayBeSilent(body)) {
        throw new WorldFailure(`${body} took effect, and nobody acknowledged it`)
      }
      if (this.#dead.has(body)) throw new WorldFailure(`${body} took effect and is dead`)
    }
    for (const body of this.#acknowledged.keys()) {
      if (!done.has(body)) throw new WorldFailure(`${body} was acknowledged without its effect`)
    }
    for (const { body, isKnown } of this.#sent.values()) {
      if (isKnown && !done.has(body) && !this.#dead.has(body)) {
        throw new WorldFailure(`${body} was enqueued and is lost`)
      }
    }
  }

  /** Its receiver died while it was acknowledging. */
  #mayBeSilent(body: string): boolean {
    return this.#received.has(body)
  }

  check(): void {
    for (const [body, count] of this.#acknowledged) {
      if (count > 1) throw new WorldFailure(`${body} was acknowledged ${count} times`)
    }
    for (const body of this.#dead) {
      if ((this.#received.get(body) ?? []).some(({ attempt }) => attempt > deliveriesMax)) {
        throw new WorldFailure(`${body} was delivered too often`)
      }
    }
    for (const [body, deliveries] of this.#received) this.#checkDeliveries(body, deliveries)
    const verdict = check(this.#firstDeliveries(), queueModel, { stepsMax: 600_000 })
    this.#stage.world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') throw new WorldFailure(formatViolation(verdict, queueModel))
    // Long queues are hard for any search: order is then judged by tokens alone.
    this.#checkOrder()
    if (verdict.kind === 'unknown') this.#stage.world.count('queues too wide to judge')
  }

  /** Of two messages that were enqueued one after the other, the first has the lower token of first deliveries. */
  #checkOrder(): void {
    const firsts = this.#recorder.history().flatMap(({ input, output, calledAt, returnedAt }) => {
      if (input.kind !== 'enqueue' || output === undefined) return []
      const first = this.#received.get(input.value)?.find(({ attempt }) => attempt === 1)
      return first === undefined ? [] : [{ ...input, token: first.token, calledAt, returnedAt }]
    })
    for (const one of firsts) {
      const late = firsts.find(({ calledAt, token }) => {
        return calledAt > one.returnedAt && token < one.token
      })
      if (late !== undefined) throw new WorldFailure(`${late.value} overtook ${one.value}`)
    }
  }

  /**
   * Enqueues and first deliveries as a queue would have done them. At the end everything that was ever in was delivered
   * or is dead, so every operation is known to have happened or not: a first delivery that nobody saw was made
   * between its enqueue and the sight of a later one; a receive without an answer that took nothing first is left out.
   */
  #firstDeliveries(): History<QueueInput, QueueOutput> {
    const end = this.#recorder.moment()
    const complete: Operation<QueueInput, QueueOutput>[] = []
    for (const operation of this.#recorder.history()) {
      const { input, output, calledAt } = operation
      if (output !== undefined) complete.push(operation)
      if (input.kind !== 'enqueue') continue
      const deliveries = this.#received.get(input.value) ?? []
      if (deliveries.length === 0 && !this.#dead.has(input.value)) continue
      const seenAt = Math.min(end, ...deliveries.map(({ at }) => at))
      if (output === undefined) complete.push({ ...operation, output: {}, returnedAt: seenAt })
      if (deliveries.some(({ attempt }) => attempt === 1)) continue
      const first = { kind: 'dequeue', queue: name } as const
      const taken = { output: { value: input.value }, calledAt, returnedAt: seenAt }
      complete.push({ client: -1, input: first, ...taken })
    }
    return complete
  }

  #checkDeliveries(body: string, deliveries: Received[]): void {
    if (!this.#sent.has(body)) throw new WorldFailure(`${body} was delivered, and nobody sent it`)
    deliveries.sort((a, b) => a.token - b.token)
    for (const [i, one] of deliveries.entries()) {
      if (one.attempt > deliveriesMax) throw new WorldFailure(`${body}: attempt ${one.attempt}`)
      const next = deliveries[i + 1]
      if (next === undefined) continue
      if (next.attempt <= one.attempt) {
        throw new WorldFailure(`${body}: attempt ${next.attempt} follows ${one.attempt}`)
      }
      if (next.returnedMs < this.#endOf(one) && !one.isReleased) {
        throw new WorldFailure(
          `${body} was delivered at ${one.returnedMs} and again at ${next.returnedMs}`,
        )
      }
    }
  }
}
