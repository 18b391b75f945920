// What a data thread and the core say to each other about databases, a message each way per request, numbered. Batches and
// answers cross as they are in the log, so that the core decodes neither of those that it only passes on.

import {
  bytes,
  type Codec,
  codecOf,
  type MessageOf,
  message,
  nested,
  repeated,
  text,
  uint,
} from '../../base/index.ts'
import { resultMessage } from './answer.ts'
import { statementMessage } from './entry.ts'

export const laneActs = [
  'execute',
  'query',
  'status',
  'replicas',
  'list',
  'create',
  'drop',
] as const
export type LaneAct = (typeof laneActs)[number]

const requestFields = message({
  number: uint(1),
  act: text(2),
  /** Of the database, without its prefix. */
  name: text(3),
  /** Of execute: an encoded SqlBatch. */
  batch: bytes(4),
  statements: repeated(nested(5, statementMessage)),
  level: text(6),
  /** 0: no bound was asked for. */
  freshMs: uint(7),
  timeoutMs: uint(8),
})
const replyFields = message({
  number: uint(1),
  /** An encoded Fault; empty: it succeeded. */
  fault: bytes(2),
  /** Of execute: an encoded SqlAnswer. */
  answer: bytes(3),
  results: repeated(nested(4, resultMessage)),
  /** Of each statement. */
  elapsedUs: repeated(uint(5)),
  /** Of status, replicas and list, as JSON. */
  json: text(6),
})

export type LaneRequest = MessageOf<typeof requestFields>
export type LaneReply = MessageOf<typeof replyFields>

export const laneRequestCodec: Codec<LaneRequest> = codecOf(requestFields)
export const laneReplyCodec: Codec<LaneReply> = codecOf(replyFields)

const noBytes = new Uint8Array(0)

export const emptyReply: LaneReply = {
  number: 0,
  fault: noBytes,
  answer: noBytes,
  results: [],
  elapsedUs: [],
  json: '',
}

export const emptyRequest: LaneRequest = {
  number: 0,
  act: '',
  name: '',
  batch: noBytes,
  statements: [],
  level: '',
  freshMs: 0,
  timeoutMs: 0,
}
