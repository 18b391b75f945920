// What becomes of a machine that asks to join. Pure: the facts as one consistent read gave them, and the decision;
// the desk makes it true in one transaction that fails if the facts have changed.
//
// Order of the checks: first what proves the asker (nobody else learns anything of tokens and members), then whether
// it was answered before (asking again is free), then the token, then the machine, then the room that is left.
//
// Trap: the same key asking again must not be told "name taken":
//   1. a machine asks, is admitted, and the answer is lost;
//   2. it asks again; its name and address are a member's now, and its token is used;
//   3. refused, it would hold a place for ever that nobody fills.

import { type ClusterId, Fault, type NodeId, nodeId } from '../../base/index.ts'
import type { Address } from '../../host/index.ts'
import type { Member } from '../cluster.ts'
import type { ClusterConfig, JoinFields } from '../enrolment.ts'
import { isWithinPrefix } from './address-prefix.ts'
import { isProof, type JoinRequest, transcriptOf } from './enrol-messages.ts'
import type { EnrolmentRecord, TokenRecord } from './enrolment-records.ts'
import { formatAddress } from './json-fields.ts'

export const clockSkewMsMax = 5 * 60_000
/** How long a pending machine, and an answer given, are remembered. */
export const enrolmentMsMax = 24 * 3_600_000
export const pendingMax = 256

export type EnrolmentFacts = {
  readonly nowMs: number
  readonly clusterId: ClusterId
  readonly region: string
  readonly version: string
  readonly config: ClusterConfig
  /** Hashes of the keys that this server showed lately. */
  readonly serverKeyHashes: readonly string[]
  /** Hash of the asker's key, whose possession was proved. */
  readonly keyHash: string
  readonly members: readonly Member[]
  /** The last number given out. */
  readonly lastId: number
  /** Who the topology file lists. */
  readonly listed: readonly { readonly id: NodeId; readonly host: string; readonly port: number }[]
  readonly token: TokenRecord | undefined
  /** Opened, of that token. */
  readonly proofKey: Uint8Array | undefined
  readonly enrolment: EnrolmentRecord | undefined
  readonly pendingCount: number
}

export type EnrolmentDecision =
  /** Was answered before: the record holds what to answer. */
  | { readonly kind: 'again'; readonly record: EnrolmentRecord; readonly member: Member }
  /** Waits for an operator as it did before. */
  | { readonly kind: 'waits'; readonly record: EnrolmentRecord }
  /** Waits from now on; `token` with the use taken. */
  | {
      readonly kind: 'wait'
      readonly record: EnrolmentRecord
      readonly token: TokenRecord | undefined
    }
  | {
      readonly kind: 'admit'
      /** Without certificates, which the desk adds. */
      readonly record: EnrolmentRecord
      readonly member: Member
      readonly removed: Member | undefined
      readonly token: TokenRecord | undefined
      readonly lastId: number
    }

/** Faults are the refusals, each with its next step. */
export function planEnrolment(request: JoinRequest, given: EnrolmentFacts): EnrolmentDecision {
  // What was not shown and proved counts for nothing.
  const facts = request.tokenId === undefined ? { ...given, token: undefined } : given
  checkAsker(request, facts)
  const before = currentEnrolment(facts)
  const answered = before === undefined ? undefined : answerAgain(request, before, facts)
  if (answered !== undefined) return answered
  const token = before === undefined ? takeUse(request, facts) : undefined
  checkMachine(request.fields, facts)
  const replaces = before?.replaces ?? facts.token?.replaces
  const leaving = replaces === undefined ? undefined : leavingMember(replaces, request, facts)
  checkPlace(request.fields, facts, leaving)
  const record = recordOf(request, facts, { replaces, before })
  const approval = facts.token?.approval ?? 'operator'
  if (before === undefined && approval === 'operator') {
    if (facts.pendingCount >= pendingMax) {
      throw new Fault('overloaded', `${facts.pendingCount} machines wait for an operator already`)
    }
    return { kind: 'wait', record, token }
  }
  const { id, lastId } = chooseId(request.fields, facts)
  return {
    kind: 'admit',
    record: { ...record, state: 'joined', member: id, decidedMs: facts.nowMs },
    member: memberOf(request.fields, id, leaving),
    removed: leaving === undefined ? undefined : { ...leaving, state: 'removed' },
    token,
    lastId,
  }
}

// ---- who asks ----

function checkAsker(request: JoinRequest, facts: EnrolmentFacts): void {
  const { fields, serverKeyHash, tokenId } = request
  if (!facts.serverKeyHashes.includes(serverKeyHash)) {
    throw new Fault('unauthenticated', 'the request was made for another server', {
      fields: { reason: 'pin' },
      next: 'connect to a node of the cluster itself; something stands between',
    })
  }
  if (fields.clusterId !== '' && fields.clusterId !== facts.clusterId) {
    throw new Fault('invalid', `this is cluster ${facts.clusterId}, not ${fields.clusterId}`, {
      fields: { reason: 'pin' },
      next: 'check the address and the token',
    })
  }
  if (tokenId === undefined && fields.clusterId === '') {
    throw new Fault('unauthenticated', 'joining needs a token or the id of the cluster', {
      fields: { reason: 'token' },
      next: 'make one on a member with `atoll admin token create`',
    })
  }
  if (tokenId !== undefined) checkProof(request, facts)
  const skewMs = fields.ts * 1000 - facts.nowMs
  if (Math.abs(skewMs) > clockSkewMsMax) {
    const seconds = Math.round(Math.abs(skewMs) / 1000)
    const how = skewMs > 0 ? 'ahead of' : 'behind'
    throw new Fault('precondition', `this machine's clock is ${seconds} s ${how} the cluster's`, {
      next: 'set the clocks right (NTP) and join again',
      fields: { reason: 'clock', skewSeconds: String(Math.round(skewMs / 1000)) },
    })
  }
}

function checkProof(request: JoinRequest, facts: EnrolmentFacts): void {
  const { token, proofKey } = facts
  if (token === undefined || proofKey === undefined) {
    throw new Fault('unauthenticated', `there is no token ${request.tokenId}`, {
      fields: { reason: 'token' },
      next: 'tokens are forgotten a day after they end; make a new one with `atoll admin token create`',
    })
  }
  if (isProof(request.proof, proofKey, transcriptOf(request))) return
  throw new Fault('unauthenticated', `the proof for token ${request.tokenId} is wrong`, {
    fields: { reason: 'token' },
    next: 'the secret part of the token is not the one that was given out, or the request was changed on its way',
  })
}

// ---- asked before ----

/** What is known of this key, unless it is so long ago that asking begins anew. */
function currentEnrolment({ enrolment, nowMs }: EnrolmentFacts): EnrolmentRecord | undefined {
  if (enrolment === undefined || enrolment.state === 'expired') return undefined
  const isOld = nowMs - enrolment.requestedMs > enrolmentMsMax
  return isOld && enrolment.state === 'pending' ? undefined : enrolment
}

/** Undefined: approved, and to be admitted now. */
function answerAgain(
  { fields }: JoinRequest,
  record: EnrolmentRecord,
  { members }: EnrolmentFacts,
): EnrolmentDecision | undefined {
  const address = formatAddress(fields.control)
  if (record.state === 'rejected') {
    throw new Fault('denied', `an operator rejected ${record.name}`, {
      fields: { reason: 'rejected' },
      next: 'ask the operator; a new attempt needs new keys',
    })
  }
  const member = members.find(({ id }) => id === record.member)
  if (record.state === 'revoked' || member?.state === 'removed') {
    throw new Fault('denied', `${record.name} was removed from the cluster`, {
      fields: { reason: 'removed' },
      next: 'to bring the machine back, empty its data directory and join with a new token',
    })
  }
  if (record.name !== fields.name || record.address !== address) {
    throw new Fault('conflict', `this key asked before as ${record.name} at ${record.address}`, {
      fields: { reason: 'identity' },
      next: 'join with the same name and address, or remove identity/ to begin anew',
    })
  }
  if (record.state === 'pending') return { kind: 'waits', record }
  if (record.state !== 'joined' || member === undefined) return undefined
  return { kind: 'again', record, member }
}

// ---- the token ----

/** The token with one use less; undefined when none was shown. */
function takeUse(
  { fields }: JoinRequest,
  { token, nowMs }: EnrolmentFacts,
): TokenRecord | undefined {
  if (token === undefined) return undefined
  const { id } = token
  const next = 'make a new one with `atoll admin token create`'
  const ended = (reason: string, what: string): Fault =>
    new Fault('denied', `the token ${id} ${what}`, { fields: { reason }, next })
  if (token.revokedMs > 0) throw ended('revoked', 'was revoked')
  if (nowMs >= token.expiresMs) throw ended('expired', 'has expired')
  if (token.usesLeft === 0) {
    const uses = token.uses === 1 ? 'was used' : `was used ${token.uses} times, as often as it may`
    throw ended('used', uses)
  }
  if (token.name !== '' && token.name !== fields.name) {
    throw new Fault('denied', `the token ${id} is for a node named ${token.name}`, {
      fields: { reason: 'token' },
      next: `join with --node ${token.name}, or make a token for ${fields.name}`,
    })
  }
  const { host } = fields.control
  if (token.addressPrefix !== '' && !isWithinPrefix(host, token.addressPrefix)) {
    throw new Fault('denied', `the token ${id} is for addresses in ${token.addressPrefix}`, {
      fields: { reason: 'token' },
      next: `${host} is not one of them: bind to one, or make another token`,
    })
  }
  return { ...token, usesLeft: token.usesLeft - 1 }
}

// ---- the machine ----

function checkMachine(fields: JoinFields, facts: EnrolmentFacts): void {
  if (fields.region !== facts.region) {
    throw new Fault(
      'precondition',
      `this cluster is region ${facts.region}, not ${fields.region}`,
      {
        fields: { reason: 'region' },
        next: `join with --region ${facts.region}, or the cluster of ${fields.region}`,
      },
    )
  }
  if (!isCompatible(fields.version, facts.version)) {
    const next = `install version ${facts.version} on this machine`
    const what = `version ${fields.version} cannot join a cluster of version ${facts.version}`
    throw new Fault('precondition', what, { fields: { reason: 'version' }, next })
  }
}

/** The same major number, and minor numbers at most one apart: what a rolling upgrade goes through. */
export function isCompatible(theirs: string, ours: string): boolean {
  const [major, minor] = theirs.split('.').map(Number)
  const [ownMajor, ownMinor] = ours.split('.').map(Number)
  return major === ownMajor && Math.abs((minor ?? 0) - (ownMinor ?? 0)) <= 1
}

function leavingMember(replaces: NodeId, { fields }: JoinRequest, facts: EnrolmentFacts): Member {
  const leaving = facts.members.find(({ id, state }) => id === replaces && state !== 'removed')
  if (leaving === undefined) {
    throw new Fault('precondition', `node ${replaces}, whose place this was, is removed already`, {
      fields: { reason: 'token' },
      next: 'make a token without --replaces',
    })
  }
  if (isSame(leaving.control, fields.control)) return leaving
  const address = formatAddress(leaving.control)
  throw new Fault('denied', `the token is for the place of node ${replaces} at ${address}`, {
    fields: { reason: 'token' },
    next: `bind to ${leaving.control.host}`,
  })
}

function checkPlace(fields: JoinFields, facts: EnrolmentFacts, leaving: Member | undefined): void {
  const others = facts.members.filter(({ id, state }) => state !== 'removed' && id !== leaving?.id)
  const namesake = others.find(({ name }) => name === fields.name)
  if (namesake !== undefined) {
    throw new Fault('exists', `there is a node named ${fields.name} already: ${namesake.id}`, {
      next: 'choose another --node, or remove that one first',
      fields: { reason: 'duplicate', name: fields.name },
    })
  }
  for (const which of ['control', 'bulk', 'admin'] as const) {
    const holder = others.find((member) => isSame(member[which], fields[which]))
    if (holder === undefined) continue
    const what = `node ${holder.id} (${holder.name}) has the address ${formatAddress(fields[which])}`
    throw new Fault('exists', what, {
      next: `bind to another address; if that machine is gone, replace it: token create --replaces ${holder.id}`,
      fields: { reason: 'duplicate', address: formatAddress(fields[which]) },
    })
  }
  if (others.length >= facts.config.membersMax) {
    throw new Fault('no-space', `the cluster is full: ${others.length} members`, {
      fields: { reason: 'full' },
      next: 'raise it with `atoll admin config set membersMax`',
    })
  }
  checkListed(fields, facts)
}

/**
 * While the topology file lists nodes that never came, others are refused: a machine with a mistyped address
 * would take a place of its own, and the listed one stay empty. A token for this very address says that it is meant.
 */
function checkListed({ control }: JoinFields, facts: EnrolmentFacts): void {
  const { listed, members, token } = facts
  if (listed.length < 2 || token?.addressPrefix === control.host) return
  if (listed.some(({ host, port }) => isSame({ host, port }, control))) return
  const free = listed.filter(({ id }) => !members.some((member) => member.id === id))
  if (free.length === 0) return
  throw new Fault('invalid', `cluster.toml has no node at ${formatAddress(control)}`, {
    fields: { reason: 'address' },
    next: `bind to one that it lists and that has not joined: ${free.map(({ host }) => host).join(', ')}`,
  })
}

function isSame(a: Address, b: Address): boolean {
  return a.host.toLowerCase() === b.host.toLowerCase() && a.port === b.port
}

/** The topology's number for this address as long as nobody ever had it, else the next one. */
function chooseId(
  { control }: JoinFields,
  { listed, members, lastId }: EnrolmentFacts,
): { readonly id: NodeId; readonly lastId: number } {
  const own = listed.find(({ host, port }) => isSame({ host, port }, control))
  if (own !== undefined && !members.some(({ id }) => id === own.id)) {
    return { id: own.id, lastId: Math.max(lastId, own.id) }
  }
  const most = Math.max(lastId, ...listed.map(({ id }) => id), ...members.map(({ id }) => id))
  return { id: nodeId(most + 1), lastId: most + 1 }
}

function memberOf(fields: JoinFields, id: NodeId, leaving: Member | undefined): Member {
  const { name, control, bulk, admin, s3, caps, version, capacityBytes, region, zone } = fields
  return {
    id,
    name,
    state: 'joining',
    control,
    bulk,
    admin,
    s3,
    labels: { region, zone, ...fields.labels },
    caps,
    version,
    capacityBytes,
    replaces: leaving?.id,
    ...(leaving === undefined ? {} : { place: leaving.place ?? leaving.id }),
  }
}

function recordOf(
  { fields, tokenId }: JoinRequest,
  { keyHash, nowMs }: EnrolmentFacts,
  { replaces, before }: { replaces: NodeId | undefined; before: EnrolmentRecord | undefined },
): EnrolmentRecord {
  const { name, region, zone, caps, version, control } = fields
  return {
    keyHash,
    state: 'pending',
    name,
    address: formatAddress(control),
    region,
    zone,
    caps,
    version,
    tokenId: before?.tokenId ?? tokenId ?? '',
    replaces,
    member: undefined,
    requestedMs: before?.requestedMs ?? nowMs,
    decidedMs: before?.decidedMs ?? 0,
    decidedBy: before?.decidedBy ?? '',
    nodeCertificatePem: '',
    serverCertificatePem: '',
  }
}
