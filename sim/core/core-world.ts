// A group of bare cores in virtual time, without promises: a seed costs milliseconds, so a hundred thousand of them are
// a matter of minutes. The network loses, doubles, delays and reorders; nodes crash, pause and run at their own
// pace; disks are slow or stall; bits flip, so that a node comes back empty under a new id; members come and go.

import type { Message } from '../../src/raft/core/index.ts'
import { type Random, uint64Bytes } from '../../src/base/index.ts'
import { EventQueue } from '../event-queue.ts'
import type { World } from '../world.ts'
import type { StoredState } from './core-disk.ts'
import { CoreReplica, membersOf, type ReplicaWorld, type Tuning } from './core-replica.ts'
import { fail, Oracle, pick } from './oracle.ts'

const firstIndex = 1
const spares = 2
const settlesWithinMs = 60_000
const payloadMax = 40

const faultKinds = [
  'kill',
  'power loss',
  'power loss of all',
  'partition',
  'one-way partition',
  'lossy network',
  'slow network',
  'slow disk',
  'stalled disk',
  'pause',
  'clock skew',
  'flipped bit',
  'lost connection',
] as const

export const corePromises: readonly string[] = [
  ...faultKinds.map((kind) => `fault ${kind}`),
  'elections',
  'writes acknowledged',
  'reads',
  'configuration changes',
  'joint configurations',
  'snapshots installed',
  'snapshots that broke off',
  'nodes that came back empty under a new id',
  'messages lost',
  'messages doubled',
  'writes lost on the way to the disk',
  'leadership transfers',
  'cuts',
  'leaders that fell at their election',
  'voters that stopped',
]

export class CoreWorld {
  readonly #world: World
  readonly #random: Random
  readonly #queue: EventQueue
  readonly #oracle: Oracle
  readonly #replicas = new Map<number, CoreReplica>()
  readonly #tuning: Tuning
  readonly #durationMs: number
  readonly #blocked = new Set<number>()
  readonly #isOrdered: boolean
  /** How many of those elected fall soon; a fifth as many of those that vote. */
  readonly #fallRatio: number
  /** When the last message of a pair arrives. */
  readonly #arrivals = new Map<number, number>()
  readonly #ends: ReplicaWorld
  #nowMs = 0
  #lossRatio = 0
  #delayMs = 2
  #isHealed = false
  #nextId: number
  #nextPayload = 1
  #events = 0

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#random = world.drawRandom()
    this.#queue = new EventQueue(world.drawRandom())
    this.#durationMs = options.durationMs
    this.#oracle = new Oracle(firstIndex, (kind) => world.count(kind))
    const random = this.#random
    this.#isOrdered = random.chance(0.5)
    this.#fallRatio = random.chance(0.5) ? 0.7 : 0
    this.#tuning = {
      preVote: random.chance(0.85),
      checkQuorum: random.chance(0.85),
      maxInflightMessages: 1 + random.integer(8),
      // One entry each, or some together.
      maxSizePerMessage: random.chance(0.3) ? 1 : 20 + random.integer(200),
      maxUncommittedSize: 400 + random.integer(2_000),
      keep: random.integer(12),
    }
    this.#ends = {
      oracle: this.#oracle,
      random,
      count: (kind, by) => world.count(kind, by),
      trace: (line) => this.#trace(line),
      later: (replica, delayMs, run) => this.#later(replica, delayMs, run),
      send: (from, message) => this.#send(from, message),
      sendSnapshot: (from, message, state) => this.#sendSnapshot(from, message, state),
      find: (id) => this.#replicas.get(id),
      elected: (replica) => this.#maybeFell(replica),
      voted: (replica) => this.#maybeForgot(replica),
    }
    const voters = Array.from({ length: options.nodes }, (_, at) => at + 1)
    for (const id of voters) this.#add(id, voters)
    for (let at = 1; at <= spares; at++) this.#add(options.nodes + at, [])
    this.#nextId = options.nodes + spares + 1
  }

  run(): void {
    for (const replica of this.#replicas.values()) replica.start()
    this.#at(0, () => this.#keepAsking())
    this.#at(0, () => this.#keepOperating())
    this.#at(this.#random.integer(500), () => this.#keepFailing())
    this.#runUntil(this.#durationMs)
    this.#heal()
    // Without pre-vote, candidates that know different members may outbid each other for long.
    if (this.#tuning.preVote) this.#mustSettle()
    this.#world.nowMs = this.#nowMs
    this.#world.count('events', this.#events)
  }

  #add(id: number, voters: readonly number[]): void {
    const none = { learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
    const isFounder = voters.length > 0
    const index = isFounder ? firstIndex : 0
    const state: StoredState = { index, term: index, confState: { voters, ...none }, sum: 0 }
    this.#replicas.set(id, new CoreReplica(id, state, this.#ends, this.#tuning))
  }

  // ---- time ----

  #at(delayMs: number, run: () => void): void {
    this.#queue.push({ dueMs: this.#nowMs + delayMs, label: '', run, owner: undefined })
  }

  #later(replica: CoreReplica, delayMs: number, run: () => void): void {
    const { life } = replica
    const attempt = (): void => {
      if (replica.life !== life) return
      const waitMs = replica.pausedUntilMs - this.#nowMs
      if (waitMs > 0) this.#at(waitMs, attempt)
      else run()
    }
    this.#at(delayMs, attempt)
  }

  #runUntil(endMs: number): void {
    while (this.#nowMs < endMs) this.#step()
  }

  #step(): void {
    const event = this.#queue.pop()
    if (event === undefined) fail('nothing more happens')
    this.#nowMs = Math.max(this.#nowMs, event.dueMs)
    this.#events++
    event.run()
  }

  #trace(line: string): void {
    this.#world.nowMs = this.#nowMs
    this.#world.trace(line)
  }

  // ---- the network ----

  #send(from: CoreReplica, message: Message): void {
    const random = this.#random
    if (this.#blocked.has(pairOf(from.id, message.to)) || random.chance(this.#lossRatio)) {
      this.#world.count('messages lost')
      return
    }
    this.#deliver(from.id, message)
    if (!this.#isOrdered && random.chance(this.#lossRatio)) {
      this.#world.count('messages doubled')
      this.#deliver(from.id, message)
    }
  }

  #deliver(from: number, message: Message): void {
    const pair = pairOf(from, message.to)
    let dueMs = this.#nowMs + 0.2 + this.#random.integer(100 * this.#delayMs) / 100
    if (this.#isOrdered) {
      dueMs = Math.max(dueMs, this.#arrivals.get(pair) ?? 0)
      this.#arrivals.set(pair, dueMs)
    }
    this.#at(dueMs - this.#nowMs, () => {
      const target = this.#replicas.get(message.to)
      if (target === undefined || this.#blocked.has(pair)) return
      this.#later(target, 0, () => target.receive(message))
    })
  }

  #sendSnapshot(from: CoreReplica, message: Message, state: StoredState): void {
    const isBroken = this.#random.chance(this.#isHealed ? 0 : 0.15)
    const { life } = from
    const report = (isSuccess: boolean): void => {
      this.#at(1, () => {
        if (from.life !== life) return
        from.turnAfter(() => from.raw.reportSnapshot(message.to, isSuccess))
      })
    }
    this.#at(5 + this.#random.integer(60), () => {
      const target = this.#replicas.get(message.to)
      const isCut = this.#blocked.has(pairOf(from.id, message.to))
      if (isBroken || isCut || target?.isUp !== true) {
        this.#world.count('snapshots that broke off')
        report(false)
        return
      }
      this.#later(target, 0, () => target.receiveSnapshot(message, state, report))
    })
  }

  // ---- clients and the operator ----

  #keepAsking(): void {
    const replica = this.#anyone()
    if (this.#random.chance(0.5)) {
      const leader = this.#random.chance(0.8) ? this.#leader() : replica
      leader?.propose(this.#drawPayload())
    } else replica.read()
    this.#at(this.#random.integer(60), () => this.#keepAsking())
  }

  #drawPayload(): Uint8Array {
    const payload = new Uint8Array(8 + this.#random.integer(payloadMax))
    payload.set(uint64Bytes(this.#nextPayload++))
    return payload
  }

  #keepOperating(): void {
    const leader = this.#leader()
    if (leader !== undefined) this.#operate(leader)
    for (const replica of this.#replicas.values()) {
      if (replica.disk.entryCount > 25 && this.#random.chance(0.3)) replica.compact()
    }
    this.#at(100 + this.#random.integer(900), () => this.#keepOperating())
  }

  #operate(leader: CoreReplica): void {
    const random = this.#random
    const { confState } = leader.state
    const draw = random.integer(10)
    if (draw < 2) {
      this.#world.count('leadership transfers')
      leader.turnAfter(() => leader.raw.transferLeader(this.#anyone().id))
    } else if (draw < 3) {
      leader.turnAfter(() => leader.raw.reportUnreachable(this.#anyone().id))
    } else if (draw < 4) {
      this.#anyone().turnAfter(() => undefined)
    } else this.#changeMembers(leader, confState.voters)
  }

  #changeMembers(leader: CoreReplica, voters: readonly number[]): void {
    const random = this.#random
    const members = membersOf(leader.state.confState)
    const outside = [...this.#replicas.values()]
      .filter(({ id, disk }) => !members.includes(id) && !disk.isDamaged)
      .map(({ id }) => id)
    const gone = voters.filter((id) => !this.#isUsable(id))
    const { learners } = leader.state.confState
    type Change = { readonly kind: 'add-voter' | 'add-learner' | 'remove'; readonly nodeId: number }
    const changes: Change[] = []
    const add = outside.length > 0 ? pick(outside, random) : undefined
    const remove = gone.length > 0 ? pick(gone, random) : pick(voters, random)
    const kind = random.chance(0.3) ? 'add-learner' : 'add-voter'
    if (add !== undefined && random.chance(0.7)) changes.push({ kind, nodeId: add })
    else if (learners.length > 0)
      changes.push({ kind: 'add-voter', nodeId: pick(learners, random) })
    const isShrinkable = voters.length > 3 || (changes.length > 0 && kind === 'add-voter')
    if (isShrinkable && random.chance(0.6)) changes.push({ kind: 'remove', nodeId: remove })
    if (changes.length === 0) return
    if (changes.length > 1) this.#world.count('joint configurations')
    const context = new Uint8Array(0)
    leader.turnAfter(() => leader.raw.proposeConfChange({ transition: 'auto', changes, context }))
  }

  #isUsable(id: number): boolean {
    return this.#replicas.get(id)?.disk.isDamaged === false
  }

  #anyone(): CoreReplica {
    return pick([...this.#replicas.values()], this.#random)
  }

  #leader(): CoreReplica | undefined {
    let found: CoreReplica | undefined
    for (const replica of this.#replicas.values()) {
      if (!replica.isUp || replica.role !== 'leader') continue
      const term = replica.raw.status().hardState.term
      if (found === undefined || term > found.raw.status().hardState.term) found = replica
    }
    return found
  }

  // ---- faults ----

  #keepFailing(): void {
    if (this.#isHealed) return
    this.#inject(pick(faultKinds, this.#random))
    this.#at(this.#random.integer(1_200), () => this.#keepFailing())
  }

  #inject(kind: (typeof faultKinds)[number]): void {
    const random = this.#random
    const replica = random.chance(0.4) ? (this.#leader() ?? this.#anyone()) : this.#anyone()
    if (kind === 'flipped bit' && !this.#flip(replica)) return
    this.#world.count(`fault ${kind}`)
    this.#trace(`${kind} ${replica.id}`)
    if (kind === 'kill' || kind === 'power loss')
      this.#crash(replica, kind === 'kill' ? 'kill' : 'power')
    else if (kind === 'power loss of all') {
      for (const each of this.#replicas.values()) this.#crash(each, 'power')
    } else if (kind === 'partition') this.#cut(replica, true, true)
    else if (kind === 'one-way partition') {
      const isOut = random.chance(0.5)
      this.#cut(replica, isOut, !isOut)
    } else if (kind === 'lossy network') {
      this.#lossRatio = 0.05 + random.integer(30) / 100
      this.#until(3_000, () => {
        this.#lossRatio = 0
      })
    } else if (kind === 'slow network') {
      this.#delayMs = 20 + random.integer(300)
      this.#until(3_000, () => {
        this.#delayMs = 2
      })
    } else if (kind === 'lost connection') {
      const peer = this.#anyone()
      replica.turnAfter(() => replica.raw.reportUnreachable(peer.id))
    } else this.#hinder(kind, replica)
  }

  /** What slows one node down. */
  #hinder(kind: (typeof faultKinds)[number], replica: CoreReplica): void {
    const random = this.#random
    if (kind === 'slow disk' || kind === 'stalled disk') {
      replica.slowness = kind === 'slow disk' ? 10 + random.integer(150) : 2_000
      this.#until(3_000, () => {
        replica.slowness = 1
      })
    } else if (kind === 'pause') replica.pausedUntilMs = this.#nowMs + random.integer(3_000)
    else if (kind === 'clock skew') {
      replica.pace = 0.4 + random.integer(200) / 100
      this.#until(4_000, () => {
        replica.pace = 1
      })
    }
  }

  /** What is hardest on logs: who has just been elected falls before, or while, its first entry reaches others. */
  #maybeFell(replica: CoreReplica): void {
    const random = this.#random
    if (!random.chance(this.#fallRatio)) return
    this.#at(random.integer(60), () => {
      if (this.#isHealed || !replica.isUp) return
      this.#world.count('leaders that fell at their election')
      this.#trace(`falls ${replica.id}`)
      if (random.chance(0.5)) this.#cut(replica, true, random.chance(0.5))
      else this.#crash(replica, random.chance(0.5) ? 'kill' : 'power')
    })
  }

  /** Who has just voted, itself or for another, stops: what it told must be on its disk. */
  #maybeForgot(replica: CoreReplica): void {
    const random = this.#random
    if (!random.chance(this.#fallRatio / 5)) return
    this.#at(random.integer(20) / 10, () => {
      if (this.#isHealed || !replica.isUp) return
      this.#world.count('voters that stopped')
      this.#trace(`stops ${replica.id}`)
      this.#crash(replica, random.chance(0.5) ? 'kill' : 'power')
    })
  }

  #crash(replica: CoreReplica, how: 'kill' | 'power'): void {
    replica.crash(how)
    this.#until(3_000, () => this.#restart(replica))
  }

  /** A disk with flipped bits is of no use; its node comes back empty, as somebody else. */
  #restart(replica: CoreReplica): void {
    if (!replica.disk.isDamaged) {
      replica.start()
      return
    }
    if (!this.#replicas.delete(replica.id)) return
    this.#world.count('nodes that came back empty under a new id')
    const id = this.#nextId++
    this.#add(id, [])
    this.#replicas.get(id)?.start()
  }

  /** One at a time, and only while a quorum of all configurations is left without it and those that are lost. */
  #flip(replica: CoreReplica): boolean {
    const leader = this.#leader()
    if (leader === undefined || leader === replica || replica.disk.isDamaged) return false
    const { confState } = leader.state
    if (confState.votersOutgoing.length > 0) return false
    const gone = confState.voters.filter((id) => !this.#isUsable(id) || id === replica.id)
    if (gone.length > 1 || confState.voters.length < 3) return false
    if (!membersOf(confState).includes(replica.id)) return false
    if (this.#replicas.size - gone.length < 4 || this.#isAnyLost()) return false
    replica.disk.isDamaged = true
    this.#crash(replica, 'kill')
    return true
  }

  /** Whether some replica still counts on a voter whose disk is gone, or may yet. */
  #isAnyLost(): boolean {
    for (const { state, isChangingMembers } of this.#replicas.values()) {
      if (isChangingMembers) return true
      for (const id of membersOf(state.confState)) if (!this.#isUsable(id)) return true
    }
    return false
  }

  #cut(replica: CoreReplica, isOut: boolean, isIn: boolean): void {
    const pairs: number[] = []
    for (const other of this.#replicas.keys()) {
      if (other === replica.id) continue
      if (isOut) pairs.push(pairOf(replica.id, other))
      if (isIn) pairs.push(pairOf(other, replica.id))
    }
    for (const pair of pairs) this.#blocked.add(pair)
    this.#until(4_000, () => {
      for (const pair of pairs) this.#blocked.delete(pair)
    })
  }

  #until(withinMs: number, run: () => void): void {
    this.#at(1 + this.#random.integer(withinMs), () => {
      if (!this.#isHealed) run()
    })
  }

  // ---- afterwards ----

  #heal(): void {
    this.#isHealed = true
    this.#trace('heal')
    this.#blocked.clear()
    this.#lossRatio = 0
    this.#delayMs = 2
    for (const replica of [...this.#replicas.values()]) {
      replica.slowness = 1
      replica.pace = 1
      replica.pausedUntilMs = 0
      this.#restart(replica)
    }
  }

  /** Something new is acknowledged, and all voters come to have it. */
  #mustSettle(): void {
    const goal = this.#oracle.acknowledgedMax + 1
    const endMs = this.#nowMs + settlesWithinMs
    for (;;) {
      this.#runUntil(this.#nowMs + 200)
      if (this.#oracle.acknowledgedMax >= goal && this.#isCaughtUp(goal)) return
      if (this.#nowMs > endMs) fail(`not settled after the heal: ${this.#describe()}`)
    }
  }

  #isCaughtUp(goal: number): boolean {
    const leader = this.#leader()
    if (leader === undefined) return false
    const { voters, votersOutgoing } = leader.state.confState
    const ids = [...voters, ...votersOutgoing].filter((id) => this.#isUsable(id))
    return ids.every((id) => (this.#replicas.get(id)?.state.index ?? 0) >= goal)
  }

  #describe(): string {
    return [...this.#replicas.values()]
      .map(({ id, role, state, isUp, raw }) => {
        const { hardState, confState } = raw.status()
        const { voters, votersOutgoing, learners } = confState
        return `${id} ${isUp ? role : 'down'} term ${hardState.term} applied ${state.index} of ${voters}|${votersOutgoing}|${learners}`
      })
      .join('; ')
  }
}

function pairOf(from: number, to: number): number {
  return from * 65_536 + to
}
