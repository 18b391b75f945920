// What a plant is: a bug put in on purpose, to show that the checkers of a workload can fail. It is told as an edit of
// the sources, so the product carries no switch for it: the sources are changed on their way into a process of
// its own (planting.ts) and nowhere else.

export type Edit = {
  /** From the root of the project. Loaded after the edit was put in place: sources of base, host and sim are not. */
  readonly file: string
  /** Occurs in the file exactly once: the plant's test demands it, so who changes the code moves the plant. */
  readonly find: string
  readonly replace: string
}

export type Plant = {
  /** Kebab case. */
  readonly name: string
  /** What the broken code does, in one line. */
  readonly does: string
  /** The workload that catches it. */
  readonly workload: string
  /** Caught within so many seeds, counted from seed 1. */
  readonly seedsMax: number
  /** Virtual seconds of faults per seed; default 8. */
  readonly seconds?: number
  readonly edits: readonly Edit[]
}
