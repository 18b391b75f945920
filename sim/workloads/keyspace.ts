// A namespace under faults: real log, store, segments, rpc, raft and keyspace on simulated hosts; clients read,
// put, delete and compare-and-put registers, some of them two at once, at any node, one of which has no replica; an
// operator changes members and moves the lead; watches are open on every node that runs.
//
// Checked: every key is a linearizable register (sim/histories); no watch misses, repeats or reorders an
// event, and every event is somebody's write; after the heal every node answers, every watch catches up and
// replicas have equal hashes at one revision.

import { isFault, type Random, utf8Decode, utf8Encode } from '../../src/base/index.ts'
import type {
  Compare,
  FullKeyspace,
  Operation,
  TxnRequest,
  TxnResponse,
} from '../../src/keyspace/index.ts'
import { WorldFailure } from '../failures.ts'
import { Faults } from '../faults.ts'
import {
  check,
  formatViolation,
  HistoryRecorder,
  type OpenCall,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  type WatchedWrite,
} from '../histories/index.ts'
import type { World } from '../world.ts'
import { KeyspaceCluster } from './keyspace-cluster.ts'
import { KeyspaceWatches } from './keyspace-watches.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'

/** What a batch of seeds must have seen at least once. */
export const keyspacePromises: readonly string[] = [
  ...nodePromises,
  'fault flipped bit',
  'values recovered',
  'reads',
  'writes acknowledged',
  'compares that failed',
  'outcomes unknown',
  'watches resumed',
  'watches behind compaction',
  'watches paused',
  'writes of two keys',
]

type Call = OpenCall<RegisterInput>
type WriteInput = Exclude<RegisterInput, { readonly kind: 'read' }>
const clientCount = 5
const keys = ['a', 'b', 'c', 'd', 'e', 'f']
const deadlineMs = 3_000
/** Small, so that compaction overtakes watches and snapshots overtake replicas. */
const historyRevisionsMax = 60
const historyMs = 1_000
const valueBytesMax = 2_000

export async function runKeyspaceWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new KeyspaceWorkload(world, options).run()
}

class KeyspaceWorkload {
  readonly #world: World
  readonly #durationMs: number
  readonly #cluster: KeyspaceCluster
  readonly #watches: KeyspaceWatches
  readonly #recorder = new HistoryRecorder<RegisterInput, RegisterOutput>()
  readonly #writes: WatchedWrite[] = []
  readonly #seen = new Map<string, string | null>()
  /** Calls whose outcome is unknown. */
  readonly #lost = new Set<OpenCall<RegisterInput>>()
  #nextValue = 1
  #isOver = false

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#durationMs = options.durationMs
    this.#watches = new KeyspaceWatches(world, {
      moment: () => this.#recorder.moment(),
      valueOf: ({ value }) => decodeValue(value),
    })
    this.#cluster = new KeyspaceCluster(world, {
      founders: options.nodes,
      hasSpare: true,
      hasLanes: true,
      historyMs,
      historyRevisionsMax,
      opened: (node) => this.#watches.opened(node, keys),
    })
  }

  get #nodes(): readonly number[] {
    return this.#cluster.nodes
  }

  async run(): Promise<void> {
    for (const node of this.#nodes) this.#cluster.start(node)
    const faults = new Faults(this.#world, {
      nodes: this.#nodes,
      kinds: [...nodeFaultKinds, 'flipped bit', 'flipped bit'],
      mayFlip: (path) => path.startsWith('db/values'),
      isReplicated: true,
      restart: (node) => this.#cluster.start(node),
      everyMs: 1_000,
    })
    const clients = Array.from({ length: clientCount }, (_, i) => this.#client(i))
    const operator = this.#cluster.changeMembers(() => this.#isOver)
    await faults.run(this.#durationMs)
    this.#isOver = true
    await Promise.all([...clients, operator])
    await this.#readEverywhere()
    await this.#watchesCatchUp()
    await this.#cluster.hashesAgree()
    this.#check()
  }

  // ---- clients ----

  async #client(client: number): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(60))
      const key = keys[random.integer(keys.length)] as string
      const node = this.#nodes[random.integer(this.#nodes.length)] as number
      const draw = random.integer(10)
      if (draw < 4) await this.#read(client, key, node)
      else if (draw === 4) await this.#writeTwo(client, node, random)
      else await this.#write(client, this.#drawWrite(key, draw, random), node)
    }
  }

  #drawWrite(key: string, draw: number, random: Random): WriteInput {
    const value = draw === 9 ? null : String(this.#nextValue++)
    if (random.chance(0.6)) return { kind: 'write', key, value }
    const expected = this.#seen.get(key) ?? null
    return { kind: 'compare-and-set', key, expected, value }
  }

  async #read(client: number, key: string, node: number): Promise<boolean> {
    const call = this.#recorder.called(client, { kind: 'read', key })
    const answer = await this.#ask(call, node, (keyspace) => {
      return keyspace.range({ key: utf8Encode(key) }, { deadlineMs })
    })
    if (answer === undefined) return false
    const [kv] = answer.kvs
    const value = kv === undefined ? null : decodeValue(kv.value)
    this.#seen.set(key, value)
    this.#world.count('reads')
    this.#recorder.returned(call, { kind: 'read', value })
    return true
  }

  async #write(client: number, input: WriteInput, node: number): Promise<void> {
    const call = this.#recorder.called(client, input)
    const request = requestOf(input)
    const answer = await this.#ask(call, node, (keyspace) => keyspace.txn(request, { deadlineMs }))
    const { key, value } = input
    const { calledAt } = call
    if (answer === undefined) {
      if (this.#lost.has(call)) this.#writes.push({ key, value, revision: undefined, calledAt })
      return
    }
    const isDone = answer.succeeded
    this.#world.count(isDone ? 'writes acknowledged' : 'compares that failed')
    if (hasChanged(answer)) this.#writes.push({ key, value, revision: answer.revision, calledAt })
    const { kind } = input
    this.#recorder.returned(call, kind === 'write' ? { kind } : { kind, isDone })
  }

  /** Two keys in one transaction: two registers with one place in time, and one revision for watches. */
  async #writeTwo(client: number, node: number, random: Random): Promise<void> {
    const first = random.integer(keys.length)
    const second = (first + 1 + random.integer(keys.length - 1)) % keys.length
    const value = String(this.#nextValue++)
    const inputs = [first, second].map((at): WriteInput => {
      return { kind: 'write', key: keys[at] as string, value }
    })
    const [one, two] = inputs.map((input) => this.#recorder.called(client, input)) as [Call, Call]
    const success = inputs.map(({ key }): Operation => {
      return { kind: 'put', key: utf8Encode(key), value: encodeValue(value) }
    })
    const request = { compares: [], success, failure: [] }
    const answer = await this.#ask(one, node, (keyspace) => keyspace.txn(request, { deadlineMs }))
    const isLost = this.#lost.has(one)
    if (answer !== undefined) {
      this.#world.count('writes of two keys')
      for (const call of [one, two]) this.#recorder.returned(call, { kind: 'write' })
    } else if (isLost) this.#recorder.lost(two)
    else this.#recorder.refused(two)
    if (answer === undefined && !isLost) return
    for (const { key, calledAt } of [one, two].map((call) => ({ ...call.input, ...call }))) {
      this.#writes.push({ key, value, revision: answer?.revision, calledAt })
    }
  }

  /** undefined: no answer, and the call has ended as refused or lost. */
  async #ask<T>(
    call: OpenCall<RegisterInput>,
    node: number,
    ask: (keyspace: FullKeyspace) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await this.#cluster.at(node, deadlineMs + 500, ask)
    } catch (error) {
      if (!isFault(error)) throw error
      if (error.outcome === 'unknown') {
        this.#world.count('outcomes unknown')
        this.#lost.add(call)
        this.#recorder.lost(call)
      } else {
        this.#world.count(`refused: ${error.code}`)
        this.#recorder.refused(call)
      }
      return undefined
    }
  }

  // ---- after the heal ----

  async #readEverywhere(): Promise<void> {
    for (const node of this.#nodes) {
      for (const key of keys) {
        await this.#cluster.until(`node ${node} reads ${key}`, () =>
          this.#read(clientCount, key, node),
        )
      }
    }
  }

  async #watchesCatchUp(): Promise<void> {
    const { revision } = await this.#cluster.ask('the revision', (keyspace) => {
      return keyspace.range({ key: utf8Encode('a') })
    })
    for (const node of this.#nodes) {
      const what = `the watch on node ${node} reaches ${revision}`
      await this.#cluster.until(what, () => this.#watches.hasReached(node, revision))
    }
  }

  #check(): void {
    countJournals(this.#world)
    const recovered = this.#world.counts.get('journal keyspace.value_recovered') ?? 0
    this.#world.count('values recovered', recovered)
    const verdict = check(this.#recorder.history(), registerModel)
    this.#world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') throw new WorldFailure(formatViolation(verdict, registerModel))
    if (verdict.kind === 'unknown') {
      throw new WorldFailure(
        `register ${verdict.partition} is too wide to judge: ${verdict.reason}`,
      )
    }
    const breaches = this.#watches.breaches(this.#writes)
    if (breaches.length > 0) throw new WorldFailure(breaches.join('\n'))
  }
}

/** A put or delete, with a compare if the input has one. */
function requestOf(input: WriteInput): TxnRequest {
  const key = utf8Encode(input.key)
  const success =
    input.value === null
      ? ([{ kind: 'delete', key }] as const)
      : ([{ kind: 'put', key, value: encodeValue(input.value) }] as const)
  if (input.kind === 'write') return { compares: [], success, failure: [] }
  const { expected } = input
  const compare: Compare =
    expected === null
      ? { key, target: 'version', result: 'equal', operand: 0 }
      : { key, target: 'value', result: 'equal', operand: encodeValue(expected) }
  return { compares: [compare], success, failure: [] }
}

/** Whether the transaction made a revision. */
function hasChanged({ succeeded, results }: TxnResponse): boolean {
  const [result] = results
  return succeeded && (result?.kind !== 'delete' || result.deleted > 0)
}

/** Of many lengths, also above those that the store keeps beside the key. */
function encodeValue(value: string): Uint8Array {
  return utf8Encode(value.padEnd((Number(value) * 37) % valueBytesMax, '.'))
}

function decodeValue(bytes: Uint8Array): string {
  const value = utf8Decode(bytes).replace(/\.*$/, '')
  const expected = encodeValue(value)
  const isSame =
    bytes.length === expected.length && bytes.every((byte, at) => byte === expected[at])
  if (!isSame)
    throw new WorldFailure(`a value of ${bytes.length} bytes that nobody wrote: ${value}`)
  return value
}
