// A group of bare cores with synchronous storage that is driven at random from a seed, and tells every transition:
// elections, appends, lost and overtaken messages, crashes before and after what happened was saved, members one by one,
// cuts and snapshots. What etcd's specification does not know is left out: pre-votes, the check of the quorum, messages
// that arrive twice, a replaced tail that is lost before it was saved, and changes of members whose beginnings it
// remembers for ever (a leader that was deposed with one under way, a member that comes back under the same leader), and votes
// that are refused for the only reason that a leader of the term is known.

import { type Random, seededRandom, utf8Encode } from '../../src/base/index.ts'
import {
  type ConfChange,
  type ConfState,
  type CoreEvent,
  type CoreStorage,
  createMemoryStorage,
  createRawNode,
  decodeConfChange,
  type MemoryStorage,
  type Message,
  type RawNode,
} from '../../src/raft/core/index.ts'

export type PlayOptions = {
  readonly seed: number
  /** About so many events; the last step is played to its end. */
  readonly events: number
}

/** Every transition, and the term of each committed entry by its index. */
export type Played = {
  readonly events: readonly CoreEvent[]
  readonly terms: ReadonlyMap<number, number>
}

type Player = {
  readonly id: number
  readonly storage: MemoryStorage
  node: RawNode
  applied: number
  /** As of the last Ready: where it begins after a crash. */
  saved: { readonly applied: number; readonly confState: ConfState }
}

const founders = [1, 2, 3]
const spares = [4, 5]
const inFlightMax = 40
const noBytes = new Uint8Array(0)

export function playTrace({ seed, events }: PlayOptions): Played {
  const play = new Play(seededRandom(seed))
  while (play.trace.length < events) play.step()
  return { events: play.trace, terms: play.terms }
}

class Play {
  readonly trace: CoreEvent[] = []
  readonly terms = new Map<number, number>([[1, 1]])
  readonly #random: Random
  readonly #players: readonly Player[]
  /** Leaders with a change of members under way, as the specification remembers it. */
  readonly #changing = new Set<number>()
  /** In which term a member was last removed. */
  readonly #removedIn = new Map<number, number>()
  #flying: Message[] = []
  #proposed = 0

  constructor(random: Random) {
    this.#random = random
    this.#players = [...founders, ...spares].map((id) => this.#create(id))
    for (const player of this.#players) this.#settle(player)
  }

  step(): void {
    const draw = this.#random.integer(200)
    if (draw < 140 && this.#flying.length > 0) this.#deliver()
    else if (draw < 148) this.#lose()
    else if (draw < 171) this.#on(this.#anyone(), ({ node }) => node.tick())
    else if (draw < 191) this.#propose()
    else if (draw < 193) this.#changeMembers()
    else if (draw < 195) this.#on(this.#anyone(), ({ node }) => node.campaign())
    else if (draw < 197) this.#cut()
    else this.#crash()
  }

  #create(id: number): Player {
    const storage = createMemoryStorage()
    const isFounder = founders.includes(id)
    const others = { learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
    const confState = { voters: isFounder ? founders : [], ...others }
    if (isFounder) {
      storage.applySnapshot({ metadata: { index: 1, term: 1, confState }, payload: noBytes })
      storage.setHardState({ term: 1, vote: 0, commit: 1 })
    }
    const applied = storage.lastIndex()
    const saved = { applied, confState }
    return { id, storage, node: this.#start(id, storage, saved), applied, saved }
  }

  /** A node from what is saved. Its beginning is one event, with the state in which it begins. */
  #start(id: number, storage: MemoryStorage, { applied, confState }: Player['saved']): RawNode {
    const before = this.trace.length
    const node = createRawNode({
      id,
      electionTicks: 5,
      heartbeatTicks: 2,
      storage: storageWith(storage, confState),
      applied,
      asyncStorageWrites: false,
      maxSizePerMessage: 200,
      maxCommittedSizePerReady: 400,
      maxUncommittedSize: 2_000,
      maxInflightMessages: 4,
      maxInflightBytes: 0,
      checkQuorum: false,
      preVote: false,
      readOnly: 'safe',
      disableProposalForwarding: true,
      disableConfChangeValidation: false,
      stepDownOnRemoval: false,
      random: this.#random,
      trace: () => {},
      observe: (event) => this.#observe(event),
    })
    const { newVoters: _, ...began } = this.trace.splice(before).at(-1) as CoreEvent
    this.trace.push({ ...began, name: 'InitState' })
    return node
  }

  #observe(event: CoreEvent): void {
    this.trace.push(event)
    if (event.name === 'ChangeConf') this.#changing.add(event.id)
    const isOver = event.name === 'ApplyConfChange' && event.role === 'leader'
    if (isOver || event.name === 'InitState') this.#changing.delete(event.id)
  }

  #on(player: Player, act: (player: Player) => void): void {
    act(player)
    this.#settle(player)
  }

  /** Executes everything the core wants, as its contract says. */
  #settle(player: Player): void {
    const { node, storage } = player
    while (node.hasReady()) {
      player.saved = { applied: player.applied, confState: node.status().confState }
      const ready = node.ready()
      if (ready.hardState !== undefined) storage.setHardState(ready.hardState)
      if (ready.snapshot !== undefined) {
        storage.applySnapshot(ready.snapshot)
        player.applied = ready.snapshot.metadata.index
        player.saved = { ...player.saved, applied: player.applied }
      }
      storage.append(ready.entries)
      this.#flying.push(...ready.messages)
      for (const entry of ready.committedEntries) {
        player.applied = entry.index
        this.terms.set(entry.index, entry.term)
        const change = decodeConfChange(entry)
        if (entry.kind !== 'normal' && change !== undefined) node.applyConfChange(change)
      }
      node.advance()
    }
    while (this.#flying.length > inFlightMax) this.#lose()
  }

  #deliver(): void {
    const at = this.#random.integer(Math.min(this.#flying.length, 3))
    const [message] = this.#flying.splice(at, 1)
    if (message === undefined) return
    const target = this.#players.find(({ id }) => id === message.to)
    if (target === undefined || isVoteBehindLeader(message, target.node)) return
    this.#on(target, ({ node }) => node.step(message))
    if (message.type !== 'snapshot') return
    const sender = this.#players.find(({ id }) => id === message.from)
    if (sender !== undefined) this.#on(sender, ({ node }) => node.reportSnapshot(message.to, true))
  }

  /** Often in the middle of something: then nothing of it is left. */
  #crash(): void {
    const player = this.#anyone()
    const { id, node, storage } = player
    const draw = this.#random.integer(4)
    const at = this.#flying.findIndex((message) => message.to === id)
    const message = this.#flying[at]
    if (draw === 0) node.tick()
    else if (draw === 1) node.propose(utf8Encode(`value ${++this.#proposed}`))
    else if (draw === 2 && message !== undefined && !isReplacing(message, storage)) {
      this.#flying.splice(at, 1)
      if (!isVoteBehindLeader(message, node)) node.step(message)
    }
    this.#changing.delete(id)
    player.applied = player.saved.applied
    player.node = this.#start(id, storage, player.saved)
    this.#settle(player)
  }

  #lose(): void {
    if (this.#flying.length === 0) return
    const [message] = this.#flying.splice(this.#random.integer(this.#flying.length), 1)
    if (message?.type !== 'snapshot') return
    const sender = this.#players.find(({ id }) => id === message.from)
    sender?.node.reportSnapshot(message.to, false)
  }

  #propose(): void {
    const payload = utf8Encode(`value ${++this.#proposed}`)
    const leader = this.#leader()
    if (leader !== undefined) this.#on(leader, ({ node }) => node.propose(payload))
  }

  #changeMembers(): void {
    const leader = this.#leader()
    if (leader === undefined || this.#changing.has(leader.id)) return
    const { confState, hardState } = leader.node.status()
    const { voters, learners } = confState
    const members = this.#players.filter(({ id }) => [...voters, ...learners].includes(id))
    if (members.some(({ saved }) => !isSameSet(saved.confState.voters, voters))) return
    const outside = this.#players.filter(
      ({ id }) => !voters.includes(id) && this.#removedIn.get(id) !== hardState.term,
    )
    const added = outside[this.#random.integer(Math.max(1, outside.length))]
    const removed = voters.filter((id) => id !== leader.id && voters.length > 3)[0]
    const isAdding = added !== undefined && (removed === undefined || this.#random.chance(0.5))
    const nodeId = isAdding ? added.id : removed
    if (nodeId === undefined) return
    const asLearner = isAdding && !learners.includes(nodeId) && this.#random.chance(0.5)
    const kind = isAdding ? (asLearner ? 'add-learner' : 'add-voter') : 'remove'
    if (kind === 'remove') this.#removedIn.set(nodeId, hardState.term)
    const change: ConfChange = { transition: 'auto', changes: [{ kind, nodeId }], context: noBytes }
    this.#on(leader, ({ node }) => node.proposeConfChange(change))
  }

  #cut(): void {
    const { storage, saved } = this.#anyone()
    if (saved.applied <= storage.firstIndex()) return
    storage.createSnapshot(saved.applied, saved.confState, noBytes)
    storage.compact(saved.applied)
  }

  #anyone(): Player {
    return this.#players[this.#random.integer(this.#players.length)] as Player
  }

  #leader(): Player | undefined {
    const leaders = this.#players.filter(({ node }) => node.status().softState.role === 'leader')
    return leaders[this.#random.integer(Math.max(1, leaders.length))]
  }
}

/** The same, begun with another configuration: that of what is applied. */
function storageWith(storage: MemoryStorage, confState: ConfState): CoreStorage {
  return {
    initialState: () => ({ hardState: storage.initialState().hardState, confState }),
    entries: (low, high, maxBytes) => storage.entries(low, high, maxBytes),
    term: (index) => storage.term(index),
    firstIndex: () => storage.firstIndex(),
    lastIndex: () => storage.lastIndex(),
    snapshot: () => storage.snapshot(),
  }
}

/** Whether an append or a snapshot would replace what is saved. */
function isReplacing({ type, entries }: Message, storage: MemoryStorage): boolean {
  const last = storage.lastIndex()
  if (type === 'snapshot') return true
  return entries.some(({ index, term }) => index <= last && storage.term(index) !== term)
}

/** Whether it asks for a vote that was not given to anybody by one that follows already. */
function isVoteBehindLeader({ type, term }: Message, node: RawNode): boolean {
  const { hardState, softState } = node.status()
  return (
    type === 'vote' && term === hardState.term && hardState.vote === 0 && softState.leader !== 0
  )
}

function isSameSet(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id))
}
