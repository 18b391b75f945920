// World: a cluster in one process, from one seed. It owns virtual time, the one event queue, the disks
// and the network, and a running digest of everything that happened: the same seed gives the same
// digest, or something in a node depends on more than its host.
//
// After every event all promises settle before the next one (a macrotask boundary), so a node's code
// runs to its next wait for the host, exactly as it would on a loop of its own.
//
// A crash destroys a node's host: its timers, connections and pending disk operations vanish, and the
// promises that waited for them never settle. A restart is a new host over what the disk kept.

import {
  AssertionFailure,
  type Fault,
  type Random,
  seededRandom,
  startDigest,
  toHex,
  utf8Encode,
} from '../src/base/index.ts'
import { SimDisk } from './disk.ts'
import { EventQueue, type EventOwner, type SimEvent } from './event-queue.ts'
import { NodeStopped, WorldFailure } from './failures.ts'
import { SimNetwork } from './network.ts'
import { SimHost } from './sim-host.ts'
import { HttpServers } from './http.ts'

export type WorldOptions = {
  readonly seed: number
  readonly loop: RealLoop
  /** Gets every line of the trace as it happens. */
  readonly onTrace?: (line: string) => void
}

/** What a world needs of the process that it runs in; it decides nothing by it. */
export type RealLoop = {
  /** Settles when every promise that can settle now has. */
  macrotask(): Promise<void>
  /** Reports promises that fail unobserved, until the answer is called. */
  watchRejections(failed: (error: unknown) => void): () => void
}

const sameInstantMax = 200_000
const digestEveryEvents = 512

export class World {
  readonly seed: number
  readonly random: Random
  readonly network: SimNetwork
  readonly http: HttpServers
  readonly counts = new Map<string, number>()
  /** The rates of skewed clocks so far, beside their drift: who judges times allows for them. */
  clockRateMin = 1
  clockRateMax = 1
  nowMs = 0
  readonly #loop: RealLoop
  readonly #onTrace: ((line: string) => void) | undefined
  readonly #queue: EventQueue
  readonly #disks = new Map<number, SimDisk>()
  readonly #hosts = new Map<number, SimHost>()
  readonly #digest = startDigest('sha256')
  #digestLines: string[] = []
  #eventCount = 0
  /** A node stopped itself because of a fault: a failure, unless the workload expects it. */
  onStopped: (node: number, event: string, fault: Fault) => void = (node, event, fault) => {
    this.fail(new WorldFailure(`node ${node} stopped itself: ${event}: ${fault.message}`))
  }
  #failure: unknown
  #hasFailed = false

  constructor(options: WorldOptions) {
    this.seed = options.seed
    this.#loop = options.loop
    this.#onTrace = options.onTrace
    this.random = seededRandom(options.seed)
    this.#queue = new EventQueue(this.drawRandom())
    this.network = new SimNetwork(this)
    this.http = new HttpServers()
  }

  get eventCount(): number {
    return this.#eventCount
  }

  /** An independent generator, so that one part's draws do not shift another's. */
  drawRandom(): Random {
    return seededRandom(this.random.integer(0x1_0000_0000))
  }

  count(kind: string, by = 1): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + by)
  }

  disk(node: number): SimDisk {
    const known = this.#disks.get(node)
    if (known !== undefined) return known
    const disk = new SimDisk(this)
    this.#disks.set(node, disk)
    return disk
  }

  /** A fault: the disk is gone, an empty one is in its place. The node does not run. */
  loseDisk(node: number): void {
    this.trace(`lose disk ${node}`)
    this.#disks.set(node, new SimDisk(this))
  }

  /** The host of a running node. */
  host(node: number): SimHost | undefined {
    return this.#hosts.get(node)
  }

  startHost(node: number): SimHost {
    if (this.#hosts.has(node)) throw new WorldFailure(`node ${node} runs already`)
    const host = new SimHost(this, node)
    this.#hosts.set(node, host)
    this.trace(`start ${node}`)
    return host
  }

  /** kill -9 (the system stays: unsynced writes survive) or loss of power (they do not). */
  crash(node: number, how: 'kill' | 'power'): void {
    const host = this.#hosts.get(node)
    if (host === undefined) return
    this.#hosts.delete(node)
    this.trace(`crash ${node} ${how}`)
    host.destroy()
    this.http.forget(node)
    this.network.crash(node, how)
    this.disk(node).crash(how)
  }

  stopped(node: number, event: string, fault: Fault): void {
    this.crash(node, 'kill')
    this.onStopped(node, event, fault)
  }

  /** Tells the digest (and, verbosely, the reader) what happened. */
  trace(line: string): void {
    this.#digestLines.push(`${this.nowMs.toFixed(3)} ${line}`)
    this.#onTrace?.(`${this.nowMs.toFixed(3)} ${line}`)
    if (this.#digestLines.length >= digestEveryEvents) this.#flushDigest()
  }

  schedule(delayMs: number, label: string, run: () => void, owner?: EventOwner): SimEvent {
    return this.#queue.push({ dueMs: this.nowMs + Math.max(0, delayMs), label, run, owner })
  }

  /** A wait of the world's own code: workloads and faults. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.schedule(ms, 'sleep', resolve)
    })
  }

  /** The first failure ends the run. */
  fail(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#failure = error
  }

  /** Runs events until the promise settles; fails when virtual time passes limitMs before. */
  async run<T>(story: Promise<T>, limitMs: number): Promise<T> {
    let isDone = false
    const watched = story.finally(() => {
      isDone = true
    })
    watched.catch(() => {})
    const unwatch = this.#loop.watchRejections((error) => this.fail(error))
    try {
      await this.#loop.macrotask()
      let sameInstant = 0
      while (!isDone && !this.#hasFailed) {
        const beforeMs = this.nowMs
        if (!(await this.#step())) throw new WorldFailure('nothing more happens, yet work waits')
        sameInstant = this.nowMs === beforeMs ? sameInstant + 1 : 0
        if (sameInstant > sameInstantMax) throw new WorldFailure('time stands still')
        if (this.nowMs > limitMs) throw new WorldFailure(`not done after ${limitMs} ms`)
      }
    } finally {
      unwatch()
    }
    if (this.#hasFailed) throw this.#failure
    return watched
  }

  /** Everything that happened so far, as hexadecimal. Ends the digest. */
  digest(): string {
    this.#flushDigest()
    return toHex(this.#digest.digest())
  }

  async #step(): Promise<boolean> {
    const event = this.#queue.pop()
    if (event === undefined) return false
    if (event.isCancelled || event.owner?.isAlive === false) return true
    const pausedUntilMs = event.owner?.pausedUntilMs ?? 0
    if (pausedUntilMs > Math.max(this.nowMs, event.dueMs)) {
      const { label, run, owner } = event
      const again = this.#queue.push({ dueMs: pausedUntilMs, label, run, owner })
      linkCancellation(event, again)
      return true
    }
    this.nowMs = Math.max(this.nowMs, event.dueMs)
    this.#eventCount++
    this.trace(`${event.owner?.name ?? 'world'} ${event.label}`)
    try {
      event.run()
    } catch (error) {
      if (!(error instanceof NodeStopped)) this.fail(describe(event, error))
    }
    await this.#loop.macrotask()
    return true
  }

  #flushDigest(): void {
    if (this.#digestLines.length === 0) return
    this.#digest.update(utf8Encode(`${this.#digestLines.join('\n')}\n`))
    this.#digestLines = []
  }
}

function linkCancellation(event: SimEvent, again: SimEvent): void {
  Object.defineProperty(event, 'isCancelled', {
    get: () => again.isCancelled,
    set: (value: boolean) => {
      again.isCancelled = value
    },
  })
}

function describe(event: SimEvent, error: unknown): unknown {
  if (error instanceof AssertionFailure) {
    error.message = `${event.owner?.name ?? 'world'} in ${event.label}: ${error.message}`
  }
  return error
}
