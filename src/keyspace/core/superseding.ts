// Which revisions have left something to sweep: those in which a key changed that was there before. A revision
// that only made new keys supersedes nothing, and the sweep need not read its rows (sweep.ts).
//
// Known since this process applied them, as runs of neighbouring revisions; older ones, and what is beyond the
// bound, count as having left something. In memory only, and no part of any decision that replicas share.

const runsMax = 8192

export type RevisionRun = { readonly start: number; readonly end: number }

export class SupersedingRevisions {
  readonly #runsMax: number
  /** Nothing is known of those before. */
  #knownFrom: number
  /** In order, apart from each other. */
  #runs: { readonly start: number; end: number }[] = []

  constructor(knownFrom: number, options: { readonly runsMax?: number } = {}) {
    this.#knownFrom = knownFrom
    this.#runsMax = options.runsMax ?? runsMax
  }

  /** Revisions are noted in their order. */
  note(revision: number): void {
    const last = this.#runs.at(-1)
    if (last !== undefined && revision <= last.end + 1) {
      last.end = Math.max(last.end, revision)
      return
    }
    this.#runs.push({ start: revision, end: revision })
    if (this.#runs.length <= this.#runsMax) return
    const dropped = this.#runs.splice(0, this.#runsMax >>> 1).at(-1)
    if (dropped !== undefined) this.#knownFrom = Math.max(this.#knownFrom, dropped.end + 1)
  }

  /** The first run that ends at or after `revision`, from there on; undefined when there is none yet. */
  from(revision: number): RevisionRun | undefined {
    if (revision < this.#knownFrom) return { start: revision, end: this.#knownFrom - 1 }
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#runs[middle]?.end ?? 0) < revision) low = middle + 1
      else high = middle
    }
    const run = this.#runs[low]
    return run && { start: Math.max(run.start, revision), end: run.end }
  }

  /** Nobody asks for earlier ones any more. */
  forgetBefore(revision: number): void {
    let count = 0
    while ((this.#runs[count]?.end ?? revision) < revision) count++
    if (count > 0) this.#runs.splice(0, count)
  }
}
