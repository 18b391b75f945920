// A node that was down while the cluster changed: what it starts from names neither who came meanwhile nor who leads.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId, utf8Encode } from '../../src/base/index.ts'
import type { ClusterStatus } from '../../src/node/index.ts'
import { realLoop } from '../main.ts'
import { runSeed } from '../run-seed.ts'
import type { World } from '../world.ts'
import { adminAddressOf, hostOf, S3Cluster, s3AddressOf } from './s3-cluster.ts'

const newcomer = 4
const behind = 3
const withinMs = 90_000

async function leaderOf(cluster: S3Cluster): Promise<number | undefined> {
  const status = await cluster.anyStatus()
  return status?.groups.find(({ name }) => name === '/raft/system')?.leader
}

async function comesBackUnderANewcomer(world: World): Promise<void> {
  const cluster = new S3Cluster(world, 3)
  for (const place of cluster.places) cluster.start(place)
  await cluster.until('all serve', withinMs, () => cluster.allServe())
  world.crash(behind, 'kill')
  const host = hostOf(newcomer)
  const addresses = {
    control: { host, port: 6660 },
    bulk: { host, port: 9991 },
    admin: adminAddressOf(newcomer),
    s3: s3AddressOf(newcomer),
  }
  let given: unknown
  const body = utf8Encode(JSON.stringify({ addresses }))
  await cluster.until('a member is added', withinMs, async () => {
    given = await cluster.admin(1, 'POST', { target: '/v1/members/add', body })
    return given !== undefined
  })
  cluster.addPlace(newcomer, nodeId((given as { readonly id: number }).id), 0)
  const isVoter = async (): Promise<boolean> => {
    const status = await cluster.anyStatus()
    return status?.groups.every(({ voters }) => voters.includes(nodeId(newcomer))) === true
  }
  await cluster.until('the newcomer votes', withinMs, isVoter)
  await cluster.until('the newcomer leads', withinMs, async () => {
    const leader = await leaderOf(cluster)
    if (leader === newcomer) return true
    if (leader !== undefined && world.host(leader) !== undefined) {
      world.crash(leader, 'kill')
      world.schedule(5_000, 'start again', () => cluster.start(leader))
      await world.sleep(8_000)
    }
    return false
  })
  cluster.start(behind)
  await cluster.until('who was left behind serves', withinMs, () => cluster.allServe())
  await cluster.until('its replicas follow', withinMs, async () => {
    const groups = (await cluster.anyStatus())?.groups ?? []
    const own = groups.filter(({ node }) => node === nodeId(behind))
    return own.length > 0 && own.every((group) => isFollowing(group, groups))
  })
  assert.equal(await leaderOf(cluster), newcomer)
}

type GroupRow = ClusterStatus['groups'][number]

function isFollowing({ name, leader, voters, applied }: GroupRow, all: readonly GroupRow[]) {
  const led = all.find((other) => other.name === name && other.role === 'leader')
  return leader === led?.node && applied === led.applied && voters.includes(nodeId(newcomer))
}

test('a node that was down meanwhile follows a leader that nothing it has names', async () => {
  const workload = { run: comesBackUnderANewcomer, promises: [] }
  const { problem } = await runSeed({ seed: 1, nodes: 3, durationMs: 0, workload, loop: realLoop })
  assert.equal(problem, undefined)
})
