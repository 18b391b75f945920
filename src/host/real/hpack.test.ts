import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault, seededRandom } from '../../base/index.ts'
import { encodeFields, type FieldList, HpackDecoder } from './hpack.ts'

function pairsOf({ fields }: FieldList): string[] {
  return fields.map(({ pair: [name, value] }) => `${name}: ${value}`)
}

function decodeHex(decoder: HpackDecoder, hex: string): FieldList {
  return decoder.decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

const first = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com']

describe('HPACK', () => {
  for (const [what, blocks] of [
    [
      'plain strings (RFC 7541, C.3)',
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
    ],
    [
      'coded strings (RFC 7541, C.4)',
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
    ],
  ] as const) {
    it(`reads the published requests: ${what}`, () => {
      const decoder = new HpackDecoder(4096)
      const [one, two, three] = blocks.map((block) => pairsOf(decodeHex(decoder, block)))
      assert.deepEqual(one, first)
      assert.deepEqual(two, [...first, 'cache-control: no-cache'])
      assert.deepEqual(three, [
        ...[':method: GET', ':scheme: https', ':path: /index.html'],
        ...[':authority: www.example.com', 'custom-key: custom-value'],
      ])
    })
  }

  it('evicts what its table has no room for, as the published answers say (RFC 7541, C.6)', () => {
    const decoder = new HpackDecoder(4096)
    // The table is resized to 256 bytes first, which the appendix has as its setting.
    const one = decodeHex(
      decoder,
      '3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
    )
    assert.deepEqual(pairsOf(one), [
      ...[':status: 302', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT'],
      'location: https://www.example.com',
    ])
    assert.deepEqual(pairsOf(decodeHex(decoder, '4883 640e ffc1 c0bf')), [
      ...[':status: 307', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT'],
      'location: https://www.example.com',
    ])
  })

  it('reads what it wrote, of any length', () => {
    const fields = [':status', 'content-type', 'x-own', 'x'.repeat(200)].flatMap((name) =>
      [0, 1, 126, 127, 128, 300, 20_000].map((n) => [name, 'v\u00e9'.repeat(n)] as const),
    )
    const list = new HpackDecoder(2 ** 20).decode(encodeFields(fields))
    assert.deepEqual(
      list.fields.map(({ pair }) => pair),
      fields,
    )
  })

  it('leaves out what is of one hop, and sends no character that ends a line', () => {
    assert.equal(encodeFields([['Connection', 'close']]).length, 0)
    for (const value of ['a\nb', 'a\rb', '\0', '\u010a']) {
      assert.throws(() => encodeFields([['x', value]]), /character/)
    }
  })

  it('refuses what is no block', () => {
    for (const [hex, what] of [
      ['80', /index 0/],
      ['ff80ffffffff0f', /too large/],
      ['be', /index 62/],
      ['4003', /ends within/],
      ['4001', /ends within/],
      ['0085ffffffffff00', /Huffman/],
      ['00 81 00 01 61', /Huffman/],
      ['3fe21f', /larger table/],
      ['82 20', /after fields/],
    ] as const) {
      assert.throws(() => decodeHex(new HpackDecoder(4096), hex), what, hex)
    }
  })

  it('counts fields beyond the limit and keeps none of them', () => {
    const decoder = new HpackDecoder(1000)
    const entry = encodeFields([['x-long', 'v'.repeat(900)]])
    entry[0] = 0x40
    assert.equal(decoder.decode(entry).isTooLarge, false)
    const bomb = decoder.decode(Buffer.alloc(16_000, 0xbe))
    assert.equal(bomb.isTooLarge, true)
    assert.equal(bomb.fields.length, 1)
  })

  it('says which fields no request may have', () => {
    for (const [name, value, isSound] of [
      ['x-a', 'b', true],
      ['te', 'trailers', true],
      ['te', 'gzip', false],
      ['transfer-encoding', 'chunked', false],
      ['X-Upper', 'a', false],
      ['x a', 'a', false],
      ['', 'a', false],
      ['x', ' a', false],
    ] as const) {
      const length = (text: string): Buffer => Buffer.from([text.length])
      const parts = [Buffer.from([0]), length(name), Buffer.from(name), length(value)]
      const list = new HpackDecoder(4096).decode(Buffer.concat([...parts, Buffer.from(value)]))
      assert.equal(list.fields[0]?.isSound, isSound, name)
    }
  })

  it('answers any bytes with fields or a fault', () => {
    const random = seededRandom(7)
    let read = 0
    for (let round = 0; round < 3000; round++) {
      const decoder = new HpackDecoder(4096)
      for (let block = 0; block < 4; block++) {
        const bytes = Buffer.from(random.bytes(random.integer(60)))
        try {
          decoder.decode(bytes)
          read++
        } catch (error) {
          assert.ok(isFault(error, 'invalid'), String(error))
          break
        }
      }
    }
    assert.ok(read > 20, String(read))
  })
})
