// What people see: standard error for progress and failures, standard output for the answer alone.

import { Fault, faultTable, toFault } from '../base/index.ts'

export function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

export function answer(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

/** What failed, then what to do next. */
export function describeFault(fault: Fault): string {
  const { message, next } = fault
  return withoutControls(next === undefined ? message : `${message}\n  next: ${next}`)
}

/** Faults may carry the words of a server that nobody trusts yet: none of them moves the cursor or hides a line. */
function withoutControls(text: string): string {
  return text.replaceAll(/[^\P{C}\n\t]/gu, '\ufffd')
}

/** Prints an error and answers the exit status that its table row gives. */
export function reportFailure(error: unknown): number {
  const fault = toFault(error)
  tell(`atoll: ${describeFault(fault)}`)
  if (!(error instanceof Fault) && error instanceof Error && error.stack !== undefined) {
    tell(error.stack)
  }
  return faultTable[fault.code].exitStatus
}

/**
 * Tells what is being waited for once it takes longer than two seconds, then every two seconds.
 * `describe` is asked each time.
 */
export async function withProgress<T>(describe: () => string, work: Promise<T>): Promise<T> {
  const startedMs = Date.now()
  const timer = setInterval(() => {
    tell(`atoll: ${describe()} (${Math.round((Date.now() - startedMs) / 1000)} s)`)
  }, 2_000)
  try {
    return await work
  } finally {
    clearInterval(timer)
  }
}
