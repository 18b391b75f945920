// Scrub: reads every shard of this node from its disk and checks every unit, at a bounded rate, against both the
// segments' checksum and its writer's, so that damage is found without a read of the object.

import type { Context } from './context.ts'
import type { StoredShards } from './stored-shards.ts'

const pageObjects = 256

export type ScrubOptions = {
  /** 0: as fast as the disk goes. */
  readonly bytesPerSecond: number
  readonly onDamaged: (key: Uint8Array) => void
  readonly isStopped: () => boolean
}

/** One pass over all shards. */
export async function scrubShards(
  context: Context,
  stored: StoredShards,
  { bytesPerSecond, onDamaged, isStopped }: ScrubOptions,
): Promise<{ readonly verified: number; readonly damaged: number }> {
  let verified = 0
  let damaged = 0
  let after: Uint8Array | undefined
  for (;;) {
    const page = stored.segments.list(after, pageObjects)
    for (const { key, bytes } of page) {
      if (isStopped()) return { verified, damaged }
      const found = await stored.verify(key)
      verified++
      if (found === 'damaged') {
        damaged++
        onDamaged(key)
      }
      if (bytesPerSecond > 0) await context.host.clock.sleep((1000 * bytes) / bytesPerSecond)
    }
    const last = page.at(-1)
    if (last === undefined) return { verified, damaged }
    after = last.key
  }
}
