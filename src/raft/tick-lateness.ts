// How late the loop ran the last ticks: the health of the core's thread in one number. A ring of the
// last samples; percentiles are computed when asked for.

export class TickLateness {
  readonly #samplesMs: Float64Array
  #count = 0

  constructor(sampleCount: number) {
    this.#samplesMs = new Float64Array(sampleCount)
  }

  add(latenessMs: number): void {
    this.#samplesMs[this.#count % this.#samplesMs.length] = Math.max(0, latenessMs)
    this.#count++
  }

  statistics(): { readonly p50: number; readonly p99: number; readonly max: number } {
    const kept = Math.min(this.#count, this.#samplesMs.length)
    const sorted = this.#samplesMs.slice(0, kept).sort()
    const at = (ratio: number): number => sorted[Math.min(kept - 1, Math.floor(kept * ratio))] ?? 0
    return { p50: at(0.5), p99: at(0.99), max: at(1) }
  }
}
