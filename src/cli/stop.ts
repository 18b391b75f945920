// `atoll stop`: ends the node of a directory and waits until it has ended.

import { stopRunning } from './background.ts'
import { answer, withProgress } from './terminal.ts'

export async function stop(options: {
  readonly dataDir: string
  readonly isJson: boolean
}): Promise<number> {
  const { dataDir, isJson } = options
  const wasRunning = await withProgress(() => 'the node is stopping', stopRunning(dataDir))
  if (isJson) answer(JSON.stringify({ stopped: wasRunning }))
  else answer(wasRunning ? `The node in ${dataDir} has stopped.` : `No node runs in ${dataDir}.`)
  return 0
}
