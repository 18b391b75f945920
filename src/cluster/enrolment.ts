// Enrolment: how a machine becomes a member, and stays one. Contract only; create-desk.ts is the desk.
//
// The one way in is `POST /join` on a member's admin port (7777). The joiner, in order:
//   1. makes its keys (makeJoinKeys) and puts them on its disk, so that asking again after a crash is the same
//      asking; a private key never leaves the machine;
//   2. connects without trust, finds the certificate that the token's pin names in the chain that it is shown, and
//      connects again trusting that one only (checkPinnedChain; src/cli/pinned-server.ts does both);
//   3. sends buildJoinRequest(...), which proves knowledge of the token's secret without telling it, and possession of
//      the node's key to this server at this time;
//   4. on 200 and 202 reads parseJoinAnswer(...): 'joined' says what to write; 'pending' asks again with a new
//      request for the same keys; anything else is a Fault whose message and next step are for people.
// The member gives the body to `desk.admit()`, answers with renderJoinAnswer(answer), status 200 for 'joined' and 202
// for 'pending', and maps a Fault as it maps every other. Only admit() may be reached without credentials.
//
// Everything the desk knows is in '/raft/system'; each change is one transaction that states what it was decided
// on, so any member with the capability 'control' can be asked, and two that are asked at once agree.

import type { NodeId } from '../base/index.ts'
import type { Address, CertificateRequest, Host, PemPair } from '../host/index.ts'
import type { JoinToken } from './core/join-token.ts'

// ---- tokens ----

export type TokenOptions = {
  /** Default one hour; one minute to 24 hours. */
  readonly lifetimeMs?: number
  /** How many machines it admits. Default 1; at most 1,024. */
  readonly uses?: number
  /** Only a node of this name. */
  readonly name?: string
  /** Only addresses within: '10.11.12.0/24', 'fd00::/8', or one address. */
  readonly addressPrefix?: string
  /** 'operator': admitted machines wait for approve(). Default: the cluster's setting. */
  readonly approval?: Approval
  /** The member whose place the machine takes: the same address, and the old identity is removed with it. */
  readonly replaces?: NodeId
  /** Who made it, for the list: a user's name. */
  readonly createdBy: string
}
export type Approval = 'automatic' | 'operator'

/** As shown: never its secret. */
export type TokenView = {
  /** The six characters after 'at1.'. */
  readonly id: string
  readonly state: 'open' | 'used' | 'expired' | 'revoked'
  readonly createdMs: number
  readonly expiresMs: number
  readonly uses: number
  readonly usesLeft: number
  readonly name: string | undefined
  readonly addressPrefix: string | undefined
  readonly approval: Approval
  readonly replaces: NodeId | undefined
  readonly createdBy: string
}

// ---- requests and answers ----

/** Private keys of a machine that is not yet a member, and the requests that go with them. */
export type JoinKeys = { readonly node: CertificateRequest; readonly server: CertificateRequest }

/** What the joiner's side is made of: join-client.ts. */
export type JoinClient = {
  makeJoinKeys(host: Pick<Host, 'pki'>, name: string): Promise<JoinKeys>
  /**
   * Picks the authority that `pin` (JoinToken.pin) names out of the chain that a server showed, the leaf first, and
   * verifies the leaf under it. Fault 'unauthenticated' with the next step: nothing may be sent then. Without a
   * token the pin may be absent: the chain's last authority is taken, and an operator compares fingerprints.
   */
  checkPinnedChain(
    host: Pick<Host, 'pki' | 'clock'>,
    chainPem: readonly string[],
    pin: Uint8Array | undefined,
  ): Promise<PinnedServer>
  /** The body of `POST /join` for one server that was checked. JSON. */
  buildJoinRequest(
    host: Pick<Host, 'pki'>,
    asked: {
      readonly fields: JoinFields
      readonly keys: JoinKeys
      readonly server: PinnedServer
      /** Absent: the machine waits as pending. */
      readonly token?: JoinToken
    },
  ): Promise<Uint8Array>
  /** Of a 200 or 202. Fault 'corrupt' for what is no answer. */
  parseJoinAnswer(body: Uint8Array): JoinAnswer
}

export type PinnedServer = {
  /** The one authority to trust when connecting again. */
  readonly authorityPem: string
  /** From the authority's name; to compare with what was asked for. */
  readonly clusterId: string
  /** Of the leaf's key. */
  readonly keyHash: string
}

/** What a machine says of itself. Every text is bounded and checked where it is read. */
export type JoinFields = {
  /** From the authority's certificate or the operator; '' only with a token. */
  readonly clusterId: string
  /** `--node`: 1 to 63 of letters, digits, '.', '-', beginning with a letter or digit. */
  readonly name: string
  readonly region: string
  readonly zone: string
  /** Addresses or names under which the others reach it. */
  readonly admin: Address
  readonly control: Address
  readonly bulk: Address
  readonly s3: Address
  readonly caps: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly capacityBytes: number
  readonly version: string
  /** Its clock, unix seconds. */
  readonly ts: number
}

/** Of a member, what a newcomer must know before it has any state. */
export type JoinMember = {
  readonly id: NodeId
  readonly name: string
  readonly control: Address
  readonly bulk: Address
  readonly admin: Address
  readonly s3: Address
}

export type JoinAnswer =
  | {
      readonly kind: 'joined'
      readonly clusterId: string
      /** The number of the new member: the topology's for its address, else the next unused one. */
      readonly nodeId: NodeId
      readonly name: string
      /** Certificates for the two keys of the request, each followed by the authority's that signed it. */
      readonly nodeCertificatePem: string
      readonly serverCertificatePem: string
      /** Every authority to trust, one after the other. */
      readonly authorityPem: string
      /** The topology file, byte for byte; '' in a cluster without a list. JSON field `PredastoreConfig`. */
      readonly topologyText: string
      /** cluster.json, byte for byte. */
      readonly bundleText: string
      /** Who founded the groups: node.toml's `founders`. */
      readonly founders: readonly NodeId[]
      /** Everybody who is not removed, the new member included. Sorted by id. */
      readonly members: readonly JoinMember[]
    }
  | {
      readonly kind: 'pending'
      /** Of the machine's key, to compare by eye with what approve() is given. */
      readonly fingerprint: string
      readonly retrySeconds: number
    }

export type EnrolmentState = 'pending' | 'approved' | 'joined' | 'rejected' | 'expired' | 'revoked'

export type EnrolmentView = {
  /** Names the enrolment: the first 16 hexadecimal digits of its key's hash, in groups of four. */
  readonly fingerprint: string
  readonly state: EnrolmentState
  readonly name: string
  readonly address: string
  readonly region: string
  readonly zone: string
  readonly caps: readonly string[]
  readonly version: string
  /** Undefined: it came with the cluster's id alone. */
  readonly tokenId: string | undefined
  readonly member: NodeId | undefined
  readonly requestedMs: number
  readonly decidedMs: number | undefined
  readonly decidedBy: string | undefined
}

export type RenewRequest = { readonly nodeRequestPem: string; readonly serverRequestPem: string }
export type RenewAnswer = {
  readonly nodeCertificatePem: string
  readonly serverCertificatePem: string
  readonly authorityPem: string
}

// ---- authority ----

/**
 * Rotation has four steps, each a transaction, in this order; every member must have acknowledged one before the
 * next is accepted (Fault 'precondition' says who has not).
 *   add      a second authority is made; everybody trusts both, the first signs.
 *   issue    the second signs; members renew at once. Open tokens pin the first and are revoked.
 *   drop     the first is no longer trusted.
 */
export type AuthorityStep = 'add' | 'issue' | 'drop'

export type AuthorityView = {
  /** First 128 bits of the SHA-256 of its key, hexadecimal: what tokens pin. */
  readonly pin: string
  readonly state: 'signing' | 'next' | 'retiring'
  readonly notAfterMs: number
  readonly certificatePem: string
}

export type CertificateView = {
  readonly member: NodeId
  readonly serial: string
  /** 0: not known. */
  readonly issuedMs: number
  readonly notAfterMs: number
}

// ---- settings ----

/** Values of cluster.json's `services`: plain JSON. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** What an operator sets; everything else in cluster.json follows from members and authority. */
export type ClusterConfig = {
  /** How many members the cluster is meant to have; `--nodes`. */
  readonly targetSize: number
  /** Beyond them a join is refused. Default 1,024. */
  readonly membersMax: number
  readonly approval: Approval
  /** How long certificates of members live. Default seven days; at least one minute. Renewed at half of it. */
  readonly certificateSeconds: number
  /** By capability: {"s3": {"api_bind": ":8443", "replicas": 2}, ...}. */
  readonly services: Readonly<Record<string, Readonly<Record<string, JsonValue>>>>
}

export type ConfigVersion = {
  readonly version: number
  readonly changedMs: number
  readonly changedBy: string
  readonly config: ClusterConfig
}

// ---- the desk ----

/** Open on every member; what needs the seal key is Fault 'denied' on one without the capability 'control'. */
export type EnrolmentDesk = {
  /** The token is told here and never again. */
  createToken(options: TokenOptions): Promise<{ readonly token: string; readonly view: TokenView }>
  /** Newest first; ended ones are kept for a day. */
  listTokens(): Promise<readonly TokenView[]>
  /** Fault 'not-found'. Revoking one that has ended is no fault. */
  revokeToken(id: string): Promise<TokenView>

  /** `body` is as it was received, 64 KiB at most (joinBytesMax), otherwise unchecked. */
  admit(body: Uint8Array, from: { readonly remoteAddress: string }): Promise<JoinAnswer>
  /** All, newest first. */
  listEnrolments(): Promise<readonly EnrolmentView[]>
  /** The machine is admitted when it asks the next time. Faults 'not-found', 'precondition' unless pending. */
  approve(fingerprint: string, by: string): Promise<EnrolmentView>
  reject(fingerprint: string, by: string): Promise<EnrolmentView>

  /** For a member's own new keys. Fault 'denied' for one that was removed. */
  renew(from: NodeId, request: RenewRequest): Promise<RenewAnswer>

  authorities(): Promise<readonly AuthorityView[]>
  /**
   * A certificate by the signing authority for a client's key: it opens nothing by itself, and no member takes it for another's.
   * Faults 'invalid' for a request that proves nothing, 'denied' without the seal key, 'precondition' without an authority.
   */
  certifyClient(client: {
    readonly name: string
    readonly requestPem: string
    readonly lifeMs: number
  }): Promise<string>
  rotateAuthority(step: AuthorityStep): Promise<readonly AuthorityView[]>
  certificates(): Promise<readonly CertificateView[]>

  config(): Promise<ConfigVersion>
  /** `change` gets the newest and answers the next. */
  changeConfig(change: (config: ClusterConfig) => ClusterConfig, by: string): Promise<ConfigVersion>
  /** Newest first, at most 100 are kept. */
  configHistory(): Promise<readonly ConfigVersion[]>
  /** Makes an older version the newest again, as a version of its own. */
  rollbackConfig(version: number, by: string): Promise<ConfigVersion>

  /** cluster.json as it is now; undefined before the first. */
  bundle(): Promise<{ readonly text: string; readonly epoch: number } | undefined>
  /** Which epoch each member has on its disk: 0 as long as it has told none. */
  acknowledgements(): Promise<ReadonlyMap<NodeId, number>>
}

/**
 * What a node needs for its desk: NodeConfig.enrolment. Absent: no desk (the simulator's plain clusters, state
 * kept by an etcd, a shared key instead of certificates).
 */
export type EnrolmentSettings = {
  /** cluster.toml as it lies on disk; '' in a cluster without a list. */
  readonly topologyText: string
  /**
   * identity/seal-key: 32 bytes in hexadecimal. Founders have it from the start; a member with 'control' that has none
   * fetches it from another and writes it there.
   */
  readonly sealKeyHex?: string
  /**
   * identity/authority-key.pem with identity/authority.pem: a founder seals the pair into the namespace, once,
   * and then removes the key's file from its directory.
   */
  readonly authority?: PemPair
  /** Of the first version of the settings; later the namespace's count. */
  readonly config?: Partial<ClusterConfig>
}
