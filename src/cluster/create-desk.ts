// The desk: enrolment's transactions on '/raft/system'. Each reads one consistent sight, decides on it (core), and
// writes with compares that say what it was decided on; who lost a race decides again, a bounded number of times.
// The desk keeps no state of its own: any member that has the seal key gives the same answers.
//
// Limits: askers under way at once; the rest are told to come back. Requests of strangers cost two signature checks and
// one read before anything is written.

import { Fault, isFault, type NodeId, nodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Compare, Keyspace, KeyValue, Operation } from '../keyspace/index.ts'
import type { Member } from './cluster.ts'
import { absent, put, unchanged } from './core/compares.ts'
import { readJoinRequest, type JoinRequest, transcriptOf } from './core/enrol-messages.ts'
import { type EnrolmentFacts, enrolmentMsMax, planEnrolment } from './core/enrolment-plan.ts'
import {
  authorityKey,
  certificateCodec,
  certificateKey,
  configKey,
  type CertificateRecord,
  enrolmentCodec,
  enrolmentKey,
  enrolmentPrefix,
  type EnrolmentRecord,
  tokenCodec,
  tokenKey,
  type TokenRecord,
} from './core/enrolment-records.ts'
import { configDefaults } from './core/cluster-config.ts'
import { counterCodec, memberCodec, memberKey, nodeCounterKey } from './core/records.ts'
import { openSecret } from './core/sealing.ts'
import type { Topology } from './core/topology.ts'
import { AuthorityDesk } from './desk-authority.ts'
import { ConfigDesk } from './desk-config.ts'
import { attemptsMax, requireSealKeyOf } from './desk-limits.ts'
import { proofPurpose, TokenDesk } from './desk-tokens.ts'
import type {
  CertificateView,
  EnrolmentDesk,
  EnrolmentView,
  JoinAnswer,
  RenewAnswer,
  RenewRequest,
} from './enrolment.ts'
import { type Issued, issueCertificates } from './issuing.ts'
import { type EventText, planEvent } from './registry.ts'
import { listBelow, readSystem, type SystemSight } from './system-sight.ts'
import type { TrustReport } from './trust-report.ts'
import {
  nextBundle,
  openAuthority,
  requireAuthority,
  signingEntry,
  trustedPem,
} from './trust-state.ts'

export type DeskDeps = {
  readonly host: Pick<Host, 'pki' | 'clock' | 'random' | 'journal'>
  readonly system: Keyspace
  /** Undefined on a member that may not open secrets. */
  readonly sealKey: () => Uint8Array | undefined
  /** cluster.toml as a machine that joins these members shall have it. */
  readonly topologyText: (members: readonly Member[]) => string
  readonly topology: Pick<Topology, 'db'>
  /** Hashes of the keys that this node's servers showed lately. */
  readonly serverKeyHashes: () => readonly string[]
  /** Asks a member what it holds; a fault when it does not answer. */
  readonly askMember: (id: NodeId) => Promise<TrustReport>
}

export type DeskOptions = {
  readonly self: NodeId
  readonly version: string
}

const waitingMax = 128
const retrySeconds = 2
const fingerprintDigits = 16

export function createDesk(deps: DeskDeps, options: DeskOptions): EnrolmentDesk {
  const desk = new Desk(deps, options)
  const tokens = new TokenDesk(deps)
  const authority = new AuthorityDesk(deps)
  const config = new ConfigDesk(deps)
  return {
    createToken: (wanted) => tokens.create(wanted),
    listTokens: () => tokens.list(),
    revokeToken: (id) => tokens.revoke(id),
    admit: (body) => desk.admit(body),
    listEnrolments: () => desk.list(),
    approve: (fingerprint, by) => desk.decide(fingerprint, { by, state: 'approved' }),
    reject: (fingerprint, by) => desk.decide(fingerprint, { by, state: 'rejected' }),
    renew: (from, request) => desk.renew(from, request),
    authorities: () => authority.list(),
    rotateAuthority: (step) => authority.rotate(step),
    certifyClient: (client) => authority.certifyClient(client),
    certificates: async () => {
      const { certificates, members } = await readSystem(deps.system)
      return await shownCertificates(deps, certificates, members)
    },
    config: () => config.read(),
    changeConfig: (change, by) => config.change(change, by),
    configHistory: () => config.history(),
    rollbackConfig: (version, by) => config.rollback(version, by),
    bundle: async () => (await readSystem(deps.system)).bundle,
    acknowledgements: () => acknowledgements(deps),
  }
}

/** What was recorded, and what members tell themselves whose first certificates came with their directory. */
async function shownCertificates(
  { askMember }: DeskDeps,
  recorded: readonly CertificateRecord[],
  members: readonly Member[],
): Promise<readonly CertificateView[]> {
  const isRecorded = new Set(recorded.map(({ member }) => member))
  const others = members.filter(({ id, state }) => state !== 'removed' && !isRecorded.has(id))
  const told = await Promise.all(
    others.map(({ id }) =>
      askMember(id).then(
        ({ serial, notAfterMs }) => [{ member: id, serial, issuedMs: 0, notAfterMs }],
        nothingOfSilent,
      ),
    ),
  )
  const known = recorded.map(({ member, serial, issuedMs, notAfterMs }) => {
    return { member, serial, issuedMs, notAfterMs }
  })
  return [...known, ...told.flat()].sort((a, b) => a.member - b.member)
}

function nothingOfSilent(error: unknown): readonly CertificateView[] {
  if (isFault(error)) return []
  throw error
}

async function acknowledgements(deps: DeskDeps): Promise<ReadonlyMap<NodeId, number>> {
  const { members } = await readSystem(deps.system)
  const listed = members.filter(({ state }) => state !== 'removed')
  const epochs = await Promise.all(
    listed.map(({ id }) =>
      deps
        .askMember(id)
        .then(({ epoch }) => epoch)
        .catch(epochOfSilent),
    ),
  )
  return new Map(listed.map(({ id }, at) => [id, epochs[at] ?? 0]))
}

function epochOfSilent(error: unknown): number {
  if (isFault(error)) return 0
  throw error
}

export function fingerprintOf(keyHash: string): string {
  return (keyHash.slice(0, fingerprintDigits).match(/.{4}/g) ?? []).join(' ')
}

class Desk {
  readonly #deps: DeskDeps
  readonly #options: DeskOptions
  /** One at a time: two that ask together would only make each other decide again. */
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(deps: DeskDeps, options: DeskOptions) {
    this.#deps = deps
    this.#options = options
  }

  async admit(body: Uint8Array): Promise<JoinAnswer> {
    const { pki } = this.#deps.host
    const request = readJoinRequest(body)
    requireSealKeyOf(this.#deps)
    return await this.#inTurn(async () => {
      const { keyHash } = await pki.readRequest(request.nodeRequestPem)
      await pki.readRequest(request.serverRequestPem)
      const signed = { bytes: transcriptOf(request), signature: request.signature }
      if (!(await pki.isSignedBy(request.nodeRequestPem, signed))) {
        throw new Fault('unauthenticated', 'the request is not signed by the key that it asks for')
      }
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const answer = await this.#tryToAdmit(request, keyHash)
        if (answer !== undefined) return answer
      }
      throw new Fault('conflict', 'too many changes at once: ask again')
    })
  }

  /** Undefined when the state changed meanwhile. */
  async #tryToAdmit(request: JoinRequest, keyHash: string): Promise<JoinAnswer | undefined> {
    const { system } = this.#deps
    const ownKey = enrolmentKey(keyHash)
    const { tokenId } = request
    const keys = tokenId === undefined ? [ownKey] : [ownKey, tokenKey(tokenId)]
    const sight = await readSystem(system, keys)
    const [enrolmentKv, tokenKv] = sight.others
    const facts = await this.#factsOf(sight, { request, keyHash, enrolmentKv, tokenKv })
    const decision = planEnrolment(request, facts)
    const compares = [unchanged(ownKey, enrolmentKv)]
    const operations: Operation[] = []
    const pending: JoinAnswer = {
      kind: 'pending',
      fingerprint: fingerprintOf(keyHash),
      retrySeconds,
    }
    if (decision.kind === 'waits') return pending
    if (decision.kind === 'again') return this.#answerOf(sight, decision.member, decision.record)
    if (decision.token !== undefined && tokenId !== undefined) {
      compares.push(unchanged(tokenKey(tokenId), tokenKv))
      operations.push(put(tokenKey(tokenId), tokenCodec.encode(decision.token)))
    }
    if (decision.kind === 'wait') {
      operations.push(put(ownKey, enrolmentCodec.encode(decision.record)))
      const { name, address } = decision.record
      const text = `${name} at ${address} waits to be let in`
      const noted = await planEvent(system, this.#eventOf('machine-waiting', 0, text))
      compares.push(...noted.compares)
      operations.push(...noted.operations)
      const answer = await system.txn({ compares, success: operations, failure: [] })
      if (!answer.succeeded) return undefined
      this.#tell('cluster.machine_waits', decision.record)
      return pending
    }
    return await this.#join(sight, { request, decision, compares, operations })
  }

  async #factsOf(
    sight: SystemSight,
    asked: {
      readonly request: JoinRequest
      readonly keyHash: string
      readonly enrolmentKv: KeyValue | undefined
      readonly tokenKv: KeyValue | undefined
    },
  ): Promise<EnrolmentFacts> {
    const { host, topology, serverKeyHashes } = this.#deps
    const { enrolmentKv, tokenKv, keyHash } = asked
    const sealKey = requireSealKeyOf(this.#deps)
    requireAuthority(sight, sealKey)
    const token = tokenKv === undefined ? undefined : tokenCodec.decode(tokenKv.value)
    const mayWait = enrolmentKv === undefined && token?.approval !== 'automatic'
    return {
      nowMs: Math.floor(host.clock.wallMs()),
      clusterId: sight.cluster.clusterId,
      region: sight.cluster.region,
      version: this.#options.version,
      config: sight.config?.config ?? configDefaults,
      serverKeyHashes: serverKeyHashes(),
      keyHash,
      members: sight.members,
      lastId: sight.lastId,
      listed: topology.db,
      token,
      proofKey: token === undefined ? undefined : openProofKey(token, sealKey),
      enrolment: enrolmentKv === undefined ? undefined : enrolmentCodec.decode(enrolmentKv.value),
      pendingCount: mayWait ? await this.#countPending() : 0,
    }
  }

  async #countPending(): Promise<number> {
    const kvs = await listBelow(this.#deps.system, enrolmentPrefix)
    const records = kvs.map((kv) => enrolmentCodec.decode(kv.value))
    return records.filter((record) => this.#stateOf(record) === 'pending').length
  }

  /** The one transaction that makes a machine a member. */
  async #join(
    sight: SystemSight,
    asked: {
      readonly request: JoinRequest
      readonly decision: Extract<ReturnType<typeof planEnrolment>, { readonly kind: 'admit' }>
      readonly compares: readonly Compare[]
      readonly operations: readonly Operation[]
    },
  ): Promise<JoinAnswer | undefined> {
    const { system, host } = this.#deps
    const { member, removed, lastId } = asked.decision
    const sealKey = requireSealKeyOf(this.#deps)
    const issued = await this.#issue(sight, member, asked.request)
    const record: EnrolmentRecord = {
      ...asked.decision.record,
      nodeCertificatePem: issued.nodeCertificatePem,
      serverCertificatePem: issued.serverCertificatePem,
    }
    const changed = new Map(
      [member, ...(removed === undefined ? [] : [removed])].map((one) => [one.id, one]),
    )
    const members = [
      ...sight.members.filter(({ id }) => !changed.has(id)),
      ...changed.values(),
    ].sort((a, b) => a.id - b.id)
    const bundle = nextBundle(sight, { nowMs: host.clock.wallMs(), sealKey, members })
    const leaving =
      removed === undefined
        ? []
        : [unchanged(memberKey(removed.id), sight.memberKvs.get(removed.id))]
    const text = `${member.name} was let in as node ${member.id}`
    const noted = await planEvent(system, this.#eventOf('member-joined', member.id, text))
    const answer = await system.txn({
      compares: [
        ...asked.compares,
        ...noted.compares,
        ...leaving,
        ...bundle.compares,
        absent(memberKey(member.id)),
        // Always written, so that two admissions never pass each other.
        unchanged(nodeCounterKey, sight.counterKv),
        unchanged(authorityKey, sight.authorityKv),
        unchanged(configKey, sight.configKv),
      ],
      success: [
        ...asked.operations,
        ...noted.operations,
        ...[...changed.values()].map((one) => put(memberKey(one.id), memberCodec.encode(one))),
        put(nodeCounterKey, counterCodec.encode({ value: lastId })),
        put(enrolmentKey(record.keyHash), enrolmentCodec.encode(record)),
        put(certificateKey(member.id), certificateCodec.encode(issued.record)),
        ...bundle.operations,
      ],
      failure: [],
    })
    if (!answer.succeeded) return undefined
    this.#tell('cluster.machine_admitted', record)
    const now = { ...sight, members, bundle: { text: bundle.text, epoch: bundle.epoch } }
    return this.#answerOf(now, member, record)
  }

  #eventOf(kind: string, node: number, text: string): EventText {
    return { atMs: Math.floor(this.#deps.host.clock.wallMs()), kind, node, text }
  }

  #answerOf(sight: SystemSight, member: Member, record: EnrolmentRecord): JoinAnswer {
    const { authority, cluster, bundle } = sight
    const members = sight.members.filter(({ state }) => state !== 'removed')
    return {
      kind: 'joined',
      clusterId: cluster.clusterId,
      nodeId: member.id,
      name: member.name,
      nodeCertificatePem: record.nodeCertificatePem,
      serverCertificatePem: record.serverCertificatePem,
      authorityPem: authority === undefined ? '' : trustedPem(authority),
      topologyText: this.#deps.topologyText(sight.members),
      bundleText: bundle?.text ?? '',
      founders: cluster.founders.map(nodeId),
      members: members.map(({ id, name, control, bulk, admin, s3 }) => {
        return { id, name, control, bulk, admin, s3 }
      }),
    }
  }

  async #issue(sight: SystemSight, member: Member, requests: RenewRequest): Promise<Issued> {
    const sealKey = requireSealKeyOf(this.#deps)
    const entry = signingEntry(requireAuthority(sight, sealKey))
    return await issueCertificates(this.#deps.host, member, {
      clusterId: sight.cluster.clusterId,
      authority: openAuthority(entry, sealKey),
      entry,
      requests,
      certificateMs: (sight.config?.config ?? configDefaults).certificateSeconds * 1000,
    })
  }

  /** New certificates for a member's new keys; stored before they are told. */
  async renew(from: NodeId, request: RenewRequest): Promise<RenewAnswer> {
    const { system } = this.#deps
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const sight = await readSystem(system)
      const member = sight.members.find(({ id }) => id === from)
      if (member === undefined || member.state === 'removed') {
        throw new Fault(
          'denied',
          `node ${from} is no member any more: its certificate is not renewed`,
          {
            next: 'to bring the machine back, empty its data directory and join with a new token',
          },
        )
      }
      const { nodeCertificatePem, serverCertificatePem, record } = await this.#issue(
        sight,
        member,
        request,
      )
      const answer = await system.txn({
        compares: [
          unchanged(memberKey(from), sight.memberKvs.get(from)),
          unchanged(authorityKey, sight.authorityKv),
        ],
        success: [put(certificateKey(from), certificateCodec.encode(record))],
        failure: [],
      })
      if (!answer.succeeded) continue
      const { authority } = sight
      const authorityPem = authority === undefined ? '' : trustedPem(authority)
      return { nodeCertificatePem, serverCertificatePem, authorityPem }
    }
    throw new Fault('conflict', `too many changes at once of member ${from}`)
  }

  async list(): Promise<readonly EnrolmentView[]> {
    const kvs = await listBelow(this.#deps.system, enrolmentPrefix)
    const views = kvs.map((kv) => this.#viewOf(enrolmentCodec.decode(kv.value)))
    return views.sort((a, b) => b.requestedMs - a.requestedMs)
  }

  async decide(
    fingerprint: string,
    decision: { readonly by: string; readonly state: 'approved' | 'rejected' },
  ): Promise<EnrolmentView> {
    const { system, host } = this.#deps
    const wanted = fingerprint.toLowerCase().replaceAll(/[^0-9a-f]/g, '')
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const kvs = await listBelow(system, enrolmentPrefix)
      const found = kvs
        .map((kv) => ({ kv, record: enrolmentCodec.decode(kv.value) }))
        .find(({ record }) => record.keyHash.slice(0, fingerprintDigits) === wanted)
      if (found === undefined) {
        throw new Fault(
          'not-found',
          `nobody with the fingerprint ${fingerprint.slice(0, 64)} asked`,
          {
            next: '`atoll admin enrolments` lists who waits',
          },
        )
      }
      const { kv, record } = found
      const now = this.#stateOf(record)
      if (now !== 'pending') {
        throw new Fault('precondition', `${record.name} does not wait: it is ${now}`)
      }
      const decidedMs = Math.floor(host.clock.wallMs())
      const changed = { ...record, state: decision.state, decidedMs, decidedBy: decision.by }
      const key = enrolmentKey(record.keyHash)
      const answer = await system.txn({
        compares: [unchanged(key, kv)],
        success: [put(key, enrolmentCodec.encode(changed))],
        failure: [],
      })
      if (answer.succeeded) return this.#viewOf(changed)
    }
    throw new Fault('conflict', 'too many changes at once of one enrolment')
  }

  #stateOf({ state, requestedMs }: EnrolmentRecord): EnrolmentView['state'] {
    const isOld = this.#deps.host.clock.wallMs() - requestedMs > enrolmentMsMax
    return state === 'pending' && isOld ? 'expired' : state
  }

  #viewOf(record: EnrolmentRecord): EnrolmentView {
    const { keyHash, name, address, region, zone, caps, version, tokenId, decidedMs, decidedBy } =
      record
    return {
      fingerprint: fingerprintOf(keyHash),
      state: this.#stateOf(record),
      name,
      address,
      region,
      zone,
      caps,
      version,
      tokenId: tokenId === '' ? undefined : tokenId,
      member: record.member,
      requestedMs: record.requestedMs,
      decidedMs: decidedMs === 0 ? undefined : decidedMs,
      decidedBy: decidedBy === '' ? undefined : decidedBy,
    }
  }

  #tell(event: string, { name, address, keyHash, member }: EnrolmentRecord): void {
    const fields = { name, address, fingerprint: fingerprintOf(keyHash), node: member ?? 0 }
    this.#deps.host.journal.event('notice', event, fields)
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingMax) {
      return Promise.reject(new Fault('overloaded', 'too many machines ask at once: ask again'))
    }
    this.#waiting++
    const ran = this.#turn.then(run, run)
    this.#turn = ran.then(
      () => this.#waiting--,
      () => this.#waiting--,
    )
    return ran
  }
}

function openProofKey(token: TokenRecord, sealKey: Uint8Array): Uint8Array {
  return openSecret(sealKey, token.proofKey, proofPurpose(token.id))
}
