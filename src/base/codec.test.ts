import assert from 'node:assert/strict'
import { test } from 'node:test'
import { equalBytes, toHex, utf8Encode } from './bytes.ts'
import {
  bool,
  bytes,
  codecOf,
  decodeBytes,
  encodeBytes,
  int,
  lazy,
  type Message,
  message,
  nested,
  repeated,
  text,
  uint,
} from './codec.ts'
import { Fault, faultCodeOf, isFault } from './fault.ts'
import { faultCodec } from './fault-codec.ts'
import { seededRandom } from './random.ts'

const inner = message({ id: bytes(1), size: uint(2) })
const sample = codecOf(
  message({
    name: text(1),
    count: uint(2),
    isOpen: bool(3),
    inner: nested(4, inner),
    many: repeated(nested(5, inner)),
    numbers: repeated(uint(6)),
  }),
)

test('what is encoded decodes to itself, for random messages', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 500; round++) {
    const value = {
      name: 'é😀'.repeat(random.integer(4)),
      count: random.chance(0.3) ? Number.MAX_SAFE_INTEGER : random.integer(2 ** 31),
      isOpen: random.chance(0.5),
      inner: random.chance(0.5)
        ? undefined
        : { id: random.bytes(random.integer(9)), size: random.integer(300) },
      many: Array.from({ length: random.integer(4) }, () => ({
        id: random.bytes(3),
        size: random.integer(9),
      })),
      numbers: Array.from({ length: random.integer(4) }, () => random.integer(3)),
    }
    assert.deepEqual(sample.decode(sample.encode(value)), value)
  }
})

test('bytes are standard protobuf: golden', () => {
  const encoded = sample.encode({
    name: 'ab',
    count: 300,
    isOpen: true,
    inner: { id: utf8Encode('x'), size: 0 },
    many: [],
    numbers: [0, 1],
  })
  // name: 0a 02 61 62; count: 10 ac 02; isOpen: 18 01; inner: 22 03 0a 01 78; numbers: 30 00 30 01
  assert.equal(toHex(encoded), '0a02616210ac0218012203' + '0a0178' + '30003001')
})

test('hostile bytes are refused with a fault, never with anything else', () => {
  const random = seededRandom(2)
  const good = sample.encode({
    name: 'name',
    count: 7,
    isOpen: true,
    inner: { id: utf8Encode('id'), size: 9 },
    many: [{ id: utf8Encode('k'), size: 1 }],
    numbers: [1, 2, 3],
  })
  for (let round = 0; round < 3000; round++) {
    const bad = random.chance(0.5)
      ? random.bytes(random.integer(40))
      : good.slice(0, random.integer(good.length + 1))
    if (bad.length > 0) bad[random.integer(bad.length)] = random.integer(256)
    try {
      sample.decode(bad)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'), String(error))
    }
  }
})

test('unknown fields of a newer writer are skipped', () => {
  const newer = codecOf(message({ name: text(1), extra: text(90), more: uint(91) }))
  const read = sample.decode(newer.encode({ name: 'n', extra: 'later', more: 5 }))
  assert.equal(read.name, 'n')
})

test('nesting is bounded, also through recursion', () => {
  type Tree = { readonly child: Tree | undefined }
  const tree: Message<{ child: ReturnType<typeof lazy<Tree>> }> = message({
    child: lazy<Tree>(1, () => tree),
  })
  let deep: Uint8Array = new Uint8Array(0)
  for (let depth = 0; depth < 100; depth++) {
    const size = deep.length < 128 ? [deep.length] : [(deep.length & 0x7f) | 0x80, deep.length >> 7]
    deep = new Uint8Array([0x0a, ...size, ...deep])
  }
  assert.throws(
    () => codecOf(tree).decode(deep),
    (error) => isFault(error, 'corrupt'),
  )
})

test('a fault keeps its meaning across nodes', () => {
  const fault = new Fault('not-leader', 'not the leader', {
    outcome: 'unknown',
    next: 'ask node 2',
    fields: { leader: '2' },
    s3: { code: 'SlowDown', status: 503 },
  })
  for (const code of ['constructor', 'toString', '']) assert.equal(faultCodeOf(code), 'internal')
  assert.equal(faultCodeOf('no-space'), 'no-space')
  const read = faultCodec.decode(faultCodec.encode(fault))
  const { code, message: what, outcome, next, fields, s3 } = read
  assert.deepEqual(
    { code, what, outcome, next, fields, s3 },
    {
      code: 'not-leader',
      what: 'not the leader',
      outcome: 'unknown',
      next: 'ask node 2',
      fields: { leader: '2' },
      s3: fault.s3,
    },
  )
})

test('equal seeds give equal sequences, different seeds different ones', () => {
  const draw = (seed: number) => seededRandom(seed).bytes(64)
  assert.ok(equalBytes(draw(5), draw(5)))
  assert.ok(!equalBytes(draw(5), draw(6)))
})

test("signed integers are two's complement of 64 bits", () => {
  const schema = message({ value: int(1) })
  const golden: readonly (readonly [number, string])[] = [
    [1, '0801'],
    [-1, '08ffffffffffffffffff01'],
    [-300, '08d4fdffffffffffffff01'],
    [Number.MAX_SAFE_INTEGER, '08ffffffffffffff0f'],
    [Number.MIN_SAFE_INTEGER, '0881808080808080f0ff01'],
  ]
  for (const [value, hex] of golden) {
    const encoded = encodeBytes(schema, { value })
    assert.equal(toHex(encoded), hex)
    assert.equal(decodeBytes(schema, encoded).value, value)
  }
  const long = Uint8Array.of(8, 255, 255, 255, 255, 255, 255, 255, 255, 127)
  assert.equal(Number.isSafeInteger(decodeBytes(schema, long).value), false)
  for (const wrong of [
    [8, 255],
    [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
  ]) {
    assert.throws(
      () => decodeBytes(schema, Uint8Array.from(wrong)),
      (error) => isFault(error, 'corrupt'),
    )
  }
})
