// Shards of this node as other nodes see them: handlers of bulkMethod.shard*. Whoever calls is a member
// (rpc has checked); every request is still validated and bounded, and a unit is checked before it is stored.

import { Fault, isFault } from '../base/index.ts'
import { bulkMethod, type IncomingCall, type Rpc, type RpcStream } from '../rpc/index.ts'
import {
  damagedMark,
  encodeAnswer,
  parseFrame,
  sealedAnswer,
  unitHeaderBytes,
  writeUnitHeader,
} from './core/shard-format.ts'
import { shardKeysCodec, shardReadCodec, shardWriteCodec } from './core/shard-requests.ts'
import type { Layout } from './core/layout.ts'
import type { Pace } from './pace.ts'
import type { StoredUnit } from '../storage/index.ts'
import type { StoredShards } from './stored-shards.ts'

const streamsMax = 2_048
export type ShardServerOptions = {
  /** This node's copy failed its checksum. */
  readonly onDamaged: (key: Uint8Array) => void
  /** Throttles what other nodes fetch to keep. */
  readonly pace: Pace
  /** This node's member drains: it is given no new shards. */
  readonly isLeaving: () => boolean
}

/** Registers the handlers; before listen(). */
export function serveShards(rpc: Rpc, stored: StoredShards, options: ShardServerOptions): void {
  let streams = 0
  const counted = async (run: () => Promise<void>): Promise<void> => {
    if (streams >= streamsMax) throw new Fault('overloaded', 'too many shards under way')
    streams++
    try {
      await run()
    } finally {
      streams--
    }
  }
  rpc.serveStream(bulkMethod.shardWrite, (stream, call) =>
    counted(() => receiveShard(stored, stream, call, options)),
  )
  rpc.serveStream(bulkMethod.shardRead, (stream, call) =>
    counted(() => sendShard(stored, stream, call, options)),
  )
  rpc.serve(bulkMethod.shardDelete, async ({ request }) => {
    const { keys } = shardKeysCodec.decode(request)
    await stored.segments.delete(keys)
    return new Uint8Array(0)
  })
  rpc.serve(bulkMethod.shardTouch, async ({ request }) => {
    const { keys, stamp } = shardKeysCodec.decode(request)
    return Uint8Array.from(await stored.touch(keys, stamp), Number)
  })
  rpc.serve(bulkMethod.shardVerify, async ({ request }) => {
    const { keys } = shardKeysCodec.decode(request)
    const isIntact = new Uint8Array(keys.length)
    for (const [i, key] of keys.entries()) {
      if ((await stored.verify(key)) === 'intact') isIntact[i] = 1
      else options.onDamaged(key)
    }
    return isIntact
  })
}

async function receiveShard(
  stored: StoredShards,
  stream: RpcStream,
  call: IncomingCall,
  { isLeaving }: ShardServerOptions,
): Promise<void> {
  const { key, stamp, unitBytes } = shardWriteCodec.decode(call.request)
  if (isLeaving()) throw new Fault('precondition', 'this node drains and takes no new shards')
  const deposit = stored.deposit(key, { stamp, unitBytes })
  let layout: Layout | undefined
  try {
    for await (const message of stream.messages) {
      const frame = parseFrame(message)
      if (layout !== undefined) throw new Fault('invalid', 'a shard goes on after its end')
      if (frame.kind === 'end') {
        layout = frame.layout
        continue
      }
      if (frame.stripe !== deposit.taken || frame.length > unitBytes) {
        throw new Fault('invalid', `unit ${frame.stripe} of a shard is out of order`)
      }
      await deposit.append(frame.payload, frame.sum)
      await stream.send(encodeAnswer(deposit.taken))
    }
    if (layout === undefined) throw new Fault('cancelled', 'a shard ended before its end frame')
    await deposit.seal(layout)
  } catch (error) {
    await deposit.abort()
    throw error
  }
  await stream.send(encodeAnswer(sealedAnswer))
}

async function sendShard(
  stored: StoredShards,
  stream: RpcStream,
  call: IncomingCall,
  options: ShardServerOptions,
): Promise<void> {
  const { key, layout, first, last, moveBytesPerSecond } = shardReadCodec.decode(call.request)
  let stripe = first
  try {
    for await (const unit of stored.units(key, layout, { first, last })) {
      if (call.signal.aborted) throw new Fault('cancelled', 'the reader has gone')
      if (moveBytesPerSecond > 0) await options.pace.give(unit.bytes.length, moveBytesPerSecond)
      await stream.send(toMessage(unit, stripe), () => stored.recycle(unit))
      stripe++
    }
  } catch (error) {
    if (!isFault(error, 'corrupt')) throw error
    options.onDamaged(key)
    await stream.send(damagedMark)
  }
}

/** The unit with its header in the room before it: nothing is copied. */
function toMessage({ bytes, sum }: StoredUnit, stripe: number): Uint8Array {
  const { buffer, byteOffset, length } = bytes
  const message = new Uint8Array(buffer, byteOffset - unitHeaderBytes, unitHeaderBytes + length)
  writeUnitHeader(message, { stripe, length, sum })
  return message
}
