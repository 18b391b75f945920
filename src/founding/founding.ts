// The driver: gives the formation core its inputs one at a time and carries out what it answers. A record
// that changed is on the disk before anything of that step is sent or shown, and before the next input.
// It holds no decisions.
//
// What it needs: a disk, a clock and randomness of the host; a transport that carries messages to addresses
// and knows whom a discovery or an open connection has found. What it gives: the genesis, once this node is
// a founder of it or was taken in; before that, requests to join, which somebody with a way to the cluster's
// leader answers by takenIn() when the group has this node as a learner.

import { assert, Fault, isFault, type NodeId, toHex, sha256 } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Alarm } from './core/alarms.ts'
import { checkConfig, type FoundingConfig } from './core/config.ts'
import {
  type FormationInput,
  type FormationOutcome,
  type FormationState,
  type Standing,
  standingOf,
  startFormation,
  stepFormation,
} from './core/formation.ts'
import type { FounderId, Genesis } from './core/genesis.ts'
import { decodeEnvelope, encodeEnvelope } from './core/messages.ts'
import {
  decodeRecord,
  encodeRecord,
  type FoundingRecord,
  newRecord,
  recordBytesMax,
} from './core/record.ts'

/** Best effort: messages may be lost, doubled and reordered; who sent them was authenticated. */
export type FoundingTransport = {
  send(address: string, message: Uint8Array): void
  /** Set once by the founding; called for every message of this namespace. */
  onMessage: (message: Uint8Array) => void
  /** Where nodes of this namespace may be: from the discovery, and of open connections. */
  contacts(): readonly string[]
}

export type FoundingDependencies = {
  readonly host: Pick<Host, 'clock' | 'disk' | 'random' | 'journal'>
  readonly transport: FoundingTransport
}

export type FoundingOptions = FoundingConfig & {
  /** This node's number in the mesh, as its certificate has it. */
  readonly node: NodeId
  /** Directory of the records under the disk's root. Default 'founding'. */
  readonly directory?: string
  /**
   * Between two greetings of a member, which only look for another cluster of this name: whoever has none is
   * answered at once. Default: as before it was one.
   */
  readonly memberTickMs?: number
  /** Asks the cluster's leader to add this node as a learner; repeated until takenIn(). */
  readonly onJoin: (request: {
    readonly genesis: Genesis
    readonly id: FounderId
    /** Addresses of nodes that were heard lately. */
    readonly via: readonly string[]
  }) => void
  /** Each is told once per life of this node; it is journaled already. */
  readonly onAlarm?: (alarm: Alarm) => void
}

export type Founding = {
  /** This incarnation; another one after removed(). */
  id(): FounderId
  standing(): Standing
  /** Settles once this node is a member; Fault 'cancelled' when it is closed before. */
  genesis(): Promise<Genesis>
  /** The cluster has this node as a learner; settles when that is durable. Fault 'no-space': ask again. */
  takenIn(): Promise<void>
  /** The cluster removed this node, which is to join anew: its old state must be gone. */
  removed(node: NodeId): Promise<void>
  /** Somebody new was met: greets all contacts now instead of at the next tick. */
  greet(): void
  close(): void
}

/** Beyond this, messages are dropped; they are sent again. */
const waitingMax = 1_024

/**
 * Reads or makes this node's record of the namespace, and begins. Fault 'invalid' for a bad configuration,
 * 'corrupt' for a damaged record or one of another namespace or node.
 */
export async function openFounding(
  dependencies: FoundingDependencies,
  options: FoundingOptions,
): Promise<Founding> {
  checkConfig(options)
  const { disk, random, clock } = dependencies.host
  const path = pathOf(options)
  let record: FoundingRecord
  if (await disk.exists(path)) record = decodeRecord(await disk.read(path, recordBytesMax))
  else {
    record = newRecord(options.namespace, toHex(random.bytes(16)), options.node)
    await disk.replace(path, encodeRecord(record))
  }
  if (record.namespace !== options.namespace || record.node !== options.node) {
    throw new Fault('corrupt', `${path} is of node ${record.node} in ${record.namespace}`, {
      next: 'start this node with its own data directory',
    })
  }
  const state = startFormation(options, record, clock.monotonicMs())
  return new Driver(dependencies, options, state)
}

/** One file per namespace, whatever characters its name has. */
function pathOf({ namespace, directory }: FoundingOptions): string {
  const name = toHex(sha256(namespace).subarray(0, 16))
  return `${directory ?? 'founding'}/${name}.record`
}

type Waiting = {
  readonly input: FormationInput
  /** Called once the step is carried out, or with why it was not. */
  readonly done?: ((fault: Fault | undefined) => void) | undefined
}

class Driver implements Founding {
  readonly #dependencies: FoundingDependencies
  readonly #options: FoundingOptions
  readonly #tickMs: number
  #timer: Timer | undefined
  readonly #waiting: Waiting[] = []
  readonly #members: ((genesis: Genesis | Fault) => void)[] = []
  #state: FormationState
  #isRunning = false
  #isClosed = false

  constructor(dependencies: FoundingDependencies, options: FoundingOptions, state: FormationState) {
    this.#dependencies = dependencies
    this.#options = options
    this.#state = state
    const { transport } = dependencies
    const { exchangeMs, attemptMs, joinMs } = options.times
    transport.onMessage = (message) => this.#receive(message)
    this.#tickMs = Math.max(5, Math.min(exchangeMs, attemptMs, joinMs) / 2)
    this.#tick()
  }

  id(): FounderId {
    return this.#state.ballots.record.id
  }

  standing(): Standing {
    return standingOf(this.#options, this.#state)
  }

  genesis(): Promise<Genesis> {
    const standing = this.standing()
    if (standing.kind === 'member') return Promise.resolve(standing.genesis)
    if (this.#isClosed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      this.#members.push((genesis) => {
        if (genesis instanceof Fault) reject(genesis)
        else resolve(genesis)
      })
    })
  }

  takenIn(): Promise<void> {
    return this.#ask({ kind: 'taken-in' })
  }

  removed(node: NodeId): Promise<void> {
    const freshId = toHex(this.#dependencies.host.random.bytes(16))
    return this.#ask({ kind: 'removed', freshId, node })
  }

  greet(): void {
    this.#give({ kind: 'tick', contacts: this.#dependencies.transport.contacts() })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.cancel()
    for (const settle of this.#members.splice(0)) settle(closed())
  }

  #tick(): void {
    const isMember = this.#state.ballots.record.cluster?.isMember === true
    const ms = isMember ? (this.#options.memberTickMs ?? this.#tickMs) : this.#tickMs
    this.#timer = this.#dependencies.host.clock.after(ms, () => this.#tick())
    this.greet()
  }

  #receive(message: Uint8Array): void {
    if (this.#waiting.length >= waitingMax) return
    try {
      this.#give({ kind: 'message', envelope: decodeEnvelope(message) })
    } catch (error) {
      if (!isFault(error, 'corrupt')) throw error
      const fields = { reason: error.message }
      this.#dependencies.host.journal.event('warning', 'founding.message_refused', fields)
    }
  }

  #ask(input: FormationInput): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#give(input, (fault) => (fault === undefined ? resolve() : reject(fault)))
    })
  }

  #give(input: FormationInput, done?: Waiting['done']): void {
    if (this.#isClosed) {
      done?.(closed())
      return
    }
    this.#waiting.push({ input, done })
    if (!this.#isRunning) void this.#run()
  }

  /** One at a time, to its end. */
  async #run(): Promise<void> {
    const { host } = this.#dependencies
    this.#isRunning = true
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        const fault = await this.#step(next.input)
        next.done?.(fault)
      }
    } catch (error) {
      host.journal.fatal('founding.write_failed', error)
    } finally {
      this.#isRunning = false
    }
  }

  async #step(input: FormationInput): Promise<Fault | undefined> {
    const { host } = this.#dependencies
    const given = { input, nowMs: host.clock.monotonicMs() }
    const outcome = stepFormation(this.#options, this.#state, given)
    const fault = outcome.record === undefined ? undefined : await this.#keep(outcome.record)
    if (fault !== undefined) return fault
    if (this.#isClosed) return closed()
    this.#state = outcome.state
    this.#carryOut(outcome)
    return undefined
  }

  /** On a full disk the step did not happen, as if its input had been lost. */
  async #keep(record: FoundingRecord): Promise<Fault | undefined> {
    const { disk, journal } = this.#dependencies.host
    try {
      await disk.replace(pathOf(this.#options), encodeRecord(record))
      return undefined
    } catch (error) {
      if (!isFault(error, 'no-space')) throw error
      journal.event('warning', 'founding.disk_full', { reason: error.message })
      return error
    }
  }

  #carryOut({ sends, alarms, join, record }: FormationOutcome): void {
    const { host, transport } = this.#dependencies
    for (const { address, envelope } of sends) transport.send(address, encodeEnvelope(envelope))
    for (const alarm of alarms) {
      const { kind, what, next } = alarm
      host.journal.event('error', 'founding.alarm_raised', { kind, what, next })
      this.#options.onAlarm?.(alarm)
    }
    if (join !== undefined) this.#options.onJoin({ ...join, id: this.id() })
    const standing = this.standing()
    if (record === undefined || standing.kind !== 'member') return
    assert(record.cluster?.isMember === true, 'a member has it in its record')
    const { clusterId, founders } = standing.genesis
    host.journal.event('notice', 'founding.member', {
      cluster: clusterId,
      founders: founders.length,
    })
    for (const settle of this.#members.splice(0)) settle(standing.genesis)
  }
}

function closed(): Fault {
  return new Fault('cancelled', 'the founding was closed')
}
