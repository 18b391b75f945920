// A cluster of drivers over doubles. Its state machine keeps a numbered list of lines in the store:
// an entry's answer is the number of its line, its digest a running sum over all lines.

import {
  assert,
  crc32c,
  type Fault,
  type GroupId,
  groupId,
  type NodeId,
  nodeId,
  readUint64,
  uint64Bytes,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import type { Store } from '../../storage/index.ts'
import { createRaft } from '../driver.ts'
import type {
  AppliedEntry,
  Group,
  GroupOptions,
  Raft,
  RaftOptions,
  SnapshotSink,
  StateMachine,
} from '../group.ts'
import { TestDisk, TestLog, TestNetwork, TestRpc, TestStore } from './doubles.ts'
import { TestLoop, testHost } from './loop.ts'

export type TestNode = {
  readonly raft: Raft
  readonly log: TestLog
  readonly store: TestStore
  readonly rpc: TestRpc
  readonly groups: readonly Group[]
  readonly faults: Fault[]
}

export class TestCluster {
  readonly loop = new TestLoop()
  readonly network = new TestNetwork(this.loop)
  readonly disks = new Map<number, TestDisk>()
  readonly nodes = new Map<number, TestNode>()
  readonly #options: Partial<RaftOptions>
  readonly #groupCount: number
  #seed: number

  constructor(options: Partial<RaftOptions> = {}, groupCount = 1, seed = 1) {
    this.#seed = seed
    this.#options = options
    this.#groupCount = groupCount
  }

  async start(
    id: number,
    founders: readonly number[] = [1, 2, 3],
    more: Partial<GroupOptions> = {},
  ): Promise<TestNode> {
    const disk = this.disks.get(id) ?? new TestDisk()
    this.disks.set(id, disk)
    const log = new TestLog(this.loop, disk)
    const store = new TestStore(disk)
    const rpc = new TestRpc(this.network, nodeId(id))
    const faults: Fault[] = []
    const host = testHost(this.loop, this.#seed++, disk.files)
    const raft = createRaft(
      { host, log, store, rpc, onFatal: (fault) => faults.push(fault) },
      { self: nodeId(id), ...this.#options },
    )
    const groups: Group[] = []
    for (let number = 1; number <= this.#groupCount; number++) {
      const opened = raft.open({
        group: groupId(number),
        name: `group-${number}`,
        stateMachine: createLines(store, groupId(number)),
        founders: { voters: founders.map(nodeId) },
        ...more,
      })
      groups.push(await this.loop.result(opened))
    }
    const node = { raft, log, store, rpc, groups, faults }
    this.nodes.set(id, node)
    return node
  }

  /** kill -9: nothing more happens, what was not durable is lost. */
  crash(id: number): void {
    const node = this.nodes.get(id)
    if (node === undefined) return
    this.nodes.delete(id)
    node.log.crash()
    node.store.crash()
    this.network.nodes.delete(nodeId(id))
    node.raft.onFatal(crashed)
  }

  group(id: number, number = 1): Group {
    return this.nodes.get(id)?.groups[number - 1] as Group
  }

  leader(number = 1): Group | undefined {
    for (const node of this.nodes.values()) {
      const group = node.groups[number - 1]
      const self = node.rpc.self
      if (group?.status().role === 'leader' && !this.network.cutOff.has(self)) return group
    }
    return undefined
  }

  leaderId(number = 1): number {
    for (const [id, node] of this.nodes) {
      if (
        node.groups[number - 1]?.status().role === 'leader' &&
        !this.network.cutOff.has(nodeId(id))
      )
        return id
    }
    return 0
  }

  async electLeader(number = 1): Promise<Group> {
    await this.loop.until(() => this.leader(number) !== undefined)
    return this.leader(number) as Group
  }

  propose(line: string, number = 1): Promise<number> {
    const leader = this.leader(number) as Group
    return this.loop.result(
      leader.propose(utf8Encode(line)).then((answer) => readUint64(answer, 0)),
    )
  }

  lines(id: number, number = 1): readonly string[] {
    const store = this.nodes.get(id)?.store as Store
    return store
      .range(`lines-${number}`, { start: new Uint8Array(0) })
      .map(({ value }) => utf8Decode(value))
  }

  async caughtUp(number = 1): Promise<void> {
    const target = this.leader(number)?.status().commit ?? 0
    await this.loop.until(() =>
      [...this.nodes.values()].every(
        (node) => (node.groups[number - 1]?.status().applied ?? 0) >= target,
      ),
    )
  }
}

const crashed = { name: 'Fault', message: 'crashed' } as unknown as Fault

export const ids = (numbers: readonly number[]): readonly NodeId[] => numbers.map(nodeId)

/** Lines that begin with 'slow' take as many turns. */
export const slowTurns = 8

function createLines(store: Store, group: GroupId): StateMachine {
  const table = `lines-${group}`
  const read = (): { count: number; digest: number } => {
    const rows = store.range(table, { start: new Uint8Array(0) })
    let digest = 0
    for (const { value } of rows) digest = crc32c(value, digest)
    return { count: rows.length, digest }
  }
  let { count, digest } = read()
  const add = (line: Uint8Array): Uint8Array => {
    count++
    digest = crc32c(line, digest)
    store.put(table, uint64Bytes(count), line)
    return uint64Bytes(count)
  }
  let turns = 0
  return {
    apply: (entries: readonly AppliedEntry[]) => {
      const answers: Uint8Array[] = []
      for (const { payload } of entries) {
        if (utf8Decode(payload).startsWith('slow') && ++turns < slowTurns) break
        turns = 0
        answers.push(add(payload))
      }
      return answers
    },
    snapshot: () => {
      assert(turns === 0, 'no snapshot is taken within an entry')
      const rows = store.range(table, { start: new Uint8Array(0) })
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for (const { value } of rows) yield value
      }
      return { chunks: chunks(), close: () => {} }
    },
    install: (): SnapshotSink => {
      const lines: Uint8Array[] = []
      return {
        async write(chunk) {
          lines.push(chunk.slice())
        },
        finish() {
          store.deleteRange(table, { start: new Uint8Array(0), end: new Uint8Array(0) })
          count = 0
          digest = 0
          for (const line of lines) add(line)
        },
        async abort() {},
      }
    },
    sync: async () => {},
    digest: () => uint64Bytes(digest),
  }
}
