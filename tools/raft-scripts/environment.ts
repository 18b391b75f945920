// A cluster of bare cores with a network and storage threads moved by hand: the subject of the interaction
// scripts. Node i has index i - 1; messages wait in one list until delivered or dropped.

import {
  type ConfState,
  type CoreConfig,
  createMemoryStorage,
  createRawNode,
  decodeConfChange,
  type Entry,
  type HardState,
  localAppendThread,
  localApplyThread,
  type MemoryStorage,
  type Message,
  type MessageType,
  type RawNode,
  type Snapshot,
} from '../../src/raft/core/index.ts'
import { concatBytes } from '../../src/base/index.ts'
import { ScriptProblem } from './datadriven.ts'
import { describeMessage, describeReady } from './describe.ts'
import { Output } from './output.ts'

export type ScriptNode = {
  readonly id: number
  readonly raw: RawNode
  readonly storage: MemoryStorage
  readonly config: CoreConfig
  readonly appendWork: Message[]
  readonly applyWork: Message[]
  /** The applied state after each entry: its payload joins all that was applied. */
  readonly history: Snapshot[]
}

export type Recipient = { readonly id: number; readonly isDropped: boolean }

export type NodeOptions = Omit<CoreConfig, 'id' | 'storage' | 'trace'>

export class Environment {
  readonly nodes: ScriptNode[] = []
  readonly output = new Output()
  #messages: Message[] = []

  addNodes(count: number, options: NodeOptions, snapshot: Snapshot, isBootstrapped: boolean): void {
    if (isBootstrapped && snapshot.metadata.index <= 1) {
      throw new ScriptProblem('index must be specified as > 1 due to bootstrap')
    }
    for (let i = 0; i < count; i++) this.#addNode(options, snapshot, isBootstrapped)
  }

  node(id: number): ScriptNode {
    const node = this.nodes[id - 1]
    if (node === undefined) throw new ScriptProblem(`no node ${id}`)
    return node
  }

  enqueue(message: Message): void {
    this.#messages.push(message)
  }

  runReady(node: ScriptNode): void {
    const ready = node.raw.ready()
    this.output.write(describeReady(ready))
    const isAsync = node.config.asyncStorageWrites
    if (!isAsync) {
      append(node, ready.hardState, ready.entries, ready.snapshot)
      apply(node, ready.committedEntries)
    }
    for (const message of ready.messages) {
      if (message.to === localAppendThread) node.appendWork.push(message)
      else if (message.to === localApplyThread) node.applyWork.push(message)
      else this.#messages.push(message)
    }
    if (!isAsync) node.raw.advance()
  }

  runAppendThread(node: ScriptNode): void {
    const work = node.appendWork.shift()
    if (work === undefined) {
      this.output.write('no append work to perform')
      return
    }
    this.#printWork(work)
    const { term, vote, commit } = work
    append(node, { term, vote, commit }, work.entries, work.snapshot)
    this.#respond(work)
  }

  runApplyThread(node: ScriptNode): void {
    const work = node.applyWork.shift()
    if (work === undefined) {
      this.output.write('no apply work to perform')
      return
    }
    this.#printWork(work)
    apply(node, work.entries)
    this.#respond(work)
  }

  /** Delivers or drops what waits for each recipient; how many messages that were. */
  deliver(type: MessageType | undefined, recipients: readonly Recipient[]): number {
    let count = 0
    for (const recipient of recipients) {
      const taken = this.#messages.filter((m) => isFor(m, recipient, type))
      this.#messages = this.#messages.filter((m) => !isFor(m, recipient, type))
      count += taken.length
      for (const message of taken) this.#deliverOne(message, recipient.isDropped)
    }
    return count
  }

  /** Runs the nodes until nothing is ready, on its way or waiting for a storage thread. */
  stabilize(nodes: readonly ScriptNode[]): void {
    const { output } = this
    for (let isDone = false; !isDone; ) {
      isDone = true
      const announce = (node: ScriptNode, what: string): void => {
        output.write(`> ${node.id} ${what}\n`)
        isDone = false
      }
      for (const node of nodes) {
        if (!node.raw.hasReady()) continue
        announce(node, 'handling Ready')
        output.indented(() => this.runReady(node))
      }
      for (const node of nodes) {
        const recipient = { id: node.id, isDropped: false }
        if (!this.#messages.some((m) => isFor(m, recipient, undefined))) continue
        announce(node, 'receiving messages')
        output.indented(() => void this.deliver(undefined, [recipient]))
      }
      for (const node of nodes) {
        if (node.appendWork.length === 0) continue
        announce(node, 'processing append thread')
        while (node.appendWork.length > 0) output.indented(() => this.runAppendThread(node))
      }
      for (const node of nodes) {
        if (node.applyWork.length === 0) continue
        announce(node, 'processing apply thread')
        while (node.applyWork.length > 0) output.indented(() => this.runApplyThread(node))
      }
    }
  }

  #addNode(options: NodeOptions, snapshot: Snapshot, isBootstrapped: boolean): void {
    const id = this.nodes.length + 1
    const memory = createMemoryStorage()
    const history = [snapshot]
    if (isBootstrapped) memory.applySnapshot(snapshot)
    // Snapshots are of the state applied so far, whatever the storage was last told.
    const storage: MemoryStorage = {
      initialState: () => memory.initialState(),
      entries: (low, high, bytesMax) => memory.entries(low, high, bytesMax),
      term: (index) => memory.term(index),
      lastIndex: () => memory.lastIndex(),
      firstIndex: () => memory.firstIndex(),
      snapshot: () => history.at(-1) as Snapshot,
      setHardState: (state) => memory.setHardState(state),
      append: (entries) => memory.append(entries),
      applySnapshot: (applied) => memory.applySnapshot(applied),
      createSnapshot: (index, state, payload) => memory.createSnapshot(index, state, payload),
      compact: (index) => memory.compact(index),
    }
    const trace = (line: string): void => this.output.trace(line)
    const config: CoreConfig = { ...options, id, storage, trace }
    const raw = createRawNode(config)
    this.nodes.push({ id, raw, storage, config, appendWork: [], applyWork: [], history })
  }

  #printWork(work: Message): void {
    this.output.write(`Processing:\n${describeMessage({ ...work, responses: [] })}\n`)
  }

  #respond(work: Message): void {
    this.output.write('Responses:\n')
    for (const response of work.responses) this.output.write(`${describeMessage(response)}\n`)
    this.#messages.push(...work.responses)
  }

  #deliverOne(message: Message, isDropped: boolean): void {
    this.output.write(`${isDropped ? 'dropped: ' : ''}${describeMessage(message)}\n`)
    if (isDropped) return
    const outcome = this.node(message.to).raw.step(message)
    if (outcome !== 'ok') this.output.write(`${describeOutcome(outcome)}\n`)
  }
}

export function describeOutcome(outcome: 'dropped' | 'peer-not-found'): string {
  return outcome === 'dropped' ? 'raft proposal dropped' : 'raft: cannot step as peer not found'
}

/** Local messages cannot be dropped: storage threads are reliable. */
function isFor(message: Message, recipient: Recipient, type: MessageType | undefined): boolean {
  if (message.to !== recipient.id) return false
  if (type !== undefined && message.type !== type) return false
  const isLocal =
    message.from === message.to ||
    message.from === localAppendThread ||
    message.from === localApplyThread
  return !(recipient.isDropped && isLocal)
}

function append(
  node: ScriptNode,
  hardState: HardState | undefined,
  entries: readonly Entry[],
  snapshot: Snapshot | undefined,
): void {
  const { storage } = node
  if (hardState !== undefined && (hardState.term || hardState.vote || hardState.commit)) {
    storage.setHardState(hardState)
  }
  if (snapshot === undefined) {
    storage.append(entries)
    return
  }
  if (entries.length > 0) {
    throw new ScriptProblem("can't apply snapshot and entries at the same time")
  }
  if (storage.applySnapshot(snapshot) === 'out-of-date') {
    throw new ScriptProblem('requested index is older than the existing snapshot')
  }
}

function apply(node: ScriptNode, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const last = node.history.at(-1) as Snapshot
    let update = entry.payload
    let confState: ConfState = last.metadata.confState
    if (entry.kind !== 'normal') {
      const change = decodeConfChange(entry)
      if (change === undefined) throw new ScriptProblem('malformed conf change')
      confState = node.raw.applyConfChange(change)
      update = change.context
    }
    node.history.push({
      metadata: { index: entry.index, term: entry.term, confState },
      payload: concatBytes([last.payload, update]),
    })
  }
}
