// Requests that set a key, which are most of all, straight to and from their bytes: what wire.ts makes of the same
// request, to the byte. Many of one namespace are read together.
//
//   version 1 | 0x0a length api | 0x10 command | 0x1a length key | 0x22 length value | 0x30 timeoutMs

import { command, keyBytesMax, version } from './wire.ts'

const apiTag = 1 * 8 + 2
const commandTag = 2 * 8
const keyTag = 3 * 8 + 2
const valueTag = 4 * 8 + 2
const timeoutTag = 6 * 8
/** Longer ones take the long way. */
const valueBytesMax = 1024 * 1024
const noBytes = new Uint8Array(0)

/** Keys are of ASCII alone; views of the frames. */
export type KeySet = { readonly key: Uint8Array; readonly value: Uint8Array }

/** As encodeRequest() makes it; `timeoutMs` is a positive integer. */
export function encodeSet(
  api: Uint8Array,
  { key, value, timeoutMs }: KeySet & { readonly timeoutMs: number },
): Uint8Array {
  let length = 1 + fieldBytes(api) + 2 + fieldBytes(key) + fieldBytes(value)
  length += 1 + varintBytes(timeoutMs)
  const frame = new Uint8Array(length)
  frame[0] = version
  let at = writeField(frame, 1, { tag: apiTag, bytes: api })
  frame[at++] = commandTag
  frame[at++] = command.set
  at = writeField(frame, at, { tag: keyTag, bytes: key })
  at = writeField(frame, at, { tag: valueTag, bytes: value })
  frame[at++] = timeoutTag
  writeVarint(frame, at, timeoutMs)
  return frame
}

/** Undefined when they are not all sets of one namespace, or say so in other bytes. */
export function readSets(
  frames: readonly Uint8Array[],
):
  | { readonly api: Uint8Array; readonly sets: readonly KeySet[]; readonly timeoutMs: number }
  | undefined {
  const sets: KeySet[] = []
  const reader = new SetReader()
  let timeoutMs = 0
  for (const frame of frames) {
    const set = reader.read(frame)
    if (set === undefined) return undefined
    sets.push(set)
    timeoutMs = Math.max(timeoutMs, reader.timeoutMs)
  }
  return { api: reader.api, sets, timeoutMs }
}

class SetReader {
  api: Uint8Array = noBytes
  timeoutMs = 0
  /** What all frames begin with: version, API, command. */
  #head: Uint8Array = noBytes
  #frame: Uint8Array = noBytes
  #at = 0

  read(frame: Uint8Array): KeySet | undefined {
    this.#frame = frame
    if (this.#head.length === 0 ? !this.#readHead() : !this.#skipHead()) return undefined
    const key = this.#readField(keyTag, keyBytesMax)
    if (key === undefined || key.length === 0) return undefined
    for (let i = 0; i < key.length; i++) if ((key[i] as number) > 0x7f) return undefined
    const isEmpty = frame[this.#at] !== valueTag
    const value = isEmpty ? noBytes : this.#readField(valueTag, valueBytesMax)
    if (value === undefined || frame[this.#at++] !== timeoutTag) return undefined
    this.timeoutMs = this.#readVarint()
    return this.timeoutMs > 0 && this.#at === frame.length ? { key, value } : undefined
  }

  #readHead(): boolean {
    this.#at = 1
    const api = this.#frame[0] === version ? this.#readField(apiTag, 1024) : undefined
    if (api === undefined || this.#frame[this.#at++] !== commandTag) return false
    if (this.#frame[this.#at++] !== command.set) return false
    this.api = api
    this.#head = this.#frame.subarray(0, this.#at)
    return true
  }

  #skipHead(): boolean {
    const head = this.#head
    for (let i = 0; i < head.length; i++) if (this.#frame[i] !== head[i]) return false
    this.#at = head.length
    return true
  }

  #readField(tag: number, bytesMax: number): Uint8Array | undefined {
    if (this.#frame[this.#at] !== tag) return undefined
    this.#at++
    const length = this.#readVarint()
    const start = this.#at
    if (length < 0 || length > bytesMax || start + length > this.#frame.length) return undefined
    this.#at = start + length
    return this.#frame.subarray(start, this.#at)
  }

  /** -1: it is cut, or of more than four bytes. */
  #readVarint(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#frame[this.#at++]
      if (byte === undefined) return -1
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return -1
  }
}

function varintBytes(value: number): number {
  let count = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) count++
  return count
}

/** An empty one is not written. */
function fieldBytes({ length }: Uint8Array): number {
  return length === 0 ? 0 : 1 + varintBytes(length) + length
}

function writeField(
  frame: Uint8Array,
  start: number,
  { tag, bytes }: { readonly tag: number; readonly bytes: Uint8Array },
): number {
  if (bytes.length === 0) return start
  frame[start] = tag
  const at = writeVarint(frame, start + 1, bytes.length)
  frame.set(bytes, at)
  return at + bytes.length
}

function writeVarint(frame: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) frame[at++] = (rest % 128) | 0x80
  frame[at++] = rest
  return at
}
