import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32c, Fault, fromHex, nodeId, seededRandom, toHex } from '../../base/index.ts'
import {
  type Layout,
  shardBytes,
  stripeBytes,
  stripeCount,
  stripeLength,
  stripesTouched,
  unitLength,
  unitSpan,
} from './layout.ts'
import {
  chunkIdOf,
  chunkTable,
  decodeChunk,
  decodeFreed,
  decodeSweepNumber,
  encodeChunk,
  encodeFreed,
  encodeSweepNumber,
  nodeOf,
  parseShardKey,
  shardKey,
} from './records.ts'
import { planRepair } from './repair-plan.ts'
import { encodeEnd, parseFrame, writeUnitHeader } from './shard-format.ts'
import { shardKeysCodec, shardReadCodec, shardWriteCodec } from './shard-requests.ts'

const id = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
const record = {
  dataShards: 2,
  parityShards: 1,
  unitBytes: 65_536,
  length: 300_000,
  holders: [nodeId(3), nodeId(0), nodeId(200)],
}

function drawLayout(random: ReturnType<typeof seededRandom>): Layout {
  return {
    dataShards: 1 + random.integer(6),
    parityShards: random.integer(4),
    unitBytes: 16 * (1 + random.integer(8)),
    length: 1 + random.integer(3_000),
  }
}

describe('the layout', () => {
  it('deals every byte to exactly one data unit, in order', () => {
    const random = seededRandom(1)
    for (let i = 0; i < 300; i++) {
      const layout = drawLayout(random)
      let at = 0
      let bytes = 0
      for (let stripe = 0; stripe < stripeCount(layout); stripe++) {
        equal(unitLength(layout, stripe) % 16, 0)
        ok(unitLength(layout, stripe) <= layout.unitBytes)
        bytes += unitLength(layout, stripe)
        for (let shard = 0; shard < layout.dataShards; shard++) {
          const { from, to } = unitSpan(layout, stripe, shard)
          ok(to - from <= unitLength(layout, stripe))
          if (from < to) equal(from, at)
          at += to - from
        }
        equal(at, stripe * stripeBytes(layout) + stripeLength(layout, stripe))
      }
      equal(at, layout.length)
      equal(bytes, shardBytes(layout))
    }
  })

  it('finds the stripes that a range touches as a search of all units does', () => {
    const random = seededRandom(2)
    for (let i = 0; i < 500; i++) {
      const layout = drawLayout(random)
      const from = random.integer(layout.length)
      const to = from + 1 + random.integer(layout.length - from)
      for (let shard = 0; shard < layout.dataShards; shard++) {
        const touched: number[] = []
        for (let stripe = 0; stripe < stripeCount(layout); stripe++) {
          const span = unitSpan(layout, stripe, shard)
          if (Math.max(span.from, from) < Math.min(span.to, to)) touched.push(stripe)
        }
        const { first, last } = stripesTouched(layout, shard, { from, to })
        if (touched.length === 0)
          ok(first > last, `${JSON.stringify(layout)} ${shard} ${from} ${to}`)
        else deepEqual([first, last], [touched[0], touched.at(-1)])
      }
    }
  })
})

describe('records', () => {
  it('keep their bytes', () => {
    const golden = '01' + '0802' + '1001' + '18808004' + '20e0a712' + '2803' + '2800' + '28c801'
    const value = encodeChunk(record)
    equal(toHex(value), golden + crcOf(golden))
    deepEqual(decodeChunk(value), record)
    equal(toHex(encodeSweepNumber(7)), `010000000000000007${crcOf('010000000000000007')}`)
    equal(decodeSweepNumber(encodeSweepNumber(2 ** 40)), 2 ** 40)
    deepEqual(decodeFreed(encodeFreed({ shard: 0, freedMs: 0 })), { shard: 0, freedMs: 0 })
    equal(toHex(encodeFreed({ shard: 2, freedMs: 5 })), `0108021005${crcOf('0108021005')}`)
    equal(toHex(chunkTable.atNode(nodeId(5), id)), `6e2f00000000000000052f${toHex(id)}`)
    equal(toHex(shardKey({ tag: 0x01020304, id, shard: 9 })), `01020304${toHex(id)}09`)
  })

  it('give back what their keys were made of', () => {
    const key = chunkTable.freed(nodeId(2 ** 40), id)
    equal(nodeOf(key), 2 ** 40)
    deepEqual(chunkIdOf(key), id)
    deepEqual(parseShardKey(shardKey({ tag: 77, id, shard: 31 })), { tag: 77, id, shard: 31 })
  })

  it('refuse every flipped bit and every truncation', () => {
    for (const [value, decode] of [
      [encodeChunk(record), decodeChunk],
      [encodeFreed({ shard: 1, freedMs: 1e12 }), decodeFreed],
      [encodeSweepNumber(3), decodeSweepNumber],
    ] as const) {
      for (let bit = 0; bit < 8 * value.length; bit++) {
        const bad = value.slice()
        bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        throws(() => decode(bad), { code: 'corrupt' })
      }
      for (let length = 0; length < value.length; length++) {
        throws(() => decode(value.subarray(0, length)), { code: 'corrupt' })
      }
    }
  })

  it('refuse layouts that no writer makes', () => {
    for (const bad of [
      { dataShards: 0 },
      { dataShards: 33 },
      { unitBytes: 0 },
      { unitBytes: 40 },
      { unitBytes: 524_288 },
      { length: 0 },
      { length: 2 ** 31 },
      { length: 2 ** 26, unitBytes: 16 },
      { holders: [nodeId(1)] },
    ]) {
      throws(() => decodeChunk(encodeChunk({ ...record, ...bad })), { code: 'corrupt' })
    }
  })
})

function crcOf(hex: string): string {
  return crc32c(fromHex(hex) as Uint8Array)
    .toString(16)
    .padStart(8, '0')
}

describe('shard frames', () => {
  const layout = { dataShards: 2, parityShards: 1, unitBytes: 64, length: 300 }

  it('keep their bytes', () => {
    equal(toHex(encodeEnd(layout)), '02010201400000002c01000000000000')
  })

  it('refuse a unit whose bytes changed on the way', () => {
    const payload = seededRandom(1).bytes(64)
    const frame = new Uint8Array(16 + 64)
    frame.set(payload, 16)
    writeUnitHeader(frame, { stripe: 3, length: 64, sum: crc32c(payload) })
    deepEqual(parseFrame(frame), {
      kind: 'unit',
      stripe: 3,
      length: 64,
      sum: crc32c(payload),
      payload,
    })
    for (let at = 8; at < frame.length; at++) {
      const bad = frame.slice()
      bad[at] = (bad[at] ?? 0) ^ 0x10
      throws(() => parseFrame(bad), { code: 'corrupt' })
    }
  })

  it('meet drawn bytes with a fault, never anything else', () => {
    const random = seededRandom(3)
    const parsers = [
      parseFrame,
      decodeChunk,
      decodeFreed,
      parseShardKey,
      shardWriteCodec.decode,
      shardReadCodec.decode,
      shardKeysCodec.decode,
    ]
    for (let i = 0; i < 4_000; i++) {
      const bytes = random.bytes(random.integer(60))
      for (const parse of parsers) {
        try {
          parse(bytes)
        } catch (error) {
          ok(error instanceof Fault, String(error))
        }
      }
    }
  })

  it('carry requests', () => {
    const key = shardKey({ tag: 1, id, shard: 0 })
    const write = { key, stamp: 9, unitBytes: 64 }
    deepEqual(shardWriteCodec.decode(shardWriteCodec.encode(write)), write)
    const read = { key, layout, first: 1, last: 2, moveBytesPerSecond: 7 }
    deepEqual(shardReadCodec.decode(shardReadCodec.encode(read)), read)
    throws(() => shardReadCodec.decode(shardReadCodec.encode({ ...read, last: 3 })), {
      code: 'invalid',
    })
    const keys = { keys: [key, key], stamp: 4 }
    deepEqual(shardKeysCodec.decode(shardKeysCodec.encode(keys)), keys)
    const many = { keys: Array.from({ length: 1_025 }, () => key), stamp: 0 }
    throws(() => shardKeysCodec.decode(shardKeysCodec.encode(many)), { code: 'too-large' })
  })
})

describe('the repair plan', () => {
  const plan = (
    holders: readonly number[],
    preferred: readonly number[],
    facts: { gone?: readonly number[]; heirs?: Readonly<Record<number, number>> } = {},
  ): string[] =>
    planRepair(
      { ...record, holders: holders.map(nodeId) },
      {
        preferred: preferred.map(nodeId),
        isGone: (holder) => facts.gone?.includes(holder) ?? false,
        replacement: (holder) => {
          const heir = facts.heirs?.[holder]
          return heir === undefined ? undefined : nodeId(heir)
        },
      },
    ).map(({ shard, previous, target }) => `${shard}: ${previous} -> ${target ?? 'nobody'}`)

  it('leaves a whole chunk alone', () => deepEqual(plan([1, 2, 3], [3, 2, 1, 4]), []))
  it('gives a missing shard to the first member without one', () =>
    deepEqual(plan([1, 0, 3], [3, 4, 2]), ['1: 0 -> 4']))
  it('gives two missing shards to two members', () =>
    deepEqual(plan([0, 0, 3], [3, 4, 2]), ['0: 0 -> 4', '1: 0 -> 2']))
  it('has nobody when every member has a shard', () =>
    deepEqual(plan([1, 0, 3], [3, 1]), ['1: 0 -> nobody']))
  it('lets the replacement take over, before others choose', () =>
    deepEqual(plan([0, 2, 3], [5, 9, 3], { gone: [2], heirs: { 2: 5 } }), [
      '0: 0 -> 9',
      '1: 2 -> 5',
    ]))
  it('passes by a replacement that is not up', () =>
    deepEqual(plan([1, 2, 3], [9, 3], { gone: [2], heirs: { 2: 5 } }), ['1: 2 -> 9']))
})
