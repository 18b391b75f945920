// Control messages between the core and the data thread: one byte of kind, then the body.
//
//   core -> lane   'status-wanted' (request number), 'stop'
//   lane -> core   'serving', 'failed' (a Fault), 'status' (request number and LaneStatus), 'stopped'

import {
  assert,
  type Codec,
  codecOf,
  type Fault,
  faultCodec,
  message,
  nested,
  uint,
} from '../base/index.ts'
import { type LaneStatus, laneFields } from './status.ts'

export type LaneMessage =
  | { readonly kind: 'status-wanted'; readonly request: number }
  | { readonly kind: 'stop' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'failed'; readonly fault: Fault }
  | { readonly kind: 'status'; readonly request: number; readonly status: LaneStatus }
  | { readonly kind: 'stopped' }

const kinds = ['status-wanted', 'stop', 'serving', 'failed', 'status', 'stopped'] as const

const requestCodec = codecOf(message({ request: uint(1) }))
const statusCodec = codecOf(message({ request: uint(1), status: nested(2, laneFields) }))

export const laneMessageCodec: Codec<LaneMessage> = {
  encode(value) {
    const body = encodeBody(value)
    const bytes = new Uint8Array(body.length + 1)
    bytes[0] = kinds.indexOf(value.kind)
    bytes.set(body, 1)
    return bytes
  },
  decode(bytes) {
    const kind = kinds[bytes[0] ?? kinds.length]
    assert(kind !== undefined, 'threads of one node speak one version')
    const body = bytes.subarray(1)
    if (kind === 'status-wanted') return { kind, ...requestCodec.decode(body) }
    if (kind === 'failed') return { kind, fault: faultCodec.decode(body) }
    if (kind !== 'status') return { kind }
    const { request, status } = statusCodec.decode(body)
    return { kind, request, status: status ?? { content: undefined, objects: 0 } }
  },
}

function encodeBody(value: LaneMessage): Uint8Array {
  if (value.kind === 'status-wanted') return requestCodec.encode(value)
  if (value.kind === 'failed') return faultCodec.encode(value.fault)
  if (value.kind === 'status') return statusCodec.encode(value)
  return new Uint8Array(0)
}
