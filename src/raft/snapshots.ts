// State of a group from its leader to a member that lags behind the log, over a stream of its own.
//
//   opening   version u8 = 2 | protobuf {group, term of the leader, index, term, configuration, cluster id,
//             generation}; version 1 has neither id nor generation, and is written where there is none
//   chunk     kind u8 = 1 | zero u8[3] | bytes u32 | crc32c u32, then a message with those bytes
//   end       kind u8 = 2 | zero u8[3] | chunks u32 | zero u32
//   answer    one byte: 1 installed, 0 not needed
//
// The core's snapshot message is metadata only; what is sent is the state as it is when the stream
// starts, which may be later than the message says: the member's acknowledgement names what it got.
// One stream per peer at a time and one installation per group; others are refused and asked again.

import {
  bytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  type GroupId,
  groupId,
  message,
  type NodeId,
  nodeId,
  toFault,
  uint,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { controlMethod, type IncomingCall, type Rpc, type RpcStream } from '../rpc/index.ts'
import type { Message, SnapshotMetadata } from './core/index.ts'
import { type Fence, formatFence } from './fence.ts'
import type { Fences } from './fences.ts'
import type { SnapshotSink } from './group.ts'
import type { GroupDriver, RaftCounts } from './group-driver.ts'
import { decodeConfState, encodeConfState } from './state-row.ts'

type Opening = {
  readonly group: GroupId
  readonly leaderTerm: number
  readonly metadata: SnapshotMetadata
  readonly fence: Fence
}

const unfencedVersion = 1
const openingVersion = 2
const openingFields = message({
  group: uint(1),
  leaderTerm: uint(2),
  index: uint(3),
  term: uint(4),
  confState: bytes(5),
  clusterId: bytes(6),
  generation: uint(7),
})
const headerBytes = 12
const chunkKind = 1
const endKind = 2
const chunkBytesMax = 256 * 1024
const streamDeadlineMs = 15 * 60_000
const noBytes = new Uint8Array(0)

export type SnapshotsEnds = {
  readonly host: Host
  readonly rpc: Rpc
  readonly self: NodeId
  readonly counts: RaftCounts
  readonly fences: Fences
  readonly group: (id: GroupId) => GroupDriver | undefined
}

export class Snapshots {
  readonly #ends: SnapshotsEnds
  readonly #sendingTo = new Set<number>()
  readonly #receiving = new Set<GroupId>()

  constructor(ends: SnapshotsEnds) {
    this.#ends = ends
    ends.rpc.serveStream(controlMethod.raftSnapshot, (stream, call) => this.#receive(stream, call))
  }

  /** Sends the group's state to the member that `request` (the core's message) is for. */
  send(group: GroupDriver, request: Message): void {
    const peer = nodeId(request.to)
    if (this.#sendingTo.has(peer)) {
      group.reportSnapshot(peer, false)
      return
    }
    this.#sendingTo.add(peer)
    const { host, counts } = this.#ends
    this.#stream(group, request)
      .then(() => {
        counts.snapshotsSent++
        host.journal.event('notice', 'raft.snapshot_sent', { group: group.group, to: peer })
        return true
      })
      .catch((error: unknown) => {
        const what = toFault(error).message
        host.journal.event('notice', 'raft.snapshot_failed', { group: group.group, to: peer, what })
        return false
      })
      .then((isSuccess) => {
        this.#sendingTo.delete(peer)
        group.reportSnapshot(peer, isSuccess)
      })
  }

  async #stream(group: GroupDriver, request: Message): Promise<void> {
    const metadata = group.appliedState
    const source = group.options.stateMachine.snapshot()
    try {
      const opening = encodeOpening({
        group: group.group,
        leaderTerm: request.term,
        metadata,
        fence: group.fence,
      })
      const stream = await this.#ends.rpc.openStream(
        nodeId(request.to),
        controlMethod.raftSnapshot,
        opening,
        { deadlineMs: streamDeadlineMs },
      )
      try {
        let count = 0
        for await (const chunk of source.chunks) {
          await stream.send(encodeHeader(chunkKind, chunk.length, crc32c(chunk)))
          await stream.send(chunk)
          count++
        }
        await stream.send(encodeHeader(endKind, count, 0))
        await stream.end()
        for await (const answer of stream.messages) if (answer.length === 1) return
        throw new Fault('unavailable', 'the member did not say that the snapshot is installed')
      } catch (error) {
        stream.fail(toFault(error))
        throw error
      }
    } finally {
      source.close()
    }
  }

  async #receive(stream: RpcStream, call: IncomingCall): Promise<void> {
    const opening = decodeOpening(call.request)
    const group = this.#ends.group(opening.group)
    if (group === undefined) throw new Fault('not-found', `no group ${opening.group} here`)
    if (!this.#ends.fences.meet(group, stream.from, opening.fence)) {
      throw new Fault(
        'precondition',
        `group ${opening.group} is of cluster ${formatFence(group.fence)}`,
      )
    }
    if (this.#receiving.has(opening.group) || group.isInstalling) {
      throw new Fault('conflict', `group ${opening.group} receives a snapshot already`)
    }
    this.#receiving.add(opening.group)
    try {
      const isInstalled = await this.#install(group, opening, stream)
      await stream.send(new Uint8Array([isInstalled ? 1 : 0]))
      await stream.end()
    } finally {
      this.#receiving.delete(opening.group)
    }
  }

  async #install(group: GroupDriver, opening: Opening, stream: RpcStream): Promise<boolean> {
    if (opening.metadata.index <= group.appliedState.index) return false
    const sink = group.options.stateMachine.install()
    let isInstalled = false
    try {
      await receiveChunks(stream, sink)
      const request = snapshotMessage(opening, { from: stream.from, to: this.#ends.self })
      isInstalled = await group.installSnapshot(request, sink)
      return isInstalled
    } finally {
      if (!isInstalled) await sink.abort()
    }
  }
}

async function receiveChunks(stream: RpcStream, sink: SnapshotSink): Promise<void> {
  let expected: { readonly length: number; readonly sum: number } | undefined
  let count = 0
  for await (const received of stream.messages) {
    if (expected !== undefined) {
      if (received.length !== expected.length || crc32c(received) !== expected.sum) {
        throw corrupt(`chunk ${count} fails its checksum`)
      }
      await sink.write(received)
      expected = undefined
      count++
      continue
    }
    if (received.length !== headerBytes) throw corrupt('a header has another length')
    const view = new DataView(received.buffer, received.byteOffset, headerBytes)
    const kind = view.getUint8(0)
    const number = view.getUint32(4)
    if (kind === endKind) {
      if (number !== count) throw corrupt(`${count} chunks of ${number} arrived`)
      return
    }
    if (kind !== chunkKind || number > chunkBytesMax) throw corrupt('a header is malformed')
    expected = { length: number, sum: view.getUint32(8) }
  }
  throw corrupt('it ends early')
}

function encodeHeader(kind: number, count: number, sum: number): Uint8Array {
  const header = new Uint8Array(headerBytes)
  const view = new DataView(header.buffer)
  view.setUint8(0, kind)
  view.setUint32(4, count)
  view.setUint32(8, sum)
  return header
}

function encodeOpening(opening: Opening): Uint8Array {
  const body = encodeBytes(openingFields, {
    group: opening.group,
    leaderTerm: opening.leaderTerm,
    index: opening.metadata.index,
    term: opening.metadata.term,
    confState: encodeConfState(opening.metadata.confState),
    ...opening.fence,
  })
  const encoded = new Uint8Array(1 + body.length)
  const isFenced = opening.fence.clusterId.length > 0 || opening.fence.generation > 0
  encoded[0] = isFenced ? openingVersion : unfencedVersion
  encoded.set(body, 1)
  return encoded
}

function decodeOpening(request: Uint8Array): Opening {
  const version = request[0]
  if (version !== openingVersion && version !== unfencedVersion) throw corrupt(`version ${version}`)
  const { group, leaderTerm, index, term, confState, clusterId, generation } = decodeBytes(
    openingFields,
    request.slice(1),
  )
  return {
    group: groupId(group),
    leaderTerm,
    metadata: { index, term, confState: decodeConfState(confState) },
    fence: { clusterId, generation },
  }
}

function snapshotMessage(
  opening: Opening,
  ends: { readonly from: number; readonly to: number },
): Message {
  return {
    type: 'snapshot',
    ...ends,
    term: opening.leaderTerm,
    logTerm: 0,
    index: 0,
    commit: 0,
    vote: 0,
    entries: [],
    snapshot: { metadata: opening.metadata, payload: noBytes },
    isRejected: false,
    rejectHint: 0,
    context: noBytes,
    responses: [],
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed snapshot stream: ${what}`)
}
