// What the parts of the keyspace contract share.

import assert from 'node:assert/strict'
import { type FaultCode, isFault, type Outcome, utf8Encode } from '../../base/index.ts'
import type { FullKeyspace, Operation, TxnRequest } from '../keyspace.ts'
import { checkTxn } from '../core/check.ts'
import type { ModelKeyspace } from './model.ts'

/** What an implementation of the contract does otherwise, and why. */
export const knownDifferences = {
  sharedRevisions:
    'an etcd cluster has one revision for all namespaces, and every mutation of the engine counts itself in the same revision: it grows also when a transaction changes nothing',
  clusterLeases: 'ids of leases belong to the whole etcd cluster: a namespace sees those of others',
  operationsMax:
    'etcd takes 128 operations in a transaction unless started with --max-txn-ops, and the engine needs three of them',
  unboundedAnswers: 'etcd answers a range whole, whatever its size; ours is cut at 960 KiB',
  hashOfCluster: "a digest is etcd's own and covers the whole cluster",
} as const
export type Difference = keyof typeof knownDifferences

export type ContractWorld = {
  /** Ways to one namespace, which is empty: threads or nodes. At least two. */
  readonly ways: readonly FullKeyspace[]
  close(): Promise<void>
}

export const text = utf8Encode
export const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
export const key = text('k')

export type Tests = Record<string, (world: ContractWorld, way: FullKeyspace) => Promise<void>>
export type Has = (difference: Difference) => boolean

export const put = (name: string, more: object = {}) =>
  ({ kind: 'put', key: text(name), value: text('v'), ...more }) as const
export const txn = (...success: readonly Operation[]): TxnRequest => ({
  compares: [],
  success,
  failure: [],
})

export const compactedWords = 'etcdserver: mvcc: required revision has been compacted'

/** Waits for what another way must see; its own turn of the loop each time. */
export async function eventually(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10))
}

export async function currentOf(way: FullKeyspace): Promise<number> {
  return (await way.range({ key, countOnly: true })).revision
}

/** Rules of a request first, then what the state refuses. */
export function refusalOf(
  model: ModelKeyspace,
  request: TxnRequest,
): { readonly code: FaultCode; readonly text: string } | undefined {
  try {
    checkTxn(request)
  } catch (error) {
    assert.ok(isFault(error))
    return { code: error.code, text: error.message }
  }
  const refusal = model.refusal(request)
  if (refusal === undefined) return undefined
  return { code: refusal.includes('lease') ? 'not-found' : 'invalid', text: refusal }
}

export async function rejects(
  work: Promise<unknown>,
  code: FaultCode,
  words: string,
  outcome: Outcome = 'failed',
): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isFault(error), String(error))
    const got = { code: error.code, outcome: error.outcome }
    assert.deepEqual(got, { code, outcome }, error.message)
    assert.ok(error.message.includes(words), `'${error.message}' has no '${words}'`)
    return true
  })
}
