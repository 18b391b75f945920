import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../../base/index.ts'
import type { JsonValue } from '../enrolment.ts'
import {
  changeSetting,
  checkClusterConfig,
  configDefaults,
  readClusterConfig,
} from './cluster-config.ts'
import { bindOf, capabilityKinds } from './capability-settings.ts'

test('one setting at a time is changed, and taken back', () => {
  const wider = changeSetting(configDefaults, 'target_size', 5)
  assert.equal(wider.targetSize, 5)
  const set = changeSetting(changeSetting(wider, 's3.replicas', 3), 's3.api_bind', ':9002')
  assert.deepEqual(set.services, { s3: { replicas: 3, api_bind: ':9002' } })
  assert.deepEqual(changeSetting(set, 's3.replicas', undefined).services, {
    s3: { api_bind: ':9002' },
  })
  assert.deepEqual(
    changeSetting(changeSetting(set, 's3.replicas', undefined), 's3.api_bind', undefined).services,
    {},
  )
  assert.equal(changeSetting(set, 'certificate_seconds', undefined).certificateSeconds, 604_800)
})

test('settings of what this version lacks are kept; binds are an address of the node or one of their own', () => {
  let config = configDefaults
  const set: readonly (readonly [string, JsonValue])[] = [
    ['ec2.api_bind', ':9001'],
    ['nats.cluster', 'c-82d5'],
    ['nats.quorum', 2],
    ['ebs.replicas', 3],
    ['ebs.block_size', 4096],
    ['s3.api_bind', '[::1]:9002'],
  ]
  for (const [name, value] of set) config = changeSetting(config, name, value)
  assert.deepEqual(config.services, {
    ec2: { api_bind: ':9001' },
    nats: { cluster: 'c-82d5', quorum: 2 },
    ebs: { replicas: 3, block_size: 4096 },
    s3: { api_bind: '[::1]:9002' },
  })
  assert.deepEqual(bindOf(config.services, 's3', 'h'), { host: '::1', port: 9002 })
  assert.deepEqual(bindOf(config.services, 'ec2', 'h'), { host: 'h', port: 9001 })
  assert.equal(bindOf(config.services, 'ebs', 'h'), undefined)
  assert.equal(bindOf(undefined, 's3', 'h'), undefined)
  assert.equal(bindOf({ s3: { api_bind: '' } }, 's3', 'h'), undefined)
  const here = Object.entries(capabilityKinds).filter(([, { isHere }]) => isHere)
  assert.deepEqual(
    here.map(([name]) => name),
    ['control', 's3', 'etcd', 'sql', 'console'],
  )
})

test('what breaks a rule is refused', () => {
  const refused: readonly (readonly [string, JsonValue | undefined])[] = [
    ['target_size', 0],
    ['target_size', 1.5],
    ['target_size', '3'],
    ['members_max', 1e9],
    ['certificate_seconds', 59],
    ['approval', 'maybe'],
    ['nothing', 1],
    ['s3', { replicas: 2 }],
    ['s3.replicas.more', 2],
    ['S3.replicas', 2],
    ['__proto__.x', 2],
    ['constructor', 2],
    ['s3.x', 'y'.repeat(70_000)],
    ['s3.x', 1],
    ['other.api_bind', ':1'],
    ['s3.replicas', '2'],
    ['s3.replicas', 0],
    ['s3.api_bind', '9002'],
    ['s3.api_bind', ':0'],
    ['s3.api_bind', ':65536'],
    ['s3.api_bind', 'a b:1'],
    ['ebs.block_size', 4095],
    ['nats.cluster', ''],
    ['nats.quorum', 1.5],
    ['etcd.client_certificate', 'yes'],
    ['sql.x', 1],
  ]
  for (const [name, value] of refused) {
    assert.throws(
      () => changeSetting(configDefaults, name, value),
      (error) => isFault(error, 'invalid'),
      name,
    )
  }
})

test('noise is a fault, and what was written is read', () => {
  const random = seededRandom(4)
  const text = JSON.stringify(checkClusterConfig(configDefaults))
  assert.deepEqual(readClusterConfig(text), configDefaults)
  for (let round = 0; round < 500; round++) {
    const at = random.integer(text.length)
    const noise = `${text.slice(0, at)}${String.fromCharCode(32 + random.integer(90))}${text.slice(at + 1 + random.integer(9))}`
    try {
      readClusterConfig(noise)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'), String(error))
    }
  }
})
