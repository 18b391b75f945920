// Labels, the rule of placement, explain, plan, health and events on real processes, by the commands that people use.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { type Cluster, randomFile, root, run, startCluster } from './cluster.ts'

const Bucket = 'registry'
let cluster: Cluster

before(async () => {
  cluster = await startCluster({ portOffset: 9200 })
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
})
after(() => cluster?.stop())

async function admin<T>(...args: readonly string[]): Promise<T> {
  const command = [join(root, 'scripts/atoll.mjs'), 'admin', ...args, '--json']
  const ran = await run(process.execPath, [...command, '--data-dir', cluster.dataDir])
  assert.equal(ran.status, 0, ran.stderr)
  return JSON.parse(ran.stdout) as T
}

type Explained = {
  readonly kind: string
  readonly selected_nodes: readonly number[]
  readonly unmet: readonly unknown[]
  readonly chunks: readonly {
    readonly holders: readonly number[]
    readonly nodes: readonly {
      readonly node: number
      readonly shards: readonly number[]
      readonly why: string
    }[]
  }[]
}
type Events = { readonly events: readonly { readonly kind: string; readonly node: number }[] }
type Plan = {
  readonly under_replicated: number
  readonly items: readonly {
    readonly extra: readonly number[]
    readonly missing: readonly number[]
  }[]
}

async function untilEvent(kind: string, node: number): Promise<void> {
  const endMs = Date.now() + 60_000
  for (;;) {
    const { events } = await admin<Events>('events')
    const newest = events.find((event) => event.node === node)
    if (newest?.kind === kind) return
    if (Date.now() > endMs) throw new Error(`no ${kind} of ${node}: ${JSON.stringify(events)}`)
  }
}

test('nodes are labelled, a rule speaks of it, and an object is explained', async () => {
  for (const { id } of cluster.line.nodes) {
    await admin('label', `node-${id}`, `rack=r${id}`, 'dc=only')
  }
  const rule = await admin<{ readonly unmet: readonly unknown[] }>(
    ...['placement', 'rule', 'set', '--distinct', 'rack=3', 'dc=2', '--repair-after', '0s'],
  )
  assert.deepEqual(rule.unmet, [{ label: 'dc', wanted: 2, found: 1 }])
  const Body = randomFile(3 * 1024 * 1024)
  await cluster.client(0).send(new PutObjectCommand({ Bucket, Key: 'a/b c.bin', Body }))
  const told = await admin<Explained>('placement', 'explain', `${Bucket}/a/b c.bin`)
  assert.deepEqual([told.kind, told.unmet.length, told.chunks.length], ['object', 1, 1])
  const [chunk] = told.chunks
  assert.deepEqual([...(chunk?.holders ?? [])].sort(), [1, 2, 3])
  for (const { node, shards, why } of chunk?.nodes ?? []) {
    assert.deepEqual(shards, [chunk?.holders.indexOf(node)])
    assert.match(why, /^place [123] of 3/)
  }
})

test('a death is written, planned for, and taken back when the node returns', async () => {
  await cluster.kill(2)
  await untilEvent('member-offline', 3)
  const plan = await admin<Plan>('placement', 'plan')
  assert.equal(plan.under_replicated, plan.items.length)
  for (const { missing, extra } of plan.items) assert.deepEqual([missing, extra], [[], [3]])
  await cluster.startMissing()
  await untilEvent('member-online', 3)
  await cluster.until('all are online', ({ nodes }) =>
    nodes.every(({ state }) => state === 'online'),
  )
  assert.deepEqual((await admin<Plan>('placement', 'plan')).items, [])
  const audit = await admin<{ readonly missing: number }>('placement', 'audit', '--ask', '3')
  assert.equal(audit.missing, 0)
})
