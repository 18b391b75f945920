// What the workloads over a cluster that stores objects have in common: their clients' world, the plainest step of a
// client, and the last word: everything acknowledged is read from every node.

import type { Random } from '../../src/base/index.ts'
import type { World } from '../world.ts'
import { S3Client } from './s3-client.ts'
import { bucket, credential, region, type S3Cluster, s3AddressOf } from './s3-cluster.ts'
import { ObjectHistory } from './s3-history.ts'
import { drawBody, getObject, type ObjectWorld, pick, putObject } from './s3-objects.ts'

export function objectWorldOf(world: World, { places }: S3Cluster): ObjectWorld {
  return {
    world,
    client: new S3Client(world, { bucket, key: credential, region, addressOf: s3AddressOf }),
    history: new ObjectHistory(),
    places,
  }
}

/** One of the keys, at one of the nodes: read, or written without a condition. */
export async function readOrPut(
  at: ObjectWorld,
  keys: readonly string[],
  random: Random,
): Promise<void> {
  const key = pick(keys, random)
  const place = pick(at.places, random)
  if (random.chance(0.5)) await getObject(at, key, place)
  else {
    const condition = { kind: 'none' } as const
    await putObject(at, key, { body: drawBody(random), place, condition })
  }
}

/** After the heal every key of the history has an answer at every node, within so long each. */
export async function readEverywhere(
  at: ObjectWorld,
  cluster: S3Cluster,
  withinMs: number,
): Promise<void> {
  for (const key of at.history.keys()) {
    for (const place of cluster.places) {
      const what = `node ${place} reads ${key} after the heal`
      await cluster.until(what, withinMs, () => getObject(at, key, place))
    }
  }
}
