// Calling again: one request, as many attempts as fit before its deadline. What is repeated must be harmless to
// repeat; whoever repeats a mutation brings the proof himself (once.ts).

import { Fault, type FaultCode, isFault, toFault } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import { deadlineMsMax } from '../core/limits.ts'
import type { RequestOptions } from '../keyspace.ts'

const deadlineMsDefault = 10_000
/** An attempt that takes longer is given up and made again, perhaps at another endpoint. */
const attemptMsMax = 3000
const backoffMsMin = 10
const backoffMsMax = 250
const jitterLimit = 1000

/** What may pass by itself soon. */
const retriedCodes: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'unavailable',
  'overloaded',
  'deadline',
])

export type Attempt = {
  readonly ms: number
  readonly signal: AbortSignal | undefined
  /** An earlier attempt may have been run. */
  readonly isDoubtful: boolean
}

/** For a request that is made within an attempt of another. */
export function optionsOf({ ms, signal }: Attempt): RequestOptions {
  return { deadlineMs: ms, ...(signal === undefined ? {} : { signal }) }
}

/**
 * Runs `attempt` until it answers, fails for good, or the deadline passes. `isMutation`: the last fault says
 * 'unknown' when any attempt was in doubt.
 */
export async function attemptUntil<T>(
  host: Host,
  options: RequestOptions & { readonly isMutation: boolean },
  attempt: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const { signal } = options
  const givenMs = Math.min(options.deadlineMs ?? deadlineMsDefault, deadlineMsMax)
  const deadlineAtMs = host.clock.monotonicMs() + givenMs
  let isDoubtful = false
  for (let count = 0; ; count++) {
    const leftMs = deadlineAtMs - host.clock.monotonicMs()
    try {
      if (signal?.aborted === true) throw new Fault('cancelled', 'the request was cancelled')
      if (leftMs <= 0) throw new Fault('deadline', 'etcd gave no answer before the deadline')
      return await attempt({ ms: Math.min(leftMs, attemptMsMax), signal, isDoubtful })
    } catch (error) {
      const fault = toFault(error)
      if (options.isMutation && fault.outcome === 'unknown') isDoubtful = true
      const isLast = host.clock.monotonicMs() >= deadlineAtMs || !retriedCodes.has(fault.code)
      if (isLast) throw isFault(error) ? asOutcome(fault, isDoubtful, options.isMutation) : error
    }
    await pause(host, count, deadlineAtMs)
  }
}

/** A read has no outcome; a mutation that was ever in doubt stays so. */
function asOutcome(fault: Fault, isDoubtful: boolean, isMutation: boolean): Fault {
  const outcome = isMutation && isDoubtful ? 'unknown' : 'failed'
  if (fault.outcome === outcome) return fault
  const { code, message, fields } = fault
  return new Fault(code, message, { outcome, fields, cause: fault })
}

function pause(host: Host, count: number, deadlineAtMs: number): Promise<void> {
  const widest = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(count, 10))
  const share = 0.5 + host.random.integer(jitterLimit) / jitterLimit
  const leftMs = deadlineAtMs - host.clock.monotonicMs()
  return host.clock.sleep(Math.max(1, Math.min(widest * share, leftMs)))
}
