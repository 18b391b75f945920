import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../../base/index.ts'
import {
  type Frame,
  type FrameHeader,
  FrameParser,
  type FrameSink,
  frameType,
  headerBytes,
  writeHeader,
} from './frame.ts'

const limits = { callBytesMax: 2000, messageBytesMax: 5000, streamMessageBytesMax: 1000 }

type Seen = { readonly header: FrameHeader; readonly payload: Uint8Array }

function collector(seen: Seen[], allocated: number[] = []): FrameSink {
  return {
    allocate(header) {
      allocated.push(header.length)
      return new Uint8Array(header.length + 7)
    },
    onFrame(header, payload) {
      seen.push({ header: { ...header }, payload: payload.slice() })
    },
  }
}

function frameBytes(frame: Frame, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length)
  writeHeader(bytes, 0, { frame, length: payload.length })
  bytes.set(payload, headerBytes)
  return bytes
}

test('the header keeps its layout', () => {
  const frame = {
    type: frameType.end,
    flags: 1,
    method: 0x0203,
    id: 0x8405_0607,
    argument: 0xffff_ffff,
  }
  const bytes = new Uint8Array(headerBytes)
  writeHeader(bytes, 0, { frame, length: 0x0a0b })
  assert.equal(Buffer.from(bytes).toString('hex'), '0b010302070605840b0a0000ffffffff')
})

test('frames come out as they went in, however the bytes are cut', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 60; round++) {
    const sent: Seen[] = []
    const chunks: Uint8Array[] = []
    for (let i = 0; i < 20; i++) {
      const payload = random.bytes(random.chance(0.3) ? 0 : random.integer(1000))
      const header = {
        type: [frameType.request, frameType.data, frameType.message][random.integer(3)] as number,
        flags: random.integer(256),
        method: random.integer(65_536),
        id: random.integer(2 ** 32),
        length: payload.length,
        argument: random.integer(2 ** 32),
      }
      sent.push({ header, payload })
      chunks.push(frameBytes(header, payload))
    }
    const wire = new Uint8Array(Buffer.concat(chunks))
    const seen: Seen[] = []
    const parser = new FrameParser(collector(seen), limits)
    for (let at = 0; at < wire.length; ) {
      const count = 1 + random.integer(random.chance(0.5) ? 20 : 3000)
      parser.push(wire.subarray(at, at + count))
      at += count
    }
    assert.deepEqual(seen, sent)
  }
})

test('a length beyond its type is refused before anything is allocated', () => {
  const cases: readonly (readonly [number, number])[] = [
    [frameType.request, 2001],
    [frameType.message, 5001],
    [frameType.data, 1001],
    [frameType.ping, 1],
    [frameType.hello, 0xffff_ffff],
  ]
  for (const [type, length] of cases) {
    const allocated: number[] = []
    const parser = new FrameParser(collector([], allocated), limits)
    const bytes = new Uint8Array(headerBytes)
    writeHeader(bytes, 0, { frame: { type }, length })
    assert.throws(
      () => parser.push(bytes),
      (error) => isFault(error, 'invalid'),
    )
    assert.deepEqual(allocated, [])
  }
})

test('garbage never gets further than a Fault, and nothing follows it', () => {
  const random = seededRandom(11)
  let refused = 0
  for (let round = 0; round < 500; round++) {
    const allocated: number[] = []
    const seen: Seen[] = []
    const parser = new FrameParser(collector(seen, allocated), limits)
    try {
      for (let i = 0; i < 10; i++) parser.push(random.bytes(random.integer(200)))
    } catch (error) {
      assert.ok(isFault(error, 'invalid'))
      refused++
      const before = seen.length
      parser.push(frameBytes({ type: frameType.ping }, new Uint8Array(0)))
      assert.equal(seen.length, before)
    }
    assert.ok(allocated.every((length) => length <= 16 * 1024))
  }
  assert.ok(refused > 400)
})

test('stop() inside a frame holds back the frames behind it', () => {
  const seen: number[] = []
  const parser: FrameParser = new FrameParser(
    {
      allocate: (header) => new Uint8Array(header.length),
      onFrame(header) {
        seen.push(header.id)
        parser.stop()
      },
    },
    limits,
  )
  const one = frameBytes({ type: frameType.ping, id: 1 }, new Uint8Array(0))
  parser.push(new Uint8Array([...one, ...one]))
  assert.deepEqual(seen, [1])
})
