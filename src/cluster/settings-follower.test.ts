import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, ed25519Pair, Fault, isFault } from '../base/index.ts'
import { configDefaults } from './core/cluster-config.ts'
import { bundleCodec, bundleKey } from './core/enrolment-records.ts'
import { identityFiles } from './core/identity-files.ts'
import { bundleContent, signBundle } from './core/settings-bundle.ts'
import { SettingsFollower } from './settings-follower.ts'
import { memberAt, ownCluster, testHost } from './testing/enrolment-world.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

const pair = ed25519Pair(new Uint8Array(32).fill(1))

function bundle(epoch: number, of = ownCluster): string {
  const state = {
    clusterId: of,
    config: configDefaults,
    members: [memberAt(1)],
    authorities: ['ab'],
    revoked: [],
    handovers: [],
  }
  return signBundle(bundleContent(state), { epoch, pair })
}

async function world() {
  const host = testHost()
  const system = new MemoryKeyspace()
  const offer = (text: string) => system.put(bundleKey, bundleCodec.encode({ epoch: 1, text }))
  const follower = new SettingsFollower({ host, system }, ownCluster)
  await follower.open()
  return { host, system, follower, offer }
}

test('a bundle that found the disk full is taken once there is room', async () => {
  const { host, follower, offer } = await world()
  const { replace } = host.disk
  host.disk.replace = async () => {
    throw new Fault('no-space', 'the disk is full')
  }
  await offer(bundle(1))
  await assert.rejects(follower.follow(), (error) => isFault(error, 'no-space'))
  assert.equal(follower.held.epoch, 0)
  host.disk.replace = replace
  await follower.follow()
  assert.equal(follower.held.epoch, 1)
  assert.equal(await host.disk.exists(identityFiles.bundle), true)
})

test('what must not be taken is told once and leaves the copy as it is', async () => {
  const { host, follower, offer } = await world()
  await offer(bundle(2))
  await follower.follow()
  const foreign = bundle(3, clusterId('ff112233445566778899aabbccddeeff'))
  for (const text of [foreign, `${bundle(3)} `]) {
    await offer(text)
    await follower.follow()
    await follower.follow()
  }
  assert.equal(follower.held.epoch, 2)
  const told = host.events.filter((event) => event.endsWith('settings_refused'))
  assert.equal(told.length, 2)
})

test('an older one in a replica that lags behind is no refusal', async () => {
  const { host, system, follower, offer } = await world()
  await offer(bundle(2))
  await follower.follow()
  await offer(bundle(1))
  const old = await system.range({ key: bundleKey })
  await offer(bundle(2))
  const range = system.range.bind(system)
  system.range = async (request) => (request.isSerializable === true ? old : range(request))
  await follower.follow()
  assert.equal(follower.held.epoch, 2)
  assert.equal(host.events.filter((event) => event.endsWith('settings_refused')).length, 0)
})
