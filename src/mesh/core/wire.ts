// The command API of a namespace: one request and one answer per call, rpc method meshCommand. The request names
// the API ('/raft/v1/raft/cron'), so one method serves every namespace of a node.
//
//   request    version u8 = 1 | protobuf
//   answer     version u8 = 1 | protobuf
//
// Numbers of commands and fields keep their meaning for ever.

import {
  bool,
  bytes,
  decodeBytes,
  encodeBytes,
  Fault,
  type Message,
  message,
  type MessageOf,
  nested,
  type NodeId,
  nodeId,
  repeated,
  text,
  uint,
} from '../../base/index.ts'

export const command = {
  set: 1,
  get: 2,
  delete: 3,
  keys: 4,
  apply: 5,
  join: 6,
  exchange: 7,
  members: 8,
} as const

export type Request = {
  readonly api: string
  readonly command: number
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** 0: as this node's replica is. */
  readonly barrierMs: number
  /** What the caller waits at most; durations, so that no clocks are compared. */
  readonly timeoutMs: number
  readonly join: JoinRequest | undefined
  readonly peers: readonly WirePeer[]
  /** Came from another member, which does not lead: it is not passed on again. */
  readonly isForwarded: boolean
}

export type JoinRequest = {
  readonly node: NodeId
  /** It has its state, or was taken in and waits for it; false: a new directory, or one that lost everything. */
  readonly isTakenIn: boolean
  readonly wantsVote: boolean
  readonly address: string
}

export type WirePeer = { readonly node: NodeId; readonly address: string }
export type WireMember = WirePeer & { readonly isVoter: boolean; readonly isLeader: boolean }

export type Answer = {
  /** Of get: it exists; of delete: it did. */
  readonly isFound: boolean
  readonly value: Uint8Array
  readonly keys: readonly Uint8Array[]
  /** There are more keys, after the last. */
  readonly hasMore: boolean
  readonly peers: readonly WirePeer[]
  readonly members: readonly WireMember[]
  /** Of join: the node votes. */
  readonly isVoter: boolean
  /** Of members: the leader says so, as of a moment after the call. */
  readonly isLeaders: boolean
  /** Of a write that was passed on: to whom; 0 for everything else. */
  readonly leader: number
}

export const peersMax = 256
export const keyBytesMax = 4_096
export const version = 1
const noBytes = new Uint8Array(0)

const peerFields = message({ node: uint(1), address: text(2) })
const memberFields = message({
  node: uint(1),
  address: text(2),
  isVoter: bool(3),
  isLeader: bool(4),
})
const joinFields = message({
  node: uint(1),
  isTakenIn: bool(2),
  wantsVote: bool(3),
  address: text(4),
})
const requestFields = message({
  api: text(1),
  command: uint(2),
  key: bytes(3),
  value: bytes(4),
  barrierMs: uint(5),
  timeoutMs: uint(6),
  join: nested(7, joinFields),
  peers: repeated(nested(8, peerFields)),
  isForwarded: bool(9),
})
const answerFields = message({
  isFound: bool(1),
  value: bytes(2),
  keys: repeated(bytes(3)),
  hasMore: bool(4),
  peers: repeated(nested(5, peerFields)),
  members: repeated(nested(6, memberFields)),
  isVoter: bool(7),
  isLeaders: bool(8),
  leader: uint(9),
})

export function encodeRequest(
  request: Pick<Request, 'api' | 'command' | 'timeoutMs'> & Partial<Request>,
): Uint8Array {
  return framed(requestFields, {
    key: noBytes,
    value: noBytes,
    barrierMs: 0,
    join: undefined,
    isForwarded: false,
    ...request,
    peers: [...(request.peers ?? [])],
  })
}

/** Fault 'corrupt' for anything that no correct node sends. */
export function decodeRequest(frame: Uint8Array): Request {
  const raw = unframed(requestFields, frame)
  if (raw.key.length > keyBytesMax) throw corrupt('has a long key')
  const { join } = raw
  return {
    ...raw,
    join: join === undefined ? undefined : { ...join, ...checkPeer(join) },
    peers: checkPeers(raw.peers),
  }
}

export function encodeAnswer(answer: Partial<Answer>): Uint8Array {
  return framed(answerFields, {
    isFound: false,
    value: noBytes,
    hasMore: false,
    isVoter: false,
    isLeaders: false,
    leader: 0,
    ...answer,
    keys: [...(answer.keys ?? [])],
    peers: [...(answer.peers ?? [])],
    members: [...(answer.members ?? [])],
  })
}

/** Fault 'corrupt' for anything that no correct node sends. */
export function decodeAnswer(frame: Uint8Array): Answer {
  if (frame.length === 1 && frame[0] === version) return emptyAnswer
  const raw = unframed(answerFields, frame)
  if (raw.members.length > peersMax) throw corrupt('has too many members')
  return {
    ...raw,
    peers: checkPeers(raw.peers),
    members: raw.members.map((member) => {
      if (member === undefined) throw corrupt('has an empty member')
      return { ...member, ...checkPeer(member) }
    }),
  }
}

const emptyAnswer: Answer = {
  isFound: false,
  value: noBytes,
  keys: [],
  hasMore: false,
  peers: [],
  members: [],
  isVoter: false,
  isLeaders: false,
  leader: 0,
}

// biome-ignore lint/suspicious/noExplicitAny: any record of fields
function framed<M extends Message<any>>(fields: M, value: MessageOf<M>): Uint8Array {
  const body = encodeBytes(fields, value as never)
  const frame = new Uint8Array(1 + body.length)
  frame[0] = version
  frame.set(body, 1)
  return frame
}

// biome-ignore lint/suspicious/noExplicitAny: any record of fields
function unframed<M extends Message<any>>(fields: M, frame: Uint8Array): MessageOf<M> {
  if (frame[0] !== version) throw corrupt(`has version ${frame[0]}`)
  return decodeBytes(fields, frame.subarray(1)) as MessageOf<M>
}

type RawPeer = { readonly node: number; readonly address: string }

function checkPeers(raw: readonly (RawPeer | undefined)[]): readonly WirePeer[] {
  if (raw.length > peersMax) throw corrupt('names too many nodes')
  return raw.map((peer) => {
    if (peer === undefined) throw corrupt('names an empty node')
    return checkPeer(peer)
  })
}

function checkPeer({ node, address }: RawPeer): WirePeer {
  if (node === 0 || address.length > 256) throw corrupt('names no node')
  return { node: nodeId(node), address }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `a command ${what}`)
}
