// One shard of one chunk on its way to its holder. Units queue here, at most as many as the upload has slots;
// the lane sends them as the holder takes them and frees their slots. A lane fails alone: its slots come
// free, the other lanes go on, and the chunk decides at its end what the loss means. A holder that makes no
// progress for stallMs while it has something to do has failed, whatever its connection says.

import { BoundedQueue, Fault, type NodeId } from '../base/index.ts'
import type { Layout } from './core/layout.ts'
import { caught } from './faults.ts'
import type { Slot } from './kernel/kernel.ts'
import type { OutgoingUnit, ShardSink } from './shard-sink.ts'

const unitsMax = 4_096

export type LaneOptions = {
  readonly shard: number
  readonly holder: NodeId
  readonly open: (onTaken: (count: number) => void) => Promise<ShardSink>
  readonly free: (slot: Slot) => void
  readonly nowMs: () => number
}

export class ShardLane {
  readonly shard: number
  readonly holder: NodeId
  /** Settles when the shard is sealed or has failed; never rejects. */
  readonly ended: Promise<void>
  #state: 'open' | 'sealed' | Fault = 'open'
  #layout: Layout | undefined
  #sink: ShardSink | undefined
  #takenCount = 0
  #progressMs: number
  #wake: (() => void) | undefined
  #end: () => void = () => undefined
  readonly #waiting = new BoundedQueue<OutgoingUnit>(unitsMax)
  readonly #sent = new BoundedQueue<OutgoingUnit>(unitsMax)
  readonly #options: LaneOptions

  constructor(options: LaneOptions) {
    this.shard = options.shard
    this.holder = options.holder
    this.#options = options
    this.#progressMs = options.nowMs()
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    void this.#run()
  }

  get isSealed(): boolean {
    return this.#state === 'sealed'
  }

  get fault(): Fault | undefined {
    return typeof this.#state === 'string' ? undefined : this.#state
  }

  /** Takes over the slot. */
  push(unit: OutgoingUnit): void {
    if (this.#state !== 'open' || !this.#waiting.push(unit)) {
      this.#options.free(unit.slot)
      return
    }
    if (this.#waiting.length + this.#sent.length === 1) this.#progressMs = this.#options.nowMs()
    this.#wake?.()
  }

  /** No more units: seal. */
  finish(layout: Layout): void {
    this.#layout = layout
    if (this.#waiting.length + this.#sent.length === 0) this.#progressMs = this.#options.nowMs()
    this.#wake?.()
  }

  fail(fault: Fault): void {
    if (this.#state !== 'open') return
    this.#state = fault
    for (const unit of this.#waiting.drain()) this.#options.free(unit.slot)
    for (const unit of this.#sent.drain()) this.#options.free(unit.slot)
    this.#sink?.abort(fault)
    this.#wake?.()
    this.#end()
  }

  /** Fails when the holder has owed an answer for longer than stallMs. */
  checkStall(stallMs: number): void {
    if (this.#state !== 'open') return
    const isOwed = this.#layout !== undefined || this.#waiting.length + this.#sent.length > 0
    if (!isOwed || this.#options.nowMs() - this.#progressMs <= stallMs) return
    this.fail(new Fault('deadline', `node ${this.holder} took nothing for ${stallMs} ms`))
  }

  async #run(): Promise<void> {
    try {
      const sink = await this.#options.open((count) => this.#onTaken(count))
      this.#sink = sink
      if (this.fault !== undefined) sink.abort(this.fault)
      const layout = await this.#sendAll(sink)
      if (layout === undefined) return
      await sink.seal(layout)
      if (this.#state !== 'open') return
      for (const unit of this.#sent.drain()) this.#options.free(unit.slot)
      this.#state = 'sealed'
      this.#end()
    } catch (error) {
      this.fail(caught(error))
    }
  }

  /** Undefined when the lane failed meanwhile. */
  async #sendAll(sink: ShardSink): Promise<Layout | undefined> {
    while (this.#state === 'open') {
      const unit = this.#waiting.shift()
      if (unit !== undefined) {
        this.#sent.push(unit)
        await sink.send(unit)
        continue
      }
      if (this.#layout !== undefined) return this.#layout
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
    return undefined
  }

  #onTaken(count: number): void {
    this.#progressMs = this.#options.nowMs()
    while (this.#takenCount < count) {
      const unit = this.#sent.shift()
      if (unit === undefined) break
      this.#takenCount++
      this.#options.free(unit.slot)
    }
  }
}
