// A node's disk over all its lives. It knows what was synced and what was not: loss of power keeps, of
// everything unsynced, a part drawn from the seed, write by write: lost, whole, or torn at any byte.
// Names (create, rename, remove) are durable once their directory was synced; of later changes of names
// a crash keeps a prefix, as a journaling file system does.
//
// Faults: slow (every operation takes a multiple), full (nothing may grow), flipped bits at rest.

import { Fault, type Random } from '../src/base/index.ts'
import type { World } from './world.ts'

type Change =
  | {
      readonly kind: 'write'
      readonly at: number
      readonly before: Uint8Array
      readonly after: Uint8Array
      readonly lengthBefore: number
    }
  | {
      readonly kind: 'length'
      readonly before: number
      readonly after: number
      readonly cut: Uint8Array
    }

/** A file's bytes, apart from its names. */
export class SimFile {
  #bytes = new Uint8Array(0)
  #length = 0
  #unsynced: Change[] = []
  #syncedThrough = 0

  get length(): number {
    return this.#length
  }

  /** The number of the last change. */
  get changeNumber(): number {
    return this.#syncedThrough + this.#unsynced.length
  }

  read(at: number, target: Uint8Array): void {
    if (at < 0 || at + target.length > this.#length) {
      throw new Fault('corrupt', `the file ends at ${this.#length}, before ${at + target.length}`)
    }
    target.set(this.#bytes.subarray(at, at + target.length))
  }

  write(at: number, after: Uint8Array): void {
    const lengthBefore = this.#length
    const before = this.#bytes.slice(at, Math.min(this.#length, at + after.length))
    this.#put(at, after)
    this.#unsynced.push({ kind: 'write', at, before, after, lengthBefore })
  }

  setLength(length: number): void {
    const before = this.#length
    const cut = this.#bytes.slice(Math.min(length, before), before)
    this.#resize(length)
    this.#unsynced.push({ kind: 'length', before, after: length, cut })
  }

  /** Changes through this number are durable from now on. */
  synced(through: number): void {
    if (through <= this.#syncedThrough) return
    this.#unsynced = this.#unsynced.slice(through - this.#syncedThrough)
    this.#syncedThrough = through
  }

  flip(at: number, bit: number): void {
    this.#bytes[at] = (this.#bytes[at] as number) ^ (1 << bit)
  }

  losePower(random: Random, world: World): void {
    const changes = this.#unsynced
    this.synced(this.changeNumber)
    for (let i = changes.length - 1; i >= 0; i--) this.#undo(changes[i] as Change)
    for (const change of changes) {
      const fate = random.integer(3)
      if (fate === 0) world.count('disk write lost')
      else if (change.kind === 'length') this.#resize(change.after)
      else if (fate === 1) this.#put(change.at, change.after)
      else {
        world.count('disk write torn')
        this.#put(change.at, change.after.subarray(0, random.integer(change.after.length + 1)))
      }
    }
  }

  #undo(change: Change): void {
    if (change.kind === 'write') {
      this.#put(change.at, change.before)
      this.#resize(change.lengthBefore)
      return
    }
    this.#resize(change.before)
    if (change.cut.length > 0) this.#put(change.after, change.cut)
  }

  #put(at: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (at + bytes.length > this.#length) this.#resize(at + bytes.length)
    this.#bytes.set(bytes, at)
  }

  #resize(length: number): void {
    if (length < this.#length) this.#bytes.fill(0, length, this.#length)
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, this.#length))
      this.#bytes = grown
    }
    this.#length = length
  }
}

type NameChange = {
  readonly directories: readonly string[]
  readonly apply: (names: Map<string, SimFile>) => void
}

export class SimDisk {
  readonly totalBytes = 1024 ** 4
  isFull = false
  /** Every operation takes this many times as long. */
  slowness = 1
  /** Those under way that began while it was slow: each can be made to end soon. */
  readonly slowOperations = new Set<() => void>()
  readonly random: Random
  readonly #world: World
  #names = new Map<string, SimFile>()
  #durableNames = new Map<string, SimFile>()
  #unsyncedNames: NameChange[] = []

  constructor(world: World) {
    this.#world = world
    this.random = world.drawRandom()
  }

  /** Slow no more; what hangs ends soon. */
  recover(): void {
    this.slowness = 1
    const hanging = [...this.slowOperations]
    this.slowOperations.clear()
    for (const hurry of hanging) hurry()
  }

  find(path: string): SimFile | undefined {
    return this.#names.get(path)
  }

  /** Paths at or under a directory, in order. */
  under(directory: string): readonly string[] {
    const prefix = directory === '' ? '' : `${directory}/`
    return [...this.#names.keys()].filter((path) => path.startsWith(prefix)).sort()
  }

  create(path: string): SimFile {
    const file = new SimFile()
    this.#change([path], (names) => names.set(path, file))
    return file
  }

  rename(from: string, to: string): void {
    if (this.#names.get(from) === undefined && this.under(from).length === 0) {
      throw new Fault('not-found', `no file ${from}`)
    }
    this.#change([from, to], (names) => {
      for (const path of [...names.keys()]) {
        if (path !== from && !path.startsWith(`${from}/`)) continue
        const file = names.get(path) as SimFile
        names.delete(path)
        names.set(to + path.slice(from.length), file)
      }
    })
  }

  remove(path: string): void {
    this.#change([path], (names) => {
      for (const name of [...names.keys()]) {
        if (name === path || name.startsWith(`${path}/`)) names.delete(name)
      }
    })
  }

  /** A new file under an old name, bytes and name durable together. */
  replace(path: string, bytes: Uint8Array): void {
    const file = new SimFile()
    file.write(0, bytes)
    file.synced(file.changeNumber)
    this.#change([path], (names) => names.set(path, file))
    this.syncNames(parentOf(path))
  }

  syncNames(directory: string): void {
    const kept: NameChange[] = []
    for (const change of this.#unsyncedNames) {
      if (change.directories.includes(directory)) change.apply(this.#durableNames)
      else kept.push(change)
    }
    this.#unsyncedNames = kept
  }

  usedBytes(): number {
    let used = 0
    for (const file of this.#names.values()) used += file.length
    return used
  }

  /** Flips one bit of a file that `accepts` chooses; false when there is none. */
  flipBit(accepts: (path: string) => boolean): boolean {
    const paths = this.under('').filter(
      (path) => accepts(path) && (this.find(path)?.length ?? 0) > 0,
    )
    const path = paths[this.random.integer(Math.max(1, paths.length))]
    const file = path === undefined ? undefined : this.find(path)
    if (file === undefined) return false
    file.flip(this.random.integer(file.length), this.random.integer(8))
    return true
  }

  crash(how: 'kill' | 'power'): void {
    if (how === 'kill') return
    const keptNames = this.random.integer(this.#unsyncedNames.length + 1)
    for (const change of this.#unsyncedNames.slice(0, keptNames)) change.apply(this.#durableNames)
    if (keptNames < this.#unsyncedNames.length) this.#world.count('disk name lost')
    this.#unsyncedNames = []
    this.#names = new Map(this.#durableNames)
    const files = new Set<SimFile>()
    for (const path of [...this.#names.keys()].sort()) files.add(this.#names.get(path) as SimFile)
    for (const file of files) file.losePower(this.random, this.#world)
  }

  #change(paths: readonly string[], apply: (names: Map<string, SimFile>) => void): void {
    apply(this.#names)
    this.#unsyncedNames.push({ directories: paths.map(parentOf), apply })
  }
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}
