// Somebody at the other end of a port between nodes who says and sends what he likes: for tests that ask for every method
// as everybody who must not have it. Speaks frames over any socket, so that nothing of ours checks him on his side.

import type { Socket } from 'node:net'
import { type ClusterId, type NodeId, utf8Encode } from '../../base/index.ts'
import { type Frame, FrameParser, frameType, headerBytes, writeHeader } from '../core/frame.ts'
import { createHello, helloCodec } from '../core/hello.ts'
import { decodeFault } from '../fault-bytes.ts'
import { defaultLimits } from '../rpc-node.ts'
import type { MethodNumber } from '../rpc.ts'

export type Claim = { readonly nodeId: NodeId; readonly clusterId: ClusterId }
export type Asked = {
  readonly methods: readonly MethodNumber[]
  /** Default: each method in all three ways. */
  readonly ways?: readonly ('message' | 'call' | 'stream')[]
}
export type Answer = {
  /** Everything that came, whatever it was. */
  bytes: number
  /** Messages of faults by the id of what was asked. */
  readonly faults: ReadonlyMap<number, string>
  /** Of what was answered, with a fault or without. */
  readonly settled: ReadonlySet<number>
}

const everyWay = ['message', 'call', 'stream'] as const
const body = utf8Encode('a body that nobody may look at')
const deadlineMs = 5_000

/** The id of the call of a method. */
export const callId = (method: MethodNumber): number => method * 4 + 1
export const streamId = (method: MethodNumber): number => method * 4 + 3

/**
 * Says hello as who it claims to be and asks; settles with the end of the connection, which it ends itself once all is
 * answered.
 */
export async function askAll(socket: Socket, claim: Claim, asked: Asked): Promise<Answer> {
  const faults = new Map<number, string>()
  const settled = new Set<number>()
  const answer = { bytes: 0, faults, settled }
  const frames = framesOf(claim, asked)
  const wanted =
    asked.methods.length * (asked.ways ?? everyWay).filter((way) => way !== 'message').length
  const ends: readonly number[] = [
    frameType.response,
    frameType.fault,
    frameType.end,
    frameType.reset,
  ]
  const parser = new FrameParser(
    {
      allocate: ({ length }) => new Uint8Array(length),
      onFrame({ type, id }, payload) {
        const isFault = type === frameType.fault || type === frameType.reset
        if (isFault) faults.set(id, decodeFault(payload).message)
        if (ends.includes(type)) settled.add(id)
        if (settled.size === wanted) socket.destroy()
      },
    },
    defaultLimits,
  )
  socket.on('data', (bytes: Buffer) => {
    answer.bytes += bytes.length
    parser.push(new Uint8Array(bytes))
  })
  socket.on('error', () => undefined)
  socket.write(Buffer.concat(frames))
  await new Promise((resolve) => socket.once('close', resolve))
  return answer
}

function framesOf(claim: Claim, { methods, ways = everyWay }: Asked): readonly Uint8Array[] {
  const instance = new Uint8Array(8).fill(7)
  // No level is too high for a program that claims to be newer.
  const level = { newest: 1_000, active: () => 0, onOutgrown: () => undefined }
  const hello = createHello({ ...claim, instance }, defaultLimits, level)
  const frames = [frame({ type: frameType.hello }, helloCodec.encode(hello))]
  for (const method of methods) {
    const argument = deadlineMs
    for (const way of ways) {
      if (way === 'message') frames.push(frame({ type: frameType.message, method }, body))
      const id = way === 'call' ? callId(method) : streamId(method)
      const type = way === 'call' ? frameType.request : frameType.open
      if (way !== 'message') frames.push(frame({ type, method, id, argument }, body))
    }
  }
  return frames
}

function frame(head: Frame, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length)
  writeHeader(bytes, 0, { frame: head, length: payload.length })
  bytes.set(payload, headerBytes)
  return bytes
}
