// Requests that come again: a sender proposes each of its numbered requests several times, at any node that leads, now
// and later, also after it has its answer, as copies of a message that stayed in a queue would come. Entries' time runs
// a hundred times as fast as the world, so that sessions expire within the run.
//
// Checked: every copy gets the answer of the first, byte for byte, faults too, or is refused because its asker closed it
// or because its session has expired, in words of its own; another request under the same number is refused;
// and what requests append is there once (lists: sim/histories, listModel).

import {
  Fault,
  isFault,
  nodeId,
  type Random,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../../../src/base/index.ts'
import type { Host } from '../../../src/host/index.ts'
import { encodeCall } from '../../../src/keyspace/core/calls.ts'
import { encodeWrite } from '../../../src/keyspace/core/entry.ts'
import { sessionExpiryMs } from '../../../src/keyspace/core/limits.ts'
import { readSessionExpired } from '../../../src/keyspace/core/sessions.ts'
import { decodeAnswer, encodeTxn } from '../../../src/keyspace/core/wire.ts'
import type { Operation, TxnRequest } from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import {
  check,
  formatViolation,
  HistoryRecorder,
  type ListInput,
  listModel,
  type ListOutput,
} from '../../histories/index.ts'
import type { SimHost } from '../../sim-host.ts'
import { group, type RunningNode } from '../keyspace-cluster.ts'
import { nodeFaultKinds } from '../promises.ts'
import {
  type Exercise,
  type ExerciseKind,
  padded,
  repeat,
  type Stage,
  unpadded,
} from '../recipes.ts'

const clockFactor = 100
const copiesMax = 4
const lists = ['a', 'b', 'c', 'd']
/** A list is judged by a search over its states: short ones are judged quickly. */
const elementsMax = 60

export const once: ExerciseKind = {
  name: 'once',
  promises: [
    'requests answered',
    'copies answered',
    'faults answered again',
    'closed copies refused',
    'other requests refused',
    'expired sessions',
    'lists read',
    'fault flipped bit',
  ],
  faults: [...nodeFaultKinds, 'flipped bit', 'flipped bit'],
  hostOf: fastHost,
  create: (stage) => new Once(stage),
}

/** The keyspace's clock on this host, faster. */
export function fastHost(host: SimHost): Host {
  const { clock } = host
  const fast: Host = Object.create(host) as Host
  Object.defineProperty(fast, 'clock', {
    value: {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs() * clockFactor,
      sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms, signal),
      after: (ms: number, run: () => void) => clock.after(ms, run),
      every: (ms: number, run: () => void) => clock.every(ms, run),
      soon: (run: () => void) => clock.soon(run),
    },
  })
  return fast
}

type Sender = {
  readonly session: number
  openedMs: number
  next: number
}

/** A request and every answer that it ever got. */
type Numbered = {
  readonly sequence: number
  readonly openedMs: number
  readonly body: Uint8Array
  answer: string | undefined
}

class Once implements Exercise {
  readonly #stage: Stage
  readonly #recorder = new HistoryRecorder<ListInput, ListOutput>()
  readonly #lengths = new Map<string, number>()
  #elements = 0
  #sessions = 0

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    repeat(this.#stage, node, (random) => this.#live(node, random))
    repeat(this.#stage, node, (random) => this.#read(node, random))
  }

  /** One session: a few requests, a long silence sometimes, then old copies. */
  async #live(node: RunningNode, random: Random): Promise<void> {
    const sender: Sender = {
      session: 2 ** 40 + ++this.#sessions,
      openedMs: await this.#entriesTime(node),
      next: 1,
    }
    const sent: Numbered[] = []
    for (let i = 0; i < 6 && !this.#stage.isOver; i++) {
      sent.push(await this.#ask(node, sender, random))
      const old = sent[random.integer(sent.length)] as Numbered
      if (random.chance(0.5)) await this.#copy(node, { sender, old, isClosed: old !== sent.at(-1) })
      if (random.chance(0.2)) await this.#forge(node, sender, sent.at(-1) as Numbered)
    }
    const last = sent.at(-1)
    if (last === undefined || random.chance(0.7)) return
    await node.host.clock.sleep((sessionExpiryMs / clockFactor) * 1.3 + 6_000)
    await this.#mustHaveExpired(node, sender, last)
  }

  /** A new request, proposed several times at once or one after the other. */
  async #ask(node: RunningNode, sender: Sender, random: Random): Promise<Numbered> {
    const sequence = sender.next++
    const list = lists[random.integer(lists.length)] as string
    const length = this.#lengths.get(list) ?? 0
    const isRefused = length >= elementsMax || random.chance(0.15)
    if (!isRefused) this.#lengths.set(list, length + 1)
    const element = String(++this.#elements)
    const request = isRefused ? toBadTxn(element) : toAppend(list, element)
    const numbered: Numbered = {
      sequence,
      openedMs: sender.openedMs,
      body: encodeTxn(request),
      answer: undefined,
    }
    const call = isRefused
      ? undefined
      : this.#recorder.called(node.host.node, { kind: 'append', key: list, element })
    const copies = 1 + random.integer(copiesMax)
    const answers = await Promise.all(
      Array.from({ length: copies }, async (_, i) => {
        await node.host.clock.sleep(i * random.integer(200))
        return this.#propose(node, { sender, numbered, body: numbered.body })
      }),
    )
    for (const answer of answers) this.#mustBeSame(numbered, answer)
    if (call === undefined) return numbered
    if (numbered.answer === undefined) this.#recorder.lost(call)
    else {
      this.#stage.world.count('requests answered')
      this.#recorder.returned(call, {})
    }
    return numbered
  }

  /** An older one of this session again. */
  async #copy(
    node: RunningNode,
    of: { readonly sender: Sender; readonly old: Numbered; readonly isClosed: boolean },
  ): Promise<void> {
    const { sender, old, isClosed } = of
    const answer = await this.#propose(node, { sender, numbered: old, body: old.body })
    if (answer === undefined) return
    const fault = faultIn(answer)
    if (isClosed && fault !== undefined && /was closed by its asker/.test(fault.message)) {
      this.#stage.world.count('closed copies refused')
      return
    }
    this.#stage.world.count('copies answered')
    this.#mustBeSame(old, answer)
  }

  /** Another request under a number that has an answer. */
  async #forge(node: RunningNode, sender: Sender, old: Numbered): Promise<void> {
    if (old.answer === undefined) return
    const body = encodeTxn(toAppend('forged', String(old.sequence)))
    const answer = await this.#propose(node, { sender, numbered: old, body })
    const fault = answer === undefined ? undefined : faultIn(answer)
    if (answer === undefined) return
    if (fault === undefined) throw new WorldFailure('another request got the answer of the first')
    this.#stage.world.count('other requests refused')
  }

  async #mustHaveExpired(node: RunningNode, sender: Sender, old: Numbered): Promise<void> {
    const answer = await this.#propose(node, { sender, numbered: old, body: old.body })
    const fault = answer === undefined ? undefined : faultIn(answer)
    if (answer === undefined) return
    // Forgetting is proposed now and then: until it is, the answer is remembered.
    if (toHex(answer) === old.answer) return
    if (fault === undefined || readSessionExpired(fault) === undefined) {
      throw new WorldFailure(`a copy after the session's end: ${fault?.message ?? 'it was done'}`)
    }
    if (fault.outcome !== 'unknown') throw new WorldFailure('nobody knows what came of it before')
    this.#stage.world.count('expired sessions')
  }

  #mustBeSame(numbered: Numbered, answer: Uint8Array | undefined): void {
    if (answer === undefined) return
    const hex = toHex(answer)
    if (numbered.answer === undefined) {
      numbered.answer = hex
      return
    }
    if (faultIn(answer) !== undefined) this.#stage.world.count('faults answered again')
    if (numbered.answer !== hex) {
      throw new WorldFailure(`request ${numbered.sequence}: ${numbered.answer}, then ${hex}`)
    }
  }

  /** The answer's bytes; undefined: none, whatever that means. */
  async #propose(
    node: RunningNode,
    of: { readonly sender: Sender; readonly numbered: Numbered; readonly body: Uint8Array },
  ): Promise<Uint8Array | undefined> {
    const { sender, numbered, body } = of
    const { session } = sender
    const { sequence, openedMs } = numbered
    const lowestOpen = Math.max(1, sender.next - 1)
    const id = { session, openedMs, sequence, lowestOpen: Math.min(sequence, lowestOpen) }
    const payload = encodeWrite({ kind: 'txn', ...id, body })
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        return await this.#proposeOnce(payload)
      } catch (error) {
        if (!isFault(error)) throw error
        this.#stage.world.count(`proposals refused: ${error.code}`)
        await node.host.clock.sleep(100)
      }
    }
    return undefined
  }

  /** Through another node than the leader, as forwarded requests come. */
  async #proposeOnce(payload: Uint8Array): Promise<Uint8Array> {
    const { cluster } = this.#stage
    const alive = [...cluster.running.values()].filter(({ host }) => host.isAlive)
    const leader = alive.find((one) => one.group?.status().role === 'leader')
    const from = alive.find((one) => one !== leader)
    if (leader === undefined || from === undefined) throw new Fault('unavailable', 'nobody leads')
    const body = encodeCall({ group, kind: 'write', isSerializable: false, body: payload })
    return cluster.at(from.host.node, 3_000, () => from.send(nodeId(leader.host.node), body))
  }

  /** As a router asks before a session's first request: here of an old request, whose refusal tells it. */
  async #entriesTime(node: RunningNode): Promise<number> {
    const sender = { session: 2 ** 41 + ++this.#sessions, openedMs: 0, next: 2 }
    const body = encodeTxn({ compares: [], success: [], failure: [] })
    const numbered = { sequence: 1, openedMs: 0, body, answer: undefined }
    const answer = await this.#propose(node, { sender, numbered, body })
    const fault = answer === undefined ? undefined : faultIn(answer)
    const timeMs = fault === undefined ? undefined : readSessionExpired(fault)
    if (answer === undefined) throw new Fault('unavailable', 'nobody told the time')
    return timeMs ?? 0
  }

  async #read(node: RunningNode, random: Random): Promise<void> {
    await node.host.clock.sleep(random.integer(400))
    const list = lists[random.integer(lists.length)] as string
    const call = this.#recorder.called(node.host.node, { kind: 'read', key: list })
    try {
      const { kvs } = await node.keyspace.range({ ...rangeOf(list), sortBy: 'create' })
      const elements = kvs.map(({ value }) => unpadded(value))
      this.#stage.world.count('lists read')
      this.#recorder.returned(call, { elements })
    } catch (error) {
      this.#recorder.refused(call)
      throw error
    }
  }

  async settle(): Promise<void> {
    for (const list of lists) {
      const call = this.#recorder.called(0, { kind: 'read', key: list })
      const { kvs } = await this.#stage.cluster.ask('a list', (keyspace) => {
        return keyspace.range({ ...rangeOf(list), sortBy: 'create' })
      })
      for (const { key, version } of kvs) {
        if (version !== 1) throw new WorldFailure(`${utf8Decode(key)} was put ${version} times`)
      }
      this.#recorder.returned(call, { elements: kvs.map(({ value }) => unpadded(value)) })
    }
  }

  check(): void {
    const verdict = check(this.#recorder.history(), listModel)
    this.#stage.world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') throw new WorldFailure(formatViolation(verdict, listModel))
    if (verdict.kind === 'unknown') throw new WorldFailure(`too wide to judge: ${verdict.reason}`)
  }
}

function rangeOf(list: string) {
  return { key: utf8Encode(`list/${list}/`), rangeEnd: utf8Encode(`list/${list}0`) }
}

/** Done a second time it would show: as a version, and as another place in the list. */
function toAppend(list: string, element: string): TxnRequest {
  const key = utf8Encode(`list/${list}/${element}`)
  const put: Operation = { kind: 'put', key, value: padded(element), previous: true }
  return { compares: [], success: [put], failure: [] }
}

/** Refused when it is applied: the key is not there. The refusal is an answer like any other. */
function toBadTxn(element: string): TxnRequest {
  const key = utf8Encode(`nothing/${element}`)
  const put: Operation = { kind: 'put', key, value: new Uint8Array(0), ignoreValue: true }
  return { compares: [], success: [put], failure: [] }
}

function faultIn(answer: Uint8Array): Fault | undefined {
  try {
    decodeAnswer(answer)
    return undefined
  } catch (error) {
    if (isFault(error)) return error
    throw error
  }
}
