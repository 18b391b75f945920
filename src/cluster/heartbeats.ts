// Heartbeats: every node tells the leader of the system group once a second that it lives and how full it is. What was
// told stays in the leader's memory; written are only the changes between online, suspect and offline, each in one
// transaction with its event (registry.ts), by the leader alone.
//
// A beat is one small message without an answer on a connection that would else be kept alive by pings, so it costs
// an idle cluster next to nothing. States that an operator or enrolment set are never touched: a decision names
// the state it starts from, and is made again, on beats heard until then, after the linearizable read of the record.
//
// A leader that was cut off, in steps: 1. it hears nobody and wants to write that all are suspect; 2. the read of the
// record needs a quorum and hangs; 3. the cut heals, the read is answered, everybody beats again a moment later. So
// after a decision that failed or took longer than patienceMs the leader begins anew, with patience for everybody; and
// time in which this node stood still is nobody's silence.

import {
  codecOf,
  Fault,
  isFault,
  message,
  nested,
  type NodeId,
  nodeId,
  repeated,
  sha256,
  text,
  toHex,
  uint,
  utf8Encode,
} from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { controlMethod, type IncomingCall, type Rpc } from '../rpc/index.ts'
import type { Member, MemberState, Settings } from './cluster.ts'
import { type Health, Suspicion, type SuspicionOptions } from './core/suspicion.ts'
import type { Cluster } from './open-cluster.ts'
import { changeMember } from './registry.ts'

/** What a node tells of itself with every beat. */
export type BeatFacts = {
  readonly freeBytes: number
  readonly capacityBytes: number
  readonly version: string
  /** The newest feature level that its program supports; 0 when it tells none. */
  readonly level: number
}

/** What the leader remembers of a member. */
export type BeatRow = BeatFacts & {
  readonly id: NodeId
  /** Since its last beat, or since the leader began to listen. */
  readonly silentMs: number
  /** False: no beat since the leader began to listen. */
  readonly isHeard: boolean
  readonly suspectAfterMs: number
  /** Suspicion: 8 is 1 in 10^8 that a silence like this is chance. */
  readonly phi: number
  /** Of the settings that the member goes by, 16 hexadecimal digits: differs from the leader's while it lags behind. */
  readonly settingsDigest: string
}

export type HeartbeatDependencies = {
  readonly host: Host
  /** The control port. Handlers are registered here: create before listen(). */
  readonly rpc: Rpc
  readonly system: Keyspace
  readonly self: NodeId
  /** Of the system group, as known here now. */
  leader(): NodeId | undefined
  /** Asked now and then, not with every beat. */
  facts(): Promise<BeatFacts>
}

export type HeartbeatOptions = SuspicionOptions & {
  /** How often the leader looks for silence. Default 500 ms. */
  readonly lookMs?: number
}

const beatFields = message({
  node: uint(1),
  freeBytes: uint(2),
  capacityBytes: uint(3),
  version: text(4),
  settingsDigest: text(5),
  level: uint(6),
})
const beatCodec = codecOf(beatFields)
const rowFields = message({
  beat: nested(1, beatFields),
  silentMs: uint(2),
  /** Plus one; 0: not heard. */
  heard: uint(3),
  suspectAfterMs: uint(4),
  phiHundredths: uint(5),
})
const rowsCodec = codecOf(message({ rows: repeated(nested(1, rowFields)) }))

type Beat = ReturnType<typeof beatCodec.decode>

const factsEveryMs = 10_000
const patienceMs = 1_000
const writeDeadlineMs = 3_000
const askDeadlineMs = 2_000
const versionCharsMax = 64

export class Heartbeats {
  readonly #deps: HeartbeatDependencies
  readonly #options: HeartbeatOptions
  /** Of members only. */
  readonly #beats = new Map<NodeId, Beat>()
  #memberIds: ReadonlySet<NodeId> = new Set()
  #cluster: Cluster | undefined
  /** Of this node's time as leader; undefined while another leads. */
  #suspicion: Suspicion | undefined
  #facts: BeatFacts = { freeBytes: 0, capacityBytes: 0, version: '', level: 0 }
  #digest = ''
  #factsAtMs = Number.NEGATIVE_INFINITY
  #lookedMs = 0
  #isDeciding = false
  #timers: Timer[] = []
  #unwatch: () => void = () => undefined

  constructor(deps: HeartbeatDependencies, options: HeartbeatOptions = {}) {
    this.#deps = deps
    this.#options = options
    const { rpc } = deps
    rpc.onMessage(controlMethod.heartbeat, (from, bytes) => {
      this.#receive({ ...beatCodec.decode(bytes), node: from })
    })
    rpc.serve(controlMethod.heartbeatFor, async (call) => this.#receiveFor(call))
    rpc.serve(controlMethod.heartbeatRows, async () => this.#encodeRows())
  }

  start(cluster: Cluster): void {
    const { clock } = this.#deps.host
    this.#cluster = cluster
    this.#lookedMs = clock.monotonicMs()
    const follow = (): void => {
      this.#digest = digestOf(cluster.view.settings())
      this.#retain(cluster.view.members())
    }
    follow()
    this.#unwatch = cluster.view.onChange(follow)
    this.#timers = [
      clock.every(this.#options.beatMs ?? 1_000, () => this.#beat()),
      clock.every(this.#lookEveryMs, () => this.#look()),
    ]
    this.#beat()
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
    this.#timers = []
    this.#unwatch()
    this.#cluster = undefined
  }

  /** What the leader remembers, of every member that it hears or waits for. Faults of a call; 'unavailable' without a leader. */
  async rows(): Promise<readonly BeatRow[]> {
    const leader = this.#deps.leader()
    if (leader === this.#deps.self) return this.#rows()
    const nothing = new Uint8Array(0)
    const answer = await this.#deps.rpc.call(
      requireLeader(leader),
      controlMethod.heartbeatRows,
      nothing,
      {
        deadlineMs: askDeadlineMs,
      },
    )
    return decodeRows(answer)
  }

  /** As rows(), without asking anybody; empty while this node does not lead. */
  ownRows(): readonly BeatRow[] {
    return this.#deps.leader() === this.#deps.self ? this.#rows() : []
  }

  /** A beat that came another way, for a member that is enrolled. */
  async report(id: NodeId, facts: Partial<BeatFacts>): Promise<void> {
    const leader = this.#deps.leader()
    const known = (await this.rows()).find((row) => row.id === id)
    const beat = {
      node: id,
      freeBytes: facts.freeBytes ?? known?.freeBytes ?? 0,
      capacityBytes: facts.capacityBytes ?? known?.capacityBytes ?? 0,
      version: facts.version ?? known?.version ?? '',
      level: known?.level ?? 0,
      settingsDigest: known?.settingsDigest ?? '',
    }
    if (leader === this.#deps.self) return this.#receive(beat)
    await this.#deps.rpc.call(
      requireLeader(leader),
      controlMethod.heartbeatFor,
      beatCodec.encode(beat),
      {
        deadlineMs: askDeadlineMs,
      },
    )
  }

  get #lookEveryMs(): number {
    return this.#options.lookMs ?? 500
  }

  #beat(): void {
    const { self, rpc } = this.#deps
    this.#maybeAskFacts()
    const leader = this.#deps.leader()
    if (leader === undefined) return
    const beat = { ...this.#facts, node: self, settingsDigest: this.#digest }
    if (leader === self) this.#receive(beat)
    else rpc.send(leader, controlMethod.heartbeat, beatCodec.encode(beat))
  }

  #maybeAskFacts(): void {
    const { host, facts } = this.#deps
    const nowMs = host.clock.monotonicMs()
    if (nowMs - this.#factsAtMs < factsEveryMs) return
    this.#factsAtMs = nowMs
    facts().then(
      (told) => {
        this.#facts = told
      },
      (error: unknown) => {
        if (!isFault(error)) host.journal.fatal('cluster.facts_failed', error)
      },
    )
  }

  async #receiveFor({ request }: IncomingCall): Promise<Uint8Array> {
    this.#receive(beatCodec.decode(request))
    return new Uint8Array(0)
  }

  /** Kept by whoever hears it; looked at while this node leads. */
  #receive(beat: Beat): void {
    const id = nodeId(beat.node)
    if (!this.#memberIds.has(id)) return
    this.#beats.set(id, { ...beat, version: beat.version.slice(0, versionCharsMax) })
    this.#suspicion?.beat(id, this.#deps.host.clock.monotonicMs())
  }

  #look(): void {
    const cluster = this.#cluster
    if (cluster === undefined) return
    const nowMs = this.#deps.host.clock.monotonicMs()
    const lateMs = nowMs - this.#lookedMs - this.#lookEveryMs
    this.#lookedMs = nowMs
    if (this.#deps.leader() !== this.#deps.self) {
      this.#suspicion = undefined
      return
    }
    this.#suspicion ??= new Suspicion(nowMs, this.#options)
    const suspicion = this.#suspicion
    if (lateMs > this.#lookEveryMs * 2) suspicion.excuse(lateMs)
    const changed = cluster.view.members().filter(({ id, state }) => {
      return isHealth(state) && suspicion.judge(id, state, nowMs) !== state
    })
    if (changed.length > 0 && !this.#isDeciding) this.#decide(changed, suspicion)
  }

  #retain(members: readonly Member[]): void {
    this.#memberIds = new Set(members.map(({ id }) => id))
    this.#suspicion?.retain(this.#memberIds)
    for (const id of this.#beats.keys()) if (!this.#memberIds.has(id)) this.#beats.delete(id)
  }

  #decide(changed: readonly Member[], suspicion: Suspicion): void {
    const { journal } = this.#deps.host
    this.#isDeciding = true
    this.#writeAll(changed, suspicion).then(
      () => {
        this.#isDeciding = false
      },
      (error: unknown) => {
        this.#isDeciding = false
        this.#suspicion = undefined
        if (!isFault(error)) return journal.fatal('cluster.health_failed', error)
        journal.event('debug', 'cluster.health_waits', { reason: error.message })
      },
    )
  }

  async #writeAll(changed: readonly Member[], suspicion: Suspicion): Promise<void> {
    const { clock } = this.#deps.host
    for (const { id } of changed) {
      const beganMs = clock.monotonicMs()
      let before: Health | undefined
      const decide = (member: Member) => {
        const nowMs = clock.monotonicMs()
        const isMine = this.#suspicion === suspicion && this.#deps.leader() === this.#deps.self
        const isInTime = nowMs - beganMs <= patienceMs
        if (isMine && !isInTime) this.#suspicion = undefined
        const change = isMine && isInTime ? this.#changeOf(member, suspicion, nowMs) : undefined
        before = change === undefined ? undefined : (member.state as Health)
        return change
      }
      const options = { deadlineMs: writeDeadlineMs }
      const after = await changeMember(this.#deps.system, id, decide, options)
      if (after !== undefined && before !== undefined) this.#noteChange(after, before, suspicion)
    }
  }

  #changeOf(member: Member, suspicion: Suspicion, nowMs: number) {
    const { id, state, name } = member
    if (!isHealth(state)) return undefined
    const next = suspicion.judge(id, state, nowMs)
    if (next === state) return undefined
    const seconds = (suspicion.silentMs(id, nowMs) / 1000).toFixed(1)
    const why = next === 'online' ? 'is heard again' : `is silent for ${seconds} s`
    const atMs = Math.max(0, Math.floor(this.#deps.host.clock.wallMs()))
    const event = { atMs, kind: `member-${next}`, node: id, text: `${name} ${why}` }
    return { member: { ...member, state: next }, event }
  }

  #noteChange({ id, state }: Member, before: Health, suspicion: Suspicion): void {
    if (before === 'online') suspicion.noteFall(id)
    const level = state === 'online' ? 'notice' : 'warning'
    this.#deps.host.journal.event(level, `cluster.member_${state}`, { node: id, before })
  }

  #rows(): readonly BeatRow[] {
    const cluster = this.#cluster
    const suspicion = this.#suspicion
    if (cluster === undefined || suspicion === undefined) return []
    const nowMs = this.#deps.host.clock.monotonicMs()
    return cluster.view.members().map(({ id, capacityBytes, version }): BeatRow => {
      const beat = this.#beats.get(id)
      return {
        id,
        freeBytes: beat?.freeBytes ?? 0,
        capacityBytes: beat?.capacityBytes ?? capacityBytes,
        version: beat?.version ?? version,
        level: beat?.level ?? 0,
        settingsDigest: beat?.settingsDigest ?? '',
        isHeard: suspicion.isHeard(id),
        silentMs: Math.max(0, Math.floor(suspicion.silentMs(id, nowMs))),
        suspectAfterMs: Math.floor(suspicion.suspectAfterMs(id)),
        phi: Math.floor(suspicion.phi(id, nowMs) * 100) / 100,
      }
    })
  }

  #encodeRows(): Uint8Array {
    return rowsCodec.encode({
      rows: this.#rows().map((row) => ({
        beat: { ...row, node: row.id },
        silentMs: row.silentMs,
        heard: row.isHeard ? 1 : 0,
        suspectAfterMs: row.suspectAfterMs,
        phiHundredths: Math.round(row.phi * 100),
      })),
    })
  }
}

function decodeRows(answer: Uint8Array): readonly BeatRow[] {
  return rowsCodec.decode(answer).rows.flatMap((row): BeatRow[] => {
    if (row?.beat === undefined) return []
    const { node, ...told } = row.beat
    const { silentMs, suspectAfterMs } = row
    const phi = row.phiHundredths / 100
    return [{ ...told, id: nodeId(node), silentMs, suspectAfterMs, phi, isHeard: row.heard > 0 }]
  })
}

function requireLeader(leader: NodeId | undefined): NodeId {
  if (leader !== undefined) return leader
  throw new Fault('unavailable', 'nobody leads the system group now', {
    next: 'try again once a majority of the nodes is reachable',
  })
}

function isHealth(state: MemberState): state is Health {
  return state === 'online' || state === 'suspect' || state === 'offline'
}

/** The same for the same settings, whatever the order in which they were set. */
function digestOf({ placement, ...settings }: Settings): string {
  const least = Object.entries(placement?.minDistinct ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  const { clusterId, region, dataShards, parityShards, movesShare = 0 } = settings
  const ruled = placement === undefined ? [] : [placement.weights, placement.repairAfterMs]
  const all = [clusterId, region, dataShards, parityShards, movesShare, ...ruled, ...least.flat()]
  return toHex(sha256(utf8Encode(all.join('\n'))).subarray(0, 8))
}
