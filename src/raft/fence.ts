// Which cluster a group belongs to, and which generation of it: the fence between logs that must never
// meet. The cluster's id is drawn when it is founded; the generation rises by one with each offline
// recovery that gave up a lost quorum (quorum-recovery.ts). Only replicas of one fence talk to each other.
//
// Every message of a group carries its fence as a number, a hash of group, id and generation. Who receives
// another number refuses the message, counts it and tells its own fence in full (a notice), so that
// both sides can say precisely who they met. 0 is the number of a group without a cluster id.
//
//   notice   version u8 = 2 | kind u8 = 1 | zero u16 | crc32c of what follows u32
//            | group u64 | generation u64 | flags u8 (1 answer wanted, 2 has no state) | id bytes u8 | id
//
// Without the generation: (1) of 1, 2 and 3, 2 and 3 are lost and 1 is recovered as the only voter;
// (2) 2 and 3 come back from their old disks; (3) the two of them are a quorum of the old configuration,
// and outvote everything that was acknowledged since.

import {
  concatBytes,
  crc32c,
  equalBytes,
  Fault,
  type GroupId,
  groupId,
  type Random,
  readUint64,
  sha256,
  toHex,
  uint64Bytes,
  utf8Encode,
} from '../base/index.ts'

export type Fence = {
  /** At most 32 bytes; empty for a group that belongs to no named cluster. */
  readonly clusterId: Uint8Array
  /** 0, or drawn by a recovery: later ones are greater. */
  readonly generation: number
}

/** Another fence beside ours. */
export type FenceRelation =
  /** Another cluster's, or of another recovery of the same generation: the two must never merge. */
  | 'other-cluster'
  /** An earlier generation of our cluster: its data was given up by a recovery. */
  | 'stale'
  /** A later generation of our cluster: our own data was given up. */
  | 'superseded'

export type FenceNotice = {
  readonly group: GroupId
  readonly fence: Fence
  readonly isAnswerWanted: boolean
  /** The sender has no state of the group yet: it belongs to whatever generation it is told. */
  readonly isBlank: boolean
}

export const clusterIdBytesMax = 32
/** Generations are a count and so many random parts of it (quorum-recovery.ts). */
const generationParts = 2 ** 24
const frameVersion = 2
const noticeKind = 1
const summedAt = 8
const bodyAt = summedAt
const idAt = bodyAt + 18
const flag = { answerWanted: 1, blank: 2 } as const

export const noFence: Fence = { clusterId: new Uint8Array(0), generation: 0 }

/** Fault 'invalid' for an id that is too long or empty, or a generation that is no count. */
export function fenceOf(clusterId: Uint8Array | undefined, generation: number): Fence {
  if (!Number.isSafeInteger(generation) || generation < 0) {
    throw new Fault('invalid', `a recovery generation is a count, not ${generation}`)
  }
  if (clusterId === undefined) return { ...noFence, generation }
  if (clusterId.length === 0 || clusterId.length > clusterIdBytesMax) {
    throw new Fault('invalid', `a cluster id has 1 to 32 bytes, not ${clusterId.length}`)
  }
  return { clusterId, generation }
}

/** What messages carry: positive, at most 2^53 - 1; 0 without a cluster id and generation. */
export function fenceNumber(group: GroupId, { clusterId, generation }: Fence): number {
  if (clusterId.length === 0 && generation === 0) return 0
  return hashNumber('fence', [uint64Bytes(group), uint64Bytes(generation), clusterId])
}

/** What the log keeps of a group: the same in all generations. */
export function logFenceNumber(group: GroupId, clusterId: Uint8Array): number {
  if (clusterId.length === 0) return 0
  return hashNumber('log fence', [uint64Bytes(group), clusterId])
}

/** Undefined: the same fence. */
export function relationOf(ours: Fence, theirs: Fence): FenceRelation | undefined {
  if (!equalBytes(ours.clusterId, theirs.clusterId)) return 'other-cluster'
  if (ours.generation === theirs.generation) return undefined
  const [own, other] = [generationCount(ours.generation), generationCount(theirs.generation)]
  if (own === other) return 'other-cluster'
  return other > own ? 'superseded' : 'stale'
}

/** How many recoveries led to this generation. */
export function generationCount(generation: number): number {
  return Math.floor(generation / generationParts)
}

/** Of a recovery: no two recoveries of one generation lead to the same. */
export function nextGeneration(generation: number, random: Random): number {
  return (generationCount(generation) + 1) * generationParts + random.integer(generationParts)
}

/** For people: the id in hexadecimal and the generation when it is not the first. */
export function formatFence({ clusterId, generation }: Fence): string {
  const id = clusterId.length === 0 ? 'unnamed' : toHex(clusterId)
  if (generation === 0) return id
  const drawn = (generation % generationParts).toString(16).padStart(6, '0')
  return `${id}, generation ${generationCount(generation)}.${drawn}`
}

/** Of a group whose state here a recovery gave up. */
export function supersededFault(name: string, generation: number): Fault {
  const what = `group ${name} was recovered without this node, at generation ${generationCount(generation)}`
  return new Fault('precondition', what, { next: wipeAndRejoin })
}

/** What its reader should do about data that a recovery gave up. */
export const wipeAndRejoin =
  'its data was given up by a quorum recovery: stop this node, delete its data directory and let it join again under a new identity'

export function encodeNotice(notice: FenceNotice): Uint8Array {
  const { clusterId, generation } = notice.fence
  const frame = new Uint8Array(idAt + clusterId.length)
  const view = new DataView(frame.buffer)
  view.setUint8(0, frameVersion)
  view.setUint8(1, noticeKind)
  frame.set(uint64Bytes(notice.group), bodyAt)
  frame.set(uint64Bytes(generation), bodyAt + 8)
  const flags = (notice.isAnswerWanted ? flag.answerWanted : 0) | (notice.isBlank ? flag.blank : 0)
  view.setUint8(bodyAt + 16, flags)
  view.setUint8(bodyAt + 17, clusterId.length)
  frame.set(clusterId, idAt)
  view.setUint32(4, crc32c(frame.subarray(summedAt)))
  return frame
}

/** Whether a frame of consensus messages is a notice. */
export function isNotice(frame: Uint8Array): boolean {
  return frame[0] === frameVersion && frame[1] === noticeKind
}

/** Fault 'corrupt' for anything but a notice. */
export function decodeNotice(frame: Uint8Array): FenceNotice {
  if (!isNotice(frame) || frame.length < idAt) throw corrupt('its header')
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (crc32c(frame.subarray(summedAt)) !== view.getUint32(4)) throw corrupt('its checksum')
  const flags = view.getUint8(bodyAt + 16)
  const idBytes = view.getUint8(bodyAt + 17)
  if (flags > 3 || view.getUint16(2) !== 0) throw corrupt('its flags')
  if (idBytes > clusterIdBytesMax || frame.length !== idAt + idBytes) throw corrupt('its length')
  const [group, generation] = [readUint64(frame, bodyAt), readUint64(frame, bodyAt + 8)]
  if (!Number.isSafeInteger(group) || !Number.isSafeInteger(generation)) {
    throw corrupt('a number exceeds 2^53-1')
  }
  return {
    group: groupId(group),
    fence: { clusterId: frame.slice(idAt), generation },
    isAnswerWanted: (flags & flag.answerWanted) !== 0,
    isBlank: (flags & flag.blank) !== 0,
  }
}

function hashNumber(what: string, parts: readonly Uint8Array[]): number {
  const digest = sha256(concatBytes([utf8Encode(`atoll ${what}\0`), ...parts]))
  const view = new DataView(digest.buffer, digest.byteOffset)
  const number = (view.getUint32(0) >>> 11) * 0x1_0000_0000 + view.getUint32(4)
  return Math.max(1, number)
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed fence notice: ${what}`)
}
