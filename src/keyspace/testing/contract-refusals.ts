// The keyspace contract: what is refused, word for word.

import assert from 'node:assert/strict'
import type { FaultCode } from '../../base/index.ts'
import type { FullKeyspace } from '../keyspace.ts'
import { text, all, key, type Tests, put, txn, currentOf, rejects } from './contract-parts.ts'

type Refusal = {
  readonly ask: (way: FullKeyspace) => Promise<unknown>
  readonly code: FaultCode
  readonly words: string
}

const refusals: Readonly<Record<string, Refusal>> = {
  'an empty key': {
    ask: (way) => way.put(text(''), text('v')),
    code: 'invalid',
    words: 'etcdserver: key is not provided',
  },
  'an empty key of a range': {
    ask: (way) => way.range({ key: text('') }),
    code: 'invalid',
    words: 'etcdserver: key is not provided',
  },
  'an empty key of a compare': {
    ask: (way) => {
      const compare = { key: text(''), target: 'mod', result: 'equal', operand: 0 } as const
      return way.txn({ compares: [compare], success: [], failure: [] })
    },
    code: 'invalid',
    words: 'etcdserver: key is not provided',
  },
  'a key put twice': {
    ask: (way) => way.txn(txn(put('a'), put('a'))),
    code: 'invalid',
    words: 'etcdserver: duplicate key given in txn request',
  },
  'a key put and deleted': {
    ask: (way) => way.txn(txn(put('b'), { kind: 'delete', key: text('a'), rangeEnd: text('c') })),
    code: 'invalid',
    words: 'etcdserver: duplicate key given in txn request',
  },
  'a key put twice over nested transactions': {
    ask: (way) => way.txn(txn(put('a'), { kind: 'txn', request: txn(put('a')) })),
    code: 'invalid',
    words: 'etcdserver: duplicate key given in txn request',
  },
  'a value with ignoreValue': {
    ask: (way) => way.txn(txn(put('a', { ignoreValue: true }))),
    code: 'invalid',
    words: 'etcdserver: value is provided',
  },
  'a lease with ignoreLease': {
    ask: (way) => way.txn(txn(put('a', { ignoreLease: true, lease: 7 }))),
    code: 'invalid',
    words: 'etcdserver: lease is provided',
  },
  'ignoreValue of a key that is not': {
    ask: (way) => way.txn(txn(put('none', { ignoreValue: true, value: text('') }))),
    code: 'invalid',
    words: 'etcdserver: key not found',
  },
  'ignoreLease of a key that is not': {
    ask: (way) => way.txn(txn(put('none', { ignoreLease: true }))),
    code: 'invalid',
    words: 'etcdserver: key not found',
  },
  'a lease that is not': {
    ask: (way) => way.txn(txn(put('a', { lease: 987_654 }))),
    code: 'not-found',
    words: 'etcdserver: requested lease not found',
  },
  'a range of the future': {
    ask: async (way) => way.range({ key, revision: (await currentOf(way)) + 1000 }),
    code: 'invalid',
    words: 'etcdserver: mvcc: required revision is a future revision',
  },
  'a transaction that reads the future': {
    ask: async (way) => {
      const revision = (await currentOf(way)) + 1000
      return way.txn(txn(put('a'), { kind: 'range', request: { key, revision } }))
    },
    code: 'invalid',
    words: 'etcdserver: mvcc: required revision is a future revision',
  },
  'a compaction of the future': {
    ask: async (way) => way.compact((await currentOf(way)) + 1000),
    code: 'invalid',
    words: 'etcdserver: mvcc: required revision is a future revision',
  },
  'a request that is too large': {
    ask: (way) => way.put(key, new Uint8Array(1_600_000)),
    code: 'too-large',
    words: 'etcdserver: request is too large',
  },
  'a lease granted twice': {
    ask: async (way) => {
      const { id } = await way.leases.grant({ ttlSeconds: 100 })
      try {
        await way.leases.grant({ id, ttlSeconds: 100 })
      } finally {
        await way.leases.revoke(id)
      }
    },
    code: 'precondition',
    words: 'etcdserver: lease already exists',
  },
  'a lease of three hundred years': {
    ask: (way) => way.leases.grant({ ttlSeconds: 9_000_000_001 }),
    code: 'too-large',
    words: 'etcdserver: too large lease TTL',
  },
  'the revoking of a lease that is not': {
    ask: (way) => way.leases.revoke(987_654),
    code: 'not-found',
    words: 'etcdserver: requested lease not found',
  },
}

export function refusalTests(): Tests {
  return {
    'refuses in the same words, with the same codes, and has changed nothing': async (_, way) => {
      for (const [name, { ask, code, words }] of Object.entries(refusals)) {
        await rejects(ask(way), code, words).catch((error: unknown) => {
          assert.fail(`${name}: ${String(error)}`)
        })
      }
      assert.deepEqual((await way.range(all)).kvs, [])
    },
    'a request that was cancelled before it began did not happen': async (_, way) => {
      const controller = new AbortController()
      controller.abort()
      await rejects(way.txn(txn(put('a')), { signal: controller.signal }), 'cancelled', '')
      assert.equal((await way.range({ key: text('a') })).kvs.length, 0)
    },
  }
}
