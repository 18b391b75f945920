// Transactions as those who ask for them see them, on any node: begun with whoever leads, and asked there until they end. The
// node that leads keeps them (interactive.ts); when it no longer does, they are gone and say so.
//
//   request   {group, act, id, statements, idleMs}     act: begin, step, commit, rollback
//   answer    {id, results, elapsedUs}

import {
  bytes,
  decodeBytes,
  encodeBytes,
  Fault,
  isFault,
  message,
  type NodeId,
  nested,
  repeated,
  text,
  uint,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import { rawResult, resultMessage, resultOf } from './core/answer.ts'
import { rawStatement, statementMessage, statementOf, statementsMax } from './core/entry.ts'
import { idleMsDefault, type Interactive } from './interactive.ts'
import { notLeader } from './proposer.ts'
import type { SqlResult, SqlStatement, SqlTransaction, TransactionOptions } from './sql.ts'

export type TransactionEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly self: NodeId
  readonly name: string
  readonly group: Group
  readonly interactive: Interactive
}

type Act = 'begin' | 'step' | 'commit' | 'rollback'
type Request = {
  readonly act: Act
  readonly id: Uint8Array
  readonly statements: readonly SqlStatement[]
  readonly idleMs: number
}
type Answer = { readonly id: Uint8Array; readonly results: readonly SqlResult[] }

const beginMsDefault = 15_000
const stepMsMax = 10_000
/** Of a call: what it asks has its own bound, which comes first. */
const callMsMax = 30_000
const retryMs = 50
const noId = new Uint8Array(0)

const requestFields = message({
  group: uint(1),
  act: text(2),
  id: bytes(3),
  statements: repeated(nested(4, statementMessage)),
  idleMs: uint(5),
})
const answerFields = message({
  id: bytes(1),
  results: repeated(nested(2, resultMessage)),
  elapsedUs: repeated(uint(3)),
})

/** The group that a request is for. Fault 'corrupt'. */
export function groupOfTransaction(request: Uint8Array): number {
  return decodeBytes(requestFields, request).group
}

/** Faults of Interactive.begin, and 'unavailable' while nobody leads. */
export async function beginTransaction(
  ends: TransactionEnds,
  { idleMs = idleMsDefault, timeoutMs = beginMsDefault }: TransactionOptions,
): Promise<SqlTransaction> {
  const { host, group, name } = ends
  const endMs = host.clock.monotonicMs() + timeoutMs
  for (;;) {
    const { leader } = group.status()
    try {
      if (leader === undefined) throw new Fault('unavailable', `${name} has no leader now`)
      const { id } = await ask(ends, leader, { act: 'begin', id: noId, statements: [], idleMs })
      return new LeadersTransaction(ends, { leader, id })
    } catch (error) {
      const isPassing = isFault(error, 'not-leader') || isFault(error, 'unavailable')
      // One that was begun and is not known here ends by itself.
      if (!isPassing || host.clock.monotonicMs() + retryMs > endMs) throw error
    }
    await host.clock.sleep(retryMs)
  }
}

class LeadersTransaction implements SqlTransaction {
  readonly #ends: TransactionEnds
  readonly #leader: NodeId
  readonly #id: Uint8Array

  constructor(
    ends: TransactionEnds,
    { leader, id }: { readonly leader: NodeId; readonly id: Uint8Array },
  ) {
    this.#ends = ends
    this.#leader = leader
    this.#id = id
  }

  async run(statements: readonly SqlStatement[]): Promise<readonly SqlResult[]> {
    if (statements.length > statementsMax) {
      throw new Fault('invalid', `a request has at most ${statementsMax} statements`)
    }
    return (await this.#ask('step', statements)).results
  }

  async commit(): Promise<void> {
    await this.#ask('commit')
  }

  async rollback(): Promise<void> {
    await this.#ask('rollback')
  }

  async #ask(act: Act, statements: readonly SqlStatement[] = []): Promise<Answer> {
    try {
      const request = { act, id: this.#id, statements, idleMs: 0 }
      return await ask(this.#ends, this.#leader, request)
    } catch (error) {
      // What a step that was not answered has done is not known: a transaction with a hole is none.
      const isLost = isFault(error, 'unavailable') || isFault(error, 'deadline')
      if (act === 'commit' || !isLost) throw error
      throw new Fault('conflict', 'the transaction was rolled back: its node cannot be reached', {
        next: 'begin it again',
        cause: error,
      })
    }
  }
}

async function ask(ends: TransactionEnds, leader: NodeId, request: Request): Promise<Answer> {
  const { self, rpc, group } = ends
  if (leader === self) return await answerHere(ends, request)
  const encoded = encodeBytes(requestFields, {
    ...request,
    group: group.group,
    statements: request.statements.map(rawStatement),
  })
  const options = { deadlineMs: callMsMax }
  const answer = await rpc.call(leader, controlMethod.sqlTransaction, encoded, options)
  const { id, results, elapsedUs } = decodeBytes(answerFields, answer)
  return {
    id,
    results: results.flatMap((one, at) =>
      one === undefined ? [] : [{ ...resultOf(one), elapsedUs: elapsedUs[at] ?? 0 }],
    ),
  }
}

/** What another node asks of this one. */
export async function answerTransaction(
  ends: TransactionEnds,
  request: Uint8Array,
): Promise<Uint8Array> {
  const { act, id, statements, idleMs } = decodeBytes(requestFields, request)
  const asked = statements.flatMap((one) => (one === undefined ? [] : [statementOf(one)]))
  const { id: own, results } = await answerHere(ends, {
    act: actOf(act),
    id,
    statements: asked,
    idleMs,
  })
  return encodeBytes(answerFields, {
    id: own,
    results: results.map(rawResult),
    elapsedUs: results.map(({ elapsedUs }) => elapsedUs),
  })
}

async function answerHere(ends: TransactionEnds, request: Request): Promise<Answer> {
  const { interactive, group } = ends
  const { act, id, statements, idleMs } = request
  const nothing = { id, results: [] }
  if (act === 'begin') {
    const { role, leader } = group.status()
    if (role !== 'leader') throw notLeader(leader)
    return { id: await interactive.begin(idleMs), results: [] }
  }
  if (act === 'step') {
    return { id, results: await interactive.step(id, statements, { deadlineMs: stepMsMax }) }
  }
  if (act === 'commit') await interactive.commit(id)
  else await interactive.rollback(id)
  return nothing
}

function actOf(act: string): Act {
  if (act === 'begin' || act === 'step' || act === 'commit' || act === 'rollback') return act
  throw new Fault('unsupported', `a transaction cannot be asked to ${JSON.stringify(act)}`)
}
