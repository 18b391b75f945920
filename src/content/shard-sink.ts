// Where a writer puts the units of one shard: this node's segments, or a stream to another node. The unit
// lies in a slot of the kernel's memory with room for its header before it, so that one view is the message.
// A slot is free once the receiver says that it has taken the unit: a send that has settled says only that the
// window had room, and the connection may still hold the view.

import { Fault, type NodeId } from '../base/index.ts'
import { bulkMethod, type RpcStream } from '../rpc/index.ts'
import { type Context, streamDeadlineMs } from './context.ts'
import type { Layout } from './core/layout.ts'
import {
  encodeEnd,
  parseAnswer,
  sealedAnswer,
  unitHeaderBytes,
  writeUnitHeader,
} from './core/shard-format.ts'
import { shardWriteCodec } from './core/shard-requests.ts'
import { caught } from './faults.ts'
import type { Slot } from './kernel/kernel.ts'
import type { StoredShards } from './stored-shards.ts'

export type OutgoingUnit = {
  readonly slot: Slot
  readonly stripe: number
  readonly length: number
  readonly sum: number
}

export type ShardSink = {
  /** Settles when the next may be sent. Units come in the order of their stripes. */
  send(unit: OutgoingUnit): Promise<void>
  /** Durable on its node when it settles. */
  seal(layout: Layout): Promise<void>
  /** Nothing of the shard stays, as far as the holder can be told. */
  abort(fault: Fault): void
}

export type SinkRequest = {
  readonly holder: NodeId
  readonly key: Uint8Array
  readonly stamp: number
  readonly unitBytes: number
  /** That many units are taken: their slots are free. Absent: slots may be reused once send() settles. */
  readonly onTaken?: (count: number) => void
}

export function openSink(
  context: Context,
  stored: StoredShards,
  request: SinkRequest,
): Promise<ShardSink> {
  return request.holder === context.self
    ? Promise.resolve(openLocalSink(context, stored, request))
    : openRemoteSink(context, request)
}

function openLocalSink(context: Context, stored: StoredShards, request: SinkRequest): ShardSink {
  const deposit = stored.deposit(request.key, request)
  return {
    async send(unit) {
      await deposit.append(context.kernel.view(unit.slot, unit.length), unit.sum)
      request.onTaken?.(deposit.taken)
    },
    seal: (layout) => deposit.seal(layout),
    abort: () => {
      void deposit.abort().catch(caught)
    },
  }
}

async function openRemoteSink(context: Context, request: SinkRequest): Promise<ShardSink> {
  const opening = shardWriteCodec.encode(request)
  const stream = await context.rpc.openStream(request.holder, bulkMethod.shardWrite, opening, {
    deadlineMs: streamDeadlineMs,
    bulkTowards: 'peer',
  })
  const sealed = receiveAnswers(stream, request.onTaken)
  return {
    send(unit) {
      const { slot, stripe, length, sum } = unit
      const message = context.kernel.viewWithHeader(slot, unitHeaderBytes, length)
      writeUnitHeader(message, { stripe, length, sum })
      return stream.send(request.onTaken === undefined ? message.slice() : message)
    },
    async seal(layout) {
      await stream.send(encodeEnd(layout))
      await stream.end()
      const fault = await sealed
      if (fault !== undefined) throw fault
    },
    abort: (fault) => stream.fail(fault),
  }
}

/** Settles with undefined once the holder says that the shard is durable, otherwise with what went wrong. */
async function receiveAnswers(
  stream: RpcStream,
  onTaken: ((count: number) => void) | undefined,
): Promise<Fault | undefined> {
  let isSealed = false
  try {
    for await (const message of stream.messages) {
      const answer = parseAnswer(message)
      if (answer === sealedAnswer) isSealed = true
      else onTaken?.(answer)
    }
  } catch (error) {
    return caught(error)
  }
  return isSealed
    ? undefined
    : new Fault('unavailable', 'a holder ended a shard without sealing it')
}
