import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Fault,
  groupId,
  isFault,
  logIndex,
  type Random,
  seededRandom,
  term,
  toHex,
} from '../base/index.ts'
import type { GroupAppend, Log, LogEntry } from './log.ts'
import { openLog } from './open-log.ts'
import { FaultyDisk, faultyHost } from './testing/faulty-host.ts'

const segmentBytes = 2048
const open = (disk: FaultyDisk, seed = 1, ownThread = false) =>
  openLog(faultyHost(disk, seed), { path: 'log', ownThread, segmentBytes })

const entry = (index: number, inTerm: number, payload: Uint8Array): LogEntry => ({
  index: logIndex(index),
  term: term(inTerm),
  kind: inTerm % 3,
  payload,
})

function append(log: Log, batch: readonly GroupAppend[]): Promise<void> {
  return new Promise((resolve, reject) => {
    log.append(batch, (fault?: Fault) => (fault === undefined ? resolve() : reject(fault)))
  })
}

/** What a log holds, as text. */
function shown(log: Log): string {
  const groups = [...log.recovered.values()].sort((a, b) => a.group - b.group)
  return JSON.stringify(
    groups.map(({ group, hardState, cut, entries }) => [
      group,
      [hardState.term, hardState.vote, hardState.commit],
      [cut.index, cut.term],
      entries.map(({ index, term: t, kind, payload }) => [index, t, kind, toHex(payload)]),
    ]),
  )
}

/** A naive log: what each batch makes of the state. */
class Model {
  readonly groups = new Map<
    number,
    { hard: number[]; cut: [number, number]; entries: [number, number, number, string][] }
  >()

  apply(batch: readonly GroupAppend[]): void {
    for (const { group, hardState, entries = [], cut, remove } of batch) {
      if (remove === true) this.groups.delete(group)
      if (hardState === undefined && entries.length === 0 && cut === undefined) continue
      const state = this.groups.get(group) ?? { hard: [0, 0, 0], cut: [0, 0], entries: [] }
      this.groups.set(group, state)
      if (hardState !== undefined) state.hard = [hardState.term, hardState.vote, hardState.commit]
      if (cut !== undefined) {
        const at = state.entries.find(([index]) => index === cut.index)
        const isKept = at !== undefined && at[1] === cut.term
        state.entries = isKept ? state.entries.filter(([index]) => index > cut.index) : []
        state.cut = [cut.index, cut.term]
      }
      const first = entries[0]?.index ?? Number.POSITIVE_INFINITY
      state.entries = state.entries.filter(([index]) => index < first)
      for (const e of entries) state.entries.push([e.index, e.term, e.kind, toHex(e.payload)])
    }
  }

  shown(): string {
    const groups = [...this.groups].sort(([a], [b]) => a - b)
    return JSON.stringify(groups.map(([group, s]) => [group, s.hard, s.cut, s.entries]))
  }
}

/** A random batch that a model allows. */
function randomBatch(model: Model, random: Random): readonly GroupAppend[] {
  const batch: GroupAppend[] = []
  const used = new Set<number>()
  for (let i = 0; i <= random.integer(3); i++) {
    const group = groupId(1 + random.integer(4))
    if (used.has(group)) continue
    used.add(group)
    batch.push({ group, ...randomChange(model, group, random) })
  }
  return batch
}

function randomChange(model: Model, group: number, random: Random): Omit<GroupAppend, 'group'> {
  const state = model.groups.get(group)
  const cut = state?.cut ?? [0, 0]
  const entries = state?.entries ?? []
  const last = cut[0] + entries.length
  const draw = random.integer(20)
  if (draw === 0) return { remove: true }
  if (draw <= 3 && entries.length > 0) {
    const at = entries[random.integer(entries.length)] as [number, number, number, string]
    const inTerm = random.chance(0.8) ? at[1] : at[1] + 1
    return { cut: { index: logIndex(at[0]), term: term(inTerm) } }
  }
  if (draw === 4) return { cut: { index: logIndex(last + 5), term: term(9) } }
  const hardState = {
    term: term(random.integer(99)),
    vote: 1,
    commit: logIndex(random.integer(50)),
  }
  if (draw <= 6) return { hardState }
  const first = random.chance(0.2) ? cut[0] + 1 + random.integer(entries.length + 1) : last + 1
  const count = 1 + random.integer(4)
  const made = Array.from({ length: count }, (_, i) =>
    entry(first + i, 1 + random.integer(5), random.bytes(random.integer(120))),
  )
  return random.chance(0.3) ? { hardState, entries: made } : { entries: made }
}

test('random batches agree with a naive log, live and reopened, on the loop and on a thread', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = seededRandom(seed)
    const disk = new FaultyDisk()
    const model = new Model()
    let log = await open(disk, seed, seed % 2 === 0)
    for (let round = 0; round < 150; round++) {
      const waits: Promise<void>[] = []
      for (let i = 0; i <= random.integer(3); i++) {
        const batch = randomBatch(model, random)
        model.apply(batch)
        waits.push(append(log, batch))
      }
      await Promise.all(waits)
      if (random.chance(0.1)) await compareReads(log, model, random)
      if (!random.chance(0.05)) continue
      await log.close()
      log = await open(disk, seed + round, seed % 2 === 0)
      assert.equal(shown(log), model.shown())
    }
    await log.close()
  }
})

async function compareReads(log: Log, model: Model, random: Random): Promise<void> {
  for (const [group, { entries, cut }] of model.groups) {
    await assert.rejects(
      log.read(groupId(group), { low: logIndex(cut[0]), high: logIndex(cut[0]), bytesMax: 1 }),
      (error) => isFault(error, 'compacted'),
    )
    const first = entries[random.integer(Math.max(1, entries.length))]
    const last = entries.at(-1)
    if (first === undefined || last === undefined) continue
    const bytesMax = random.integer(300)
    const range = { low: logIndex(first[0]), high: logIndex(last[0]), bytesMax }
    const found = await log.read(groupId(group), range)
    const wanted = entries.filter(([index]) => index >= first[0]).slice(0, found.length)
    assert.deepEqual(
      found.map((e) => [e.index, e.term, e.kind, toHex(e.payload)]),
      wanted,
    )
    let bytes = 0
    for (const { payload } of found) bytes += payload.length
    assert.ok(found.length === 1 || (found.length > 1 && bytes <= bytesMax))
  }
}

test('a crash at every disk call leaves a prefix with every acknowledged batch', async () => {
  for (let seed = 1; seed <= 2; seed++) {
    const random = seededRandom(seed * 31)
    let hasEnded = false
    for (let call = 1; !hasEnded; call += 1 + random.integer(2)) {
      const disk = new FaultyDisk()
      disk.crashAtCall = call
      const progress = { states: [new Model().shown()], acknowledged: 0 }
      const run = crashWorkload(disk, progress, seed)
      hasEnded = await Promise.race([run.then(() => true), disk.crashed.then(() => false)])
      let survivor = disk.afterCrash(random)
      let state: string | undefined
      for (let again = 0; again < 3; again++) {
        const log = await open(survivor, call + again)
        const found = shown(log)
        if (state === undefined) {
          const allowed = progress.states.slice(progress.acknowledged)
          assert.ok(allowed.includes(found), `seed ${seed} call ${call}`)
        } else assert.equal(found, state, `seed ${seed} call ${call} again ${again}`)
        await append(log, [{ group: groupId(9), hardState: hardState(again) }])
        await log.close()
        state = shown(await open(survivor.copy(), 5))
        survivor = survivor.afterCrash(random)
      }
    }
  }
})

const hardState = (value: number) => ({ term: term(value), vote: 0, commit: logIndex(0) })

async function crashWorkload(
  disk: FaultyDisk,
  progress: { states: string[]; acknowledged: number },
  seed: number,
): Promise<void> {
  const random = seededRandom(seed)
  const log = await open(disk, seed)
  const model = new Model()
  for (let round = 0; round < 18; round++) {
    const waits: Promise<void>[] = []
    for (let i = 0; i <= random.integer(4); i++) {
      const batch = randomBatch(model, random)
      model.apply(batch)
      progress.states.push(model.shown())
      const number = progress.states.length - 1
      const wait = append(log, batch).then(() => {
        assert.equal(progress.acknowledged, number - 1)
        progress.acknowledged = number
      })
      waits.push(wait)
    }
    await Promise.all(waits)
  }
  await log.close()
}

/** Four batches of one entry each in one segment; where each record ends; the states after each. */
async function smallLog() {
  const disk = new FaultyDisk()
  const log = await open(disk)
  const model = new Model()
  const states = [model.shown()]
  const ends = [1024]
  for (let i = 1; i <= 4; i++) {
    const batch = [{ group: groupId(1), entries: [entry(i, 1, new Uint8Array(20).fill(i))] }]
    model.apply(batch)
    states.push(model.shown())
    await append(log, batch)
    ends.push(1024 + log.statistics().bytes - 1024)
  }
  await log.close()
  const path = disk.paths().find((name) => name.startsWith('log/log-')) as string
  return { disk, states, ends, path, bytes: disk.peek(path) as Uint8Array }
}

test('every truncation leaves the batches before it', async () => {
  const { disk, states, ends, path, bytes } = await smallLog()
  for (let length = 0; length < (ends[4] as number) + 20; length++) {
    const cut = disk.copy()
    cut.place(path, bytes.slice(0, length))
    const log = await open(cut)
    const whole = ends.filter((end) => end <= length + 7).length - 1
    const state = shown(log)
    assert.ok(
      [states[Math.max(0, whole)], states[Math.max(0, whole - 1)]].includes(state),
      `${length}`,
    )
    if (length >= (ends[4] as number)) assert.equal(state, states[4])
    await append(log, [{ group: groupId(2), hardState: hardState(3) }])
    await log.close()
    if (length % 100 === 0) assert.match(shown(await open(cut)), /\[2,\[3,0,0\]/)
  }
})

test('every flipped bit of the last batch drops that batch, of an earlier one is refused', async () => {
  const { disk, states, ends, path, bytes } = await smallLog()
  const paddingOf = (end: number) => end - 8
  for (let at = ends[0] as number; at < (ends[4] as number); at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bad = bytes.slice()
      bad[at] = (bad[at] as number) ^ (1 << bit)
      const damaged = disk.copy()
      damaged.place(path, bad)
      const isLast = at >= (ends[3] as number)
      const end = ends.find((e) => e > at) as number
      const opened = await open(damaged).then(shown, (error: unknown) => error)
      if (opened === states[4] && at >= paddingOf(end)) continue
      if (isLast) assert.equal(opened, states[3], `byte ${at} bit ${bit}`)
      else {
        assert.ok(isFault(opened, 'corrupt'), `byte ${at} bit ${bit}`)
        assert.ok(opened.message.includes(path) && opened.message.includes('offset'))
        assert.ok((opened.next ?? '').length > 0)
        assert.deepEqual(damaged.peek(path), bad)
      }
    }
  }
})

test('a torn write of two records, the first one lost, is a torn tail and not damage', async () => {
  const disk = new FaultyDisk()
  const host = faultyHost(disk)
  const log = await openLog(host, { path: 'log', ownThread: false, segmentBytes: 2 ** 21 })
  await append(log, [{ group: groupId(1), entries: [entry(1, 1, new Uint8Array(9))] }])
  const start = log.statistics().bytes
  const large = (i: number) =>
    append(log, [{ group: groupId(1), entries: [entry(i, 1, new Uint8Array(300_000))] }])
  await Promise.all([large(2), large(3)])
  assert.equal(log.statistics().syncs, 2)
  const path = disk.paths().find((name) => name.startsWith('log/log-')) as string
  const bytes = disk.peek(path) as Uint8Array
  bytes.fill(0, start, start + 4096)
  const torn = disk.copy()
  torn.place(path, bytes)
  const again = await open(torn)
  assert.equal(again.recovered.get(groupId(1))?.entries.length, 1)
  await append(again, [{ group: groupId(1), entries: [entry(2, 2, new Uint8Array(300_000))] }])
  await again.close()
  const last = await open(torn)
  assert.deepEqual(
    last.recovered.get(groupId(1))?.entries.map((e) => e.term),
    [1, 2],
  )
  await last.close()
  await log.close()
})

test('damage in an earlier segment, or its absence, is refused', async () => {
  const disk = new FaultyDisk()
  const log = await open(disk)
  for (let i = 1; i <= 60; i++) {
    await append(log, [{ group: groupId(1), entries: [entry(i, 1, new Uint8Array(50))] }])
  }
  await log.close()
  const paths = disk.paths().filter((name) => name.startsWith('log/log-'))
  assert.ok(paths.length >= 3)
  for (const path of paths.slice(0, -1)) {
    const bytes = disk.peek(path) as Uint8Array
    const bad = bytes.slice()
    bad[bytes.length - 500] = (bad[bytes.length - 500] as number) ^ 1
    const damaged = disk.copy()
    damaged.place(path, bad)
    await assert.rejects(open(damaged), (error) => isFault(error, 'corrupt'))
    const missing = disk.copy()
    await missing.remove(path)
    await assert.rejects(open(missing), (error) => isFault(error, 'corrupt'))
    const headless = disk.copy()
    headless.place(
      path,
      bytes.map((byte, i) => (i < 1024 ? 0 : byte)),
    )
    await assert.rejects(open(headless), (error) => isFault(error, 'corrupt'))
  }
})

test('a quiet group does not pin segments, and an idle log stays small', async () => {
  const disk = new FaultyDisk()
  const log = await open(disk)
  const quiet = [1, 2, 3].map((i) => entry(i, 1, new Uint8Array(30).fill(i)))
  await append(log, [{ group: groupId(7), hardState: hardState(4), entries: quiet, fence: 99 }])
  for (let i = 1; i <= 400; i++) {
    const batch: GroupAppend[] = [{ group: groupId(1), entries: [entry(i, 1, new Uint8Array(80))] }]
    if (i % 10 === 0) batch.push({ group: groupId(1), cut: { index: logIndex(i), term: term(1) } })
    await append(log, batch)
    assert.ok(log.statistics().segments <= 5, `${log.statistics().segments}`)
  }
  const read = await log.read(groupId(7), { low: logIndex(1), high: logIndex(3), bytesMax: 1000 })
  assert.deepEqual(read, quiet)
  await log.close()
  assert.ok(disk.usedBytes() <= 6 * segmentBytes)
  const again = await open(disk)
  const found = again.recovered.get(groupId(7))
  assert.deepEqual(found?.entries, quiet)
  assert.deepEqual([found?.hardState.term, found?.fence], [4, 99])
  assert.equal(again.recovered.get(groupId(1))?.cut.index, 400)
  await again.close()
})

test('a full disk refuses batches, keeps nothing of them, and takes new ones when space returns', async () => {
  const disk = new FaultyDisk()
  const host = faultyHost(disk)
  const log = await openLog(host, { path: 'log', ownThread: false, segmentBytes })
  await append(log, [{ group: groupId(1), entries: [entry(1, 1, new Uint8Array(10))] }])
  disk.bytesMax = disk.usedBytes()
  let refused = 0
  for (let i = 0; i < 5; i++) {
    const batch = [{ group: groupId(1), entries: [entry(2, 1, new Uint8Array(900))] }]
    await append(log, batch).catch((error: unknown) => {
      assert.ok(isFault(error, 'no-space'))
      refused++
    })
  }
  assert.ok(refused >= 4)
  disk.bytesMax = Number.POSITIVE_INFINITY
  await append(log, [{ group: groupId(1), entries: [entry(2, 5, new Uint8Array(1500))] }])
  disk.crash()
  const again = await open(disk.afterCrash(seededRandom(1)))
  const found = again.recovered.get(groupId(1))?.entries ?? []
  assert.deepEqual(
    found.map(({ term: t, payload }) => [t, payload.length]),
    [
      [1, 10],
      [5, 1500],
    ],
  )
  assert.equal(host.fatal.length, 0)
  await again.close()
})

test('a batch larger than a segment gets a segment of its own', async () => {
  const disk = new FaultyDisk()
  const log = await open(disk)
  const large = entry(1, 1, seededRandom(1).bytes(20_000))
  await append(log, [{ group: groupId(1), entries: [large] }])
  await append(log, [{ group: groupId(1), entries: [entry(2, 1, new Uint8Array(3))] }])
  await log.close()
  const again = await open(disk)
  assert.deepEqual(again.recovered.get(groupId(1))?.entries[0], large)
  await again.close()
})

test('a failed sync stops the node, done is never called', async () => {
  const host = faultyHost()
  const log = await openLog(host, { path: 'log', ownThread: false, segmentBytes })
  await append(log, [{ group: groupId(1), hardState: hardState(1) }])
  host.disk.isSyncFailing = true
  let isDone = false
  log.append([{ group: groupId(1), hardState: hardState(2) }], () => {
    isDone = true
  })
  await host.disk.crashed
  for (let i = 0; i < 20; i++) await null
  assert.equal(isDone, false)
  assert.equal(host.fatal.length, 1)
})

test('waiting bytes are bounded, and all that waits shares a sync', async () => {
  const host = faultyHost()
  const log = await openLog(host, {
    path: 'log',
    ownThread: false,
    segmentBytes: 64 * 1024,
    waitingBytesMax: 1000,
  })
  await append(log, [{ group: groupId(1), hardState: hardState(1) }])
  const syncs = log.statistics().syncs
  const waits: Promise<void>[] = []
  assert.throws(
    () => {
      for (let i = 1; ; i++) {
        waits.push(append(log, [{ group: groupId(1), entries: [entry(i, 1, new Uint8Array(50))] }]))
        if (i > 100) return
        if (waits.length > 10) log.append([{ group: groupId(2) }], () => {})
      }
    },
    (error) => isFault(error, 'overloaded'),
  )
  await Promise.all(waits)
  assert.equal(log.statistics().syncs, syncs + 1)
  await log.close()
})
