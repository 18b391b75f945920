// Pairing: a code of four words that an operator makes on a member and a person types on the setup page of a machine. It
// buys one token, with which the machine joins as with any other. At most codesMax codes are open at a time, each for
// ten minutes and one machine.
//
// Trap: a try is paid for before it is looked at.
//   1. a thousand requests with a thousand guesses arrive at once;
//   2. each reads "five tries left", compares, and only then takes one;
//   3. a thousand guesses were answered with five tries.
// A wrong proof fits no code, so that it costs every open code a try.

import {
  type ClusterId,
  Fault,
  prefixEnd,
  type Revision,
  toHex,
  sealedRecord,
  utf8Encode,
} from '../base/index.ts'
import { bytes, codecOf, message, text, uint } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Compare, Keyspace, KeyValue, Operation } from '../keyspace/index.ts'
import {
  isJoinerProof,
  memberProof,
  type PairingRequest,
  pairingCost,
  pairingSalt,
  pairingWords,
} from './core/pairing-messages.ts'
import { formatWords } from './core/words.ts'
import type { EnrolmentDesk } from './enrolment.ts'

export const pairingMs = 10 * 60_000
const triesMax = 5
const codesMax = 8
const attemptsMax = 16
const prefix = utf8Encode('pairing/')

type PairingRecord = {
  readonly id: string
  /** What the code stretches to: proves knowledge of it, and is worth as much until it ends. */
  readonly key: Uint8Array
  readonly expiresMs: number
  readonly triesLeft: number
  readonly createdBy: string
}

const fields = message({
  id: text(1),
  key: bytes(2),
  expiresMs: uint(3),
  triesLeft: uint(4),
  createdBy: text(5),
})
const codec = sealedRecord<PairingRecord>('pairing', 32, codecOf(fields))
/** As it is after a try was taken, and the revision of that. */
type Paid = { readonly record: PairingRecord; readonly revision: Revision }

const keyOf = (id: string): Uint8Array => utf8Encode(`pairing/${id}`)

export type PairingCode = { readonly words: string; readonly expiresMs: number }

export type Pairing = {
  /** The words are told here and never again. Fault 'overloaded' when too many are open. */
  createCode(createdBy: string): Promise<PairingCode>
  /** A token for who knows a code, and the proof that this cluster knows it too. Fault 'unauthenticated'. */
  redeem(request: PairingRequest): Promise<{ readonly token: string; readonly proof: string }>
}

type Deps = {
  readonly host: Pick<Host, 'clock' | 'random' | 'passwords'>
  readonly system: Keyspace
  readonly clusterId: ClusterId
  readonly desk: Pick<EnrolmentDesk, 'createToken'>
  /** Hashes of the keys that this server showed lately. */
  readonly serverKeyHashes: () => readonly string[]
}

export function createPairing(deps: Deps): Pairing {
  return {
    createCode: (createdBy) => createCode(deps, createdBy),
    redeem: (request) => redeem(deps, request),
  }
}

async function createCode(deps: Deps, createdBy: string): Promise<PairingCode> {
  const { host, system, clusterId } = deps
  const code = host.random.bytes(pairingWords * 2)
  const words = formatWords(code)
  const id = toHex(host.random.bytes(8))
  const salt = pairingSalt(clusterId)
  const key = await host.passwords.stretch(code, { salt, cost: pairingCost })
  const nowMs = host.clock.wallMs()
  const expiresMs = Math.floor(nowMs + pairingMs)
  const record = { id, key, expiresMs, triesLeft: triesMax, createdBy }
  const known = await listAll(system)
  const ended = known.filter(({ record: other }) => !isOpen(other, nowMs))
  if (known.length - ended.length >= codesMax) {
    throw new Fault('overloaded', `${codesMax} pairing codes are open already`, {
      next: 'use one of them, or wait until they end',
    })
  }
  const remove = ended.map(({ kv }): Operation => ({ kind: 'delete', key: kv.key }))
  await system.txn({
    compares: [],
    success: [...remove, putOf(record)],
    failure: [],
  })
  return { words, expiresMs }
}

async function redeem(
  deps: Deps,
  request: PairingRequest,
): Promise<{ readonly token: string; readonly proof: string }> {
  if (!deps.serverKeyHashes().includes(request.serverKeyHash)) {
    throw new Fault('unauthenticated', 'the request was made for another server', {
      fields: { reason: 'pin' },
      next: 'connect to a node of the cluster itself; something stands between',
    })
  }
  const transcript = { ...request, clusterId: deps.clusterId }
  const paid = await payTry(deps)
  const match = paid.find(({ record }) => isJoinerProof(record.key, transcript, request.proof))
  if (match === undefined) {
    const left = Math.max(0, ...paid.map(({ record }) => record.triesLeft))
    throw new Fault('unauthenticated', 'these are not the words of an open pairing code', {
      fields: { reason: 'token', triesLeft: String(left) },
      next:
        left === 0
          ? 'make a new code on a member: atoll admin token create --pairing'
          : `look at the words again; ${left} tries are left`,
    })
  }
  if (!(await takeCode(deps.system, match, paid))) throw closedFault()
  const createdBy = `pairing by ${match.record.createdBy}`
  const { token } = await deps.desk.createToken({ createdBy, lifetimeMs: pairingMs, uses: 1 })
  return { token, proof: toHex(memberProof(match.record.key, transcript, token)) }
}

/**
 * Ends the code that was right and gives the others their try back, unless somebody else tried meanwhile: then they
 * keep what is left. False when the code has ended already.
 */
async function takeCode(system: Keyspace, match: Paid, paid: readonly Paid[]): Promise<boolean> {
  const remove: Operation = { kind: 'delete', key: keyOf(match.record.id) }
  const others = paid.filter((one) => one !== match)
  const giveBack = others.map(({ record }) => putOf({ ...record, triesLeft: record.triesLeft + 1 }))
  const at = ({ record, revision }: Paid): Compare => ({
    key: keyOf(record.id),
    target: 'mod',
    result: 'equal',
    operand: revision,
  })
  const all = await system.txn({
    compares: paid.map(at),
    success: [remove, ...giveBack],
    failure: [],
  })
  if (all.succeeded) return true
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { kvs } = await system.range({ key: keyOf(match.record.id) })
    const [kv] = kvs
    if (kv === undefined) return false
    const one = await system.txn({ compares: [unchanged(kv)], success: [remove], failure: [] })
    if (one.succeeded) return true
  }
  return false
}

/** Takes a try from every open code, and answers them as they are afterwards. */
async function payTry({ host, system }: Deps): Promise<readonly Paid[]> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const nowMs = host.clock.wallMs()
    const open = (await listAll(system)).filter(({ record }) => isOpen(record, nowMs))
    if (open.length === 0) throw closedFault()
    const paid = open.map(({ record }) => ({ ...record, triesLeft: record.triesLeft - 1 }))
    const answer = await system.txn({
      compares: open.map(({ kv }) => unchanged(kv)),
      success: paid.map(putOf),
      failure: [],
    })
    if (answer.succeeded) return paid.map((record) => ({ record, revision: answer.revision }))
  }
  throw new Fault('overloaded', 'too many machines try to pair at once')
}

function putOf(record: PairingRecord): Operation {
  return { kind: 'put', key: keyOf(record.id), value: codec.encode(record) }
}

function closedFault(): Fault {
  return new Fault('unauthenticated', 'no pairing code is open', {
    fields: { reason: 'expired' },
    next: 'make one on a member: atoll admin token create --pairing; it is good for ten minutes and five tries',
  })
}

function isOpen({ expiresMs, triesLeft }: PairingRecord, nowMs: number): boolean {
  return expiresMs > nowMs && triesLeft > 0
}

async function listAll(
  system: Keyspace,
): Promise<readonly { readonly kv: KeyValue; readonly record: PairingRecord }[]> {
  const { kvs } = await system.range({ key: prefix, rangeEnd: prefixEnd(prefix), limit: 64 })
  return kvs.map((kv) => ({ kv, record: codec.decode(kv.value) }))
}

function unchanged(kv: KeyValue): Compare {
  return { key: kv.key, target: 'mod', result: 'equal', operand: kv.modRevision }
}
