// A group of bare cores with synchronous storage that is driven at random from a seed, and tells every transition:
// elections, appends, lost and overtaken messages, members one by one, cuts and snapshots. No pre-votes and no
// check of the quorum, which etcd's specification does not know.

import { type Random, seededRandom, utf8Encode } from '../../src/base/index.ts'
import {
  type ConfChange,
  type CoreEvent,
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

type Player = {
  readonly id: number
  readonly node: RawNode
  readonly storage: MemoryStorage
  applied: number
}

const founders = [1, 2, 3]
const spares = [4, 5]
const inFlightMax = 40
const noBytes = new Uint8Array(0)

export function playTrace({ seed, events }: PlayOptions): readonly CoreEvent[] {
  const play = new Play(seededRandom(seed))
  while (play.trace.length < events) play.step()
  return play.trace
}

class Play {
  readonly trace: CoreEvent[] = []
  readonly #random: Random
  readonly #players: readonly Player[]
  #flying: Message[] = []
  #proposed = 0

  constructor(random: Random) {
    this.#random = random
    this.#players = [...founders, ...spares].map((id) => this.#create(id))
    for (const player of this.#players) this.#settle(player)
  }

  step(): void {
    const draw = this.#random.integer(100)
    if (draw < 70 && this.#flying.length > 0) this.#deliver()
    else if (draw < 74) this.#lose()
    else if (draw < 86) this.#on(this.#anyone(), ({ node }) => node.tick())
    else if (draw < 97) this.#propose()
    else if (draw < 98) this.#changeMembers()
    else if (draw < 99) this.#on(this.#anyone(), ({ node }) => node.campaign())
    else this.#cut()
  }

  #create(id: number): Player {
    const storage = createMemoryStorage()
    if (founders.includes(id)) {
      const others = { learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
      const metadata = { index: 1, term: 1, confState: { voters: founders, ...others } }
      storage.applySnapshot({ metadata, payload: noBytes })
      storage.setHardState({ term: 1, vote: 0, commit: 1 })
    }
    const applied = storage.lastIndex()
    const node = createRawNode({
      id,
      electionTicks: 5,
      heartbeatTicks: 2,
      storage,
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
      observe: (event) => this.trace.push(event),
    })
    return { id, node, storage, applied }
  }

  #on(player: Player, act: (player: Player) => void): void {
    act(player)
    this.#settle(player)
  }

  /** Executes everything the core wants, as its contract says. */
  #settle(player: Player): void {
    const { node, storage } = player
    while (node.hasReady()) {
      const ready = node.ready()
      if (ready.hardState !== undefined) storage.setHardState(ready.hardState)
      if (ready.snapshot !== undefined) {
        storage.applySnapshot(ready.snapshot)
        player.applied = ready.snapshot.metadata.index
      }
      storage.append(ready.entries)
      this.#flying.push(...ready.messages)
      for (const entry of ready.committedEntries) {
        player.applied = entry.index
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
    if (target === undefined) return
    this.#on(target, ({ node }) => node.step(message))
    if (message.type !== 'snapshot') return
    const sender = this.#players.find(({ id }) => id === message.from)
    if (sender !== undefined) this.#on(sender, ({ node }) => node.reportSnapshot(message.to, true))
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
    if (leader === undefined) return
    const { voters, learners } = leader.node.status().confState
    const outside = this.#players.filter(({ id }) => !voters.includes(id))
    const added = outside[this.#random.integer(outside.length)]
    const removed = voters.filter((id) => id !== leader.id && voters.length > 3)[0]
    const isAdding = added !== undefined && (removed === undefined || this.#random.chance(0.5))
    const nodeId = isAdding ? added.id : removed
    if (nodeId === undefined) return
    const asLearner = isAdding && !learners.includes(nodeId) && this.#random.chance(0.5)
    const kind = isAdding ? (asLearner ? 'add-learner' : 'add-voter') : 'remove'
    const change: ConfChange = { transition: 'auto', changes: [{ kind, nodeId }], context: noBytes }
    this.#on(leader, ({ node }) => node.proposeConfChange(change))
  }

  #cut(): void {
    const { node, storage, applied } = this.#anyone()
    if (applied <= storage.firstIndex()) return
    storage.createSnapshot(applied, node.status().confState, noBytes)
    storage.compact(applied)
  }

  #anyone(): Player {
    return this.#players[this.#random.integer(this.#players.length)] as Player
  }

  #leader(): Player | undefined {
    const leaders = this.#players.filter(({ node }) => node.status().softState.role === 'leader')
    return leaders[this.#random.integer(Math.max(1, leaders.length))]
  }
}
