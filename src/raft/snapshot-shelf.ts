// The snapshot files of this node: taken for members that lag behind, and from time to time for every group,
// so that a group can be restored when all of its members are lost. Each group keeps its latest few.
//
//   <path>/<group>/<index>-<term>.snapshot     retained, the latest `retained` of each group
//   <path>/<group>/incoming.part               one that is being received (snapshots.ts)
//   <path>/restore/*.snapshot                  asked for by the operator: installed when the group is opened
//                                              on a node that has no state of it (restoring.ts)
//
// At most one file is written at a time, at the pace of the rate limit: a view of the store is open meanwhile.

import { type GroupId, isFault, toFault } from '../base/index.ts'
import type { Disk, Host } from '../host/index.ts'
import type { GroupDriver } from './group-driver.ts'
import { Pace } from './pace.ts'
import type { RaftSettings } from './settings.ts'
import { headOf, type SnapshotHead, writeSnapshotFile } from './snapshot-file.ts'

export type SnapshotShelfEnds = {
  readonly host: Host
  readonly disk: Disk
  readonly settings: RaftSettings
  readonly groups: () => readonly GroupDriver[]
}

/** A file on the shelf. */
export type ShelvedSnapshot = { readonly path: string; readonly head: SnapshotHead }

const markBytes = 16
/** Free space that periodic snapshots leave alone: one part in so many. */
const freeParts = 10

export class SnapshotShelf {
  readonly #ends: SnapshotShelfEnds
  readonly #pace: Pace
  /** The newest file of each group. */
  readonly #latest = new Map<GroupId, ShelvedSnapshot>()
  #writing: Promise<unknown> = Promise.resolve()
  #lookedMs = 0
  #isBusy = false

  constructor(ends: SnapshotShelfEnds) {
    this.#ends = ends
    this.#pace = new Pace(ends.host.clock, ends.settings.snapshots.bytesPerSecond)
    this.#lookedMs = ends.host.clock.monotonicMs()
  }

  /** Waits as the rate limit for snapshots asks: taking, sending and receiving share it. */
  pace(bytes: number): Promise<void> {
    return this.#pace.pass(bytes)
  }

  incomingPath(group: GroupId): string {
    return `${this.#directory(group)}/incoming.part`
  }

  /** Learns what earlier lives left here; forgets what they left unfinished. */
  async open(group: GroupId): Promise<void> {
    const { disk } = this.#ends
    const newest = (await this.#names(group)).at(-1)
    if (newest === undefined) return
    const head = await headOf(disk, newest)
    if (head !== undefined) this.#latest.set(group, { path: newest, head })
  }

  /**
   * A file from which a member can go on with the entries of the log: the newest one when the log still
   * reaches back to it, else one of the state as it is now.
   */
  async usable(group: GroupDriver): Promise<ShelvedSnapshot> {
    const latest = this.#latest.get(group.group)
    if (latest !== undefined && this.#isUsable(latest, group)) return latest
    return this.take(group)
  }

  /** Fault 'no-space', among others; nothing is left behind then. */
  take(group: GroupDriver): Promise<ShelvedSnapshot> {
    const taken = this.#writing.then(() => this.#take(group))
    this.#writing = taken.catch(() => {})
    return taken
  }

  /** Takes what is due, seldom. */
  tick(): void {
    const { clock } = this.#ends.host
    const { everyMs } = this.#ends.settings.snapshots
    const nowMs = clock.monotonicMs()
    if (this.#isBusy || everyMs === 0 || nowMs - this.#lookedMs < everyMs / 8) return
    this.#lookedMs = nowMs
    this.#isBusy = true
    this.#takeDue()
      .catch((error: unknown) => {
        const what = toFault(error).message
        this.#ends.host.journal.event('warning', 'raft.snapshot_not_taken', { what })
      })
      .finally(() => {
        this.#isBusy = false
      })
  }

  async #takeDue(): Promise<void> {
    for (const group of this.#ends.groups()) {
      if (!this.#isDue(group)) continue
      const { freeBytes, totalBytes } = await this.#ends.disk.space()
      if (freeBytes * freeParts < totalBytes) return
      await this.take(group)
    }
  }

  #isDue(group: GroupDriver): boolean {
    const { everyMs, everyEntries } = this.#ends.settings.snapshots
    if (group.isBlank || group.isInstalling || group.isSuperseded) return false
    const latest = this.#latest.get(group.group)
    const entries = group.appliedState.index - (latest?.head.metadata.index ?? 1)
    const ageMs = this.#ends.host.clock.wallMs() - (latest?.head.takenMs ?? 0)
    if (entries <= 0) return false
    return entries >= everyEntries ? ageMs >= everyMs : ageMs >= everyMs * 24
  }

  #isUsable({ head }: ShelvedSnapshot, group: GroupDriver): boolean {
    const { index, term } = head.metadata
    if (head.fence.generation !== group.fence.generation) return false
    return index <= group.appliedState.index && group.cache.term(index) === term
  }

  async #take(group: GroupDriver): Promise<ShelvedSnapshot> {
    const { host, disk, settings } = this.#ends
    while (group.isWithinEntry()) await host.clock.sleep(settings.tickMs)
    const metadata = group.appliedState
    const head: SnapshotHead = {
      group: group.group,
      name: group.options.name,
      fence: group.fence,
      metadata,
      takenMs: Math.max(0, Math.floor(host.clock.wallMs())),
      mark: host.random.bytes(markBytes),
    }
    const source = group.options.stateMachine.snapshot()
    const path = `${this.#directory(group.group)}/${fileName(head)}`
    try {
      const pace = (bytes: number): Promise<void> => this.pace(bytes)
      const bytes = await writeSnapshotFile(disk, path, { head, source, pace })
      const fields = { group: group.group, index: metadata.index, bytes }
      host.journal.event('debug', 'raft.snapshot_taken', fields)
    } finally {
      source.close()
      await disk.remove(`${path}.new`)
    }
    const taken = { path, head }
    this.#latest.set(group.group, taken)
    await this.#retain(group.group)
    return taken
  }

  async #retain(group: GroupId): Promise<void> {
    const names = await this.#names(group)
    const { retained } = this.#ends.settings.snapshots
    for (const path of names.slice(0, -retained)) await this.#ends.disk.remove(path)
  }

  /** Paths of the files of a group, the newest last. */
  async #names(group: GroupId): Promise<readonly string[]> {
    return listSnapshots(this.#ends.disk, this.#directory(group))
  }

  #directory(group: GroupId): string {
    return `${this.#ends.settings.snapshots.path}/${group}`
  }
}

/** Names sort as their indices and terms do. */
function fileName({ metadata }: SnapshotHead): string {
  const pad = (number: number): string => String(number).padStart(16, '0')
  return `${pad(metadata.index)}-${pad(metadata.term)}.snapshot`
}

/** Paths of the snapshot files in a directory, the newest last. */
export async function listSnapshots(disk: Disk, directory: string): Promise<readonly string[]> {
  const names = await disk.list(directory)
  return names.filter((name) => name.endsWith('.snapshot')).map((name) => `${directory}/${name}`)
}

/** Every retained file of every group. Files that are no snapshots are left out. */
export async function shelvedSnapshots(
  disk: Disk,
  path: string,
): Promise<readonly ShelvedSnapshot[]> {
  const found: ShelvedSnapshot[] = []
  for (const directory of await disk.list(path)) {
    for (const file of await listSnapshots(disk, `${path}/${directory}`)) {
      const head = await headOf(disk, file).catch((error: unknown) => {
        if (isFault(error, 'not-found')) return undefined
        throw error
      })
      if (head !== undefined) found.push({ path: file, head })
    }
  }
  return found
}
