// Control messages between the core and the data thread: one byte of kind, then the body.
//
//   core -> lane   'serve', 'status-wanted', 'scrub-wanted' (request number), 'stop', 'credentials' (to be shown from now on)
//   core -> lane   'group' (what the core knows of the group that etcd's API shows), 'leader-moved' (request
//                  number, and a Fault when it failed)
//   lane -> core   'group-wanted', 'leader-wanted' (request number, node)
//   core -> lane   'asked' (request number, question as JSON)
//   lane -> core   'answered' (request number, answer as JSON, or a Fault)
//   lane -> core   'serving', 'failed' (a Fault), 'status' (request number and LaneStatus), 'scrubbed'
//                  (request number and what was found, or a Fault), 'stopped'

import {
  assert,
  bool,
  bytes,
  type Codec,
  codecOf,
  Fault,
  faultCodec,
  message,
  nested,
  repeated,
  text,
  uint,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { Credentials } from '../cluster/index.ts'
import type { EtcdGroup } from '../gateways/index.ts'
import { type LaneStatus, laneFields } from './status.ts'

export type LaneMessage =
  | { readonly kind: 'status-wanted'; readonly request: number }
  | { readonly kind: 'serve' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'failed'; readonly fault: Fault }
  | { readonly kind: 'status'; readonly request: number; readonly status: LaneStatus }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'scrub-wanted'; readonly request: number }
  | { readonly kind: 'scrubbed'; readonly request: number; readonly result: ScrubResult | Fault }
  | { readonly kind: 'group-wanted' }
  | { readonly kind: 'group'; readonly group: EtcdGroup }
  | { readonly kind: 'credentials'; readonly credentials: Credentials }
  | { readonly kind: 'leader-wanted'; readonly request: number; readonly to: number }
  | { readonly kind: 'leader-moved'; readonly request: number; readonly fault: Fault | undefined }
  | { readonly kind: 'asked'; readonly request: number; readonly json: string }
  | { readonly kind: 'answered'; readonly request: number; readonly result: string | Fault }

export type ScrubResult = { readonly verified: number; readonly damaged: number }

const kinds = [
  'status-wanted',
  'stop',
  'serving',
  'failed',
  'status',
  'stopped',
  'scrub-wanted',
  'scrubbed',
  'serve',
  'group-wanted',
  'group',
  'leader-wanted',
  'leader-moved',
  'credentials',
  'asked',
  'answered',
] as const

const requestCodec = codecOf(message({ request: uint(1) }))
const scrubbedCodec = codecOf(
  message({ request: uint(1), verified: uint(2), damaged: uint(3), fault: bytes(4) }),
)
const groupCodec = codecOf(
  message({
    term: uint(1),
    leader: uint(2),
    commit: uint(3),
    applied: uint(4),
    isLearner: bool(5),
    voters: repeated(uint(6)),
    learners: repeated(uint(7)),
    leaderChanges: uint(8),
  }),
)
const leaderCodec = codecOf(message({ request: uint(1), to: uint(2) }))
const movedCodec = codecOf(message({ request: uint(1), fault: bytes(2) }))
const jsonCodec = codecOf(message({ request: uint(1), json: text(2), fault: bytes(3) }))
const statusCodec = codecOf(message({ request: uint(1), status: nested(2, laneFields) }))

export const laneMessageCodec: Codec<LaneMessage> = {
  encode(value) {
    const body = encodeBody(value)
    const encoded = new Uint8Array(body.length + 1)
    encoded[0] = kinds.indexOf(value.kind)
    encoded.set(body, 1)
    return encoded
  },
  decode(encoded) {
    const kind = kinds[encoded[0] ?? kinds.length]
    assert(kind !== undefined, 'threads of one node speak one version')
    const body = encoded.subarray(1)
    if (kind === 'status-wanted' || kind === 'scrub-wanted') {
      return { kind, ...requestCodec.decode(body) }
    }
    if (kind === 'scrubbed') {
      const { request, fault, ...found } = scrubbedCodec.decode(body)
      return { kind, request, result: fault.length === 0 ? found : faultCodec.decode(fault) }
    }
    if (kind === 'credentials') return { kind, credentials: JSON.parse(utf8Decode(body)) }
    if (kind === 'failed') return { kind, fault: faultCodec.decode(body) }
    if (kind === 'group') return { kind, group: groupCodec.decode(body) }
    if (kind === 'leader-wanted') return { kind, ...leaderCodec.decode(body) }
    if (kind === 'leader-moved') {
      const { request, fault } = movedCodec.decode(body)
      return { kind, request, fault: fault.length === 0 ? undefined : faultCodec.decode(fault) }
    }
    if (kind === 'asked' || kind === 'answered') {
      const { request, json, fault } = jsonCodec.decode(body)
      if (kind === 'asked') return { kind, request, json }
      return { kind, request, result: fault.length === 0 ? json : faultCodec.decode(fault) }
    }
    if (kind !== 'status') return { kind }
    const { request, status } = statusCodec.decode(body)
    return { kind, request, status: status ?? { content: undefined, objects: 0, services: [] } }
  },
}

function encodeBody(value: LaneMessage): Uint8Array {
  if (value.kind === 'status-wanted' || value.kind === 'scrub-wanted') {
    return requestCodec.encode(value)
  }
  if (value.kind === 'scrubbed') {
    const { request, result } = value
    const nothing = { request, verified: 0, damaged: 0, fault: new Uint8Array(0) }
    return result instanceof Fault
      ? scrubbedCodec.encode({ ...nothing, fault: faultCodec.encode(result) })
      : scrubbedCodec.encode({ ...nothing, ...result })
  }
  if (value.kind === 'failed') return faultCodec.encode(value.fault)
  if (value.kind === 'credentials') return utf8Encode(JSON.stringify(value.credentials))
  if (value.kind === 'group') return groupCodec.encode(value.group)
  if (value.kind === 'leader-wanted') return leaderCodec.encode(value)
  if (value.kind === 'leader-moved') {
    const { request, fault } = value
    return movedCodec.encode({
      request,
      fault: fault === undefined ? new Uint8Array(0) : faultCodec.encode(fault),
    })
  }
  if (value.kind === 'asked') return jsonCodec.encode({ ...value, fault: new Uint8Array(0) })
  if (value.kind === 'answered') {
    const { request, result } = value
    const isFault = result instanceof Fault
    const fault = isFault ? faultCodec.encode(result) : new Uint8Array(0)
    return jsonCodec.encode({ request, json: isFault ? '' : result, fault })
  }
  if (value.kind === 'status') return statusCodec.encode(value)
  return new Uint8Array(0)
}
