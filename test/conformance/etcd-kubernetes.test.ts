// The calls that Kubernetes' storage makes of etcd: create, conditional update and delete as transactions, lists in
// pages at one revision, watches from a list on with previous values and bookmarks, and the compactor's agreement by a key.
// The same story is told by a node of ours and by Debian's etcd-server; revisions are counted from its beginning.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import { decodeBytes, encodeBytes, type Message, type MessageOf } from '../../src/base/index.ts'
import {
  compactionRequest,
  compare as compareFields,
  deleteRequest,
  headerOnly,
  keyValue,
  putRequest,
  rangeRequest,
  rangeResponse,
  txnRequest,
  txnResponse,
  watchCreate,
  watchRequest,
  watchResponse,
} from '../../src/keyspace/etcd/wire.ts'
import { type Cluster, startCluster } from '../e2e/cluster.ts'
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

// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
type Fields = Record<string, any>
type WatchAnswer = MessageOf<typeof watchResponse>

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const told = (value: Uint8Array | undefined): string => new TextDecoder().decode(value)
const asIs = (given: Uint8Array): Buffer => Buffer.from(given)

function whole<F extends Fields>(
  schema: Message<F>,
  fields: Partial<MessageOf<Message<F>>>,
): MessageOf<Message<F>> {
  return { ...decodeBytes(schema, new Uint8Array()), ...fields }
}

/** What Kubernetes' storage does, and its story as lines. */
class Storage {
  readonly client: Client
  readonly lines: string[] = []
  start = 0

  constructor(authority: string) {
    this.client = new Client(authority, credentials.createInsecure())
  }

  ask<Q extends Fields, A extends Fields>(
    [method, request, response]: readonly [string, Message<Q>, Message<A>],
    fields: Partial<MessageOf<Message<Q>>>,
  ): Promise<MessageOf<Message<A>>> {
    const encoded = encodeBytes(request, whole(request, fields))
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + 10_000 }
      this.client.makeUnaryRequest(method, asIs, asIs, encoded, options, (error, answer) =>
        error === null && answer !== undefined
          ? resolve(decodeBytes(response, answer))
          : reject(error),
      )
    })
  }

  /** Puts, or deletes when there is no value, if the key is at that revision; else tells what is there. */
  async write(key: string, atRevision: number, value: string | undefined): Promise<number> {
    const at = { key: bytes(key) }
    const change =
      value === undefined
        ? { ...noOperation, requestDeleteRange: whole(deleteRequest, at) }
        : { ...noOperation, requestPut: whole(putRequest, { ...at, value: bytes(value) }) }
    const answer = await this.ask(txn, {
      compare: [whole(compareFields, { ...at, target: modTarget, modRevision: atRevision })],
      success: [change],
      failure: [{ ...noOperation, requestRange: whole(rangeRequest, at) }],
    })
    const revision = answer.header?.revision ?? 0
    const found = answer.responses[0]?.responseRange?.kvs[0]
    const there =
      found === undefined ? 'nothing' : `${told(found.value)} at ${this.from(found.modRevision)}`
    this.lines.push(
      answer.succeeded ? `${key} at ${this.from(revision)}` : `${key} refused: ${there}`,
    )
    return revision
  }

  async list(
    fields: Partial<MessageOf<typeof rangeRequest>>,
  ): Promise<MessageOf<typeof rangeResponse> | undefined> {
    try {
      const answer = await this.ask(range, fields)
      const pairs = answer.kvs.map((pair) => {
        const { key, value, modRevision, version } = pair ?? noPair
        return `${told(key)}=${told(value)}@${this.from(modRevision)}v${version}`
      })
      const revision = this.from(answer.header?.revision ?? 0)
      this.lines.push(`list ${pairs.join()} more ${answer.more} of ${answer.count} at ${revision}`)
      return answer
    } catch (error) {
      this.lines.push(`list refused: ${(error as Error).message}`)
      return undefined
    }
  }

  from(revision: number): number {
    return revision - this.start
  }
}

const range = ['/etcdserverpb.KV/Range', rangeRequest, rangeResponse] as const
const txn = ['/etcdserverpb.KV/Txn', txnRequest, txnResponse] as const
const compact = ['/etcdserverpb.KV/Compact', compactionRequest, headerOnly] as const
type Operation = NonNullable<MessageOf<typeof txnRequest>['success'][number]>
const noOperation: Operation = {
  requestRange: undefined,
  requestPut: undefined,
  requestDeleteRange: undefined,
  requestTxn: undefined,
}
const modTarget = 2
const noPair = decodeBytes(keyValue, new Uint8Array())

class Watching {
  readonly #stream: ClientDuplexStream<Uint8Array, Buffer>
  readonly #answers: AsyncIterator<Buffer>

  constructor(storage: Storage) {
    this.#stream = storage.client.makeBidiStreamRequest('/etcdserverpb.Watch/Watch', asIs, asIs)
    this.#stream.on('error', () => undefined)
    this.#answers = this.#stream[Symbol.asyncIterator]()
  }

  send(fields: Partial<MessageOf<typeof watchRequest>>): void {
    this.#stream.write(encodeBytes(watchRequest, whole(watchRequest, fields)))
  }

  create(fields: Partial<MessageOf<typeof watchCreate>>): void {
    this.send({ createRequest: whole(watchCreate, fields) })
  }

  async next(): Promise<WatchAnswer> {
    return decodeBytes(watchResponse, (await this.#answers.next()).value)
  }

  close(): void {
    this.#stream.cancel()
  }
}

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
