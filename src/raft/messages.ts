// Frames of consensus messages between nodes: hot, so a fixed layout instead of protobuf (law 4).
// One frame carries the messages of every group of one turn for one peer. All numbers big-endian.
//
//   frame    version u8 = 2 | kind u8 = 0 | messages u16 | crc32c of what follows u32 | messages
//   message  group u64 | fence u64 | term u64 | logTerm u64 | index u64 | commit u64 | vote u64 | rejectHint u64
//            | type u8 | flags u8 (1 rejected) | context bytes u16 | entries u32 | context | entries
//   entry    term u64 | index u64 | kind u8 | payload bytes u32 | payload
//
// Version 1 has no fence, which stands for 0 (fence.ts); it is also written when no message has one.
// Kind 1 is a notice of fence.ts.
//
// Sender and receiver are the two ends of the connection and are not repeated. Only the types of the
// table below travel; snapshots travel apart (snapshots.ts). Decoding takes views of the frame,
// allocates nothing beyond what the bytes at hand can hold, and answers violations with Fault 'corrupt'.

import { crc32c, Fault, type GroupId, groupId } from '../base/index.ts'
import type { Entry, EntryKind, Message, MessageType } from './core/types.ts'

/** A message with the group it belongs to, and that group's fence (fence.ts). */
export type GroupMessage = {
  readonly group: GroupId
  readonly fence: number
  readonly message: Message
}

/** Types that travel, by their number on the wire. Numbers are never reused. */
const typeByNumber: readonly (MessageType | undefined)[] = [
  undefined,
  'append',
  'append-response',
  'vote',
  'vote-response',
  'heartbeat',
  'heartbeat-response',
  'timeout-now',
  'read-index',
  'read-index-response',
  'prevote',
  'prevote-response',
]
const numberByType: ReadonlyMap<MessageType, number> = new Map(
  typeByNumber.flatMap((type, number) => (type === undefined ? [] : [[type, number] as const])),
)
const kindByNumber: readonly EntryKind[] = ['normal', 'conf-change', 'conf-change-v2']
const unfencedVersion = 1
const frameVersion = 2
const frameHeaderBytes = 8
const messageHeaderBytes = 64
const fenceBytes = 8
const entryHeaderBytes = 21
const frameMessagesMax = 65_535
const contextBytesMax = 65_535
const noBytes = new Uint8Array(0)

/** The number that stands for a kind in frames and log records. */
export function kindNumber(kind: EntryKind): number {
  return kind === 'normal' ? 0 : kind === 'conf-change' ? 1 : 2
}

/** Fault 'corrupt' for an unknown number. */
export function kindOf(number: number): EntryKind {
  const kind = kindByNumber[number]
  if (kind === undefined) throw new Fault('corrupt', `unknown kind of log entry: ${number}`)
  return kind
}

/** True when this message may be part of a frame. */
export function isFramed(message: Message): boolean {
  return numberByType.has(message.type)
}

/** Bytes the message takes in a frame, at most. */
export function messageBytes(message: Message): number {
  let length = messageHeaderBytes + fenceBytes + message.context.length
  for (const entry of message.entries) length += entryHeaderBytes + entry.payload.length
  return length
}

/** Frames for one peer: one, unless `frameBytesMax` asks for more. Order is kept. */
export function encodeFrames(
  messages: readonly GroupMessage[],
  frameBytesMax: number,
): readonly Uint8Array[] {
  const frames: Uint8Array[] = []
  let from = 0
  let length = frameHeaderBytes
  for (let i = 0; i < messages.length; i++) {
    const count = messageBytes((messages[i] as GroupMessage).message)
    const isFull = length + count > frameBytesMax || i - from >= frameMessagesMax
    if (isFull && i > from) {
      frames.push(encodeFrame(messages.slice(from, i), length))
      from = i
      length = frameHeaderBytes
    }
    length += count
  }
  if (messages.length > from) frames.push(encodeFrame(messages.slice(from), length))
  return frames
}

function encodeFrame(messages: readonly GroupMessage[], length: number): Uint8Array {
  const isFenced = messages.some(({ fence }) => fence !== 0)
  const frame = new Uint8Array(isFenced ? length : length - messages.length * fenceBytes)
  const view = new DataView(frame.buffer)
  view.setUint8(0, isFenced ? frameVersion : unfencedVersion)
  view.setUint16(2, messages.length)
  let at = frameHeaderBytes
  for (const { group, fence, message } of messages) {
    setUint64(view, at, group)
    if (isFenced) setUint64(view, at + 8, fence)
    at = writeMessage(frame, view, isFenced ? at + fenceBytes : at, message)
  }
  view.setUint32(4, crc32c(frame.subarray(frameHeaderBytes)))
  return frame
}

function writeMessage(frame: Uint8Array, view: DataView, start: number, message: Message): number {
  const type = numberByType.get(message.type)
  if (type === undefined || message.context.length > contextBytesMax) {
    throw new Fault('internal', `a ${message.type} message does not travel in frames`)
  }
  setUint64(view, start + 8, message.term)
  setUint64(view, start + 16, message.logTerm)
  setUint64(view, start + 24, message.index)
  setUint64(view, start + 32, message.commit)
  setUint64(view, start + 40, message.vote)
  setUint64(view, start + 48, message.rejectHint)
  view.setUint8(start + 56, type)
  view.setUint8(start + 57, message.isRejected ? 1 : 0)
  view.setUint16(start + 58, message.context.length)
  view.setUint32(start + 60, message.entries.length)
  let at = start + messageHeaderBytes
  frame.set(message.context, at)
  at += message.context.length
  for (const entry of message.entries) {
    setUint64(view, at, entry.term)
    setUint64(view, at + 8, entry.index)
    view.setUint8(at + 16, kindNumber(entry.kind))
    view.setUint32(at + 17, entry.payload.length)
    frame.set(entry.payload, at + entryHeaderBytes)
    at += entryHeaderBytes + entry.payload.length
  }
  return at
}

/** The messages of a frame that `from` sent to `to`. Views of `frame`: copy it first to keep them. */
export function decodeFrame(
  frame: Uint8Array,
  ends: { readonly from: number; readonly to: number },
): readonly GroupMessage[] {
  if (frame.length < frameHeaderBytes) throw corrupt('shorter than its header')
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const version = view.getUint8(0)
  if (version !== frameVersion && version !== unfencedVersion) throw corrupt(`version ${version}`)
  if (view.getUint8(1) !== 0) throw corrupt(`kind ${view.getUint8(1)}`)
  if (crc32c(frame.subarray(frameHeaderBytes)) !== view.getUint32(4)) throw corrupt('checksum')
  const count = view.getUint16(2)
  if (count * messageHeaderBytes > frame.length) throw corrupt(`${count} messages announced`)
  const isFenced = version === frameVersion
  const reader: FrameReader = { frame, view, at: frameHeaderBytes, isFenced }
  const messages: GroupMessage[] = []
  for (let i = 0; i < count; i++) messages.push(readMessage(reader, ends))
  if (reader.at !== frame.length) throw corrupt('bytes after the last message')
  return messages
}

type FrameReader = {
  readonly frame: Uint8Array
  readonly view: DataView
  readonly isFenced: boolean
  at: number
}

function readMessage(
  reader: FrameReader,
  ends: { readonly from: number; readonly to: number },
): GroupMessage {
  const { view, isFenced } = reader
  const groupAt = take(reader, isFenced ? messageHeaderBytes + fenceBytes : messageHeaderBytes)
  // Offsets are those of a message without a fence.
  const start = isFenced ? groupAt + fenceBytes : groupAt
  const type = typeByNumber[view.getUint8(start + 56)]
  if (type === undefined) throw corrupt(`message type ${view.getUint8(start + 56)}`)
  const flags = view.getUint8(start + 57)
  if (flags > 1) throw corrupt(`flags ${flags}`)
  const contextBytes = view.getUint16(start + 58)
  const entryCount = view.getUint32(start + 60)
  const contextAt = take(reader, contextBytes)
  const message: Message = {
    type,
    from: ends.from,
    to: ends.to,
    term: getUint64(view, start + 8),
    logTerm: getUint64(view, start + 16),
    index: getUint64(view, start + 24),
    commit: getUint64(view, start + 32),
    vote: getUint64(view, start + 40),
    rejectHint: getUint64(view, start + 48),
    isRejected: flags === 1,
    context: contextBytes === 0 ? noBytes : reader.frame.subarray(contextAt, reader.at),
    entries: readEntries(reader, entryCount),
    snapshot: undefined,
    responses: [],
  }
  const fence = isFenced ? getUint64(view, start) : 0
  return { group: groupId(getUint64(view, groupAt)), fence, message }
}

function readEntries(reader: FrameReader, count: number): readonly Entry[] {
  if (count * entryHeaderBytes > reader.frame.length - reader.at) {
    throw corrupt(`${count} entries announced`)
  }
  const entries: Entry[] = []
  for (let i = 0; i < count; i++) {
    const at = take(reader, entryHeaderBytes)
    const payloadBytes = reader.view.getUint32(at + 17)
    const kind = kindOf(reader.view.getUint8(at + 16))
    const payloadAt = take(reader, payloadBytes)
    entries.push({
      term: getUint64(reader.view, at),
      index: getUint64(reader.view, at + 8),
      kind,
      payload: reader.frame.subarray(payloadAt, reader.at),
    })
  }
  return entries
}

function take(reader: FrameReader, count: number): number {
  const start = reader.at
  if (count > reader.frame.length - start) throw corrupt('it ends inside a message')
  reader.at += count
  return start
}

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000))
  view.setUint32(at + 4, value >>> 0)
}

function getUint64(view: DataView, at: number): number {
  const value = view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
  if (!Number.isSafeInteger(value)) throw corrupt('a number exceeds 2^53-1')
  return value
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed consensus frame: ${what}`)
}
