// The log thread: a LogLane behind a port, and the caller's end of that port.
//
// Messages are a kind byte and a body in base's wire primitives; one message per turn in each direction.
//   to the thread:   1 write (seven zero bytes, then records)  2 read (id, group, low, high, bytesMax)  3 close
//   to the caller:   1 opened (statistics, recovered groups)   2 done (statistics, batches, fault)
//                    3 answer (id, fault or entries)           4 closed   5 refused (fault)

import {
  decodeBytes,
  encodeBytes,
  type Fault,
  faultCodec,
  type GroupId,
  groupId,
  type LogIndex,
  logIndex,
  message,
  Reader,
  text,
  toFault,
  uint,
  Writer,
} from '../base/index.ts'
import type { Host, Port, ThreadProgram } from '../host/index.ts'
import { EntryIndex, fenceOf } from './core/entry-index.ts'
import { BatchEncoder, decodeBatches, entryAt } from './core/log-batch.ts'
import { alignRecord, recordHeaderBytes, reservedRecord } from './core/log-format.ts'
import { LogLane, type LaneOptions, type LaneStatistics } from './log-lane.ts'
import type { LogEntry, RecoveredGroup } from './log.ts'

const laneOptions = message({ path: text(1), segmentBytes: uint(2) })
const writePrefixBytes = 8
const toThread = { write: 1, read: 2, close: 3 } as const
const toCaller = { opened: 1, done: 2, answer: 3, closed: 4, refused: 5 } as const

/** What the caller's side of the log needs of the side with the files, wherever that runs. */
export type LogBackend = {
  readonly recovered: readonly RecoveredGroup[]
  statistics(): LaneStatistics
  /** Takes the buffer over. */
  write(records: Uint8Array): void
  read(
    group: GroupId,
    range: { readonly low: LogIndex; readonly high: LogIndex; readonly bytesMax: number },
  ): Promise<readonly LogEntry[]>
  close(): Promise<void>
}
export type OnDone = (batches: number, fault: Fault | undefined) => void

/** The log's files on the caller's own loop. */
export async function openLoopBackend(
  host: Host,
  options: LaneOptions,
  onDone: OnDone,
): Promise<LogBackend> {
  const { lane, recovered } = await LogLane.open(host, options, onDone)
  return {
    recovered,
    statistics: () => lane.statistics(),
    write: (records) => lane.write(records),
    read: (group, range) => lane.read(group, range),
    close: () => lane.close(),
  }
}

/** The log's files on a thread of their own. */
export async function openThreadBackend(
  host: Host,
  options: LaneOptions,
  onDone: OnDone,
): Promise<LogBackend> {
  const { port, stop } = await host.threads.start(logProgram, encodeBytes(laneOptions, options))
  const opened = Promise.withResolvers<Uint8Array>()
  const closed = Promise.withResolvers<void>()
  const reads = new Map<number, PromiseWithResolvers<readonly LogEntry[]>>()
  let statistics: LaneStatistics = { bytes: 0, segments: 0, syncs: 0, lastSyncMs: 0 }
  let lastRead = 0
  port.onMessage = (received) => {
    const body = received.subarray(1)
    const reader = new Reader(body, 0)
    if (received[0] === toCaller.done) {
      statistics = readStatistics(reader)
      const batches = reader.varint()
      onDone(batches, reader.isAtEnd ? undefined : faultCodec.decode(reader.bytes()))
    } else if (received[0] === toCaller.answer) {
      const id = reader.varint()
      settleRead(reads.get(id), reader)
      reads.delete(id)
    } else if (received[0] === toCaller.opened) opened.resolve(body)
    else if (received[0] === toCaller.refused) opened.reject(faultCodec.decode(body))
    else closed.resolve()
  }
  const first = await opened.promise.catch(async (fault: unknown) => {
    await stop()
    throw fault
  })
  const reader = new Reader(first, 0)
  statistics = readStatistics(reader)
  return {
    recovered: decodeRecovered(reader.bytes()),
    statistics: () => statistics,
    write(records) {
      const sent = new Uint8Array(writePrefixBytes + records.length)
      sent[0] = toThread.write
      sent.set(records, writePrefixBytes)
      port.send(sent, { transfer: true })
    },
    read(group, range) {
      const id = ++lastRead
      const pending = Promise.withResolvers<readonly LogEntry[]>()
      reads.set(id, pending)
      port.send(encodeRead(id, group, range))
      return pending.promise
    },
    async close() {
      port.send(Uint8Array.of(toThread.close))
      await closed.promise
      await stop()
    },
  }
}

const logProgram: ThreadProgram = {
  name: 'log',
  moduleUrl: import.meta.url,
  exportName: 'runLogThread',
  run: runLogThread,
  blockingDisk: true,
}

/** The thread's program; `input` is the encoded options. */
export async function runLogThread(host: Host, port: Port, input: Uint8Array): Promise<void> {
  const options = decodeBytes(laneOptions, input)
  let lane: LogLane
  const onDone: OnDone = (batches, fault) =>
    port.send(encodeDone(lane.statistics(), batches, fault))
  try {
    const opened = await LogLane.open(host, options, onDone)
    lane = opened.lane
    port.onMessage = (received) => receive(lane, port, received)
    port.send(encodeOpened(lane.statistics(), opened.recovered))
  } catch (error) {
    port.onMessage = () => {}
    port.send(withKind(toCaller.refused, faultCodec.encode(toFault(error))))
  }
}

function receive(lane: LogLane, port: Port, received: Uint8Array): void {
  if (received[0] === toThread.write) {
    lane.write(received.subarray(writePrefixBytes))
  } else if (received[0] === toThread.read) {
    const reader = new Reader(received.subarray(1), 0)
    const id = reader.varint()
    const group = groupId(reader.varint())
    const low = logIndex(reader.varint())
    const high = logIndex(reader.varint())
    lane.read(group, { low, high, bytesMax: reader.varint() }).then(
      (entries) => port.send(encodeAnswer(id, group, entries)),
      (error: unknown) => port.send(encodeRefusal(id, toFault(error))),
    )
  } else {
    void lane.close().then(() => port.send(Uint8Array.of(toCaller.closed)))
  }
}

function withKind(kind: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + body.length)
  bytes[0] = kind
  bytes.set(body, 1)
  return bytes
}

function encodeRead(
  id: number,
  group: GroupId,
  range: { readonly low: LogIndex; readonly high: LogIndex; readonly bytesMax: number },
): Uint8Array {
  const writer = new Writer()
  for (const value of [id, group, range.low, range.high, range.bytesMax]) writer.varint(value)
  return withKind(toThread.read, writer.finish())
}

function encodeDone(
  statistics: LaneStatistics,
  batches: number,
  fault: Fault | undefined,
): Uint8Array {
  const writer = new Writer()
  writeStatistics(writer, statistics)
  writer.varint(batches)
  if (fault !== undefined) writer.bytes(faultCodec.encode(fault))
  return withKind(toCaller.done, writer.finish())
}

function encodeOpened(
  statistics: LaneStatistics,
  recovered: readonly RecoveredGroup[],
): Uint8Array {
  const encoder = new BatchEncoder()
  for (const group of recovered) encoder.addBatch([group], true)
  const writer = new Writer()
  writeStatistics(writer, statistics)
  writer.bytes(encoder.take())
  return withKind(toCaller.opened, writer.finish())
}

/** Undoes encodeOpened(): groups travel as restated batches. */
function decodeRecovered(records: Uint8Array): readonly RecoveredGroup[] {
  type Carried = {
    readonly segment: typeof segment
    readonly at: number
    readonly payload: Uint8Array
  }
  const segment = { sequence: 0, live: 0, liveBytes: 0 }
  const index = new EntryIndex<typeof segment, Carried>()
  for (let at = 0; at < records.length; ) {
    const { payloadBytes } = reservedRecord(records, at)
    const start = at + recordHeaderBytes
    const payload = records.subarray(start, start + payloadBytes)
    index.begin({ segment, at, payload })
    decodeBatches(payload, index)
    at += alignRecord(recordHeaderBytes + payloadBytes)
  }
  return [...index.groups.values()].map((state) => ({
    group: state.group,
    hardState: state.hardState,
    cut: state.cut,
    entries: [...state.slots].map(([i, { record, at }]) =>
      entryAt(record.payload, at, logIndex(i)),
    ),
    ...fenceOf(state),
  }))
}

function encodeAnswer(id: number, group: GroupId, entries: readonly LogEntry[]): Uint8Array {
  const encoder = new BatchEncoder()
  encoder.addBatch([{ group, entries }], true)
  const writer = new Writer()
  writer.varint(id)
  writer.varint(1)
  writer.bytes(encoder.take())
  return withKind(toCaller.answer, writer.finish())
}

function encodeRefusal(id: number, fault: Fault): Uint8Array {
  const writer = new Writer()
  writer.varint(id)
  writer.varint(0)
  writer.bytes(faultCodec.encode(fault))
  return withKind(toCaller.answer, writer.finish())
}

function settleRead(
  pending: PromiseWithResolvers<readonly LogEntry[]> | undefined,
  reader: Reader,
): void {
  const isAnswer = reader.varint() === 1
  const body = reader.bytes()
  if (isAnswer) pending?.resolve(decodeRecovered(body)[0]?.entries ?? [])
  else pending?.reject(faultCodec.decode(body))
}

function writeStatistics(writer: Writer, statistics: LaneStatistics): void {
  writer.varint(statistics.bytes)
  writer.varint(statistics.segments)
  writer.varint(statistics.syncs)
  writer.varint(Math.round(statistics.lastSyncMs * 1000))
}

function readStatistics(reader: Reader): LaneStatistics {
  const [bytes, segments, syncs] = [reader.varint(), reader.varint(), reader.varint()]
  return { bytes, segments, syncs, lastSyncMs: reader.varint() / 1000 }
}
