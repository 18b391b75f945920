// Names of chunks and shards as parts of the room pass them on.

import type { NodeId } from '../base/index.ts'

export type ChunkId = { readonly namespace: string; readonly id: Uint8Array }

export type DamageReport = ChunkId & { readonly shard: number; readonly holder: NodeId }
