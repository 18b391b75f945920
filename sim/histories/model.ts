// What a correct object does, one operation after the other: the sequential specification that a
// history is held against.

/** null is a state like others; undefined is none. */
// biome-ignore lint/complexity/noBannedTypes: any value but undefined
export type Known = {} | null

/** Deterministic once the output is known. All functions are pure. */
export type Model<State extends Known, Input, Output> = {
  readonly name: string
  readonly initial: State
  /**
   * The state after the operation, undefined when it cannot give this output here. Without an output (not
   * known) it is what the operation would have done; it never refuses then.
   */
  apply(state: State, input: Input, output: Output | undefined): State | undefined
  /** With this output it leaves every state as it is: a read, or a refusal. */
  isPassive(input: Input, output: Output): boolean
  /** Equal exactly for equal states. */
  stateKey(state: State): string
  /**
   * The independent object that the operation belongs to: the history is linearizable when the history
   * of each object is (Herlihy and Wing 1990, theorem 1). undefined for any operation: it concerns all of
   * them, and the history is judged whole.
   */
  partition(input: Input): string | undefined
}
