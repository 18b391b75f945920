// The core's end of the data thread: starting it, letting it serve, asking it, stopping it within a
// bounded time. Starting and serving are two steps, so that the thread loads its code while the core
// still waits for a majority.

import { Fault, nodeId, toFault } from '../base/index.ts'
import type { Credentials } from '../cluster/index.ts'
import type { Host, Port } from '../host/index.ts'
import { type Keyspaces, serveKeyspaces } from '../keyspace/index.ts'
import type { Group } from '../raft/index.ts'
import { encodeConfig, type NodeConfig } from './config.ts'
import { dataProgram } from './data-program.ts'
import { type LaneMessage, laneMessageCodec, type ScrubResult } from './lane-messages.ts'
import { laneChannel, muxPort } from './port-mux.ts'
import type { PlacementQuestion } from './placement-desk.ts'
import type { LaneStatus } from './status.ts'

export type Lane = {
  /**
   * Settles when the gateways serve; rejects with the Fault that kept them from it. Called once. Fault 'cancelled' by
   * the signal: the thread goes on until it is stopped.
   */
  serve(signal?: AbortSignal): Promise<void>
  /** Undefined when it does not answer in time. */
  status(): Promise<LaneStatus | undefined>
  /** Requests of the thread for SQL databases come over this port; it is served before serve(). */
  readonly sqlPort: Port
  /** Shown by the thread's servers and connections from now on. */
  show(credentials: Credentials): void
  /** Verifies every shard of this node now. */
  scrub(): Promise<ScrubResult>
  /** Question and answer are plain JSON. Fault 'overloaded', 'deadline', or what the thread found. */
  ask(question: PlacementQuestion): Promise<unknown>
  stop(): Promise<void>
}

const statusDeadlineMs = 1_500
const stopDeadlineMs = 8_000
const statusWaitingMax = 256
const scrubbingMax = 4
const askingMax = 64
/** An audit with its repairs may take long. */
const askDeadlineMs = 600_000
const niceness = 10

/** Settles when the thread runs; it serves nothing yet. */
export async function startLane(
  host: Host,
  parts: {
    readonly config: NodeConfig
    readonly keyspaces: Keyspaces
    /** The group that etcd's API shows; undefined as long as there is none here. */
    readonly etcdGroup: () => Group | undefined
  },
): Promise<Lane> {
  const { config, keyspaces, etcdGroup } = parts
  const thread = await host.threads.start(dataProgram, encodeConfig(config), { nice: niceness })
  const [keyspacePort, control, sqlPort] = muxPort(thread.port, laneChannel.count)
  if (keyspacePort === undefined || control === undefined || sqlPort === undefined) {
    throw new Fault('internal', 'the port to the data thread has too few channels')
  }
  // With another engine the thread has its own way to it.
  if (config.control === undefined) serveKeyspaces(keyspacePort, keyspaces)
  return new CoreLane(host, { control, etcdGroup, sqlPort, endThread: () => thread.stop() })
}

type Thread = {
  readonly control: Port
  readonly etcdGroup: () => Group | undefined
  readonly sqlPort: Port
  readonly endThread: () => Promise<void>
}

class CoreLane implements Lane {
  readonly #host: Host
  readonly #thread: Thread
  readonly #waiting = new Map<number, (status: LaneStatus) => void>()
  readonly #scrubbing = new Map<number, (result: ScrubResult | Fault) => void>()
  readonly #asking = new Map<number, (result: string | Fault) => void>()
  readonly sqlPort: Port
  #requests = 0
  /** Of the group behind etcd's API, since this thread began. */
  #leaderChanges = 0
  #counted: Group | undefined
  #onServing: ((fault?: Fault) => void) | undefined
  #onStopped: (() => void) | undefined

  constructor(host: Host, thread: Thread) {
    this.#host = host
    this.#thread = thread
    this.sqlPort = thread.sqlPort
    thread.control.onMessage = (bytes) => this.#receive(laneMessageCodec.decode(bytes))
  }

  #receive(told: LaneMessage): void {
    if (told.kind === 'serving') this.#onServing?.()
    else if (told.kind === 'failed') this.#onServing?.(told.fault)
    else if (told.kind === 'status') this.#waiting.get(told.request)?.(told.status)
    else if (told.kind === 'answered') this.#asking.get(told.request)?.(told.result)
    else if (told.kind === 'stopped') this.#onStopped?.()
    else if (told.kind === 'scrubbed') {
      this.#scrubbing.get(told.request)?.(told.result)
      this.#scrubbing.delete(told.request)
    } else if (told.kind === 'group-wanted') this.#tellGroup()
    else if (told.kind === 'leader-wanted') this.#moveLeader(told.request, told.to)
  }

  /** Counted from when it is first asked for: the group may be opened while the node runs. */
  #etcdGroup(): Group | undefined {
    const group = this.#thread.etcdGroup()
    if (group !== undefined && group !== this.#counted) {
      this.#counted = group
      group.onLeadership((leader) => {
        if (leader !== undefined) this.#leaderChanges++
      })
    }
    return group
  }

  #tellGroup(): void {
    const group = this.#etcdGroup()
    if (group === undefined) return
    const status = group.status()
    const { term, leader = 0, commit, applied, isLearner, voters, learners } = status
    const configuration = { isLearner, voters, learners }
    const leaderChanges = this.#leaderChanges
    const told = { term, leader, commit, applied, leaderChanges, ...configuration }
    this.#send({ kind: 'group', group: told })
  }

  #moveLeader(request: number, to: number): void {
    const tell = (fault?: Fault): void => this.#send({ kind: 'leader-moved', request, fault })
    const group = this.#etcdGroup()
    if (group === undefined) {
      tell(new Fault('not-found', 'there is no such group'))
      return
    }
    group.transferLeadership(nodeId(to)).then(
      () => {
        this.#tellGroup()
        tell()
      },
      (error: unknown) => tell(toFault(error)),
    )
  }

  #send(message: LaneMessage): void {
    this.#thread.control.send(laneMessageCodec.encode(message))
  }

  show(credentials: Credentials): void {
    this.#send({ kind: 'credentials', credentials })
  }

  serve(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(givenUp())
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(givenUp())
      this.#onServing = (fault) => {
        signal?.removeEventListener('abort', onAbort)
        if (fault === undefined) resolve()
        else reject(fault)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#send({ kind: 'serve' })
    })
  }

  async status(): Promise<LaneStatus | undefined> {
    if (this.#waiting.size >= statusWaitingMax) {
      throw new Fault('overloaded', 'too many ask for status')
    }
    const request = ++this.#requests
    const answered = new Promise<LaneStatus>((resolve) => this.#waiting.set(request, resolve))
    this.#send({ kind: 'status-wanted', request })
    const late = this.#host.clock.sleep(statusDeadlineMs).then(() => undefined)
    const status = await Promise.race([answered, late])
    this.#waiting.delete(request)
    return status
  }

  async scrub(): Promise<ScrubResult> {
    if (this.#scrubbing.size >= scrubbingMax) throw new Fault('overloaded', 'a scrub is under way')
    const request = ++this.#requests
    const scrubbed = new Promise<ScrubResult | Fault>((resolve) =>
      this.#scrubbing.set(request, resolve),
    )
    this.#send({ kind: 'scrub-wanted', request })
    const result = await scrubbed
    if (result instanceof Fault) throw result
    return result
  }

  async ask(question: PlacementQuestion): Promise<unknown> {
    if (this.#asking.size >= askingMax) throw new Fault('overloaded', 'too many ask at once')
    const request = ++this.#requests
    const result = await new Promise<string | Fault>((resolve) => {
      const late = new Fault('deadline', 'the data thread did not answer')
      const timer = this.#host.clock.after(askDeadlineMs, () => resolve(late))
      this.#asking.set(request, (answer) => {
        timer.cancel()
        resolve(answer)
      })
      this.#send({ kind: 'asked', request, json: JSON.stringify(question) })
    })
    this.#asking.delete(request)
    if (result instanceof Fault) throw result
    return JSON.parse(result)
  }

  async stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#onStopped = resolve
    })
    this.#send({ kind: 'stop' })
    await Promise.race([stopped, this.#host.clock.sleep(stopDeadlineMs)])
    await this.#thread.endThread()
  }
}

function givenUp(): Fault {
  return new Fault('cancelled', 'the start was given up')
}
