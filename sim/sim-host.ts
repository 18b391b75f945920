// One life of one node: a Host whose every effect is an event of the world. destroy() ends it: what was
// on its way never arrives.

import { Fault, hmacSha256, isFault, type Random, toFault } from '../src/base/index.ts'
import {
  createLoopProcesses,
  createLoopThreads,
  createSignedPki,
  type Clock,
  type Datagrams,
  type Disk,
  type Host,
  type Http,
  type Journal,
  type JournalFields,
  type MemoryMeter,
  type Network,
  type Passwords,
  type Pki,
  type Processes,
  type Threads,
} from '../src/host/index.ts'
import { SimClock } from './clock.ts'
import { diskOf } from './disk-view.ts'
import type { EventOwner } from './event-queue.ts'
import { NodeStopped } from './failures.ts'
import type { World } from './world.ts'

const stretchMs = 40

export class SimHost implements Host, EventOwner {
  readonly node: number
  readonly name: string
  readonly clock: SimClock & Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  readonly http: Http
  readonly threads: Threads
  readonly processes: Processes
  readonly pki: Pki
  readonly journal: Journal
  readonly memory: MemoryMeter = { residentBytes: () => 64 * 1024 * 1024 }
  readonly datagrams: Datagrams = {
    async open() {
      throw new Fault('unsupported', 'the simulator has no datagrams')
    },
  }
  readonly passwords: Passwords = {
    stretch: (password, { salt }) =>
      this.settle(stretchMs, 'stretch', () => hmacSha256(salt, password)),
  }
  isAlive = true
  pausedUntilMs = 0
  readonly #world: World

  constructor(world: World, node: number) {
    this.#world = world
    this.node = node
    this.name = `node-${node}`
    this.random = world.drawRandom()
    this.clock = new SimClock(this, world)
    this.disk = diskOf(this, world.disk(node))
    this.network = world.network.ofNode(this)
    this.http = world.http.ofNode(this)
    this.threads = createLoopThreads(this)
    this.processes = createLoopProcesses(this)
    this.pki = createSignedPki(this.random)
    this.journal = {
      event: (level, event, fields) => this.#record(level, event, fields),
      fatal: (event, error) => this.#fatal(event, error),
    }
  }

  /** An event of this node, unless the node is gone by then. */
  schedule(delayMs: number, label: string, run: () => void): { cancel(): void } {
    const event = this.#world.schedule(delayMs, label, run, this)
    return {
      cancel: () => {
        event.isCancelled = true
      },
    }
  }

  /** Settles as an event of this node; never, when the node is gone. */
  settle<T>(delayMs: number, label: string, effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.schedule(delayMs, label, () => {
        try {
          resolve(effect())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  destroy(): void {
    this.isAlive = false
  }

  #record(level: string, event: string, fields: JournalFields | undefined): void {
    if (!this.isAlive) return
    this.#world.count(`journal ${event}`)
    this.#world.trace(`${this.name} ${level} ${event} ${JSON.stringify(fields ?? {})}`)
  }

  #fatal(event: string, error: unknown): never {
    if (this.isAlive) {
      const fault = toFault(error)
      this.#world.trace(`${this.name} FATAL ${event} ${fault.message}`)
      if (isFault(error)) this.#world.stopped(this.node, event, fault)
      else this.#world.fail(error)
    }
    throw new NodeStopped(event)
  }
}
