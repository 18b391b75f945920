// The calls that Kubernetes' storage makes of etcd: create, conditional update and delete as transactions, lists in
// pages at one revision, watches from a list on with previous values and bookmarks, and the compactor's agreement by a key.
// The same story is told by a node of ours and by Debian's etcd-server; revisions are counted from its beginning.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Cluster, startCluster } from '../e2e/cluster.ts'
import {
  bytes,
  compact,
  noPair,
  range,
  Storage,
  told,
  type WatchAnswer,
  Watching,
} from './etcd/kubernetes.ts'
import { type EtcdServer, missing, startEtcd } from './etcd-server.ts'

const portOffset = 22_000
const referencePort = 2479 + portOffset
const noServer = missing('etcd', 'etcd-server')
let cluster: Cluster | undefined
let reference: EtcdServer | undefined
before(async () => {
  if (noServer !== false) return
  cluster = await startCluster({ portOffset, args: ['--nodes', '1', '--etcd'] })
  reference = await startEtcd(referencePort)
})
after(async () => {
  await cluster?.stop()
  await reference?.stop()
})

function eventLines(storage: Storage, { events }: WatchAnswer): string[] {
  return events.map((event) => {
    const { type, kv, prevKv } = event ?? { type: 0, kv: noPair, prevKv: undefined }
    const was =
      prevKv === undefined ? '-' : `${told(prevKv.value)}@${storage.from(prevKv.modRevision)}`
    const at = storage.from(kv?.modRevision ?? 0)
    const made = kv?.createRevision === kv?.modRevision ? ' made' : ''
    return `${type === 0 ? 'put' : 'delete'} ${told(kv?.key)}=${told(kv?.value)}@${at}${made} was ${was}`
  })
}

async function tell(authority: string): Promise<readonly string[]> {
  const storage = new Storage(authority)
  const { lines } = storage
  const pods = { key: bytes('/registry/pods/'), rangeEnd: bytes('/registry/pods0') }
  try {
    storage.start = (await storage.ask(range, { key: bytes('x') })).header?.revision ?? 0
    const made: number[] = []
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      made.push(await storage.write(`/registry/pods/${name}`, 0, `${name}1`))
    }
    await storage.write('/registry/pods/a', 0, 'again')
    const updated = await storage.write('/registry/pods/a', made[0] ?? 0, 'a2')
    await storage.write('/registry/pods/a', made[0] ?? 0, 'late')

    const first = await storage.list({ ...pods, limit: 2 })
    const revision = first?.header?.revision ?? 0
    await storage.write('/registry/pods/c', made[2] ?? 0, undefined)
    await storage.write('/registry/pods/c', made[2] ?? 0, undefined)
    const rest = { ...pods, key: bytes('/registry/pods/b\0'), limit: 2, revision }
    await storage.list(rest)
    await storage.list({ ...rest, key: bytes('/registry/pods/d\0') })
    await storage.list({ ...pods, countOnly: true })
    await storage.list({ ...pods, revision: revision + 1000 })

    const watching = new Watching(storage)
    watching.create({ ...pods, startRevision: updated, prevKv: true, progressNotify: true })
    const created = await watching.next()
    lines.push(`created ${created.created} ${created.watchId}`)
    const seen: string[] = []
    while (seen.length < 2) seen.push(...eventLines(storage, await watching.next()))
    await storage.write('/registry/pods/c', 0, 'c2')
    while (seen.length < 3) seen.push(...eventLines(storage, await watching.next()))
    lines.push(...seen)
    const last = await storage.write('/registry/nodes/n', 0, 'n1')
    watching.send({ progressRequest: {} })
    const bookmark = await watching.next()
    lines.push(
      `bookmark ${bookmark.watchId} ${bookmark.events.length} at ${storage.from(bookmark.header?.revision ?? 0)}`,
    )

    await storage.write('compact_rev_key', 0, String(last))
    await storage.write('compact_rev_key', 0, 'another compactor')
    await storage.ask(compact, { revision: last })
    await storage
      .ask(compact, { revision: last })
      .catch((error: Error) => lines.push(error.message))
    await storage.list({ ...rest })
    await storage.list({ ...pods, revision: last })
    const stale = new Watching(storage)
    stale.create({ ...pods, startRevision: updated })
    const answers = [await stale.next(), await stale.next()]
    for (const answer of answers) {
      const compacted = answer.compactRevision === 0 ? '-' : storage.from(answer.compactRevision)
      lines.push(`stale: created ${answer.created} canceled ${answer.canceled} below ${compacted}`)
    }
    stale.close()
    await storage.write('/registry/pods/a', updated, undefined)
    lines.push(...eventLines(storage, await watching.next()))
    watching.close()
    return lines
  } finally {
    storage.client.close()
  }
}

describe("the calls of Kubernetes' storage", () => {
  it('are answered as by etcd', { skip: noServer }, async () => {
    const expected = await tell(`127.0.0.1:${referencePort}`)
    assert.ok(expected.length > 25)
    assert.deepEqual(await tell(`127.0.0.1:${2379 + portOffset}`), expected)
  })
})
