// `atoll start`: the node of one directory, in the foreground. A directory that is no node's yet waits to be paired:
// by its setup page, by a bootstrap file, or by `atoll admin init` or `join` in a second terminal; then the same
// process becomes the node.

import { mkdirSync } from 'node:fs'
import { acquireLock, type Lock } from '../host/real/lock.ts'
import { type NodeCommandOptions, runNode } from './node-command.ts'
import { becomeOwner } from './owner.ts'
import { nodePaths } from './paths.ts'
import { finishUndisturbed } from './placing.ts'
import { stopSignal } from './stop-signal.ts'
import { reportFailure } from './terminal.ts'

export type StartOptions = NodeCommandOptions & {
  /** A bootstrap file; D/bootstrap.json when there is one. */
  readonly bootstrap: string | undefined
  readonly portOffset: number
  /** Process id of the command that is about to make the directory a node's: nothing else is waited for. */
  readonly awaited?: number | undefined
}

/** Settles with the exit status once the node has stopped. */
export async function start(options: StartOptions): Promise<number> {
  const { dataDir } = options
  becomeOwner(dataDir)
  const stopping = stopSignal()
  let lock: Lock | undefined
  try {
    mkdirSync(dataDir, { recursive: true })
    lock = acquireLock(nodePaths(dataDir).lock, dataDir)
    if (!finishUndisturbed(dataDir)) {
      const { awaitCommand, becomeMember } = await import('./pairing.ts')
      const { awaited } = options
      const isMember =
        awaited === undefined
          ? await becomeMember(options, stopping)
          : await awaitCommand(dataDir, awaited, stopping)
      if (!isMember) {
        lock.release()
        return 0
      }
    }
  } catch (error) {
    lock?.release()
    return reportFailure(error)
  }
  return await runNode(options, lock)
}
