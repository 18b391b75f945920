// The gateway over a keyspace of several nodes, without a network: what a client of etcd sees.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type MessageOf, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpHandler } from '../../host/index.ts'
import {
  compactionRequest,
  deleteRequest,
  deleteResponse,
  headerOnly,
  leaseGrantRequest,
  leaseGrantResponse,
  leaseIdRequest,
  leaseKeepAliveResponse,
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  txnRequest,
  txnResponse,
  watchRequest,
  watchResponse,
} from '../../keyspace/etcd/wire.ts'
import {
  asker,
  bodyOf,
  callUnary,
  readAll,
  requestOf,
  StreamCall,
  statusOf,
} from './testing/call.ts'
import { EtcdWorld } from './testing/world.ts'

const key = utf8Encode
const range = ['etcdserverpb.KV/Range', rangeRequest, rangeResponse] as const
const put = ['etcdserverpb.KV/Put', putRequest, putResponse] as const
const remove = ['etcdserverpb.KV/DeleteRange', deleteRequest, deleteResponse] as const
const txn = ['etcdserverpb.KV/Txn', txnRequest, txnResponse] as const
const compact = ['etcdserverpb.KV/Compact', compactionRequest, headerOnly] as const
const watch = ['etcdserverpb.Watch/Watch', watchRequest, watchResponse] as const
const grant = ['etcdserverpb.Lease/LeaseGrant', leaseGrantRequest, leaseGrantResponse] as const
const revoke = ['etcdserverpb.Lease/LeaseRevoke', leaseIdRequest, headerOnly] as const
const rangeDefaults = {
  limit: 0,
  revision: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
}
const keepAlive = [
  'etcdserverpb.Lease/LeaseKeepAlive',
  leaseIdRequest,
  leaseKeepAliveResponse,
] as const
const timeToLive = [
  'etcdserverpb.Lease/LeaseTimeToLive',
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
] as const

let etcd: EtcdWorld
let handler: HttpHandler
before(async () => {
  etcd = new EtcdWorld()
  handler = await etcd.start()
})
after(() => etcd.close())

const { ask, refused } = asker(() => handler)

const keysOf = (answer: MessageOf<typeof rangeResponse>): string =>
  answer.kvs.map((kv) => utf8Decode(kv?.key ?? key('?'))).join(' ')

describe('KV', () => {
  it('puts, reads and deletes, with the header of etcd', async () => {
    const first = await ask(put, { key: key('kv/a'), value: key('1') })
    assert.equal(first.header?.clusterId, 77)
    assert.equal(first.header?.memberId, 1)
    assert.equal(first.header?.raftTerm, 5)
    const revision = first.header?.revision ?? 0
    const second = await ask(put, { key: key('kv/a'), value: key('2'), prevKv: true })
    assert.equal(second.header?.revision, revision + 1)
    assert.equal(utf8Decode(second.prevKv?.value ?? key('')), '1')
    const read = await ask(range, { key: key('kv/a') })
    assert.equal(read.count, 1)
    assert.equal(read.kvs[0]?.version, 2)
    assert.equal(read.kvs[0]?.createRevision, revision)
    const old = await ask(range, { key: key('kv/a'), revision })
    assert.equal(utf8Decode(old.kvs[0]?.value ?? key('')), '1')
    const gone = await ask(remove, { key: key('kv/a'), prevKv: true })
    assert.equal(gone.deleted, 1)
    assert.equal(utf8Decode(gone.prevKvs[0]?.value ?? key('')), '2')
    assert.equal((await ask(range, { key: key('kv/a') })).count, 0)
  })

  it('sorts, limits, counts and filters', async () => {
    for (const name of ['c', 'a', 'b']) await ask(put, { key: key(`s/${name}`), value: key('v') })
    const all = { key: key('s/'), rangeEnd: key('s0') }
    assert.equal(keysOf(await ask(range, all)), 's/a s/b s/c')
    assert.equal(keysOf(await ask(range, { ...all, sortOrder: 2 })), 's/c s/b s/a')
    assert.equal(keysOf(await ask(range, { ...all, sortTarget: 2 })), 's/c s/a s/b')
    const one = await ask(range, { ...all, limit: 1 })
    assert.deepEqual([keysOf(one), one.more, one.count], ['s/a', true, 3])
    const counted = await ask(range, { ...all, countOnly: true })
    assert.deepEqual([counted.kvs.length, counted.count], [0, 3])
    const bare = await ask(range, { ...all, keysOnly: true, limit: -1 })
    assert.equal(
      bare.kvs.every((kv) => kv?.value.length === 0),
      true,
    )
  })

  it('gives a range that is longer than an answer of the keyspace in one piece', async () => {
    const value = new Uint8Array(100_000).fill(7)
    for (let i = 10; i < 25; i++) await ask(put, { key: key(`long/${i}`), value })
    const all = { key: key('long/'), rangeEnd: key('long0') }
    const whole = await ask(range, all)
    assert.deepEqual([whole.kvs.length, whole.count, whole.more], [15, 15, false])
    const down = await ask(range, { ...all, sortOrder: 2, limit: 14 })
    assert.equal(down.kvs.length, 14)
    assert.equal(keysOf(down).startsWith('long/24 long/23'), true)
    const byCreation = await ask(range, { ...all, sortTarget: 2, sortOrder: 2, limit: 12 })
    assert.equal(keysOf(byCreation).startsWith('long/24 long/23'), true)
    assert.deepEqual([byCreation.kvs.length, byCreation.more], [12, true])
  })

  const none = {
    requestRange: undefined,
    requestPut: undefined,
    requestDeleteRange: undefined,
    requestTxn: undefined,
  }
  const putOf = (name: string) => ({
    ...none,
    requestPut: {
      key: key(name),
      value: key('x'),
      lease: 0,
      prevKv: true,
      ignoreValue: false,
      ignoreLease: false,
    },
  })

  it('gives ranges inside of transactions whole, as they are at their place', async () => {
    const value = new Uint8Array(300_000).fill(7)
    for (const name of 'abcdefg') await ask(put, { key: key(`cut/${name}`), value })
    const rangeOf = (options: object) => ({
      ...none,
      requestRange: { ...rangeDefaults, key: key('cut/'), rangeEnd: key('cut0'), ...options },
    })
    const deletion = { key: key('cut/d'), rangeEnd: key('cut/e'), prevKv: false }
    const inner = {
      compare: [],
      success: [rangeOf({}), { ...none, requestDeleteRange: deletion }, rangeOf({ limit: 5 })],
      failure: [],
    }
    const shown = await ask(txn, {
      success: [
        rangeOf({}),
        putOf('cut/b'),
        { ...none, requestTxn: inner },
        rangeOf({ sortTarget: 3, sortOrder: 2, limit: 6 }),
        putOf('cut/z'),
        rangeOf({}),
      ],
    })
    const seen = (part: MessageOf<typeof rangeResponse> | undefined): string =>
      `${(part?.kvs ?? []).map((kv) => utf8Decode(kv?.key.slice(4) ?? key(''))).join('')}${part?.more} ${
        part?.kvs.find((kv) => kv?.key[4] === 98)?.value.length
      }`
    const [first, , nested, sorted, , last] = shown.responses
    const nestedAnswers = nested?.responseTxn?.responses ?? []
    assert.deepEqual(
      [first, nestedAnswers[0], nestedAnswers[2], sorted, last].map((one) =>
        seen(one?.responseRange),
      ),
      ['abcdefgfalse 300000', 'abcdefgfalse 1', 'abceftrue 1', 'bgfecafalse 1', 'abcefgzfalse 1'],
    )
  })

  it('runs nested transactions', async () => {
    const missing = {
      key: key('t/a'),
      rangeEnd: key(''),
      result: 0,
      target: 1,
      version: 0,
      createRevision: 0,
      modRevision: 0,
      value: key(''),
      lease: 0,
    }
    const inner = { compare: [missing], success: [putOf('t/b')], failure: [] }
    const answer = await ask(txn, {
      compare: [missing],
      success: [putOf('t/a'), { ...none, requestTxn: inner }],
      failure: [],
    })
    assert.equal(answer.succeeded, true)
    assert.equal(answer.responses[0]?.responsePut?.header?.revision, answer.header?.revision)
    // All compares look at what was before the transaction, as in etcd.
    assert.equal(answer.responses[1]?.responseTxn?.succeeded, true)
    const twice = await refused(txn, { success: [putOf('t/z'), putOf('t/z')] })
    assert.deepEqual(twice, { code: 3, text: 'etcdserver: duplicate key given in txn request' })
  })

  it('refuses in the words of etcd', async () => {
    assert.deepEqual(await refused(range, {}), { code: 3, text: 'etcdserver: key is not provided' })
    assert.deepEqual(await refused(put, { value: key('x') }), {
      code: 3,
      text: 'etcdserver: key is not provided',
    })
    assert.deepEqual(await refused(range, { key: key('a'), revision: 1e9 }), {
      code: 11,
      text: 'etcdserver: mvcc: required revision is a future revision',
    })
    assert.deepEqual(await refused(range, { key: key('a'), sortOrder: 9 }), {
      code: 3,
      text: 'etcdserver: invalid sort option',
    })
    assert.deepEqual(await refused(put, { key: key('a'), lease: 12345 }), {
      code: 5,
      text: 'etcdserver: requested lease not found',
    })
    assert.deepEqual(await refused(put, { key: key('none'), ignoreValue: true }), {
      code: 3,
      text: 'etcdserver: key not found',
    })
    assert.deepEqual(await refused(compact, { revision: 1e9 }), {
      code: 11,
      text: 'etcdserver: mvcc: required revision is a future revision',
    })
    const big = { key: key('big'), value: new Uint8Array(1_600_000) }
    assert.deepEqual(await refused(put, big), { code: 3, text: 'etcdserver: request is too large' })
  })

  it('answers at every node', async () => {
    const follower = etcd.handlerAt(3)
    await callUnary(follower, put, { key: key('everywhere'), value: key('y') })
    assert.equal((await ask(range, { key: key('everywhere') })).count, 1)
  })
})

describe('Watch', () => {
  const create = (request: object) => ({
    createRequest: {
      key: key(''),
      rangeEnd: key(''),
      startRevision: 0,
      progressNotify: false,
      filters: [],
      prevKv: false,
      watchId: 0,
      fragment: false,
      ...request,
    },
  })

  it('gives events in order, with what was before', async () => {
    const call = new StreamCall(handler, watch)
    call.send(create({ key: key('w/'), rangeEnd: key('w0'), prevKv: true }))
    const opened = await call.read()
    assert.deepEqual([opened?.created, opened?.watchId], [true, 0])
    await ask(put, { key: key('w/1'), value: key('a') })
    await ask(put, { key: key('w/1'), value: key('b') })
    await ask(remove, { key: key('w/1') })
    const seen: string[] = []
    while (seen.length < 3) {
      const answer = await call.read()
      for (const event of answer?.events ?? []) {
        seen.push(
          `${event?.type} ${utf8Decode(event?.kv?.value ?? key(''))} ${utf8Decode(event?.prevKv?.value ?? key('-'))}`,
        )
      }
    }
    assert.deepEqual(seen, ['0 a -', '0 b a', '1  b'])
    call.leave()
    assert.equal(await call.read(), undefined)
    assert.equal((await call.status()).code, 1)
  })

  it('numbers watches, cancels them, and refuses those that cannot be', async () => {
    const call = new StreamCall(handler, watch)
    call.send(create({ key: key('n') }))
    assert.equal((await call.read())?.watchId, 0)
    call.send(create({ key: key('n'), watchId: 5 }))
    assert.equal((await call.read())?.watchId, 5)
    call.send(create({ key: key('n') }))
    assert.equal((await call.read())?.watchId, 1)
    call.send(create({ key: key('n'), watchId: 5 }))
    const twice = await call.read()
    assert.deepEqual([twice?.watchId, twice?.created, twice?.canceled], [-1, true, true])
    assert.match(twice?.cancelReason ?? '', /duplicate watch ID/)
    call.send(create({ key: key('n'), rangeEnd: key('a') }))
    assert.equal((await call.read())?.cancelReason, 'mvcc: watcher range is empty')
    call.send({ cancelRequest: { watchId: 5 } })
    const canceled = await call.read()
    assert.deepEqual([canceled?.watchId, canceled?.canceled, canceled?.created], [5, true, false])
    call.leave()
  })

  it('says progress for the whole stream', async () => {
    const call = new StreamCall(handler, watch)
    call.send({ progressRequest: {} })
    assert.equal((await call.read())?.watchId, -1)
    call.send(create({ key: key('p1') }))
    call.send(create({ key: key('p2') }))
    await call.read()
    await call.read()
    const { header } = await ask(put, { key: key('p3'), value: key('x') })
    call.send({ progressRequest: {} })
    const told = await call.read()
    assert.deepEqual([told?.watchId, told?.events.length], [-1, 0])
    assert.ok((told?.header?.revision ?? 0) >= (header?.revision ?? 1) - 1)
    call.leave()
  })

  it('tells progress by itself to a quiet watch that asked for it, as often as it is set', async () => {
    const { header } = await ask(put, { key: key('quiet'), value: key('x') })
    const call = new StreamCall(etcd.handlerAt(1, { progressMs: 1 }), watch)
    call.send(create({ key: key('pn1') }))
    call.send(create({ key: key('pn2'), progressNotify: true }))
    await call.read()
    await call.read()
    for (let told = 0; told < 2; told++) {
      const progress = await call.read()
      assert.deepEqual([progress?.watchId, progress?.events.length], [1, 0])
      assert.ok((progress?.header?.revision ?? 0) >= (header?.revision ?? 1))
    }
    call.leave()
  })

  it('ends a watch below the compacted revision, and says where history begins', async () => {
    const first = await ask(put, { key: key('c'), value: key('1') })
    const second = await ask(put, { key: key('c'), value: key('2') })
    const revision = second.header?.revision ?? 0
    await ask(compact, { revision })
    const call = new StreamCall(handler, watch)
    call.send(create({ key: key('c'), startRevision: first.header?.revision ?? 0 }))
    assert.equal((await call.read())?.created, true)
    const ended = await call.read()
    assert.deepEqual([ended?.canceled, ended?.compactRevision], [true, revision])
    call.leave()
    assert.deepEqual(await refused(range, { key: key('c'), revision: revision - 1 }), {
      code: 11,
      text: 'etcdserver: mvcc: required revision has been compacted',
    })
  })

  it('holds a watch back while its client does not read', async () => {
    const call = new StreamCall(handler, watch)
    call.send(create({ key: key('slow') }))
    await call.read()
    const value = new Uint8Array(200_000).fill(1)
    for (let i = 0; i < 20; i++) await ask(put, { key: key('slow'), value })
    let events = 0
    while (events < 20) events += (await call.read())?.events.length ?? 20
    assert.equal(events, 20)
    call.leave()
  })
})

describe('Lease', () => {
  it('grants, keeps alive, shows and revokes', async () => {
    const granted = await ask(grant, { ttl: 60 })
    assert.equal(granted.ttl, 60)
    await ask(put, { key: key('leased'), value: key('x'), lease: granted.id })
    const shown = await ask(timeToLive, { id: granted.id, keys: true })
    assert.deepEqual(shown.keys.map(utf8Decode), ['leased'])
    const call = new StreamCall(handler, keepAlive)
    call.send({ id: granted.id })
    assert.equal((await call.read())?.ttl, 60)
    call.send({ id: 999 })
    assert.equal((await call.read())?.ttl, 0)
    call.end()
    assert.equal(await call.read(), undefined)
    assert.equal((await call.status()).code, 0)
    await ask(revoke, { id: granted.id })
    assert.equal((await ask(range, { key: key('leased') })).count, 0)
    assert.deepEqual(await refused(revoke, { id: granted.id }), {
      code: 5,
      text: 'etcdserver: requested lease not found',
    })
    assert.equal((await ask(timeToLive, { id: granted.id })).ttl, -1)
    const wide = await ask(timeToLive, { id: 2n ** 63n - 1n })
    assert.deepEqual([wide.id, wide.ttl], [2n ** 63n - 1n, -1])
    const taken = await ask(grant, { ttl: 60, id: 4242 })
    assert.equal(taken.id, 4242)
    assert.deepEqual(await refused(grant, { ttl: 60, id: 4242 }), {
      code: 9,
      text: 'etcdserver: lease already exists',
    })
    assert.equal(
      (await refused(grant, { ttl: 9_000_000_001 })).text,
      'etcdserver: too large lease TTL',
    )
  })
})

describe('the wire', () => {
  it('answers what is no call of etcd', async () => {
    const frame = new Uint8Array(5)
    const unknown = await handler(requestOf('/etcdserverpb.KV/None', bodyOf(frame)))
    assert.equal(statusOf(unknown).code, 12)
    const nothing = await handler(requestOf('/etcdserverpb.KV/Range', bodyOf()))
    assert.equal(statusOf(nothing).code, 13)
    const garbage = await handler(
      requestOf('/etcdserverpb.KV/Range', bodyOf(Uint8Array.of(0, 0, 0, 0, 2, 10, 50))),
    )
    assert.equal(statusOf(garbage).code, 13)
    const cut = await handler(
      requestOf('/etcdserverpb.KV/Range', bodyOf(Uint8Array.of(0, 0, 0, 0, 9, 1))),
    )
    assert.equal(statusOf(cut).code, 13)
  })
})

describe('JSON and pages', () => {
  const http = (method: string, target: string, body = '') =>
    handler(requestOf(target, bodyOf(utf8Encode(body)), { method, headers: [], isHttp2: false }))
  const jsonOf = async (response: Awaited<ReturnType<typeof http>>) =>
    JSON.parse(utf8Decode(await readAll(response)))

  it('puts and reads', async () => {
    await http('POST', '/v3/kv/put', '{"key":"Zm9v","value":"YmFy"}')
    const read = await http('POST', '/v3beta/kv/range', '{"key":"Zm9v"}')
    const json = await jsonOf(read)
    assert.equal(json.kvs[0].value, 'YmFy')
    assert.equal(json.count, '1')
    assert.equal(json.header.cluster_id, '77')
    assert.equal('more' in json, false)
  })

  it('refuses with the code and the text of etcd', async () => {
    const empty = await http('POST', '/v3/kv/range', '{}')
    assert.equal(empty.status, 400)
    assert.deepEqual(await jsonOf(empty), {
      error: 'etcdserver: key is not provided',
      code: 3,
      message: 'etcdserver: key is not provided',
    })
    assert.equal((await http('POST', '/v3/kv/range', '{')).status, 400)
    assert.equal((await http('POST', '/v3/none', '{}')).status, 404)
    assert.equal((await http('GET', '/v3/kv/range')).status, 405)
  })

  it('streams a watch line by line', async () => {
    const abort = new AbortController()
    const body = bodyOf(utf8Encode('{"create_request":{"key":"anc="}}'))
    const answer = await handler(
      requestOf('/v3/watch', body, { headers: [], isHttp2: false, signal: abort.signal }),
    )
    assert.ok(answer.body !== undefined && !(answer.body instanceof Uint8Array))
    const lines = answer.body[Symbol.asyncIterator]()
    const created = JSON.parse(utf8Decode((await lines.next()).value))
    assert.equal(created.result.created, true)
    await ask(put, { key: key('jw'), value: key('v') })
    const event = JSON.parse(utf8Decode((await lines.next()).value))
    assert.equal(event.result.events[0].kv.value, 'dg==')
    abort.abort()
    const last = JSON.parse(utf8Decode((await lines.next()).value))
    assert.equal(last.error.grpc_code, 1)
  })

  it('answers the probes of Kubernetes as etcd does', async () => {
    const page = async (path: string): Promise<readonly [number, string]> => {
      const answer = await http('GET', path)
      return [answer.status, utf8Decode(await readAll(answer))]
    }
    assert.deepEqual(await page('/livez'), [200, 'ok\n'])
    assert.deepEqual(await page('/livez?verbose'), [200, '[+]serializable_read ok\nok\n'])
    const [, list] = await page('/readyz?verbose')
    const checks = ['linearizable_read', 'non_learner', 'data_corruption', 'serializable_read']
    assert.equal(list, `${checks.map((name) => `[+]${name} ok\n`).join('')}ok\n`)
    assert.deepEqual(await page('/readyz/non_learner'), [200, 'ok\n'])
    assert.deepEqual(await page('/readyz?verbose&exclude=non_learner'), [
      200,
      list.replace('[+]non_learner ok\n', ''),
    ])
    assert.deepEqual(await page('/livez/non_learner'), [404, '404 page not found\n'])
    assert.equal((await http('POST', '/readyz', '')).status, 405)
    assert.equal((await page('/health?serializable=true'))[1], '{"health":"true","reason":""}')
    const arm = '{"action":"ACTIVATE","alarm":"CORRUPT"}'
    assert.equal((await http('POST', '/v3/maintenance/alarm', arm)).status, 200)
    assert.deepEqual(await page('/readyz'), [
      503,
      list
        .replace('[+]data_corruption ok', '[-]data_corruption failed: alarm activated: CORRUPT')
        .replace(/ok\n$/, '/readyz check failed\n'),
    ])
    assert.deepEqual(await page('/health'), [503, '{"health":"false","reason":"ALARM CORRUPT"}'])
    assert.equal((await page('/health?exclude=CORRUPT'))[0], 200)
    const disarm = '{"action":"DEACTIVATE","alarm":"CORRUPT"}'
    assert.equal((await http('POST', '/v3/maintenance/alarm', disarm)).status, 200)
    assert.deepEqual(await page('/readyz'), [200, 'ok\n'])
  })

  it('shows version, health and metrics', async () => {
    assert.match((await jsonOf(await http('GET', '/version'))).etcdserver, /^3\.5\./)
    const health = await http('GET', '/health')
    assert.deepEqual([health.status, (await jsonOf(health)).health], [200, 'true'])
    const metrics = utf8Decode(await readAll(await http('GET', '/metrics')))
    assert.match(metrics, /^etcd_server_has_leader 1$/m)
    assert.match(
      metrics,
      /^grpc_server_handled_total\{grpc_code="OK",grpc_method="Range",.*\} [1-9]/m,
    )
    assert.match(metrics, /^etcd_server_leader_changes_seen_total 2$/m)
    assert.match(metrics, /^etcd_server_proposals_pending 0$/m)
    assert.match(metrics, /^etcd_debugging_mvcc_watch_stream_total 0$/m)
    assert.match(metrics, /^etcd_debugging_mvcc_watcher_total 0$/m)
    assert.match(metrics, /^grpc_server_started_total\{grpc_method="Put",.*\} [1-9]/m)
    for (const line of metrics.trim().split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) \S+ .*|[a-z_]+(\{.*\})? [0-9]+)$/)
    }
  })
})
