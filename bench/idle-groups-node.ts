// One node of idle-groups: raft over its real log, store and connections, with state machines that count.

import { mkdirSync } from 'node:fs'
import { type Fault, groupId, type NodeId, nodeId, uint64Bytes } from '../src/base/index.ts'
import { createRealHost } from '../src/host/real/index.ts'
import {
  createRaft,
  type Group,
  type Raft,
  raftTable,
  type StateMachine,
} from '../src/raft/index.ts'
import { createRpc } from '../src/rpc/index.ts'
import { openLog, openStore } from '../src/storage/index.ts'
import type { GroupsNode, GroupsNotice } from './idle-groups.ts'

const lookMs = 200
const retryMs = 100

process.once('message', (node: GroupsNode) => {
  start(node).catch((error) => {
    console.error(error)
    process.exit(70)
  })
})

async function start({ identity, rootPath, groups, basePort }: GroupsNode): Promise<void> {
  mkdirSync(rootPath, { recursive: true })
  const host = createRealHost({ rootPath, journal: { format: 'text', level: 'warning' } })
  const self = identity.nodeId
  const at = (id: number): { host: string; port: number } => ({
    host: '127.0.0.1',
    port: basePort + id,
  })
  const log = await openLog(host, { path: 'log' })
  const store = await openStore(host, { path: 'store.sqlite', tables: [raftTable] })
  const rpc = createRpc(host, { transport: host.network.secured(identity), listen: at(self) })
  const onFatal = (fault: Fault): void => host.journal.fatal('bench.fatal', fault)
  const raft = createRaft({ host, log, store, rpc, onFatal }, { self })
  const voters = [1, 2, 3].map(nodeId)
  for (let number = 1; number <= groups; number++) {
    await raft.open({
      group: groupId(number),
      name: `group-${number}`,
      stateMachine: counter(),
      founders: { voters },
      electionPriority: number % 3 === self - 1 ? 8 : 4,
    })
  }
  const others = voters.filter((id) => id !== self)
  rpc.setPeers(new Map(others.map((id): [NodeId, ReturnType<typeof at>] => [id, at(id)])))
  await rpc.listen()
  tellLeads(raft, groups)
  process.on('message', () => {
    for (const group of raft.groups()) void write(group)
  })
}

/** Until somebody leads every group that this node knows of; asking costs more than resting does. */
function tellLeads(raft: Raft, groups: number): void {
  const timer = setInterval(() => {
    const roles = raft.groups().map((group) => group.status())
    tell({ kind: 'leads', count: roles.filter(({ role }) => role === 'leader').length })
    if (roles.filter(({ leader }) => leader !== undefined).length >= groups) clearInterval(timer)
  }, lookMs)
}

/** Tries until the group has taken a write, here or, as its status tells, elsewhere. */
async function write(group: Group): Promise<void> {
  const payload = uint64Bytes(1)
  for (;;) {
    try {
      await group.propose(payload)
      tell({ kind: 'written', group: group.group })
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

function tell(notice: GroupsNotice): void {
  process.send?.(notice)
}

function counter(): StateMachine {
  let count = 0
  return {
    apply: (entries) => entries.map(() => uint64Bytes(++count)),
    snapshot: () => {
      async function* chunks(): AsyncGenerator<Uint8Array> {
        yield uint64Bytes(count)
      }
      return { chunks: chunks(), close: () => undefined }
    },
    install: () => ({
      write: async () => undefined,
      finish: () => undefined,
      abort: async () => undefined,
    }),
    sync: async () => undefined,
    digest: () => uint64Bytes(count),
  }
}
