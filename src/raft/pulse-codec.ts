// Bytes of a pulse (core/pulses.ts): version u8 = 1 | crc32c of what follows u32 | a message in base's
// wire form, in which resting groups are triples of group, term, index. Field numbers are never reused.

import {
  bool,
  codecOf,
  concatBytes,
  crc32c,
  Fault,
  message,
  repeated,
  uint,
} from '../base/index.ts'
import type { Pulse, RestingGroup } from './core/index.ts'

const body = codecOf(
  message({
    boot: uint(1),
    sequence: uint(2),
    base: uint(3),
    version: uint(4),
    isReset: bool(5),
    isAnswerWanted: bool(6),
    resting: repeated(uint(7)),
    woken: repeated(uint(8)),
    refused: repeated(uint(9)),
    ackBoot: uint(10),
    ackSequence: uint(11),
    ackVersion: uint(12),
    isLost: bool(13),
  }),
)
const pulseVersion = 1
const headerBytes = 5

export function encodePulse(pulse: Pulse): Uint8Array {
  const { ack, resting, ...rest } = pulse
  const bytes = body.encode({
    ...rest,
    resting: resting.flatMap(({ group, term, index }) => [group, term, index]),
    ackBoot: ack.boot,
    ackSequence: ack.sequence,
    ackVersion: ack.version,
    isLost: ack.isLost,
  })
  const header = new Uint8Array(headerBytes)
  header[0] = pulseVersion
  new DataView(header.buffer).setUint32(1, crc32c(bytes))
  return concatBytes([header, bytes])
}

/** Fault 'corrupt' for anything but a pulse. */
export function decodePulse(bytes: Uint8Array): Pulse {
  if (bytes.length < headerBytes || bytes[0] !== pulseVersion) throw corrupt('its header')
  const rest = bytes.subarray(headerBytes)
  const sum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
  if (crc32c(rest) !== sum) throw corrupt('its checksum')
  const { resting, ackBoot, ackSequence, ackVersion, isLost, ...fields } = body.decode(rest)
  if (resting.length % 3 !== 0) throw corrupt('a resting group')
  const groups: RestingGroup[] = []
  for (let at = 0; at < resting.length; at += 3) {
    const [group = 0, term = 0, index = 0] = resting.slice(at, at + 3)
    groups.push({ group, term, index })
  }
  const ack = { boot: ackBoot, sequence: ackSequence, version: ackVersion, isLost }
  return { ...fields, resting: groups, ack }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed pulse: ${what}`)
}
