// A host for storage's own tests: a disk in memory that fails on command and loses what was not
// synced, and a loop without real time. Everything else of Host is refused.
//
// The disk's rule after a crash: a file is what its last sync made it, plus any subset of the writes
// since, each whole or torn; a directory is what its last sync made it, plus the first few of the
// changes since. Both are drawn from the seed.

import { Fault, type Random, seededRandom, toFault } from '../../base/index.ts'
import {
  createLoopThreads,
  type Disk,
  type DiskFile,
  type Host,
  type Threads,
  type Timer,
} from '../../host/index.ts'

type Change = { readonly at: number; readonly bytes: Uint8Array } | { readonly length: number }

class FileState {
  bytes = new Uint8Array(0)
  length = 0
  durable = new Uint8Array(0)
  changes: Change[] = []

  content(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  write(at: number, bytes: Uint8Array): void {
    this.#reserve(at + bytes.length)
    this.bytes.set(bytes, at)
    this.length = Math.max(this.length, at + bytes.length)
  }

  truncate(length: number): void {
    this.#reserve(length)
    if (length < this.length) this.bytes.fill(0, length, this.length)
    this.length = length
  }

  #reserve(length: number): void {
    if (length <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(length, this.bytes.length * 2))
    grown.set(this.content())
    this.bytes = grown
  }
}

type NameChange =
  | { readonly kind: 'link'; readonly path: string; readonly file: FileState }
  | { readonly kind: 'unlink'; readonly path: string }

const sectorBytes = 512

export class FaultyDisk implements Disk {
  readonly rootPath = ''
  /** Counts every call; the one with this number never ends and the disk is dead from then on. */
  crashAtCall = Number.POSITIVE_INFINITY
  calls = 0
  syncs = 0
  bytesMax = Number.POSITIVE_INFINITY
  isSyncFailing = false
  isCrashed = false
  readonly crashed: Promise<void>
  #onCrash: () => void = () => {}
  #names = new Map<string, FileState>()
  #durableNames = new Map<string, FileState>()
  #nameChanges: NameChange[] = []

  constructor() {
    this.crashed = new Promise((resolve) => {
      this.#onCrash = resolve
    })
  }

  /** What the next start finds: unsynced changes are lost, kept or torn as `random` decides. */
  afterCrash(random: Random): FaultyDisk {
    const next = new FaultyDisk()
    const names = new Map(this.#durableNames)
    const kept = random.integer(this.#nameChanges.length + 1)
    for (const change of this.#nameChanges.slice(0, kept)) applyName(names, change)
    const states = new Map<FileState, FileState>()
    for (const [path, file] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const state = states.get(file) ?? survivorOf(file, random)
      states.set(file, state)
      next.#names.set(path, state)
      next.#durableNames.set(path, state)
    }
    return next
  }

  /** The same files under a new disk, everything synced (a clean end). */
  copy(): FaultyDisk {
    const next = new FaultyDisk()
    for (const [path, file] of this.#names) next.place(path, file.content().slice())
    return next
  }

  /** Puts a durable file. */
  place(path: string, bytes: Uint8Array): void {
    const file = new FileState()
    file.write(0, bytes)
    file.durable = bytes.slice()
    this.#names.set(path, file)
    this.#durableNames.set(path, file)
  }

  peek(path: string): Uint8Array | undefined {
    return this.#names.get(path)?.content().slice()
  }

  paths(): readonly string[] {
    return [...this.#names.keys()].sort()
  }

  usedBytes(): number {
    let used = 0
    for (const file of this.#names.values()) used += file.length
    return used
  }

  async open(path: string, options?: { readonly create?: boolean }): Promise<DiskFile> {
    await this.call()
    let file = this.#names.get(path)
    if (file === undefined) {
      if (options?.create !== true) throw new Fault('not-found', `there is no ${path}`)
      file = new FileState()
      this.#changeName({ kind: 'link', path, file })
    }
    return new FaultyFile(this, path, file)
  }

  async list(path: string): Promise<readonly string[]> {
    await this.call()
    const prefix = path === '' ? '' : `${path}/`
    const names = new Set<string>()
    for (const name of this.#names.keys()) {
      if (name.startsWith(prefix)) names.add(name.slice(prefix.length).split('/')[0] as string)
    }
    return [...names].sort()
  }

  async exists(path: string): Promise<boolean> {
    await this.call()
    return this.#names.has(path)
  }

  async read(path: string, bytesMax: number): Promise<Uint8Array> {
    await this.call()
    const file = this.#names.get(path)
    if (file === undefined) throw new Fault('not-found', `there is no ${path}`)
    if (file.length > bytesMax) throw new Fault('too-large', `${path} is too large`)
    return file.content().slice()
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    await this.call()
    this.#nameChanges = this.#nameChanges.filter((change) => change.path !== path)
    this.place(path, bytes)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.call()
    const file = this.#names.get(from)
    if (file === undefined) throw new Fault('not-found', `there is no ${from}`)
    this.#changeName({ kind: 'link', path: to, file })
    this.#changeName({ kind: 'unlink', path: from })
  }

  async remove(path: string): Promise<void> {
    await this.call()
    for (const name of [...this.#names.keys()].sort()) {
      if (name === path || name.startsWith(`${path}/`))
        this.#changeName({ kind: 'unlink', path: name })
    }
  }

  async syncDirectory(path: string): Promise<void> {
    await this.call()
    const prefix = `${path}/`
    const rest: NameChange[] = []
    for (const change of this.#nameChanges) {
      if (change.path.startsWith(prefix)) applyName(this.#durableNames, change)
      else rest.push(change)
    }
    this.#nameChanges = rest
  }

  async space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    await this.call()
    if (this.bytesMax === Number.POSITIVE_INFINITY)
      return { freeBytes: 2 ** 40, totalBytes: 2 ** 41 }
    return { freeBytes: Math.max(0, this.bytesMax - this.usedBytes()), totalBytes: this.bytesMax }
  }

  /** Every operation begins here; operations of a dead disk never end. */
  async call(): Promise<void> {
    if (this.isCrashed) return new Promise(() => {})
    this.calls++
    if (this.calls >= this.crashAtCall) {
      this.crash()
      return new Promise(() => {})
    }
    await null
    if (this.isCrashed) return new Promise(() => {})
  }

  crash(): void {
    this.isCrashed = true
    this.#onCrash()
  }

  #changeName(change: NameChange): void {
    applyName(this.#names, change)
    this.#nameChanges.push(change)
  }
}

class FaultyFile implements DiskFile {
  readonly #disk: FaultyDisk
  readonly #path: string
  readonly #file: FileState

  constructor(disk: FaultyDisk, path: string, file: FileState) {
    this.#disk = disk
    this.#path = path
    this.#file = file
  }

  async read(at: number, count: number): Promise<Uint8Array> {
    const target = new Uint8Array(count)
    await this.readInto(at, [target])
    return target
  }

  async readInto(at: number, parts: readonly Uint8Array[]): Promise<void> {
    await this.#disk.call()
    let position = at
    for (const part of parts) {
      const end = position + part.length
      if (end > this.#file.length) {
        throw new Fault('corrupt', `${this.#path} ends before byte ${end}`)
      }
      part.set(this.#file.content().subarray(position, end))
      position = end
    }
  }

  async write(at: number, parts: readonly Uint8Array[]): Promise<void> {
    await this.#disk.call()
    let position = at
    for (const part of parts) {
      const room = this.#roomFor(position, part.length)
      const bytes = part.slice(0, room)
      this.#file.write(position, bytes)
      this.#file.changes.push({ at: position, bytes })
      if (room < part.length) throw new Fault('no-space', `no space left for ${this.#path}`)
      position += part.length
    }
  }

  async sync(): Promise<void> {
    await this.#disk.call()
    if (this.#disk.isSyncFailing) {
      throw new Fault('internal', `cannot sync ${this.#path}`, { fields: { fatal: 'sync' } })
    }
    this.#disk.syncs++
    this.#file.durable = this.#file.content().slice()
    this.#file.changes = []
  }

  async preallocate(length: number): Promise<void> {
    const missing = length - this.#file.length
    if (missing > 0) await this.write(this.#file.length, [new Uint8Array(missing)])
  }

  async truncate(length: number): Promise<void> {
    await this.#disk.call()
    this.#file.truncate(length)
    this.#file.changes.push({ length })
  }

  async size(): Promise<number> {
    await this.#disk.call()
    return this.#file.length
  }

  async close(): Promise<void> {
    await this.#disk.call()
  }

  #roomFor(at: number, count: number): number {
    const grown = at + count - this.#file.length
    if (grown <= 0) return count
    const free = this.#disk.bytesMax - this.#disk.usedBytes()
    return grown <= free ? count : Math.max(0, count - (grown - Math.max(0, free)))
  }
}

function applyName(names: Map<string, FileState>, change: NameChange): void {
  if (change.kind === 'link') names.set(change.path, change.file)
  else names.delete(change.path)
}

function survivorOf(file: FileState, random: Random): FileState {
  const survivor = new FileState()
  survivor.write(0, file.durable)
  for (const change of file.changes) {
    if (random.chance(0.3)) continue
    if ('length' in change) survivor.truncate(change.length)
    else if (random.chance(0.5)) survivor.write(change.at, change.bytes)
    else tearWrite(survivor, change, random)
  }
  survivor.durable = survivor.content().slice()
  return survivor
}

/** Any of the sectors of a write may be missing; a prefix of the write is the common case. */
function tearWrite(
  survivor: FileState,
  change: { readonly at: number; readonly bytes: Uint8Array },
  random: Random,
): void {
  if (random.chance(0.5)) {
    survivor.write(change.at, change.bytes.subarray(0, random.integer(change.bytes.length + 1)))
    return
  }
  for (let at = 0; at < change.bytes.length; at += sectorBytes) {
    if (random.chance(0.5))
      survivor.write(change.at + at, change.bytes.subarray(at, at + sectorBytes))
  }
}

export type FaultyHost = Host & {
  readonly disk: FaultyDisk
  /** What journal.fatal() was called with. */
  readonly fatal: Fault[]
  /** Lets time pass: runs the timers that are due. */
  advance(ms: number): void
}

export function faultyHost(disk = new FaultyDisk(), seed = 1): FaultyHost {
  let nowMs = 0
  let timers: { atMs: number; run: () => void; periodMs: number }[] = []
  const fatal: Fault[] = []
  const later = (ms: number, run: () => void, periodMs: number): Timer => {
    const timer = { atMs: nowMs + ms, run, periodMs }
    timers.push(timer)
    return {
      cancel() {
        timers = timers.filter((other) => other !== timer)
      },
    }
  }
  const host: FaultyHost = {
    disk,
    fatal,
    random: seededRandom(seed),
    clock: {
      wallMs: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: (ms) => new Promise((resolve) => later(ms, resolve, 0)),
      after: (ms, run) => later(ms, run, 0),
      every: (ms, run) => later(ms, run, ms),
      soon(run) {
        void Promise.resolve().then(run)
      },
    },
    network: refused('network'),
    http: refused('http'),
    threads: undefined as unknown as Threads,
    processes: refused('processes'),
    memory: { residentBytes: () => 0 },
    passwords: refused('passwords'),
    pki: refused('pki'),
    datagrams: refused('datagrams'),
    journal: {
      event() {},
      fatal(event, error): never {
        fatal.push(new Fault('internal', event, { cause: error }))
        disk.crash()
        throw toFault(error)
      },
    },
    advance(ms) {
      nowMs += ms
      for (const timer of timers.filter(({ atMs }) => atMs <= nowMs)) {
        if (timer.periodMs > 0) timer.atMs = nowMs + timer.periodMs
        else timers = timers.filter((other) => other !== timer)
        timer.run()
      }
    },
  }
  return Object.assign(host, { threads: createLoopThreads(host) })
}

function refused<T extends object>(name: string): T {
  return new Proxy({} as T, {
    get() {
      throw new Fault('unsupported', `the test host has no ${name}`)
    },
  })
}
