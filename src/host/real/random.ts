// The system's generator behind the Random contract: every draw is fit for secrets.

import { randomFillSync, randomInt } from 'node:crypto'
import type { Random } from '../../base/index.ts'

const wholeRange = 0x1_0000_0000

export const realRandom: Random = {
  integer: (limit) => (limit <= 1 ? 0 : randomInt(limit)),
  chance: (ratio) => randomInt(wholeRange) / wholeRange < ratio,
  bytes: (count) => randomFillSync(new Uint8Array(count)),
}
