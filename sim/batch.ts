// A batch of seeds, as a value: what was run, seen and found so far. It is kept between runs, so that a
// batch of thousands can be stopped at any time and goes on where it was.

export type Batch = {
  /** What the batch runs: another text is another batch. */
  readonly name: string
  /** The next seed to run. */
  next: number
  passed: number
  readonly failed: number[]
  readonly counts: Map<string, number>
}

export function startBatch(name: string, seed: number): Batch {
  return { name, next: seed, passed: 0, failed: [], counts: new Map() }
}

export function addSeed(
  batch: Batch,
  result: { readonly isPassed: boolean; readonly counts: ReadonlyMap<string, number> },
): void {
  for (const [kind, count] of result.counts) {
    batch.counts.set(kind, (batch.counts.get(kind) ?? 0) + count)
  }
  if (result.isPassed) batch.passed++
  else batch.failed.push(batch.next)
  batch.next++
}

export function encodeBatch(batch: Batch): string {
  return JSON.stringify({ ...batch, counts: [...batch.counts] })
}

/** Undefined when the text is none, or another batch's. */
export function decodeBatch(text: string, name: string): Batch | undefined {
  try {
    const kept = JSON.parse(text) as Omit<Batch, 'counts'> & { counts: [string, number][] }
    return kept.name === name ? { ...kept, counts: new Map(kept.counts) } : undefined
  } catch {
    return undefined
  }
}

/** Promised kinds that no seed has seen. */
export function neverSeen(batch: Batch, promises: readonly string[]): readonly string[] {
  return promises.filter((kind) => (batch.counts.get(kind) ?? 0) === 0)
}
