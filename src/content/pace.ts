// The throttle of this node's background transfers: what it fetches and rebuilds, and what others fetch from it. Both
// may take the share that the settings name of what the node gave when idle; the settings are read at every unit,
// so a change shows at once.
//
// The idle rate is measured on real work: the first shards fetched are not held back by either end, and what they
// took is remembered for an hour. A fetching node tells the rate that it measured along with its request, so that
// a holder from which many fetch at once gives all of them together no more than its own share.

import type { Clock } from '../host/index.ts'
import {
  charge,
  checkedShare,
  createBucket,
  idleRateMin,
  noteTime,
  shardCostBytes,
} from './core/pacing.ts'

const measuredBytesMin = 4 * 1024 * 1024
const measuredMsMin = 1_000
const rememberMs = 3_600_000
const toldForMs = 60_000
const napMs = 500

export class Pace {
  readonly #clock: Clock
  readonly #shareSetting: () => number | undefined
  readonly #incoming = createBucket()
  readonly #outgoing = createBucket()
  #idleBytesPerSecond = 0
  #measuredAtMs = 0
  #sample = { bytes: 0, ms: 0 }
  /** The highest rate that fetching nodes have told lately. */
  #told = { bytesPerSecond: 0, atMs: 0 }
  #isStopped = false

  constructor(clock: Clock, share: () => number | undefined) {
    this.#clock = clock
    this.#shareSetting = share
  }

  get share(): number {
    return checkedShare(this.#shareSetting())
  }

  /** 0: not measured yet. */
  get idleBytesPerSecond(): number {
    return Math.round(this.#idleBytesPerSecond)
  }

  /** While it holds nothing back. Begins a measurement when the last one is too old. */
  isMeasuring(): boolean {
    if (this.#idleBytesPerSecond === 0) return true
    return this.#clock.monotonicMs() - this.#measuredAtMs > rememberMs
  }

  /** A shard was fetched, unhindered, in this time. */
  measured(bytes: number, ms: number): void {
    if (!this.isMeasuring()) return
    const sample = { bytes: this.#sample.bytes + bytes, ms: this.#sample.ms + ms }
    this.#sample = sample
    if (sample.bytes < measuredBytesMin && sample.ms < measuredMsMin) return
    this.#idleBytesPerSecond = Math.max(idleRateMin, (1000 * sample.bytes) / Math.max(1, sample.ms))
    this.#measuredAtMs = this.#clock.monotonicMs()
    this.#sample = { bytes: 0, ms: 0 }
  }

  /** Settles when this node may fetch the next unit; `ms` is what the one before took by itself. */
  async take(bytes: number, ms: number): Promise<void> {
    if (this.isMeasuring()) return
    const { share } = this
    const idleBytesPerSecond = this.#idleBytesPerSecond
    noteTime(this.#incoming, { bytes, ms, idleBytesPerSecond, share })
    await this.#pay(this.#incoming, bytes, share * idleBytesPerSecond)
  }

  /** A whole shard, beside its units. */
  async takeShard(): Promise<void> {
    if (this.isMeasuring()) return
    await this.#pay(this.#incoming, shardCostBytes, this.share * this.#idleBytesPerSecond)
  }

  /** Settles when the next unit may go to a node that fetches and measured `told` (less than 2: it measures now). */
  async give(bytes: number, told: number): Promise<void> {
    if (told < 2) return
    const nowMs = this.#clock.monotonicMs()
    if (told >= this.#told.bytesPerSecond || nowMs - this.#told.atMs > toldForMs) {
      this.#told = { bytesPerSecond: told, atMs: nowMs }
    }
    await this.#pay(this.#outgoing, bytes, this.share * this.#told.bytesPerSecond)
  }

  stop(): void {
    this.#isStopped = true
  }

  async #pay(
    bucket: ReturnType<typeof createBucket>,
    bytes: number,
    bytesPerSecond: number,
  ): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    let leftMs = charge(bucket, { nowMs, bytes, bytesPerSecond })
    while (leftMs >= 1 && !this.#isStopped) {
      const waitMs = Math.min(leftMs, napMs)
      await this.#clock.sleep(waitMs)
      leftMs -= waitMs
    }
  }
}
