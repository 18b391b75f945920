// A caller's machine, which lives in memory, as a state machine of raft, which must be durable: the commands
// that were applied are rows, in the same transaction as the group's applied index; now and then they are
// replaced by a snapshot, in the same transaction too. Opening restores the snapshot and applies what follows.
//
//   snapshot rows   the stream below in parts of 256 KiB
//   command row     crc32c of the payload u32, big-endian | payload
//   stream          version u8 = 1 | crc32c of the rest u32 | index u64 | digest 32 bytes | state
//
// The digest runs over index, payload and answer of every command, so replicas whose machines answer
// differently are told apart from the first such command on.

import {
  assert,
  concatBytes,
  crc32c,
  Fault,
  type GroupId,
  prefixEnd,
  readUint64,
  sha256,
  uint64Bytes,
} from '../base/index.ts'
import type { AppliedEntry, SnapshotSink, SnapshotSource, StateMachine } from '../raft/index.ts'
import type { Store } from '../storage/index.ts'
import type { ClusterMachine } from './mesh.ts'
import { machinePrefix, meshTable } from './tables.ts'

export const stateBytesMax = 64 * 1024 * 1024
const partBytes = 256 * 1024
const rowsPerPage = 256
const headerBytes = 45
const digestBytes = 32
const version = 1
/** Commands are replaced by a snapshot when they are this many, or weigh more than twice the last one. */
const tailCommandsMax = 16_384
const tailBytesMin = 1024 * 1024

/** Restores what the store holds. Fault 'corrupt' for damaged rows. */
export function createDurableMachine(
  store: Store,
  options: { readonly group: GroupId; readonly machine: ClusterMachine },
): StateMachine {
  return new DurableMachine(store, options.group, options.machine)
}

class DurableMachine implements StateMachine {
  readonly #store: Store
  readonly #machine: ClusterMachine
  readonly #parts: Uint8Array
  readonly #commands: Uint8Array
  #index = 0
  #digest: Uint8Array = new Uint8Array(digestBytes)
  #tailCommands = 0
  #tailBytes = 0
  #stateBytes = 0

  constructor(store: Store, group: GroupId, machine: ClusterMachine) {
    this.#store = store
    this.#machine = machine
    this.#parts = machinePrefix(group, 's')
    this.#commands = machinePrefix(group, 'e')
    this.#load()
  }

  apply(entries: readonly AppliedEntry[]): readonly Uint8Array[] {
    const answers = entries.map(({ index, payload }) => {
      this.#store.put(meshTable, concatBytes([this.#commands, uint64Bytes(index)]), sealed(payload))
      return this.#applyOne(index, payload)
    })
    if (this.#tailCommands > tailCommandsMax || this.#tailBytes > this.#tailBytesMax()) {
      this.#keep(this.#encode())
    }
    return answers
  }

  snapshot(): SnapshotSource {
    return { chunks: partsOf(this.#encode()), close: () => {} }
  }

  install(): SnapshotSink {
    const chunks: Uint8Array[] = []
    let length = 0
    return {
      write: async (chunk) => {
        length += chunk.length
        if (length > headerBytes + stateBytesMax) {
          throw new Fault('too-large', `a machine's state has more than ${stateBytesMax} bytes`)
        }
        chunks.push(chunk.slice())
      },
      finish: () => {
        const stream = concatBytes(chunks)
        this.#restore(stream)
        this.#keep(stream)
      },
      abort: async () => {
        chunks.length = 0
      },
    }
  }

  async sync(): Promise<void> {}

  digest(): Uint8Array {
    return this.#digest
  }

  #load(): void {
    const parts = Array.from(this.#read(this.#parts), ({ value }) => value)
    if (parts.length > 0) this.#restore(concatBytes(parts))
    for (const { key, value } of this.#read(this.#commands)) {
      const payload = value.subarray(4)
      const sum = new DataView(value.buffer, value.byteOffset).getUint32(0)
      if (crc32c(payload) !== sum) throw new Fault('corrupt', 'a command row fails its checksum')
      this.#applyOne(readUint64(key, this.#commands.length), payload)
    }
  }

  *#read(prefix: Uint8Array) {
    const end = prefixEnd(prefix)
    for (let start = prefix; ; ) {
      const rows = this.#store.range(meshTable, { start, end, limit: rowsPerPage })
      yield* rows
      const last = rows.at(-1)
      if (last === undefined || rows.length < rowsPerPage) return
      start = concatBytes([last.key, new Uint8Array(1)])
    }
  }

  #applyOne(index: number, payload: Uint8Array): Uint8Array {
    assert(index > this.#index, 'commands come in order')
    const answer = this.#machine.apply({ index, payload })
    this.#index = index
    this.#digest = sha256(concatBytes([this.#digest, uint64Bytes(index), payload, answer]))
    this.#tailCommands++
    this.#tailBytes += payload.length
    return answer
  }

  #encode(): Uint8Array {
    const state = this.#machine.snapshot()
    assert(state.length <= stateBytesMax, `a machine's state has at most ${stateBytesMax} bytes`)
    const rest = concatBytes([uint64Bytes(this.#index), this.#digest, state])
    const stream = new Uint8Array(5 + rest.length)
    stream[0] = version
    new DataView(stream.buffer).setUint32(1, crc32c(rest))
    stream.set(rest, 5)
    return stream
  }

  #restore(stream: Uint8Array): void {
    if (stream.length < headerBytes || stream[0] !== version) {
      throw new Fault('corrupt', `a machine's snapshot has version ${stream[0]}`)
    }
    const rest = stream.subarray(5)
    const sum = new DataView(stream.buffer, stream.byteOffset).getUint32(1)
    if (crc32c(rest) !== sum) {
      throw new Fault('corrupt', "a machine's snapshot fails its checksum")
    }
    this.#machine.restore(rest.slice(8 + digestBytes))
    this.#index = readUint64(rest, 0)
    this.#digest = rest.slice(8, 8 + digestBytes)
    this.#forgetTail(stream.length)
  }

  /** Within a transaction: the snapshot replaces everything before it. */
  #keep(stream: Uint8Array): void {
    for (const prefix of [this.#parts, this.#commands]) {
      this.#store.deleteRange(meshTable, { start: prefix, end: prefixEnd(prefix) })
    }
    let number = 0
    for (let at = 0; at < stream.length; at += partBytes) {
      const key = concatBytes([this.#parts, uint64Bytes(number++)])
      this.#store.put(meshTable, key, stream.slice(at, at + partBytes))
    }
    this.#forgetTail(stream.length)
  }

  #forgetTail(stateBytes: number): void {
    this.#tailCommands = 0
    this.#tailBytes = 0
    this.#stateBytes = stateBytes
  }

  #tailBytesMax(): number {
    return Math.max(tailBytesMin, 2 * this.#stateBytes)
  }
}

function sealed(payload: Uint8Array): Uint8Array {
  const row = new Uint8Array(4 + payload.length)
  new DataView(row.buffer).setUint32(0, crc32c(payload))
  row.set(payload, 4)
  return row
}

async function* partsOf(stream: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < stream.length; at += partBytes) yield stream.subarray(at, at + partBytes)
}
