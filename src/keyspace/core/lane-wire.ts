// Messages between a data thread and the core thread about keyspaces. A message carries everything
// that one turn has: many requests one way, many answers and the freshness of replicas the other way.

import {
  bool,
  bytes,
  decodeBytes,
  encodeBytes,
  Fault,
  type Field,
  message,
  nested,
  repeated,
  text,
  uint,
} from '../../base/index.ts'
import { requestKinds } from './calls.ts'

/** leave, progress, grant: to the feed of the namespace; they get no answer. */
export const laneKinds = ['open', 'cancel', 'leave', 'progress', 'grant', ...requestKinds] as const
export type LaneKind = (typeof laneKinds)[number]

export type LaneRequest = {
  /** Chosen by the data thread; a cancel carries the id of what it cancels. */
  readonly id: number
  readonly kind: LaneKind
  /** The number that open was answered with; 0 for open and cancel. */
  readonly namespace: number
  readonly deadlineMs: number
  readonly isSerializable: boolean
  /** A name (open), an encoded request, a WatchPull (events, leave), bytes (grant), or nothing. */
  readonly body: Uint8Array
  /** Which of the thread's feeds, one after the other, an events, leave, progress or grant is for; else 0. */
  readonly feed: number
}

export type LaneAnswer = {
  readonly id: number
  /** Encoded Fault; empty for success. */
  readonly fault: Uint8Array
  readonly body: Uint8Array
  /** Of open: the number of the namespace. */
  readonly namespace: number
}

export type LaneFreshness = {
  readonly namespace: number
  readonly revision: number
  readonly guard: number
  /** Whole milliseconds, rounded up; Infinity without a replica. */
  readonly heardMsAgo: number
}

/** A chunk of events for the watches of a thread, or the end of their feed. */
export type LaneFeed = {
  readonly namespace: number
  readonly feed: number
  readonly chunk: Uint8Array
  /** Encoded Fault: the feed has ended with it. Empty for a chunk. */
  readonly fault: Uint8Array
}

export type LaneNews = {
  /** Count before the feeds of the same message: a watch joins before it is sent anything. */
  readonly answers: readonly LaneAnswer[]
  readonly feeds: readonly LaneFeed[]
  readonly freshness: readonly LaneFreshness[]
  /** The core's end is closing. */
  readonly isClosed: boolean
}

const requestFields = message({
  id: uint(1),
  kind: uint(2),
  namespace: uint(3),
  deadlineMs: uint(4),
  isSerializable: bool(5),
  body: bytes(6),
  feed: uint(7),
})
const requestsFields = message({ requests: many(nested(1, requestFields)) })
const answerFields = message({ id: uint(1), fault: bytes(2), body: bytes(3), namespace: uint(4) })
const freshnessFields = message({
  namespace: uint(1),
  revision: uint(2),
  heardMsAgo: uint(3),
  hasReplica: bool(4),
  guard: uint(5),
})
const feedFields = message({ namespace: uint(1), chunk: bytes(2), feed: uint(3), fault: bytes(4) })
const newsFields = message({
  answers: many<LaneAnswer>(nested(1, answerFields)),
  freshness: many(nested(2, freshnessFields)),
  isClosed: bool(3),
  feeds: many<LaneFeed>(nested(4, feedFields)),
})
const nameFields = message({ name: text(1) })

function many<T>(field: Field<T | undefined>): Field<readonly T[]> {
  return repeated(field as Field<T>)
}

export function encodeLaneRequests(requests: readonly LaneRequest[]): Uint8Array {
  return encodeBytes(requestsFields, {
    requests: requests.map((request) => ({
      ...request,
      kind: laneKinds.indexOf(request.kind),
      deadlineMs: Math.max(1, Math.ceil(request.deadlineMs)),
    })),
  })
}

export function decodeLaneRequests(encoded: Uint8Array): readonly LaneRequest[] {
  return decodeBytes(requestsFields, encoded).requests.map((fields) => {
    const kind = laneKinds[fields.kind]
    if (kind === undefined) throw new Fault('corrupt', 'malformed message: an unknown kind')
    return { ...fields, kind }
  })
}

export function encodeLaneNews(news: LaneNews): Uint8Array {
  return encodeBytes(newsFields, {
    ...news,
    freshness: news.freshness.map(({ namespace, revision, guard, heardMsAgo }) => ({
      namespace,
      revision,
      guard,
      heardMsAgo: Number.isFinite(heardMsAgo) ? Math.ceil(heardMsAgo) : 0,
      hasReplica: Number.isFinite(heardMsAgo),
    })),
  })
}

export function decodeLaneNews(encoded: Uint8Array): LaneNews {
  const news = decodeBytes(newsFields, encoded)
  return {
    ...news,
    freshness: news.freshness.map(({ namespace, revision, guard, heardMsAgo, hasReplica }) => ({
      namespace,
      revision,
      guard,
      heardMsAgo: hasReplica ? heardMsAgo : Number.POSITIVE_INFINITY,
    })),
  }
}

export function encodeName(name: string): Uint8Array {
  return encodeBytes(nameFields, { name })
}

export function decodeName(encoded: Uint8Array): string {
  return decodeBytes(nameFields, encoded).name
}
