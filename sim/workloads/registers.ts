// A replicated state machine for the simulator: named registers with write and compare-and-set, their
// rows in the store, the digest a sum of row hashes kept in the same transaction (law 7).

import {
  bytes,
  concatBytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  message,
  readUint64,
  text,
  uint,
  uint64Bytes,
  utf8Decode,
  utf8Encode,
} from '../../src/base/index.ts'
import type { AppliedEntry, SnapshotSink, StateMachine } from '../../src/raft/index.ts'
import type { Store } from '../../src/storage/index.ts'

export const registersTable = 'registers'

const commandFields = message({
  key: text(1),
  value: text(2),
  expected: text(3),
  isCompare: uint(4),
  padding: bytes(5),
})
const rowFields = message({ key: text(1), value: text(2) })
/** A register of its own: a sum over everything applied, in order, so that a repetition shows for ever. */
const appliedKey = '#applied'
const digestKey = new Uint8Array([0])
const empty = new Uint8Array(0)

export type RegisterCommand = {
  readonly key: string
  readonly value: string
  /** Present: only when the register has this value ('' stands for none). */
  readonly expected?: string
  readonly padding?: Uint8Array
}

export function encodeCommand(command: RegisterCommand): Uint8Array {
  return encodeBytes(commandFields, {
    key: command.key,
    value: command.value,
    expected: command.expected ?? '',
    isCompare: command.expected === undefined ? 0 : 1,
    padding: command.padding ?? empty,
  })
}

/** True when the command changed the register. */
export function decodeAnswer(answer: Uint8Array): boolean {
  return answer[0] === 1
}

export function readRegister(store: Store, key: string): string | undefined {
  const value = store.get(registersTable, rowKey(key))
  return value === undefined ? undefined : utf8Decode(value)
}

export function createRegisters(store: Store): StateMachine {
  const digest = (): number => {
    const kept = store.get(registersTable, digestKey)
    return kept === undefined ? 0 : readUint64(kept, 0)
  }
  const put = (key: string, value: string): void => {
    const before = readRegister(store, key)
    let sum = digest()
    if (before !== undefined) sum -= rowHash(key, before)
    sum += rowHash(key, value)
    store.put(registersTable, rowKey(key), utf8Encode(value))
    store.put(registersTable, digestKey, uint64Bytes(sum))
  }
  const apply = (entry: AppliedEntry): Uint8Array => {
    const command = decodeBytes(commandFields, entry.payload)
    const holds =
      command.isCompare === 0 || (readRegister(store, command.key) ?? '') === command.expected
    if (holds) put(command.key, command.value)
    const before = readRegister(store, appliedKey) ?? ''
    put(appliedKey, String(crc32c(concatBytes([utf8Encode(before), entry.payload]))))
    return new Uint8Array([holds ? 1 : 0])
  }
  return {
    apply: (entries) => entries.map(apply),
    snapshot() {
      const rows = store.range(registersTable, { start: new Uint8Array([1]) })
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for (const { key, value } of rows) {
          yield encodeBytes(rowFields, {
            key: utf8Decode(key.subarray(1)),
            value: utf8Decode(value),
          })
        }
      }
      return { chunks: chunks(), close() {} }
    },
    install(): SnapshotSink {
      const staged: { key: string; value: string }[] = []
      return {
        async write(chunk) {
          staged.push(decodeBytes(rowFields, chunk))
        },
        finish() {
          store.deleteRange(registersTable, { start: empty, end: new Uint8Array([255]) })
          for (const { key, value } of staged) put(key, value)
        },
        async abort() {},
      }
    },
    sync: async () => {},
    digest: () => uint64Bytes(digest()),
  }
}

function rowKey(key: string): Uint8Array {
  return utf8Encode(`\u0001${key}`)
}

function rowHash(key: string, value: string): number {
  return crc32c(utf8Encode(`${key}=${value}`))
}
