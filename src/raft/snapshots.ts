// State of a group from its leader to a member that lags behind the log, over a stream of its own: the bytes
// of a snapshot file (snapshot-file.ts) from where an earlier stream broke.
//
//   opening   version u8 = 3 | protobuf {group, term of the leader, bytes of the file, head of the file}
//   reply     kind u8: 0 not needed, 1 send | offset u64: whole chunks up to there are here
//   pieces    bytes of the file from that offset, at most 256 KiB each
//   answer    one byte: 1 installed, 0 not needed
//
// The member keeps what arrived in a file and checks it chunk by chunk before it names an offset, so a
// stream goes on also after a crash of either side. It is installed once all of it is there and intact.
//
// The core's snapshot message is metadata only; what is sent may be of an earlier or later entry, from
// which the log goes on: the member's acknowledgement names what it got. One stream per peer at a time
// and one installation per group; others are refused and asked again.

import {
  bytes,
  decodeBytes,
  encodeBytes,
  equalBytes,
  Fault,
  type GroupId,
  groupId,
  message,
  type NodeId,
  nodeId,
  readUint64,
  toFault,
  uint,
  uint64Bytes,
} from '../base/index.ts'
import type { Disk, DiskFile, Host } from '../host/index.ts'
import { controlMethod, type IncomingCall, type Rpc, type RpcStream } from '../rpc/index.ts'
import type { Message, SnapshotMetadata } from './core/index.ts'
import { formatFence } from './fence.ts'
import type { Fences } from './fences.ts'
import type { GroupDriver, RaftCounts } from './group-driver.ts'
import {
  chunkBytesMax,
  decodeSnapshotHead,
  readSnapshotHead,
  type SnapshotHead,
  scanSnapshotFile,
} from './snapshot-file.ts'
import type { SnapshotShelf } from './snapshot-shelf.ts'

type Opening = {
  readonly group: GroupId
  readonly leaderTerm: number
  readonly fileBytes: number
  readonly head: SnapshotHead
  readonly encodedHead: Uint8Array
}

const openingVersion = 3
const openingFields = message({
  group: uint(1),
  leaderTerm: uint(2),
  fileBytes: uint(3),
  head: bytes(4),
})
const replyKind = { notNeeded: 0, send: 1 } as const
const replyBytes = 9
/** Received bytes are made durable at least so often. */
const syncEveryBytes = 8 * 1024 * 1024
const streamDeadlineMs = 15 * 60_000
const noBytes = new Uint8Array(0)

export type SnapshotsEnds = {
  readonly host: Host
  readonly disk: Disk
  readonly rpc: Rpc
  readonly self: NodeId
  readonly counts: RaftCounts
  readonly fences: Fences
  readonly shelf: SnapshotShelf
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
      .then((resumedAt) => {
        counts.snapshotsSent++
        const fields = { group: group.group, to: peer, resumedAt }
        host.journal.event('notice', 'raft.snapshot_sent', fields)
        return true
      })
      .catch((error: unknown) => {
        const what = toFault(error).message
        host.journal.event('notice', 'raft.snapshot_failed', { group: group.group, to: peer, what })
        return false
      })
      .then((isSuccess) => {
        this.#sendingTo.delete(peer)
        group.holdCutAt(peer, undefined)
        group.reportSnapshot(peer, isSuccess)
      })
  }

  /** Answers the offset from which the file was sent. */
  async #stream(group: GroupDriver, request: Message): Promise<number> {
    const { disk, shelf } = this.#ends
    const { path, head } = await shelf.usable(group)
    group.holdCutAt(request.to, head.metadata.index)
    const file = await disk.open(path)
    try {
      const fileBytes = await file.size()
      const { encoded } = await readSnapshotHead(file)
      const fields = { group: group.group, leaderTerm: request.term, fileBytes, head: encoded }
      return await this.#streamFile(file, nodeId(request.to), { fields, fileBytes })
    } finally {
      await file.close()
    }
  }

  async #streamFile(
    file: DiskFile,
    to: NodeId,
    {
      fields,
      fileBytes,
    }: { readonly fields: Parameters<typeof encodeOpening>[0]; readonly fileBytes: number },
  ): Promise<number> {
    const { rpc, shelf } = this.#ends
    const opening = encodeOpening(fields)
    const options = { deadlineMs: streamDeadlineMs }
    const stream = await rpc.openStream(to, controlMethod.raftSnapshot, opening, options)
    try {
      const answers = stream.messages[Symbol.asyncIterator]()
      const start = decodeReply(await nextOf(answers), fileBytes)
      if (start === undefined) return 0
      for (let at = start; at < fileBytes; ) {
        const piece = await file.read(at, Math.min(chunkBytesMax, fileBytes - at))
        await shelf.pace(piece.length)
        await stream.send(piece)
        at += piece.length
      }
      await stream.end()
      await nextOf(answers)
      return start
    } catch (error) {
      stream.fail(toFault(error))
      throw error
    }
  }

  async #receive(stream: RpcStream, call: IncomingCall): Promise<void> {
    const opening = decodeOpening(call.request)
    const group = this.#ends.group(opening.group)
    if (group === undefined) throw new Fault('not-found', `no group ${opening.group} here`)
    if (!this.#ends.fences.meet(group, stream.from, opening.head.fence)) {
      const what = `group ${opening.group} is of cluster ${formatFence(group.fence)}`
      throw new Fault('precondition', what)
    }
    if (this.#receiving.has(opening.group) || group.isInstalling) {
      throw new Fault('conflict', `group ${opening.group} receives a snapshot already`)
    }
    this.#receiving.add(opening.group)
    try {
      const isInstalled = await this.#take(group, opening, stream)
      await stream.send(new Uint8Array([isInstalled ? 1 : 0]))
      await stream.end()
    } finally {
      this.#receiving.delete(opening.group)
    }
  }

  async #take(group: GroupDriver, opening: Opening, stream: RpcStream): Promise<boolean> {
    const { disk, shelf } = this.#ends
    if (opening.head.metadata.index <= group.appliedState.index) {
      await stream.send(encodeReply(replyKind.notNeeded, 0))
      return false
    }
    const path = shelf.incomingPath(group.group)
    const file = await disk.open(path, { create: true })
    try {
      await this.#fill(file, opening, stream)
      const isInstalled = await this.#install(group, opening, { file, from: stream.from })
      await disk.remove(path)
      return isInstalled
    } finally {
      await file.close()
    }
  }

  /** Whatever was here of this very file stays, as far as it is intact. */
  async #fill(file: DiskFile, opening: Opening, stream: RpcStream): Promise<void> {
    let at = await resumeAt(file, opening)
    await file.truncate(at)
    await stream.send(encodeReply(replyKind.send, at))
    let unsynced = 0
    try {
      for await (const piece of stream.messages) {
        if (at + piece.length > opening.fileBytes) throw corrupt('more arrives than was announced')
        await file.write(at, [piece.slice()])
        at += piece.length
        unsynced += piece.length
        if (unsynced < syncEveryBytes) continue
        await file.sync()
        unsynced = 0
      }
    } finally {
      await file.sync()
    }
    if (at < opening.fileBytes) throw corrupt('it ends early')
  }

  async #install(
    group: GroupDriver,
    opening: Opening,
    { file, from }: { readonly file: DiskFile; readonly from: NodeId },
  ): Promise<boolean> {
    const { encoded } = await readSnapshotHead(file)
    if (!equalBytes(encoded, opening.encodedHead)) throw corrupt('another file arrived')
    const sink = group.options.stateMachine.install()
    let isInstalled = false
    try {
      const { isWhole } = await scanSnapshotFile(file, (chunk) => sink.write(chunk))
      if (!isWhole) {
        await file.truncate(0)
        throw corrupt('it arrived damaged')
      }
      const request = snapshotMessage(opening, { from, to: this.#ends.self })
      isInstalled = await group.installSnapshot(request, sink)
      return isInstalled
    } finally {
      if (!isInstalled) await sink.abort()
    }
  }
}

/** How much of the announced file is here and intact: 0, or the end of a whole chunk. */
async function resumeAt(file: DiskFile, { encodedHead }: Opening): Promise<number> {
  if ((await file.size()) < encodedHead.length) return 0
  if (!equalBytes(await file.read(0, encodedHead.length), encodedHead)) return 0
  return (await scanSnapshotFile(file)).intactBytes
}

async function nextOf(answers: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  const { value, done } = await answers.next()
  if (done !== true) return value
  throw new Fault('unavailable', 'the member did not say that the snapshot is installed')
}

function encodeReply(kind: number, offset: number): Uint8Array {
  const reply = new Uint8Array(replyBytes)
  reply[0] = kind
  reply.set(uint64Bytes(offset), 1)
  return reply
}

/** Undefined: not needed. */
function decodeReply(reply: Uint8Array, fileBytes: number): number | undefined {
  if (reply.length !== replyBytes) throw corrupt('a reply has another length')
  if (reply[0] === replyKind.notNeeded) return undefined
  const offset = readUint64(reply, 1)
  if (reply[0] !== replyKind.send || offset > fileBytes) throw corrupt('a reply is malformed')
  return offset
}

function encodeOpening(fields: {
  readonly group: number
  readonly leaderTerm: number
  readonly fileBytes: number
  readonly head: Uint8Array
}): Uint8Array {
  const body = encodeBytes(openingFields, fields)
  const encoded = new Uint8Array(1 + body.length)
  encoded[0] = openingVersion
  encoded.set(body, 1)
  return encoded
}

function decodeOpening(request: Uint8Array): Opening {
  if (request[0] !== openingVersion) throw corrupt(`version ${request[0]}`)
  const { group, leaderTerm, fileBytes, head } = decodeBytes(openingFields, request.slice(1))
  const decoded = decodeSnapshotHead(head)
  if (decoded.group !== group || fileBytes < head.length) throw corrupt('its opening')
  return { group: groupId(group), leaderTerm, fileBytes, head: decoded, encodedHead: head }
}

function snapshotMessage(
  { leaderTerm, head }: Opening,
  ends: { readonly from: number; readonly to: number },
): Message {
  const metadata: SnapshotMetadata = head.metadata
  return {
    type: 'snapshot',
    ...ends,
    term: leaderTerm,
    logTerm: 0,
    index: 0,
    commit: 0,
    vote: 0,
    entries: [],
    snapshot: { metadata, payload: noBytes },
    isRejected: false,
    rejectHint: 0,
    context: noBytes,
    responses: [],
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed snapshot stream: ${what}`)
}
