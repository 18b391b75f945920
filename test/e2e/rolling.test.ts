// A rolling restart under load: each node is stopped and started again while clients that know all endpoints write and
// read, and none of their requests fails.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type Cluster, isAlive, startCluster } from './cluster.ts'

const portOffset = 8_600
const clients = 6
const Bucket = 'predastore'

type Seen = { requests: number; moved: number; failed: string[]; longestMs: number }

/** Tries each endpoint once, as a client with several does; what none answers has failed. */
async function ask<T>(
  endpoints: readonly S3Client[],
  { first, seen }: { readonly first: number; readonly seen: Seen },
  send: (client: S3Client) => Promise<T>,
): Promise<T | undefined> {
  const startedMs = performance.now()
  const reasons: string[] = []
  for (let at = 0; at < endpoints.length; at++) {
    const client = endpoints[(first + at) % endpoints.length]
    if (client === undefined) break
    try {
      const answer = await send(client)
      seen.requests++
      if (at > 0) seen.moved++
      seen.longestMs = Math.max(seen.longestMs, performance.now() - startedMs)
      return answer
    } catch (error) {
      reasons.push(error instanceof Error ? `${error.name}: ${error.message}` : String(error))
    }
  }
  seen.failed.push(reasons.join('; '))
  return undefined
}

/** Writes and reads back, one object after the other, until told to end. */
async function work(cluster: Cluster, own: number, seen: Seen, isOver: () => boolean) {
  const endpoints = [0, 1, 2].map((position) => cluster.client(position, { attemptsMax: 1 }))
  const written = new Map<string, string>()
  for (let count = 0; !isOver(); count++) {
    const Key = `client-${own}/${count % 40}`
    const Body = `${own} ${count}`.repeat(1 + (count % 300))
    const at = { first: own + count, seen }
    await ask(endpoints, at, (client) => client.send(new PutObjectCommand({ Bucket, Key, Body })))
    written.set(Key, Body)
    const read = await ask(endpoints, { first: own + count + 1, seen }, async (client) => {
      const { Body: found } = await client.send(new GetObjectCommand({ Bucket, Key }))
      return await found?.transformToString()
    })
    assert.equal(read, Body, `${Key} is what was written last`)
  }
  return written
}

test('nodes are restarted one by one, and no request of a client with several endpoints fails', async (t) => {
  const cluster = await startCluster({ portOffset })
  try {
    await cluster.until('all members vote', ({ groups }) =>
      groups.every(({ voters }) => Array.isArray(voters) && voters.length === 3),
    )
    const seen: Seen = { requests: 0, moved: 0, failed: [], longestMs: 0 }
    let isOver = false
    const working = Promise.all(
      Array.from({ length: clients }, (_, own) => work(cluster, own, seen, () => isOver)),
    )
    try {
      for (const position of [0, 1, 2]) await restart(cluster, position)
    } finally {
      isOver = true
    }
    const written = await working
    t.diagnostic(
      `${seen.requests} requests, ${seen.moved} answered by another endpoint, longest ${seen.longestMs.toFixed(0)} ms`,
    )
    assert.deepEqual(seen.failed, [])
    assert.ok(seen.requests > 100 && seen.moved > 0, JSON.stringify(seen))
    const reader = cluster.client(2)
    for (const [Key, Body] of written.flatMap((objects) => [...objects])) {
      const { Body: found } = await reader.send(new GetObjectCommand({ Bucket, Key }))
      assert.equal(await found?.transformToString(), Body)
    }
  } finally {
    await cluster.stop()
  }
})

/** As an operator does it: stopped cleanly, started again, and the next only once all vote and nothing is missing. */
async function restart(cluster: Cluster, position: number): Promise<void> {
  const { pid } = cluster.node(position)
  process.kill(pid, 'SIGTERM')
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20))
  await cluster.startMissing()
  await cluster.until(
    'it is back',
    ({ nodes, groups, underReplicatedShards }) =>
      nodes.every(({ state }) => state === 'online') &&
      groups.every(({ leader }) => leader !== 0) &&
      underReplicatedShards === 0,
  )
}
