// What is said on the local network to find a cluster: a question to a multicast group, and answers to whoever asked.
// JSON, small, without secrets: an answer only says where to ask; whom to trust, the token says.
//
//   question   {"atoll": 1, "ask": "cluster", "nonce", "cluster"?}      padded with spaces to questionBytes, so that
//                                                                      nobody gets more bytes than he sent
//   answer     {"atoll": 1, "nonce", "cluster", "region", "node", "host", "port"}

import { utf8Decode, utf8Encode } from '../../base/index.ts'

export const discoveryGroup = '239.77.77.77'
export const questionBytes = 512
const answerBytesMax = questionBytes

export type DiscoveryQuestion = {
  /** 32 hexadecimal digits that the answer repeats. */
  readonly nonce: string
  /** Digits that the cluster's identity begins with. Absent: any. */
  readonly cluster?: string
}

export type DiscoveryAnswer = {
  readonly nonce: string
  readonly cluster: string
  readonly region: string
  readonly node: string
  readonly host: string
  readonly port: number
}

export function encodeQuestion(question: DiscoveryQuestion): Uint8Array {
  const text = JSON.stringify({ atoll: 1, ask: 'cluster', ...question })
  return utf8Encode(text.padEnd(questionBytes, ' '))
}

/** Undefined for anything that is no question of ours. */
export function decodeQuestion(bytes: Uint8Array): DiscoveryQuestion | undefined {
  if (bytes.length !== questionBytes) return undefined
  const fields = readFields(bytes)
  if (fields?.ask !== 'cluster') return undefined
  const { nonce, cluster } = fields
  if (!isNonce(nonce)) return undefined
  if (cluster === undefined) return { nonce }
  if (typeof cluster !== 'string' || !/^[0-9a-f]{4,32}$/.test(cluster)) return undefined
  return { nonce, cluster }
}

/** Undefined for names that do not fit; the node then does not answer. */
export function encodeAnswer(answer: DiscoveryAnswer): Uint8Array | undefined {
  const bytes = utf8Encode(JSON.stringify({ atoll: 1, ...answer }))
  return bytes.length <= answerBytesMax ? bytes : undefined
}

/** Undefined for anything that is no answer to this nonce. */
export function decodeAnswer(bytes: Uint8Array, nonce: string): DiscoveryAnswer | undefined {
  if (bytes.length > answerBytesMax) return undefined
  const fields = readFields(bytes)
  if (fields === undefined || fields.nonce !== nonce) return undefined
  const { cluster, region, node, host, port } = fields
  if (typeof cluster !== 'string' || !/^[0-9a-f]{32}$/.test(cluster)) return undefined
  if (!isName(region) || !isName(node) || !isName(host)) return undefined
  if (typeof port !== 'number' || !Number.isSafeInteger(port) || port < 1 || port > 65_535) {
    return undefined
  }
  return { nonce, cluster, region, node, host, port }
}

function readFields(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(utf8Decode(bytes))
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
  const fields = parsed as Readonly<Record<string, unknown>>
  return fields.atoll === 1 ? fields : undefined
}

function isNonce(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)
}

/** Letters that a terminal can be shown: it comes from anybody. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9._:-]{1,253}$/.test(value)
}
