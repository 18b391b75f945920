// A stream becomes chunks while it arrives. Bytes are copied once, from the caller's slice into a stripe's
// units; from there on they stay where they are until each holder has taken its part. The next chunk
// starts while the one before seals; at most one chunk seals at a time. Memory: the upload's stripes, at most
// uploadBytesMax and shared with all uploads of the thread (slots.ts); a slow holder stops the upload only
// until it is given up (stallMs).

import { Fault } from '../base/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { SweepNumber } from './chunk-table.ts'
import { ChunkWriter, type Code, durableCount, type StoredChunk } from './chunk-writer.ts'
import type { ContentWriteOptions, Draft } from './content.ts'
import type { Context } from './context.ts'
import { shardCount, unitLengthFor } from './core/layout.ts'
import { noHolder } from './core/records.ts'
import { createDraft, discardShards, touchChunks } from './draft.ts'
import { cancelled, caught } from './faults.ts'
import type { Slot } from './kernel/kernel.ts'
import type { StoredShards } from './stored-shards.ts'

/** Stripes under way at least; more than a receiver's answers lag behind. */
const stripesMin = 3
/** During a long upload the sweep number is looked at this often. */
const sweepLookMs = 60_000

/** Content.write. */
export async function writeContent(
  context: Context,
  stored: StoredShards,
  body: AsyncIterable<Uint8Array>,
  options: ContentWriteOptions,
): Promise<Draft> {
  const sweep = await context.table.sweepNumber(options.keyspace)
  const upload = new Upload(context, stored, options, sweep)
  try {
    for await (const slice of body) await upload.add(slice)
    return await upload.finish()
  } catch (error) {
    await upload.discard(caught(error))
    throw error
  }
}

type Stripe = { readonly slots: readonly Slot[]; filled: number }

class Upload {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #keyspace: Keyspace
  readonly #options: ContentWriteOptions
  readonly #code: Code
  readonly #slotsMax: number
  #sweep: SweepNumber
  #sweepSeenMs: number
  #slotsHeld = 0
  #slotFreed: (() => void) | undefined
  #stripe: Stripe | undefined
  #chunk: ChunkWriter | undefined
  #sealing: { chunk: ChunkWriter; result: Promise<StoredChunk | Fault> } | undefined
  #chunks: StoredChunk[] = []

  constructor(
    context: Context,
    stored: StoredShards,
    options: ContentWriteOptions,
    sweep: SweepNumber,
  ) {
    const { dataShards, parityShards } = context.view.settings()
    this.#context = context
    this.#stored = stored
    this.#keyspace = options.keyspace
    this.#options = options
    this.#code = { dataShards, parityShards, unitBytes: context.limits.unitBytes }
    const perStripe = dataShards + parityShards
    const stripes = Math.floor(context.limits.uploadBytesMax / (perStripe * this.#code.unitBytes))
    this.#slotsMax = Math.max(stripesMin, stripes) * perStripe
    this.#sweep = sweep
    this.#sweepSeenMs = context.host.clock.monotonicMs()
  }

  async add(slice: Uint8Array): Promise<void> {
    const capacity = this.#code.dataShards * this.#code.unitBytes
    let at = 0
    while (at < slice.length) {
      if (this.#options.signal?.aborted === true) throw cancelled('the upload was given up')
      this.#chunk ??= this.#startChunk()
      this.#stripe ??= { slots: await this.#takeStripe(), filled: 0 }
      const stripe = this.#stripe
      at += this.#fill(stripe, slice.subarray(at))
      const room = this.#context.limits.chunkBytesMax - this.#chunk.length
      if (stripe.filled === Math.min(capacity, room)) {
        this.#closeStripe(this.#chunk, stripe)
        if (this.#chunk.length === this.#context.limits.chunkBytesMax) await this.#closeChunk()
      }
    }
  }

  async finish(): Promise<Draft> {
    if (this.#chunk !== undefined && this.#stripe !== undefined) {
      this.#closeStripe(this.#chunk, this.#stripe)
    }
    if (this.#chunk !== undefined) await this.#closeChunk()
    await this.#awaitSealing()
    await this.#followSweep(0)
    return createDraft(this.#context, this.#stored, {
      keyspace: this.#keyspace,
      chunks: this.#chunks,
      sweep: this.#sweep,
      allowsBareQuorum: this.#options.allowsBareQuorum,
    })
  }

  /** Gives back all slots and deletes what can be reached; the sweep finds the rest. */
  async discard(fault: Fault): Promise<void> {
    if (this.#stripe !== undefined) for (const slot of this.#stripe.slots) this.#free(slot)
    this.#stripe = undefined
    const open = [this.#chunk, this.#sealing?.chunk].filter((chunk) => chunk !== undefined)
    for (const chunk of open) chunk.abort(fault)
    await this.#sealing?.result
    const started = open.map((chunk) => ({ id: chunk.id, places: chunk.places }))
    const done = this.#chunks.map(({ id, record }) => ({
      id,
      places: record.holders.flatMap((holder, shard) =>
        holder === noHolder ? [] : [{ shard, holder }],
      ),
    }))
    await discardShards(this.#context, this.#stored, this.#keyspace.name, [...started, ...done])
  }

  #startChunk(): ChunkWriter {
    return new ChunkWriter(this.#context, this.#stored, {
      keyspace: this.#keyspace,
      code: this.#code,
      stamp: this.#sweep.number,
      allowsBareQuorum: this.#options.allowsBareQuorum,
      free: (slot) => this.#free(slot),
    })
  }

  /** Copies what fits; answers how much. Payload lies unit after unit, as in a full stripe. */
  #fill(stripe: Stripe, bytes: Uint8Array): number {
    const { unitBytes, dataShards } = this.#code
    const chunkRoom = this.#context.limits.chunkBytesMax - (this.#chunk?.length ?? 0)
    const capacity = Math.min(unitBytes * dataShards, chunkRoom)
    let at = 0
    while (at < bytes.length && stripe.filled < capacity) {
      const within = stripe.filled % unitBytes
      const slot = stripe.slots[Math.floor(stripe.filled / unitBytes)] as Slot
      const count = Math.min(unitBytes - within, bytes.length - at, capacity - stripe.filled)
      this.#context.kernel.view(slot + within, count).set(bytes.subarray(at, at + count))
      stripe.filled += count
      at += count
    }
    return at
  }

  #closeStripe(chunk: ChunkWriter, stripe: Stripe): void {
    this.#stripe = undefined
    if (stripe.filled < this.#code.dataShards * this.#code.unitBytes) this.#shrink(stripe)
    chunk.addStripe(stripe.slots, stripe.filled)
  }

  /** The last stripe of a chunk: deals its payload anew over k shorter units, zeros at the end. */
  #shrink(stripe: Stripe): void {
    const { unitBytes, dataShards } = this.#code
    const { kernel } = this.#context
    const length = unitLengthFor(stripe.filled, dataShards)
    const payload = new Uint8Array(length * dataShards)
    for (let at = 0; at < stripe.filled; at += unitBytes) {
      const slot = stripe.slots[at / unitBytes] as Slot
      payload.set(kernel.view(slot, Math.min(unitBytes, stripe.filled - at)), at)
    }
    for (let shard = 0; shard < dataShards; shard++) {
      const unit = payload.subarray(shard * length, (shard + 1) * length)
      kernel.view(stripe.slots[shard] as Slot, length).set(unit)
    }
  }

  async #closeChunk(): Promise<void> {
    const chunk = this.#chunk as ChunkWriter
    await this.#awaitSealing()
    this.#chunk = undefined
    this.#sealing = { chunk, result: chunk.settle().catch(caught) }
    await this.#followSweep(sweepLookMs)
  }

  async #awaitSealing(): Promise<void> {
    const result = await this.#sealing?.result
    if (result instanceof Fault) throw result
    this.#sealing = undefined
    if (result === undefined) return
    this.#chunks.push(result)
    if (durableCount(result.record) < shardCount(result.record)) {
      this.#context.onIncomplete({ namespace: this.#keyspace.name, id: result.id })
    }
  }

  /**
   * Brings all stored chunks to one stamp, and to the present sweep number when it was last seen afterMs ago
   * or more, so that an upload may last longer than the time between two sweeps.
   */
  async #followSweep(afterMs: number): Promise<void> {
    const nowMs = this.#context.host.clock.monotonicMs()
    if (afterMs > 0) {
      if (nowMs - this.#sweepSeenMs < afterMs) return
      this.#sweepSeenMs = nowMs
      this.#sweep = await this.#context.table.freshSweepNumber(this.#keyspace)
    }
    this.#chunks = await touchChunks(this.#context, this.#stored, {
      keyspace: this.#keyspace,
      chunks: this.#chunks,
      stamp: this.#sweep.number,
      allowsBareQuorum: this.#options.allowsBareQuorum,
    })
  }

  async #takeStripe(): Promise<readonly Slot[]> {
    const count = this.#code.dataShards + this.#code.parityShards
    while (this.#slotsHeld + count > this.#slotsMax) {
      await new Promise<void>((resolve) => {
        this.#slotFreed = resolve
      })
    }
    this.#slotsHeld += count
    try {
      return await this.#context.slots.take(count)
    } catch (error) {
      this.#slotsHeld -= count
      throw error
    }
  }

  #free(slot: Slot): void {
    this.#context.slots.free(slot)
    this.#slotsHeld--
    this.#slotFreed?.()
  }
}
