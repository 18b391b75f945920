// Assertions: broken invariants. They stay on in production; an assertion that fails stops the node
// (law 6), because going on with a broken invariant is how data is lost.

export class AssertionFailure extends Error {
  override name = 'AssertionFailure'
}

/** States what must hold. Throws AssertionFailure, which nothing but a thread's top level may catch. */
export function assert(condition: unknown, mustHold: string): asserts condition {
  if (!condition) throw new AssertionFailure(`broken invariant: ${mustHold}`)
}

/** Closes a union: calling it means a kind was forgotten. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`broken invariant: unexpected ${JSON.stringify(value)}`)
}
