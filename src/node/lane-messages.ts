// Control messages between the core and the data thread: one byte of kind, then the body.
//
//   core -> lane   'serve', 'status-wanted', 'scrub-wanted' (request number), 'stop'
//   lane -> core   'serving', 'failed' (a Fault), 'status' (request number and LaneStatus), 'scrubbed'
//                  (request number and what was found, or a Fault), 'stopped'

import {
  assert,
  bytes,
  type Codec,
  codecOf,
  Fault,
  faultCodec,
  message,
  nested,
  uint,
} from '../base/index.ts'
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
] as const

const requestCodec = codecOf(message({ request: uint(1) }))
const scrubbedCodec = codecOf(
  message({ request: uint(1), verified: uint(2), damaged: uint(3), fault: bytes(4) }),
)
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
    if (kind === 'failed') return { kind, fault: faultCodec.decode(body) }
    if (kind !== 'status') return { kind }
    const { request, status } = statusCodec.decode(body)
    return { kind, request, status: status ?? { content: undefined, objects: 0 } }
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
  if (value.kind === 'status') return statusCodec.encode(value)
  return new Uint8Array(0)
}
