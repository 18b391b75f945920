// One member's part in the cluster's trust: its certificates renewed before they end, the authorities that it trusts and
// cluster.json kept as the namespace says, the seal key fetched when it may have it, and the desk.
//
// Everything follows the replicated state: a change of the namespace's revision is looked at soon after, a certificate at
// half of its life or when this member was given another address, what failed again after a while. Work runs one piece at a time, so that no two renewals cross.

import {
  Fault,
  fromHex,
  isFault,
  prefixEnd,
  type NodeId,
  toHex,
  utf8Encode,
} from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Rpc } from '../rpc/index.ts'
import type { Member } from './cluster.ts'
import { configDefaults } from './core/cluster-config.ts'
import { isWithinPrefix } from './core/address-prefix.ts'
import { put, unchanged } from './core/compares.ts'
import {
  authorityCodec,
  authorityKey,
  type AuthorityRecord,
  certificateCodec,
  certificateKey,
  configCodec,
  configKey,
} from './core/enrolment-records.ts'
import { identityFiles } from './core/identity-files.ts'
import { memberCodec, memberKey, memberPrefix } from './core/records.ts'
import { requireSealKey, sealKeyBytes } from './core/sealing.ts'
import { createDesk, type DeskDeps } from './create-desk.ts'
import { certifyOneself, type Credentials, renewCredentials } from './credentials.ts'
import { keepBundle } from './bundle-keeper.ts'
import type { EnrolmentDesk, EnrolmentSettings } from './enrolment.ts'
import { backdatedMs, hostsOf } from './issuing.ts'
import type { Cluster } from './open-cluster.ts'
import { sealAuthority } from './seal-authority.ts'
import { SettingsFollower } from './settings-follower.ts'
import { readSystem } from './system-sight.ts'
import { askReport, askSealKey, askToRenew, hasControl, serveTrust } from './trust-calls.ts'
import type { TrustReport } from './trust-report.ts'
import { pinOf, signingEntry, trustedPem } from './trust-state.ts'

export type MemberTrustDeps = {
  readonly host: Host
  /** '/raft/system', on the core's thread. */
  readonly system: Keyspace
  /** On the consensus port, before it listens. */
  readonly rpc: Rpc
  /** Of the group behind `system`. */
  readonly isLeader: () => boolean
}

export type MemberTrustOptions = {
  readonly self: NodeId
  readonly credentials: Credentials
  readonly settings: EnrolmentSettings
  /** Of this program: joiners' must go with it. */
  readonly version: string
  readonly topology: DeskDeps['topology']
  readonly topologyText: DeskDeps['topologyText']
  /** Told each time other certificates are to be shown, or other authorities trusted. */
  readonly onCredentials: (credentials: Credentials) => void
}

const lookAfterMs = 50
const tryAgainMs = 1_000
const tryAgainMsMax = 60_000
const wakeMsMax = 86_400_000
/** Share of a certificate's life between two renewals at least. */
const restRatio = 0.02
/** Share of a certificate's life after which a longer-lived one is renewed. */
const patienceRatio = 0.04
const shownKeysMax = 4

export class MemberTrust {
  readonly desk: EnrolmentDesk
  readonly #deps: MemberTrustDeps
  readonly #options: MemberTrustOptions
  readonly #follower: SettingsFollower
  #certificateMs = configDefaults.certificateSeconds * 1000
  /** Of the certificate shown, without the time before it was made. */
  #lifeMs = 0
  /** Of the certificate shown. */
  #namedHosts: readonly string[] = []
  /** Addresses that it was last renewed for. */
  #renewedFor = ''
  #renewedAtMs = Number.NEGATIVE_INFINITY
  #beganMs = 0
  /** Share of a certificate's life by which this member renews sooner than at half, so that not all do at once. */
  readonly #earlier: number
  #credentials: Credentials
  #sealKey: Uint8Array | undefined
  #own: TrustReport
  #serverKeyHashes: string[] = []
  #timer: Timer | undefined
  #isBusy = false
  #isStale = false
  #isClosed = false
  #failures = 0
  #closers: (() => void)[] = []

  constructor(deps: MemberTrustDeps, options: MemberTrustOptions) {
    const { settings, credentials, self } = options
    this.#deps = deps
    this.#options = options
    this.#credentials = credentials
    this.#earlier = deps.host.random.integer(1000) / 10_000
    this.#sealKey =
      settings.sealKeyHex === undefined ? undefined : parseSealKey(settings.sealKeyHex)
    this.#follower = new SettingsFollower(deps, credentials.identity.clusterId)
    this.#own = { epoch: 0, digest: '', authorities: [], issuer: '', serial: '', notAfterMs: 0 }
    this.desk = createDesk(
      {
        ...deps,
        sealKey: () => this.#sealKey,
        topology: options.topology,
        topologyText: options.topologyText,
        serverKeyHashes: () => this.#serverKeyHashes,
        askMember: async (id) => (id === self ? this.report() : await askReport(deps.rpc, id)),
      },
      { self, version: options.version },
    )
    serveTrust(deps.rpc, {
      report: () => this.report(),
      renew: (from, request) => this.desk.renew(from, request),
      sealKey: (from) => this.#giveSealKey(from),
    })
  }

  /** Hashes of the keys that this node's servers showed lately. */
  get serverKeyHashes(): readonly string[] {
    return this.#serverKeyHashes
  }

  /** What this member holds now. */
  report(): TrustReport {
    return { ...this.#own, ...this.#follower.held }
  }

  /** Before the node talks to anybody: its copy of the settings, and a certificate that has not ended. */
  async prepare(): Promise<void> {
    const { host } = this.#deps
    await this.#follower.open()
    const { certificatePem } = this.#credentials.identity
    const { notAfterMs } = await host.pki.readCertificate(certificatePem)
    if (notAfterMs <= host.clock.wallMs()) await this.#recover()
    await this.#describeOwn()
  }

  /** Settles when an authority is sealed, where this node brought one. Waits for a majority. */
  async seal(signal?: AbortSignal): Promise<void> {
    const { host, system } = this.#deps
    const { authority, config } = this.#options.settings
    const sealKey = this.#sealKey
    if (authority === undefined || sealKey === undefined) return
    for (;;) {
      try {
        await sealAuthority({ host, system }, { authority, sealKey, config })
        await host.disk.remove(identityFiles.authorityKey)
        return
      } catch (error) {
        if (!isFault(error)) throw error
        const isPassing = ['unavailable', 'deadline', 'conflict', 'not-leader'].includes(error.code)
        if (!isPassing) {
          host.journal.event('error', 'cluster.authority_not_sealed', { reason: error.message })
          return
        }
      }
      await host.clock.sleep(tryAgainMs / 10, signal)
    }
  }

  /**
   * Follows this node's replica from now on. Before the cluster is waited for, because that may take longer than a
   * certificate lives, and without one nobody would ever answer.
   */
  begin(): void {
    this.#beganMs = this.#deps.host.clock.monotonicMs()
    this.#closers.push(this.#deps.system.onRevision(() => this.#lookSoon(lookAfterMs)))
    this.#lookSoon(0)
  }

  /** Keeps cluster.json in step with the members from now on. */
  keepSettings({ view }: Cluster): void {
    const { system, isLeader, host } = this.#deps
    this.#closers.push(
      keepBundle({
        host,
        system,
        sealKey: () => this.#sealKey,
        isLeader,
        onChange: (changed) => view.onChange(changed),
      }),
    )
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    for (const close of this.#closers.splice(0)) close()
  }

  // ---- following ----

  /** At most this much later; what changes during a look is looked at after it. */
  #lookSoon(ms: number): void {
    if (this.#isClosed) return
    if (this.#isBusy) {
      this.#isStale = true
      return
    }
    if (this.#isStale) return
    this.#isStale = true
    this.#timer?.cancel()
    this.#timer = this.#deps.host.clock.after(ms, () => this.#look())
  }

  #look(): void {
    this.#isBusy = true
    this.#isStale = false
    const { journal } = this.#deps.host
    this.#follow()
      .then(
        () => {
          this.#failures = 0
          return this.#nextLookMs()
        },
        (error: unknown) => {
          if (!isFault(error)) return journal.fatal('cluster.trust_failed', error)
          const level = this.#failures++ < 3 ? 'debug' : 'warning'
          journal.event(level, 'cluster.trust_waits', { reason: error.message })
          return Math.min(tryAgainMsMax, tryAgainMs * 2 ** Math.min(6, this.#failures - 1))
        },
      )
      .then((ms) => {
        this.#isBusy = false
        const isAgain = this.#isStale
        this.#isStale = false
        if (isAgain) this.#lookSoon(lookAfterMs)
        else if (!this.#isClosed) this.#timer = this.#deps.host.clock.after(ms, () => this.#look())
      })
  }

  async #follow(): Promise<void> {
    await this.#follower.follow()
    const [configValue, value] = [await this.#read(configKey), await this.#read(authorityKey)]
    if (configValue !== undefined) {
      this.#certificateMs = configCodec.decode(configValue).config.certificateSeconds * 1000
    }
    if (value === undefined) return
    const authority = authorityCodec.decode(value)
    await this.#followAuthorities(authority)
    await this.#followSealKey(authority)
    const isForeign = this.#own.issuer !== pinOf(signingEntry(authority))
    const moved = await this.#movedTo()
    if (isForeign || moved !== undefined || this.#isDue()) await this.#renew()
    this.#renewedFor = moved ?? this.#renewedFor
    await this.#announce()
  }

  /** From this node's own replica. */
  async #read(key: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.#deps.system.range({ key, isSerializable: true })).kvs[0]?.value
  }

  async #followAuthorities(authority: AuthorityRecord): Promise<void> {
    const authorityPem = trustedPem(authority)
    const { identity, serverTls } = this.#credentials
    const pins = authority.authorities.map(pinOf)
    if (identity.authorityPem !== authorityPem) {
      const { disk } = this.#deps.host
      await disk.replace(identityFiles.authorityCertificate, utf8Encode(authorityPem))
      await this.#show({ identity: { ...identity, authorityPem }, serverTls })
    }
    this.#own = { ...this.#own, authorities: pins }
  }

  async #followSealKey(authority: AuthorityRecord): Promise<void> {
    const { host, rpc } = this.#deps
    if (this.#sealKey !== undefined) return
    const value = await this.#read(memberKey(this.#options.self))
    if (value === undefined || !hasControl(memberCodec.decode(value))) return
    const key = await askSealKey(rpc, await this.#membersWithControl())
    requireSealKey(key, authority.sealCheck)
    await host.disk.replace(identityFiles.sealKey, utf8Encode(`${toHex(key)}\n`))
    this.#sealKey = key
    host.journal.event('notice', 'cluster.seal_key_received')
  }

  async #giveSealKey(from: NodeId): Promise<Uint8Array> {
    const { members } = await readSystem(this.#deps.system)
    const asker = members.find(({ id }) => id === from)
    if (asker === undefined || !hasControl(asker)) {
      throw new Fault('denied', `node ${from} has not the capability 'control'`)
    }
    if (this.#sealKey !== undefined) return this.#sealKey
    throw new Fault('unavailable', 'this node has no seal key either')
  }

  /** The others, those that answer first. */
  async #membersWithControl(): Promise<readonly NodeId[]> {
    const { rpc, system } = this.#deps
    const rangeEnd = prefixEnd(memberPrefix)
    const { kvs } = await system.range({ key: memberPrefix, rangeEnd, isSerializable: true })
    const members = kvs.map((kv) => memberCodec.decode(kv.value))
    const others = members.filter((one) => hasControl(one) && one.id !== this.#options.self)
    const rank = ({ id }: Member): number => (rpc.isReachable(id) ? 0 : 1)
    return others.sort((a, b) => rank(a) - rank(b) || a.id - b.id).map(({ id }) => id)
  }

  // ---- certificates ----

  /**
   * Its addresses, if this member's record has one that its certificate does not name; once for each, because how a
   * certificate writes an address is not ours to say.
   */
  async #movedTo(): Promise<string | undefined> {
    const value = await this.#read(memberKey(this.#options.self))
    if (value === undefined) return undefined
    const member = memberCodec.decode(value)
    const hosts = hostsOf(member)
    const isNamed = (host: string): boolean =>
      this.#namedHosts.some((named) => isWithinPrefix(host, named))
    if (member.state === 'removed' || hosts.every(isNamed)) return undefined
    const moved = hosts.join(' ')
    return moved === this.#renewedFor ? undefined : moved
  }

  async #renew(): Promise<void> {
    const { host, rpc } = this.#deps
    this.#renewedAtMs = host.clock.monotonicMs()
    // Asleep for longer than it lives: nobody can be asked with it.
    if (this.#own.notAfterMs <= host.clock.wallMs()) return await this.#recover()
    const { self, credentials } = this.#options
    const { clusterId } = credentials.identity
    const renewed = await renewCredentials({ host, self }, clusterId, async (request) => {
      if (this.#sealKey !== undefined) return await this.desk.renew(self, request)
      return await askToRenew(rpc, await this.#membersWithControl(), request)
    })
    await this.#show(renewed)
    const { serial, notAfterMs } = this.#own
    host.journal.event('notice', 'cluster.certificate_renewed', { serial, notAfterMs })
  }

  /** A certificate that has ended is no way to ask anybody. */
  async #recover(): Promise<void> {
    const { host, system } = this.#deps
    const { self } = this.#options
    const sealKey = this.#sealKey
    const renewed =
      sealKey === undefined ? undefined : await certifyOneself({ host, system, self }, sealKey)
    if (renewed !== undefined) {
      await this.#show(renewed)
      host.journal.event('notice', 'cluster.certificate_recovered', { node: self })
      return
    }
    throw new Fault('unauthenticated', 'the certificate of this node has ended', {
      next: 'empty its data directory and join again with a token made with --replaces',
    })
  }

  async #show(credentials: Credentials): Promise<void> {
    this.#credentials = credentials
    await this.#describeOwn()
    this.#options.onCredentials(credentials)
  }

  async #describeOwn(): Promise<void> {
    const { pki } = this.#deps.host
    const { identity, serverTls } = this.#credentials
    const own = await pki.readCertificate(identity.certificatePem)
    const { serial, notAfterMs } = own
    this.#namedHosts = own.hosts
    this.#lifeMs = notAfterMs - own.notBeforeMs - backdatedMs
    const { keyHash } = await pki.readCertificate(serverTls.certificatePem)
    if (!this.#serverKeyHashes.includes(keyHash)) {
      this.#serverKeyHashes = [keyHash, ...this.#serverKeyHashes].slice(0, shownKeysMax)
    }
    this.#own = { ...this.#own, serial, notAfterMs, issuer: await this.#ownIssuer(notAfterMs) }
  }

  /** Pin of the authority that signed; '' when none of the trusted did. */
  async #ownIssuer(notAfterMs: number): Promise<string> {
    const { host } = this.#deps
    const { certificatePem, authorityPem: all } = this.#credentials.identity
    const atMs = Math.min(host.clock.wallMs(), notAfterMs - 1)
    for (const authorityPem of all.split(/(?<=-----END CERTIFICATE-----\r?\n)/)) {
      try {
        await host.pki.verify(certificatePem, { authorityPem, atMs })
        return pinOf(await host.pki.readCertificate(authorityPem))
      } catch (error) {
        if (!isFault(error)) throw error
      }
    }
    return ''
  }

  /** Its own record, for lists of certificates; founders' were made before there was a place for it. */
  async #announce(): Promise<void> {
    const { system, host } = this.#deps
    const { self } = this.#options
    const { serial, notAfterMs } = this.#own
    const key = certificateKey(self)
    const kv = (await system.range({ key, isSerializable: true })).kvs[0]
    if (kv !== undefined && certificateCodec.decode(kv.value).notAfterMs >= notAfterMs) return
    const server = await host.pki.readCertificate(this.#credentials.serverTls.certificatePem)
    const record = {
      member: self,
      serial,
      serverSerial: server.serial,
      authorityPin: this.#own.issuer,
      issuedMs: Math.floor(host.clock.wallMs()),
      notAfterMs,
    }
    await system.txn({
      compares: [unchanged(key, kv)],
      success: [put(key, certificateCodec.encode(record))],
      failure: [],
    })
  }

  /**
   * At half of its life; and when it lives longer than certificates now shall, which has time: a node that starts has
   * better things to do. Not again soon after it was tried: a clock that is far off would make every certificate due.
   */
  #isDue(): boolean {
    const nowMs = this.#deps.host.clock.monotonicMs()
    if (nowMs - this.#renewedAtMs < this.#certificateMs * restRatio) return false
    const isLong = this.#lifeMs > this.#certificateMs * 1.02 + 1_000
    if (isLong && nowMs - this.#beganMs >= this.#certificateMs * patienceRatio) return true
    return this.#msToRenewal() <= 0
  }

  #msToRenewal(): number {
    const lead = this.#certificateMs * (0.5 + this.#earlier)
    return this.#own.notAfterMs - lead - this.#deps.host.clock.wallMs()
  }

  #nextLookMs(): number {
    const least = this.#certificateMs * restRatio
    return Math.min(
      wakeMsMax,
      this.#certificateMs * patienceRatio,
      Math.max(least, this.#msToRenewal()),
    )
  }
}

function parseSealKey(hex: string): Uint8Array {
  const key = fromHex(hex.trim())
  if (key !== undefined && key.length === sealKeyBytes) return key
  throw new Fault('invalid', `identity/seal-key is not ${sealKeyBytes} bytes in hexadecimal`, {
    next: 'remove it and start the node again: it asks another member for it',
  })
}
