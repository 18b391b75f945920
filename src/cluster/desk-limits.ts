// What every part of the desk shares: how often a lost race is decided again, and who may open secrets.

import { Fault } from '../base/index.ts'

export const attemptsMax = 16

/** Fault 'denied' on a member that has no seal key. */
export function requireSealKeyOf(deps: {
  readonly sealKey: () => Uint8Array | undefined
}): Uint8Array {
  const key = deps.sealKey()
  if (key !== undefined) return key
  throw new Fault('denied', 'this node cannot admit anybody: it has no seal key', {
    next: "ask a member with the capability 'control'",
  })
}
