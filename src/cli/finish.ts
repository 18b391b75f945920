// How a command ends.

import { reportFailure } from './terminal.ts'

/** Ends the process with the command's status: sockets and timers left behind must not keep it. */
export async function finish(run: () => Promise<number>): Promise<void> {
  let status: number
  try {
    status = await run()
  } catch (error) {
    status = reportFailure(error)
  }
  process.exitCode = status
  await new Promise<void>((settle) => process.stdout.write('', () => settle()))
  process.exit(status)
}
