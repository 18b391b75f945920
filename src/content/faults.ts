// How the content room looks at what it catches.

import { AssertionFailure, Fault, toFault } from '../base/index.ts'

/** What was caught, as a Fault. A broken invariant is not for anybody to handle: it is thrown on (law 6). */
export function caught(error: unknown): Fault {
  if (error instanceof AssertionFailure) throw error
  return toFault(error)
}

export function cancelled(what: string): Fault {
  return new Fault('cancelled', what)
}
