// Making messages, and judging those that arrive. Every message has every field, so that all have one
// shape for the engine. Judging keeps hostile values away from arithmetic and from local message types.

import {
  type Entry,
  localAppendThread,
  localApplyThread,
  type Message,
  type MessageType,
  none,
} from './types.ts'

/** A message under construction. */
export type Draft = { -readonly [K in keyof Message]: Message[K] }

const noEntries: readonly Entry[] = []
const noMessages: readonly Message[] = []
const noBytes = new Uint8Array(0)

/** Terms and indices beyond this are refused: arithmetic on them stays exact. */
const numberMax = 2 ** 52

export function draft(type: MessageType, to: number): Draft {
  return {
    type,
    to,
    from: none,
    term: 0,
    logTerm: 0,
    index: 0,
    commit: 0,
    vote: 0,
    entries: noEntries,
    snapshot: undefined,
    isRejected: false,
    rejectHint: 0,
    context: noBytes,
    responses: noMessages,
  }
}

export function isLocalTarget(id: number): boolean {
  return id === localAppendThread || id === localApplyThread
}

export function isVoteMessage(type: MessageType): boolean {
  return (
    type === 'vote' || type === 'vote-response' || type === 'prevote' || type === 'prevote-response'
  )
}

/** Messages that claim something durable: they leave only after what they rest on is written. */
export function isSentAfterAppend(type: MessageType): boolean {
  return type === 'append-response' || type === 'vote-response' || type === 'prevote-response'
}

export function isResponse(type: MessageType): boolean {
  switch (type) {
    case 'append-response':
    case 'vote-response':
    case 'heartbeat-response':
    case 'unreachable':
    case 'read-index-response':
    case 'prevote-response':
    case 'storage-append-response':
    case 'storage-apply-response':
      return true
    default:
      return false
  }
}

/**
 * Whether a correct peer or storage thread may have sent this to `self`. Storage threads are trusted;
 * of peers, types that are local, requests that come from this replica itself, messages without a
 * term where one belongs, and numbers out of range are refused.
 */
export function isAcceptable(message: Message, self: number): boolean {
  if (isLocalTarget(message.from)) return true
  const { type, term, index, logTerm, commit, rejectHint } = message
  if (!inRange(term) || !inRange(index) || !inRange(logTerm)) return false
  if (!inRange(commit) || !inRange(rejectHint) || !inRange(message.from)) return false
  switch (type) {
    case 'propose':
    case 'read-index':
    case 'transfer-leader':
      return message.from !== none
    case 'append-response':
    case 'vote-response':
    case 'prevote-response':
      return term > 0
    case 'append':
    case 'heartbeat':
    case 'heartbeat-response':
    case 'snapshot':
    case 'vote':
    case 'prevote':
    case 'timeout-now':
    case 'read-index-response':
      return term > 0 && message.from !== self && message.from !== none
    default:
      return false
  }
}

function inRange(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < numberMax
}

const typeNames: Readonly<Record<MessageType, string>> = {
  hup: 'MsgHup',
  beat: 'MsgBeat',
  propose: 'MsgProp',
  append: 'MsgApp',
  'append-response': 'MsgAppResp',
  vote: 'MsgVote',
  'vote-response': 'MsgVoteResp',
  snapshot: 'MsgSnap',
  heartbeat: 'MsgHeartbeat',
  'heartbeat-response': 'MsgHeartbeatResp',
  unreachable: 'MsgUnreachable',
  'snapshot-status': 'MsgSnapStatus',
  'check-quorum': 'MsgCheckQuorum',
  'transfer-leader': 'MsgTransferLeader',
  'timeout-now': 'MsgTimeoutNow',
  'read-index': 'MsgReadIndex',
  'read-index-response': 'MsgReadIndexResp',
  prevote: 'MsgPreVote',
  'prevote-response': 'MsgPreVoteResp',
  'storage-append': 'MsgStorageAppend',
  'storage-append-response': 'MsgStorageAppendResp',
  'storage-apply': 'MsgStorageApply',
  'storage-apply-response': 'MsgStorageApplyResp',
  'forget-leader': 'MsgForgetLeader',
}

/** The name of the type in etcd's notation, as the scripts and the free logging print it. */
export function formatMessageType(type: MessageType): string {
  return typeNames[type]
}
