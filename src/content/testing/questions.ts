// What tests of damage, loss and upkeep ask of a cluster of doubles.

import { deepEqual } from 'node:assert/strict'
import type { Manifest } from '../content.ts'
import { decodeChunk } from '../core/records.ts'
import { type FakeCluster, sliced } from './fake-cluster.ts'

export async function holdersOf(cluster: FakeCluster): Promise<(readonly number[])[]> {
  const rows = await Promise.all(
    cluster.keyspace.keys('c/').map((key) => cluster.keyspace.range({ key })),
  )
  return rows.flatMap(({ kvs }) => kvs.map((row) => decodeChunk(row.value).holders))
}

/** Reads the manifest with each single node stopped in turn. */
export async function readWithoutEach(cluster: FakeCluster, manifest: Manifest, bytes: Uint8Array) {
  for (const lost of cluster.members.map((member) => member.id)) {
    const reader = cluster.members.map((member) => member.id).find((id) => id !== lost)
    cluster.stop(lost)
    deepEqual(await cluster.load(reader ?? 0, manifest), bytes, `without node ${lost}`)
    cluster.restart(lost)
  }
}

export function write(cluster: FakeCluster, bytes: Uint8Array, allowsBareQuorum: boolean) {
  const { content } = cluster.node(1)
  const body = sliced(bytes, cluster.random)
  return cluster.run(content.write(body, { keyspace: cluster.keyspace, allowsBareQuorum }))
}

export function totalObjects(cluster: FakeCluster): number {
  let count = 0
  for (const { segments } of cluster.nodes.values()) count += segments.objects.size
  return count
}
