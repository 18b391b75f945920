import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, Fault, nodeId } from '../base/index.ts'
import type { Cluster, Member, Topology } from '../cluster/index.ts'
import { threeNodes } from '../cluster/testing/founded.ts'
import type { Host } from '../host/index.ts'
import { followClusterFiles } from './cluster-files.ts'

const member = (id: number): Member => ({
  id: nodeId(id),
  name: `node-${id}`,
  state: 'online',
  control: { host: `10.0.0.${id}`, port: 6660 },
  bulk: { host: `10.0.0.${id}`, port: 9991 },
  admin: { host: `10.0.0.${id}`, port: 7777 },
  s3: { host: `10.0.0.${id}`, port: 9000 },
  labels: {},
  caps: [],
  version: '',
  capacityBytes: 0,
  replaces: undefined,
})

test('a change that comes while a write fails is written', async () => {
  const disk = new Map<string, string>()
  const failing: ((fault: Fault) => void)[] = []
  let isFull = true
  const host = {
    disk: {
      replace: async (name: string, bytes: Uint8Array) => {
        if (isFull) await new Promise((_, reject) => failing.push(reject))
        disk.set(name, new TextDecoder().decode(bytes))
      },
    },
    journal: { event: () => undefined, fatal: assert.fail },
  } as unknown as Host
  let members = [member(1)]
  let changed = (): void => undefined
  const cluster = {
    allMembers: () => members,
    view: {
      settings: () => ({ clusterId: clusterId('ab'.repeat(16)) }),
      onChange: (run: () => void) => {
        changed = run
        return () => undefined
      },
    },
  } as unknown as Cluster
  const topology: Topology = threeNodes
  const end = followClusterFiles({
    host,
    cluster,
    topology,
    self: nodeId(1),
    fileName: 'cluster.toml',
  })
  members = [member(1), member(2)]
  changed()
  isFull = false
  for (const fail of failing) fail(new Fault('no-space', 'the disk is full'))
  // The first write has ended, and what follows it has begun, a few turns later.
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  await end()
  assert.match(disk.get('hints/hosts') ?? '', /10\.0\.0\.2 node-2/)
})
