// One shard of one chunk on its way to a reader: units in order, each checked against its writer's CRC32C.
// A source never throws for what can happen to a shard; it answers with a Trouble, which the reader of the
// chunk meets with another shard. Waiting is watched from outside (isSlow, giveUp), so that no timer is made
// per unit.

import { Fault, type NodeId } from '../base/index.ts'
import { bulkMethod } from '../rpc/index.ts'
import { type Context, streamDeadlineMs } from './context.ts'
import type { Layout } from './core/layout.ts'
import { checkUnit, checkUnitLength, parseFrame } from './core/shard-format.ts'
import { shardReadCodec } from './core/shard-requests.ts'
import { caught } from './faults.ts'
import type { StoredShards } from './stored-shards.ts'

export type Trouble = {
  readonly kind: 'trouble'
  readonly why: 'missing' | 'damaged' | 'unreachable' | 'slow'
  readonly shard: number
  readonly stripe: number
  readonly fault: Fault
}

export type SourceRequest = {
  readonly shard: number
  readonly holder: NodeId
  readonly key: Uint8Array
  readonly layout: Layout
  readonly first: number
  readonly last: number
  /** As in ShardReadRequest. */
  readonly moveBytesPerSecond: number
}

export class ShardSource {
  readonly shard: number
  readonly #context: Context
  readonly #request: SourceRequest
  readonly #units: AsyncGenerator<Uint8Array, void, void>
  readonly #abort = new AbortController()
  readonly #givenUp: Promise<Fault>
  #giveUp: (fault: Fault) => void = () => undefined
  #stripe: number
  #waitingSinceMs: number
  #isWaiting = false
  #isClosed = false
  #upcoming: Promise<Uint8Array | Fault>

  /** Starts at once: the first unit is under way before it is asked for. */
  constructor(context: Context, stored: StoredShards, request: SourceRequest) {
    this.shard = request.shard
    this.#context = context
    this.#request = request
    this.#stripe = request.first
    this.#waitingSinceMs = context.host.clock.monotonicMs()
    this.#givenUp = new Promise((resolve) => {
      this.#giveUp = resolve
    })
    this.#units =
      request.holder === context.self
        ? localUnits(stored, request)
        : remoteUnits(context, request, this.#abort.signal)
    this.#upcoming = this.#units.next().then(given, caught)
  }

  /** The next unit, valid until the one after it is asked for. */
  async next(): Promise<Uint8Array | Trouble> {
    const clock = this.#context.host.clock
    const isFirst = this.#stripe === this.#request.first
    if (!isFirst) {
      this.#waitingSinceMs = clock.monotonicMs()
      this.#upcoming = this.#units.next().then(given, caught)
    }
    this.#isWaiting = true
    const unit = await Promise.race([this.#upcoming, this.#givenUp])
    this.#isWaiting = false
    if (unit instanceof Fault) return this.#troubleOf(unit)
    const isReader = this.#request.moveBytesPerSecond === 0
    if (isFirst && isReader) this.#context.hedge.record(clock.monotonicMs() - this.#waitingSinceMs)
    this.#stripe++
    return unit
  }

  /** True while a unit has been waited for longer than limitMs. */
  isSlow(limitMs: number): boolean {
    const nowMs = this.#context.host.clock.monotonicMs()
    return this.#isWaiting && nowMs - this.#waitingSinceMs > limitMs
  }

  /** Answers the pending next() with trouble 'slow'. */
  giveUp(): void {
    this.#giveUp(new Fault('deadline', `node ${this.#request.holder} is slow with a shard`))
  }

  /** Lets go of the stream; safe to call at any time, more than once. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const isWhole = this.#stripe > this.#request.last
    if (!isWhole) this.#abort.abort(readerGone)
    void this.#units.return().catch(caught)
  }

  #troubleOf(fault: Fault): Trouble {
    const { holder, shard } = this.#request
    if (fault.code === 'unavailable') this.#context.holders.note(holder, fault)
    return { kind: 'trouble', why: whyOf(fault), shard, stripe: this.#stripe, fault }
  }
}

const readerGone = new Fault('cancelled', 'the reader has gone')

function given(result: IteratorResult<Uint8Array, void>): Uint8Array | Fault {
  return result.done === true ? new Fault('corrupt', 'a shard ended early') : result.value
}

function whyOf(fault: Fault): Trouble['why'] {
  if (fault.code === 'not-found') return 'missing'
  if (fault.code === 'corrupt') return 'damaged'
  if (fault.code === 'deadline') return 'slow'
  return 'unreachable'
}

async function* localUnits(
  stored: StoredShards,
  { key, layout, first, last }: SourceRequest,
): AsyncGenerator<Uint8Array, void, void> {
  let stripe = first
  for await (const unit of stored.units(key, layout, { first, last })) {
    checkUnit(layout, stripe, unit.sum, unit.bytes)
    yield unit.bytes
    stored.recycle(unit)
    stripe++
  }
}

async function* remoteUnits(
  context: Context,
  request: SourceRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { layout, first, last } = request
  const opening = shardReadCodec.encode(request)
  const stream = await context.rpc.openStream(request.holder, bulkMethod.shardRead, opening, {
    deadlineMs: streamDeadlineMs,
    bulkTowards: 'me',
    signal,
  })
  let stripe = first
  try {
    for await (const message of stream.messages) {
      if (message.length === 0)
        throw new Fault('corrupt', `unit ${stripe} is damaged at its holder`)
      if (stripe > last) throw new Fault('corrupt', 'a shard goes on after its last unit')
      const frame = parseFrame(message)
      if (frame.kind !== 'unit' || frame.stripe !== stripe) {
        throw new Fault('corrupt', `unit ${stripe} of a shard is out of order`)
      }
      checkUnitLength(layout, stripe, frame.payload)
      stripe++
      yield frame.payload
    }
  } finally {
    if (stripe > last) await stream.end()
    else stream.fail(readerGone)
  }
}
