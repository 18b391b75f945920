// `atoll scrub`: has nodes read every shard they hold now, instead of at the slow pace of the background.

import { askAdmin } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { answer, withProgress } from './terminal.ts'

export type ScrubOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
}
type Found = { readonly verified: number; readonly damaged: number }

const askMs = 6 * 60 * 60 * 1000

/** One node after the other, so that readers keep the disks of the others for themselves. */
export async function scrub({ dataDir, node, isJson }: ScrubOptions): Promise<number> {
  let verified = 0
  let damaged = 0
  for (const { id, endpoint } of findNodes(dataDir, node)) {
    const call = { method: 'POST', path: '/v1/scrub', timeoutMs: askMs } as const
    const found = (await withProgress(
      () => `node ${id} reads its shards`,
      askAdmin(endpoint, call),
    )) as Found
    verified += found.verified
    damaged += found.damaged
    if (!isJson) {
      answer(
        `node ${id}: ${found.verified} shards verified, ${found.damaged} damaged and made again`,
      )
    }
  }
  if (isJson) answer(JSON.stringify({ verified, damaged }))
  return 0
}
