// A cluster of bare cores under seeded chaos: messages reordered, dropped and doubled, nodes stopped with
// the loss of what was not written, configurations changed, logs compacted, clocks that run apart.
// Checked all along: one leader per term (election safety), equal entries imply equal logs before them (log
// matching), a leader holds everything committed in earlier terms (leader completeness), no two nodes apply
// different entries at an index (state machine safety), reads see what was committed before them. In the
// end all faults stop and the cluster must agree on something new.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  equalBytes,
  type Random,
  readUint64,
  seededRandom,
  uint64Bytes,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import { decodeConfChange } from './confchange-codec.ts'
import { createMemoryStorage, type MemoryStorage } from './memory-storage.ts'
import { createRawNode } from './raw-node.ts'
import {
  type ConfChange,
  type ConfChangeKind,
  type ConfState,
  type CoreConfig,
  type Entry,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  type RawNode,
  type Snapshot,
} from './types.ts'

type Member = {
  readonly id: number
  readonly storage: MemoryStorage
  raw: RawNode
  isUp: boolean
  /** What a crash leaves: a hard state that was not synced may be lost. */
  syncedState: HardState
  appendWork: Message[]
  applyWork: Message[]
  /** The log as handed out for writing: index to term. */
  terms: Map<number, number>
  applied: number
  confState: ConfState
  digest: number
}

type Tuning = Pick<
  CoreConfig,
  'asyncStorageWrites' | 'preVote' | 'checkQuorum' | 'maxInflightMessages'
>

const founders: ConfState = {
  voters: [1, 2, 3],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
}
const strangers: ConfState = { ...founders, voters: [] }
const shrinking: readonly ConfChangeKind[] = ['add-voter', 'add-voter', 'add-learner', 'remove']
const growing: readonly ConfChangeKind[] = ['add-voter']
const nodeCount = 5
const networkMax = 400

class World {
  readonly random: Random
  readonly members: Member[] = []
  network: Message[] = []
  cutOff = 0
  /** What the first node to apply an index applied there. */
  readonly applied = new Map<number, Entry>()
  readonly digests = new Map<number, number>()
  readonly leaders = new Map<number, number>()
  readonly seen = new Map<string, { payload: Uint8Array; termBefore: number }>()
  appliedMax = 1
  counts = { elections: 0, crashes: 0, snapshots: 0, changes: 0, reads: 0, conflicts: 0 }
  #proposed = 0
  readonly #tuning: Tuning

  constructor(seed: number) {
    this.random = seededRandom(seed)
    this.#tuning = {
      asyncStorageWrites: this.random.chance(0.6),
      preVote: this.random.chance(0.5),
      checkQuorum: this.random.chance(0.5),
      maxInflightMessages: 1 + this.random.integer(6),
    }
    this.digests.set(1, 0)
    for (let id = 1; id <= nodeCount; id++) this.members.push(this.#found(id))
  }

  #found(id: number): Member {
    const storage = createMemoryStorage()
    const confState = id <= 3 ? founders : strangers
    const index = id <= 3 ? 1 : 0
    if (index > 0)
      storage.applySnapshot({ metadata: { index, term: 1, confState }, payload: uint64Bytes(0) })
    const syncedState = { term: index, vote: 0, commit: index }
    storage.setHardState(syncedState)
    return {
      id,
      storage,
      raw: this.#start(id, storage),
      isUp: true,
      syncedState,
      appendWork: [],
      applyWork: [],
      terms: new Map([[index, index]]),
      applied: index,
      confState,
      digest: 0,
    }
  }

  #start(id: number, storage: MemoryStorage): RawNode {
    const { random } = this
    const config: CoreConfig = {
      ...this.#tuning,
      id,
      electionTicks: 5,
      heartbeatTicks: 1,
      storage: {
        initialState: () => storage.initialState(),
        entries: (low, high, bytesMax) => storage.entries(low, high, bytesMax),
        term: (index) => storage.term(index),
        lastIndex: () => storage.lastIndex(),
        firstIndex: () => storage.firstIndex(),
        snapshot: () => (random.chance(0.2) ? 'unavailable' : storage.snapshot()),
      },
      applied: storage.firstIndex() - 1,
      maxSizePerMessage: 80,
      maxCommittedSizePerReady: 120,
      maxUncommittedSize: 600,
      maxInflightBytes: 200,
      readOnly: 'safe',
      stepDownOnRemoval: true,
      handOverOnRemoval: true,
      disableProposalForwarding: false,
      disableConfChangeValidation: false,
      random,
      trace: (line) => {
        if (line.startsWith('ERROR')) throw new assert.AssertionError({ message: line })
        if (line.startsWith('INFO found conflict')) this.counts.conflicts++
      },
    }
    return createRawNode(config)
  }

  pick(): Member {
    return this.members[this.random.integer(nodeCount)] as Member
  }

  /** One random event. */
  move(): void {
    const { random } = this
    const dice = random.integer(1000)
    const member = this.pick()
    if (dice < 450) this.deliver()
    else if (!member.isUp) this.restart(member, dice > 900)
    else if (dice < 570) member.raw.tick()
    else if (dice < 740) this.drain(member)
    else if (dice < 880) this.work(member)
    else if (dice < 940) this.propose(member)
    else if (dice < 950) this.proposeChange(member)
    else if (dice < 960) this.compact(member)
    else if (dice < 964) this.crash(member)
    else if (dice < 974) member.raw.readIndex(uint64Bytes(this.appliedMax))
    else if (dice < 977) member.raw.transferLeader(1 + random.integer(nodeCount))
    else if (dice < 979) member.raw.forgetLeader()
    else if (dice < 985) member.raw.reportUnreachable(1 + random.integer(nodeCount))
    else if (dice < 988) this.cutOff = random.integer(nodeCount + 1)
    else member.raw.reportSnapshot(1 + random.integer(nodeCount), random.chance(0.5))
    this.watch(member)
  }

  deliver(): void {
    const { random, network } = this
    if (network.length === 0) return
    const at = random.integer(network.length)
    const message = network[at] as Message
    if (!random.chance(0.05)) {
      network[at] = network[network.length - 1] as Message
      network.pop()
    }
    const target = this.members[message.to - 1]
    const isCut = this.cutOff !== 0 && (message.to === this.cutOff || message.from === this.cutOff)
    if (target?.isUp !== true || isCut || random.chance(0.05)) return
    target.raw.step(message)
    this.watch(target)
  }

  /** Takes a Ready. Synchronously, a crash may come before the write or before the messages leave. */
  drain(member: Member): void {
    if (!member.raw.hasReady()) return
    const ready = member.raw.ready()
    for (const { index, context } of ready.readStates) {
      this.counts.reads++
      assert.ok(index >= readUint64(context, 0), 'a read misses what was committed before it')
    }
    this.note(member, ready.entries, ready.snapshot)
    if (this.#tuning.asyncStorageWrites) {
      for (const message of ready.messages) {
        if (message.to === localAppendThread) member.appendWork.push(message)
        else if (message.to === localApplyThread) member.applyWork.push(message)
        else this.post(message)
      }
      return
    }
    if (this.random.chance(0.01)) {
      this.crash(member)
      return
    }
    this.write(member, ready.hardState, ready.entries, ready.snapshot, ready.mustSync)
    if (this.random.chance(0.01)) {
      this.crash(member)
      return
    }
    for (const message of ready.messages) this.post(message)
    this.apply(member, ready.committedEntries)
    member.raw.advance()
  }

  /** Storage threads do one piece of work each. */
  work(member: Member): void {
    const write = member.appendWork.shift()
    if (write !== undefined) {
      const { term, vote, commit } = write
      const hardState = term + vote + commit > 0 ? { term, vote, commit } : undefined
      const mustSync = write.responses.length > 0
      this.write(member, hardState, write.entries, write.snapshot, mustSync)
      this.respond(member, write)
    }
    const application = member.applyWork.shift()
    if (application === undefined || !member.isUp) return
    this.apply(member, application.entries)
    this.respond(member, application)
  }

  respond(member: Member, work: Message): void {
    for (const response of work.responses) {
      if (response.to === member.id) member.raw.step(response)
      else this.post(response)
    }
  }

  post(message: Message): void {
    if (this.network.length >= networkMax) this.network.splice(this.random.integer(networkMax), 1)
    this.network.push(message)
  }

  write(
    member: Member,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
    mustSync: boolean,
  ): void {
    const { storage } = member
    if (hardState !== undefined) storage.setHardState(hardState)
    if (mustSync) member.syncedState = storage.initialState().hardState
    if (snapshot !== undefined) this.settleApplications(member)
    if (snapshot !== undefined && storage.applySnapshot(snapshot) === 'ok') {
      this.counts.snapshots++
      this.load(member)
    }
    storage.append(entries)
  }

  /** Before a snapshot takes effect, entries being applied are either applied or dropped. */
  settleApplications(member: Member): void {
    const work = member.applyWork
    member.applyWork = []
    if (this.random.chance(0.3)) return
    for (const { entries } of work) this.apply(member, entries)
  }

  /** The state machine starts from the snapshot of storage. */
  load(member: Member): void {
    const { metadata, payload } = member.storage.snapshot() as Snapshot
    member.applied = metadata.index
    member.confState = metadata.confState
    member.digest = metadata.index === 0 ? 0 : readUint64(payload, 0)
    if (metadata.index > 0) assert.equal(member.digest, this.digests.get(metadata.index))
  }

  apply(member: Member, entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert.equal(entry.index, member.applied + 1, 'entries are applied in order')
      const first = this.applied.get(entry.index)
      if (first === undefined) this.applied.set(entry.index, entry)
      else assertSameEntry(first, entry)
      member.applied = entry.index
      member.digest = (Math.imul(member.digest, 31) + entry.term * 7 + entry.payload.length) >>> 0
      if (entry.kind === 'normal') {
        for (const byte of entry.payload)
          member.digest = (Math.imul(member.digest, 31) + byte) >>> 0
      } else {
        this.counts.changes++
        const change = decodeConfChange(entry)
        if (change !== undefined) member.confState = member.raw.applyConfChange(change)
      }
      const digest = this.digests.get(entry.index)
      if (digest === undefined) this.digests.set(entry.index, member.digest)
      else assert.equal(member.digest, digest)
      this.appliedMax = Math.max(this.appliedMax, entry.index)
    }
  }

  compact(member: Member): void {
    const { storage, applied } = member
    if (applied <= (storage.snapshot() as Snapshot).metadata.index) return
    const created = storage.createSnapshot(applied, member.confState, uint64Bytes(member.digest))
    assert.notEqual(created, 'out-of-date')
    const keep = this.random.integer(6)
    if (applied - keep >= storage.firstIndex()) storage.compact(applied - keep)
  }

  crash(member: Member): void {
    this.counts.crashes++
    member.isUp = false
    member.appendWork = []
    member.applyWork = []
  }

  restart(member: Member, isNow: boolean): void {
    if (!isNow) return
    const { storage } = member
    storage.setHardState(member.syncedState)
    this.load(member)
    // Replays the log from its first entry, so the state must be the one before that.
    const before = storage.firstIndex() - 1
    const { metadata } = storage.snapshot() as Snapshot
    if (before < metadata.index) storage.compact(metadata.index)
    member.terms.clear()
    for (let index = storage.firstIndex() - 1; index <= storage.lastIndex(); index++) {
      member.terms.set(index, Number(storage.term(index)))
    }
    member.isUp = true
    member.raw = this.#start(member.id, storage)
  }

  propose(member: Member): void {
    this.#proposed++
    member.raw.propose(utf8Encode(`p${this.#proposed}`))
  }

  /**
   * From a leader, which knows the configuration in force, and never a removal from two voters: should
   * the remaining one stop before it learns of the commit, the removed one must not vote for it.
   */
  proposeChange(member: Member): void {
    const { softState, confState } = member.raw.status()
    if (softState.role !== 'leader') return
    const canShrink = confState.voters.length > 2
    member.raw.proposeConfChange(this.randomChange(canShrink ? shrinking : growing))
  }

  randomChange(kinds: readonly ConfChangeKind[]): ConfChange {
    const { random } = this
    const transitions = ['auto', 'auto', 'joint-implicit', 'joint-explicit'] as const
    const changes = Array.from({ length: random.integer(4) }, () => ({
      kind: kinds[random.integer(kinds.length)] ?? 'update',
      nodeId: 1 + random.integer(nodeCount),
    }))
    const transition = changes.length === 0 ? 'auto' : (transitions[random.integer(4)] ?? 'auto')
    return { transition, changes, context: new Uint8Array(0) }
  }

  /** Log matching: an entry and the one before it determine each other, by induction the whole log. */
  note(member: Member, entries: readonly Entry[], snapshot: Snapshot | undefined): void {
    if (snapshot !== undefined) {
      member.terms.clear()
      member.terms.set(snapshot.metadata.index, snapshot.metadata.term)
    }
    for (const entry of entries) {
      const termBefore = member.terms.get(entry.index - 1) ?? 0
      const key = `${entry.index}/${entry.term}`
      const first = this.seen.get(key)
      if (first === undefined) this.seen.set(key, { payload: entry.payload, termBefore })
      else {
        assert.ok(equalBytes(first.payload, entry.payload), `two entries at ${key}`)
        assert.equal(first.termBefore, termBefore, `two logs before ${key}`)
      }
      member.terms.set(entry.index, entry.term)
    }
    const end = entries.at(-1)?.index
    if (end === undefined) return
    for (let index = end + 1; member.terms.delete(index); index++);
  }

  /** Election safety, and leader completeness when somebody has just been elected. */
  watch(member: Member): void {
    if (!member.isUp) return
    const { softState, hardState } = member.raw.status()
    if (softState.role !== 'leader') return
    const known = this.leaders.get(hardState.term)
    if (known !== undefined) {
      assert.equal(known, member.id, `two leaders in term ${hardState.term}`)
      return
    }
    this.counts.elections++
    this.leaders.set(hardState.term, member.id)
    const first = member.storage.firstIndex()
    for (let index = first; index <= this.appliedMax; index++) {
      const entry = this.applied.get(index)
      if (entry === undefined || entry.term >= hardState.term) continue
      assert.equal(member.terms.get(index), entry.term, `a leader lacks committed entry ${index}`)
    }
  }

  /** All faults end; the cluster must elect a leader and apply something new everywhere. */
  heal(): void {
    this.cutOff = 0
    for (const member of this.members) if (!member.isUp) this.restart(member, true)
    // It is the transport's duty to tell what became of every snapshot.
    for (const { raw } of this.members) {
      for (let id = 1; id <= nodeCount; id++) raw.reportSnapshot(id, false)
    }
    const goal = 'goal'
    for (let round = 0; round < 600; round++) {
      for (const member of this.members) member.raw.tick()
      if (round % 20 === 10) for (const member of this.members) member.raw.propose(utf8Encode(goal))
      for (let i = 0; i < 40; i++) this.settle()
      if (round % 20 === 19 && this.hasAgreed(goal)) return
    }
    assert.fail('no agreement after all faults ended')
  }

  settle(): void {
    for (const member of this.members) {
      while (member.isUp && member.raw.hasReady()) this.drain(member)
      while (member.appendWork.length + member.applyWork.length > 0) this.work(member)
      if (!member.isUp) this.restart(member, true)
      this.watch(member)
    }
    const messages = this.network
    this.network = []
    for (const message of messages) {
      const target = this.members[message.to - 1]
      target?.raw.step(message)
      if (message.type === 'snapshot')
        this.members[message.from - 1]?.raw.reportSnapshot(message.to, true)
    }
  }

  hasAgreed(goal: string): boolean {
    const last = this.applied.get(this.appliedMax)
    if (last === undefined || utf8Decode(last.payload) !== goal) return false
    const newest = this.members.find((member) => member.applied === this.appliedMax)
    const voters = newest?.confState.voters ?? []
    return voters.every((id) => this.members[id - 1]?.applied === this.appliedMax)
  }
}

function assertSameEntry(a: Entry, b: Entry): void {
  assert.equal(a.term, b.term, `two entries applied at ${a.index}`)
  assert.equal(a.kind, b.kind)
  assert.ok(equalBytes(a.payload, b.payload), `two entries applied at ${a.index}`)
}

test('a cluster of cores keeps its promises under chaos', () => {
  const seeds = Number(process.env.SEEDS ?? 120)
  const start = Number(process.env.SEED ?? 1)
  const total = { elections: 0, crashes: 0, snapshots: 0, changes: 0, reads: 0, conflicts: 0 }
  for (let seed = start; seed < start + seeds; seed++) {
    const world = new World(seed)
    try {
      for (let i = 0; i < 4000; i++) world.move()
      world.heal()
    } catch (error) {
      throw new assert.AssertionError({ message: `seed ${seed}: ${(error as Error).stack}` })
    }
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += world.counts[key]
  }
  if (seeds < 20) return
  for (const [name, count] of Object.entries(total)) assert.ok(count > 0, `never seen: ${name}`)
})
