// What the node answers, as far as the pages show it.

export type NodeRow = {
  readonly id: number
  readonly name: string
  readonly state: string
  readonly control: string
  readonly admin: string
  readonly s3: string
  readonly uptimeMs: number
  readonly residentBytes: number
  readonly liveBytes: number
  readonly garbageBytes: number
  readonly freeBytes: number
  readonly totalBytes: number
}

export type GroupRow = {
  readonly group: number
  readonly name: string
  readonly node: number
  readonly role: string
  readonly term: number
  readonly leader: number
  readonly commit: number
  readonly applied: number
  readonly voters: readonly number[]
  readonly learners: readonly number[]
}

/** GET /v1/status */
export type Status = {
  readonly clusterId: string
  readonly region: string
  readonly code: { readonly data: number; readonly parity: number }
  readonly askedNode: number
  readonly nodes: readonly NodeRow[]
  readonly groups: readonly GroupRow[]
  /** -1: not known now. */
  readonly objects: number
  /** -1: being counted. */
  readonly underReplicatedShards: number
  readonly damagedShards: number
  readonly liveBytes: number
  readonly freeBytes: number
  readonly totalBytes: number
  readonly moves?: {
    readonly shardsLeft: number
    readonly bytesLeft: number
    readonly bytesPerSecond: number
  }
}

/** GET /cluster/events */
export type ClusterEvent = {
  readonly number: number
  readonly atMs: number
  readonly kind: string
  readonly node: number
  readonly text: string
}

/** GET /v1/members */
export type Members = {
  readonly clusterId: string
  readonly region: string
  readonly targetSize: number
  readonly epoch: number
  readonly members: readonly Member[]
  readonly waiting: readonly Enrolment[]
}
export type Member = {
  readonly id: number
  readonly name: string
  readonly state: string
  readonly address: string
  readonly caps: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly version: string
  readonly capacityBytes: number
  readonly epoch: number
}
export type Enrolment = {
  readonly fingerprint: string
  readonly state: string
  readonly name: string
  readonly address: string
  readonly region: string
  readonly zone: string
  readonly caps: readonly string[]
  readonly version: string
  readonly requestedMs: number
}

/** GET /v1/services */
export type Capability = {
  readonly name: string
  readonly about: string
  /** False: the version of the node has no program for it. */
  readonly isHere: boolean
  readonly settings: Readonly<Record<string, unknown>>
  readonly nodes: readonly {
    readonly name: string
    readonly isWanted: boolean
    /** Absent: it has not told. */
    readonly runs?: boolean
  }[]
}

/** GET /v1/config, /v1/config/history */
export type ConfigVersion = {
  readonly version: number
  readonly changedMs: number
  readonly changedBy: string
  readonly config: Config
}
export type Config = {
  readonly targetSize: number
  readonly membersMax: number
  readonly approval: string
  readonly certificateSeconds: number
  readonly services: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** GET /v1/moves */
export type Moves = {
  /** Of the idle rate. */
  readonly share: number
  readonly shardsLeft: number
  readonly bytesLeft: number
  readonly bytesPerSecond: number
  /** -1: cannot be told yet. */
  readonly estimateMs: number
  readonly draining: readonly Drain[]
}
export type Drain = {
  readonly id: number
  readonly name: string
  readonly isUp: boolean
  readonly shardsLeft: number
  readonly bytesLeft: number
  readonly votesIn: readonly string[]
  readonly leads: readonly string[]
  readonly isDrained: boolean
  readonly estimateMs: number
}

/** GET /v1/certificates */
export type Certificate = {
  readonly member: number
  readonly serial: string
  /** 0: not known. */
  readonly issuedMs: number
  readonly notAfterMs: number
}

/** GET /v1/tokens */
export type Token = {
  readonly id: string
  readonly state: string
  readonly createdMs: number
  readonly expiresMs: number
  readonly uses: number
  readonly usesLeft: number
  readonly name?: string
  readonly approval: string
  readonly createdBy: string
}

/** GET /v1/access/audit */
export type AuditEntry = {
  readonly sequence: number
  readonly atMs: number
  readonly actor: string
  readonly action: string
  readonly resource: string
  readonly source: string
  readonly outcome: string
}
