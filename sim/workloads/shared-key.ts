// Which clusters of a batch secure their connections by a shared key: every fourth seed, so that its handshakes and
// records meet every fault that certificates' connections meet, and bits flipped on the wire besides.

import { toHex, utf8Encode } from '../../src/base/index.ts'
import { parseSharedKey, type SharedKey } from '../../src/rpc/index.ts'
import type { World } from '../world.ts'

const key = parseSharedKey(utf8Encode('a key that all nodes of the world share'))

/** Undefined: this world's nodes have certificates. */
export function sharedKeyOf(world: World): SharedKey | undefined {
  if (world.seed % 4 !== 3) return undefined
  world.count('nodes with a shared key')
  return key
}

export function sharedKeyHexOf(world: World): string | undefined {
  const shared = sharedKeyOf(world)
  return shared === undefined ? undefined : toHex(shared)
}
