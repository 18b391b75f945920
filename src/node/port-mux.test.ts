import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, Fault, utf8Decode, utf8Encode } from '../base/index.ts'
import type { Port } from '../host/index.ts'
import { Closers } from './closers.ts'
import { laneMessageCodec } from './lane-messages.ts'
import { muxPort } from './port-mux.ts'

/** Two ends that deliver at once. */
function pair(): readonly [Port, Port] {
  const make = (): Port => ({
    send: () => undefined,
    onMessage: () => undefined,
    close: () => undefined,
  })
  const a = make()
  const b = make()
  a.send = (message) => b.onMessage(message.slice())
  b.send = (message) => a.onMessage(message.slice())
  return [a, b]
}

test('channels keep their messages apart, in order, also before somebody listens', () => {
  const [a, b] = pair()
  const left = muxPort(a, 3)
  const right = muxPort(b, 3)
  const got: string[] = []
  const listen = (at: number): void => {
    const port = right[at]
    assert.ok(port !== undefined)
    port.onMessage = (message) => got.push(`${at}:${utf8Decode(message)}`)
  }
  listen(0)
  left[0]?.send(utf8Encode('one'))
  left[2]?.send(utf8Encode('early'))
  left[2]?.send(utf8Encode(''))
  left[0]?.send(utf8Encode('two'))
  listen(2)
  left[2]?.send(utf8Encode('late'))
  assert.deepEqual(got, ['0:one', '0:two', '2:early', '2:', '2:late'])
  right[0]?.close()
  left[0]?.send(utf8Encode('unheard'))
  assert.equal(got.length, 5)
})

test('lane messages survive the crossing', () => {
  const content = {
    chunks: 1,
    underReplicatedShards: 2,
    liveBytes: 3,
    garbageBytes: 0,
    freeBytes: 5,
    totalBytes: 6,
    repairedShards: 0,
    damagedShards: 0,
    auditedMsAgo: 1,
    isAuditCurrent: true,
    moves: {
      shardsLeft: 3,
      bytesLeft: 9,
      movedShards: 1,
      movedBytes: 2,
      bytesPerSecond: 5,
      idleBytesPerSecond: 50,
    },
    holders: [{ node: 2, shards: 7, bytes: 70, lastCopies: 1 }],
  }
  const messages = [
    { kind: 'status-wanted', request: 9 },
    { kind: 'status', request: 9, status: { content, objects: 4, services: ['etcd', 's3'] } },
    { kind: 'serve' },
    { kind: 'serving' },
    { kind: 'stop' },
    { kind: 'stopped' },
  ] as const
  for (const message of messages) {
    assert.deepEqual(laneMessageCodec.decode(laneMessageCodec.encode(message)), message)
  }
  const fault = new Fault('exists', 'taken', { fields: { port: '9000' } })
  const failed = laneMessageCodec.decode(laneMessageCodec.encode({ kind: 'failed', fault }))
  assert.ok(failed.kind === 'failed' && isFault(failed.fault, 'exists'))
  assert.equal(failed.fault.fields.port, '9000')
})

test('closers run in the opposite order, once, and all of them when one fails', async () => {
  const closers = new Closers()
  const ran: number[] = []
  closers.add(async () => void ran.push(1))
  closers.add(async () => {
    ran.push(2)
    throw new Fault('internal', 'two fails')
  })
  closers.add(async () => void ran.push(3))
  await assert.rejects(closers.closeAll(), /two fails/)
  await assert.rejects(closers.closeAll(), /two fails/)
  assert.deepEqual(ran, [3, 2, 1])
})
