// Faults on the wire: those of base, cut to the frame's limit.

import { Fault, faultCodec } from '../base/index.ts'
import { faultBytesMax } from './core/frame.ts'

const textMax = 1024

/** A fault too large for its frame loses its fields and the end of its text. */
export function encodeFault(fault: Fault): Uint8Array {
  const whole = faultCodec.encode(fault)
  if (whole.length <= faultBytesMax) return whole
  const { outcome, s3 } = fault
  return faultCodec.encode(new Fault(fault.code, fault.message.slice(0, textMax), { outcome, s3 }))
}

/** Bytes that are no fault read as 'internal'. */
export function decodeFault(bytes: Uint8Array): Fault {
  try {
    return faultCodec.decode(bytes)
  } catch (cause) {
    return new Fault('internal', 'a peer answered with an unreadable fault', {
      cause,
      outcome: 'unknown',
    })
  }
}
