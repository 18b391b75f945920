// When a shard counts as slow (Dean and Barroso 2013, "The tail at scale": hedged requests): three times the
// median of what first units took lately, at least msMin. A shard given up as slow is recorded as having
// taken the limit, so that a uniformly slow cluster raises the limit instead of hedging for ever.

const samplesMax = 64
const factor = 3

export class HedgeClock {
  readonly #msMin: number
  readonly #msMax: number
  readonly #samples: number[] = []
  #next = 0
  #limitMs: number

  constructor(msMin: number, msMax: number) {
    this.#msMin = msMin
    this.#msMax = msMax
    this.#limitMs = msMin
  }

  get limitMs(): number {
    return this.#limitMs
  }

  record(ms: number): void {
    this.#samples[this.#next] = ms
    this.#next = (this.#next + 1) % samplesMax
    if (this.#next % 8 !== 0) return
    const sorted = [...this.#samples].sort((a, b) => a - b)
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0
    this.#limitMs = Math.min(this.#msMax, Math.max(this.#msMin, factor * median))
  }
}
