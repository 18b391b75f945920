// Alarms of an etcd cluster: each belongs to a member, whose id has 64 bits and goes back exactly as it came, as the
// bytes of its varint.

import { bytes as bytesField, type Field, message, repeated } from '../../../base/index.ts'
import { enumeration, nested } from './fields.ts'
import { alarmTypes, header } from './messages.ts'

const nothing = new Uint8Array(0)

/** Bytes of a varint, written as they are. It is a field of requests and is never read. */
function rawVarint(number: number): Field<Uint8Array> {
  return {
    number,
    wireType: 0,
    initial: () => nothing,
    write(writer, value) {
      if (value.length === 0) return
      writer.key(number, 0)
      writer.append(value)
    },
    read(reader) {
      reader.signedVarint()
      return nothing
    },
  }
}

export const memberAlarmRequest = message({
  action: enumeration(1, ['GET', 'ACTIVATE', 'DEACTIVATE']),
  member: rawVarint(2),
  alarm: enumeration(3, alarmTypes),
})
/** Each alarm is kept as bytes: see readAlarm. */
export const memberAlarmResponse = message({
  header: nested(1, header),
  alarms: repeated(bytesField(2)),
})

export type MemberAlarm = { readonly member: Uint8Array; readonly alarm: number }

const memberKey = 0x08
const alarmKey = 0x10

/** A message of member (field 1) and alarm (field 2), in that order, as etcd writes it. */
export function readAlarm(encoded: Uint8Array): MemberAlarm {
  let at = 0
  let member: Uint8Array = nothing
  if (encoded[0] === memberKey) {
    at = 1
    while (at < encoded.length && (encoded[at] ?? 0) >= 0x80) at++
    member = encoded.slice(1, ++at)
  }
  return { member, alarm: encoded[at] === alarmKey ? (encoded[at + 1] ?? 0) : 0 }
}
