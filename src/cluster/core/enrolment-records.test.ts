import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Codec, fromHex, isFault, nodeId, seededRandom, toHex } from '../../base/index.ts'
import { configDefaults } from './cluster-config.ts'
import {
  authorityCodec,
  bundleCodec,
  certificateCodec,
  configCodec,
  enrolmentCodec,
  tokenCodec,
} from './enrolment-records.ts'
import { openSecret, requireSealKey, sealCheckOf, sealSecret } from './sealing.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

const token = {
  id: 'ABC123',
  proofKey: bytes(1, 2),
  pin: 'ab',
  createdMs: 1,
  expiresMs: 2,
  uses: 3,
  usesLeft: 2,
  name: 'n',
  addressPrefix: '10.0.0.0/8',
  approval: 'operator',
  replaces: nodeId(4),
  createdBy: 'me',
  revokedMs: 5,
} as const
const enrolment = {
  keyHash: 'cd',
  state: 'joined',
  name: 'n',
  address: 'a:1',
  region: 'r',
  zone: 'z',
  caps: ['s3'],
  version: '0.1.0',
  tokenId: 'ABC123',
  replaces: nodeId(2),
  member: nodeId(5),
  requestedMs: 1,
  decidedMs: 2,
  decidedBy: 'op',
  nodeCertificatePem: 'x',
  serverCertificatePem: 'y',
} as const
const signer = { publicKey: 'aa', sealedKey: bytes(7) }
const authority = {
  authorities: [
    { certificatePem: 'p', sealedKey: bytes(9), state: 'signing', keyHash: 'ef', notAfterMs: 6 },
    { certificatePem: 'q', sealedKey: bytes(8), state: 'next', keyHash: '01', notAfterMs: 7 },
  ],
  signer,
  nextSigner: { publicKey: 'bb', sealedKey: bytes(6) },
  handovers: [{ from: 'aa', to: 'bb', sig: 'cc' }],
  sealCheck: bytes(3),
} as const
const certificate = {
  member: nodeId(3),
  serial: '1a',
  serverSerial: '1b',
  authorityPin: 'ef',
  issuedMs: 4,
  notAfterMs: 5,
}
const config = { version: 2, changedMs: 3, changedBy: 'me', config: configDefaults }
const bundle = { epoch: 9, text: '{}' }

const rows: readonly (readonly [string, Codec<never>, unknown, string])[] = [
  [
    'token',
    tokenCodec as Codec<never>,
    token,
    '18010a06414243313233120201021a026162200128023003380242016e4a0a31302e302e302e302f385001580462026d6568050fcc5e95',
  ],
  [
    'enrolment',
    enrolmentCodec as Codec<never>,
    enrolment,
    '19010a02636410021a016e2203613a312a017232017a3a0273334205302e312e304a06414243313233500258056001680272026f707a0178820101790498ef3c',
  ],
  [
    'authority',
    authorityCodec as Codec<never>,
    authority,
    '1a010a0c0a01701201092202656628060a0e0a0171120108180122023031280712070a0261611201071a070a026262120106220c0a026161120262621a0263632a010319c9d7ab',
  ],
  [
    'certificate',
    certificateCodec as Codec<never>,
    certificate,
    '1b010803120231611a02316222026566280430051de4fb7e',
  ],
  [
    'config',
    configCodec as Codec<never>,
    config,
    '1c01080210031a026d6522637b22617070726f76616c223a226175746f6d61746963222c2263657274696669636174655365636f6e6473223a3630343830302c226d656d626572734d6178223a313032342c227365727669636573223a7b7d2c2274617267657453697a65223a317ddbaffeba',
  ],
  ['bundle', bundleCodec as Codec<never>, bundle, '1d01080912027b7d1641778d'],
]

test('bytes of version 1 stay as they are, and are read', () => {
  for (const [name, codec, value, golden] of rows) {
    assert.equal(toHex(codec.encode(value as never)), golden, name)
    assert.deepEqual(codec.decode(fromHex(golden) ?? bytes()), value, name)
  }
})

test('every flipped bit and every cut is refused as corrupt', () => {
  const isCorrupt = (error: unknown): boolean => isFault(error, 'corrupt')
  for (const [, codec, value] of rows) {
    const encoded = codec.encode(value as never)
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const damaged = encoded.slice()
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(() => codec.decode(damaged), isCorrupt)
    }
    for (let end = 0; end < encoded.length; end++) {
      assert.throws(() => codec.decode(encoded.subarray(0, end)), isCorrupt)
    }
  }
})

test('a secret opens under its key, for its purpose, unchanged, and not otherwise', () => {
  const random = seededRandom(2)
  const key = random.bytes(32)
  const secret = random.bytes(40)
  const sealed = sealSecret(key, secret, { purpose: 'a', random })
  assert.deepEqual(openSecret(key, sealed, 'a'), secret)
  assert.notDeepEqual(sealSecret(key, secret, { purpose: 'a', random }), sealed)
  const isCorrupt = (error: unknown): boolean => isFault(error, 'corrupt')
  assert.throws(() => openSecret(key, sealed, 'b'), isCorrupt)
  assert.throws(() => openSecret(random.bytes(32), sealed, 'a'), isCorrupt)
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.slice()
    changed[at] = (changed[at] ?? 0) ^ 1
    assert.throws(() => openSecret(key, changed, 'a'), isCorrupt)
    assert.throws(() => openSecret(key, sealed.subarray(0, at), 'a'), isCorrupt)
  }
  requireSealKey(key, sealCheckOf(key))
  assert.throws(() => requireSealKey(random.bytes(32), sealCheckOf(key)), /not this cluster's/)
})
