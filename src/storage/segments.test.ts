import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, type Random, seededRandom, toHex, utf8Encode } from '../base/index.ts'
import { openSegments } from './open-segments.ts'
import type { Segments } from './segments.ts'
import { FaultyDisk, faultyHost } from './testing/faulty-host.ts'

const options = { path: 'seg', unitBytes: 64, fileBytesMax: 2048, reserveBytes: 0 }
const open = (disk: FaultyDisk, seed = 1, shape = {}) =>
  openSegments(faultyHost(disk, seed), { ...options, ...shape })
/** Units beyond a sector, so that a torn write may lose bytes of a unit alone. */
const largeShape = { unitBytes: 1500, fileBytesMax: 12_000 }
const b = utf8Encode

type Model = Map<string, { readonly bytes: Uint8Array; readonly stamp: number }>

async function compare(segments: Segments, model: Model): Promise<void> {
  const listed = segments.list(undefined, 10_000)
  assert.deepEqual(
    listed.map(({ key, bytes, stamp }) => [new TextDecoder().decode(key), bytes, stamp]),
    [...model].sort(([x], [y]) => (x < y ? -1 : 1)).map(([k, v]) => [k, v.bytes.length, v.stamp]),
  )
  for (const [key, { bytes }] of model) assert.deepEqual(await segments.read(b(key)), bytes)
}

async function writeSliced(
  segments: Segments,
  key: string,
  object: { bytes: Uint8Array; stamp: number },
  random: Random,
) {
  const write = segments.write(b(key), { stamp: object.stamp })
  for (let at = 0; at < object.bytes.length; ) {
    const slice = object.bytes.slice(at, at + 1 + random.integer(200))
    await write.append(slice)
    at += slice.length
  }
  await write.seal()
}

test('concurrent writers, deletes, touches and compactions agree with a naive model', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const random = seededRandom(seed)
    let disk = new FaultyDisk()
    let segments = await open(disk, seed)
    const model: Model = new Map()
    for (let round = 0; round < 25; round++) {
      const work: Promise<unknown>[] = []
      const used = new Set<string>()
      for (let i = 0; i < 6; i++) {
        const key = `k${random.integer(20)}`
        if (used.has(key)) continue
        used.add(key)
        work.push(changeOnce(segments, model, key, random))
      }
      if (random.chance(0.3)) work.push(segments.compact({ garbageRatio: 0.2 }))
      await Promise.all(work)
      await compare(segments, model)
      if (!random.chance(0.2)) continue
      await segments.close()
      disk = disk.copy()
      segments = await open(disk, seed + round)
      await compare(segments, model)
    }
    for (const key of model.keys()) assert.equal(await segments.verify(b(key)), 'intact')
    await segments.delete([...model.keys()].map((key) => b(key)))
    await segments.compact({ garbageRatio: 0.01 })
    assert.equal(segments.statistics().objects, 0)
    assert.equal(segments.statistics().liveBytes, 0)
    await segments.close()
  }
})

async function changeOnce(
  segments: Segments,
  model: Model,
  key: string,
  random: Random,
): Promise<void> {
  const draw = random.integer(10)
  const object = { bytes: random.bytes(random.integer(400)), stamp: random.integer(9) }
  if (draw < 5) {
    const written = writeSliced(segments, key, object, random)
    await written
    model.set(key, object)
  } else if (draw < 6) {
    const placed = segments.putUnsynced(b(key), object.bytes)
    model.set(key, { bytes: object.bytes, stamp: 0 })
    assert.deepEqual(await segments.read(b(key)), object.bytes)
    await placed
    await segments.sync()
  } else if (draw < 7) {
    const write = segments.write(b(key))
    await write.append(object.bytes)
    await write.abort()
  } else if (draw < 9 || !model.has(key)) {
    await segments.delete([b(key)])
    model.delete(key)
  } else {
    await segments.touch([b(key)], 77)
    model.set(key, { bytes: model.get(key)?.bytes as Uint8Array, stamp: 77 })
  }
}

type Facts = {
  /** What each key may be after a crash, as text; the first entry is what was acknowledged. */
  readonly possible: Map<string, string[]>
}

const absent = 'absent'
const shown = (bytes: Uint8Array, stamp: number): string => `${stamp}:${toHex(bytes)}`

/** One deterministic run that notes before each step what may be found after a crash, and after it what must. */
async function crashWorkload(disk: FaultyDisk, facts: Facts, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const isLarge = seed % 2 === 0
  const segments = await open(disk, seed, isLarge ? largeShape : {})
  const step = async (key: string, next: string, run: () => Promise<unknown>): Promise<void> => {
    const now = facts.possible.get(key) ?? [absent]
    facts.possible.set(key, [...now, next])
    await run()
    facts.possible.set(key, [next])
  }
  for (let round = 0; round < 9; round++) {
    const keys = ['a', 'b', 'c', 'd', 'e'].filter(() => random.chance(0.7))
    const work = keys.map((key) => {
      const bytes = random.bytes(random.integer(isLarge ? 4000 : 300))
      const stamp = random.integer(4)
      if (random.chance(0.3)) return step(key, absent, () => segments.delete([b(key)]))
      if (random.chance(0.4))
        return step(key, shown(bytes, stamp), () => segments.put(b(key), bytes, { stamp }))
      return step(key, shown(bytes, stamp), () =>
        writeSliced(segments, key, { bytes, stamp }, random),
      )
    })
    await Promise.all(work)
    if (round % 2 === 1) await segments.compact({ garbageRatio: 0.1 })
  }
  await segments.close()
}

test('a crash at every disk call leaves every acknowledged object and no half ones', async () => {
  for (let seed = 1; seed <= 2; seed++) {
    const random = seededRandom(seed * 100)
    let hasEnded = false
    for (let call = 1; !hasEnded; call++) {
      const disk = new FaultyDisk()
      disk.crashAtCall = call
      const facts: Facts = { possible: new Map() }
      const run = crashWorkload(disk, facts, seed)
      hasEnded = await Promise.race([run.then(() => true), disk.crashed.then(() => false)])
      let survivor = disk.afterCrash(random)
      for (let again = 0; again < 3; again++) {
        const shape = seed % 2 === 0 ? largeShape : {}
        const segments = await open(survivor, call + again, shape)
        for (const [key, possible] of facts.possible) {
          const found = segments.find(b(key))
          const state =
            found === undefined ? absent : shown(await segments.read(b(key)), found.stamp)
          assert.ok(
            possible.includes(state),
            `seed ${seed} call ${call} try ${again}: ${key} is ${state.slice(0, 40)}, not ${possible.map((p) => p.slice(0, 40))}`,
          )
          facts.possible.set(key, [state])
        }
        await segments.put(b('extra'), random.bytes(100))
        if (again === 1) await segments.compact({ garbageRatio: 0.05 })
        survivor = again === 0 ? survivor.afterCrash(random) : survivor.copy()
      }
    }
  }
})

test('a damaged unit is refused, its neighbours are not', async () => {
  const random = seededRandom(4)
  const objects = new Map<string, Uint8Array>()
  for (let i = 0; i < 12; i++) objects.set(`k${i}`, random.bytes(150))
  for (const isClosed of [true, false]) {
    const disk = new FaultyDisk()
    const host = faultyHost(disk)
    const segments = await openSegments(host, {
      ...options,
      fileBytesMax: isClosed ? 2048 : 1_000_000,
    })
    for (const [key, bytes] of objects) await segments.put(b(key), bytes)
    host.advance(1000)
    await segments.sync()
    await segments.close()
    const path = disk.paths()[0] as string
    const bytes = disk.peek(path) as Uint8Array
    for (let at = 64; at < Math.min(bytes.length, 1500); at += 37) {
      const bad = bytes.slice()
      bad[at] = (bad[at] as number) ^ 0x10
      const damagedDisk = disk.copy()
      damagedDisk.place(path, bad)
      const again = await openSegments(faultyHost(damagedDisk), options)
      let lost = 0
      for (const [key, expected] of objects) {
        const state = await again.verify(b(key))
        if (state === 'intact') assert.deepEqual(await again.read(b(key)), expected)
        else lost++
        if (state === 'damaged') {
          await assert.rejects(again.read(b(key)), (error) => isFault(error, 'corrupt'))
        }
      }
      assert.ok(lost <= 1, `byte ${at}: ${lost} objects lost`)
      await again.close()
    }
  }
})

test('what lay behind a torn record never follows on a new one', async () => {
  const disk = new FaultyDisk()
  const shape = { fileBytesMax: 1_000_000 }
  const segments = await open(disk, 1, shape)
  await Promise.all(['k0', 'k1', 'k2'].map((key) => segments.put(b(key), b(`${key} value`))))
  const path = disk.paths()[0] as string
  const bytes = disk.peek(path) as Uint8Array
  const at = new TextDecoder('latin1').decode(bytes).indexOf('k1 value')
  bytes[at] = 0
  const torn = disk.copy()
  torn.place(path, bytes)
  let again = await open(torn, 2, shape)
  const names = () => again.list(undefined, 9).map(({ key }) => new TextDecoder().decode(key))
  assert.deepEqual(names(), ['k0'])
  await again.put(b('k1'), b('k1 other'))
  await again.close()
  again = await open(torn.copy(), 3, shape)
  assert.deepEqual(names(), ['k0', 'k1'])
  await again.close()
  await segments.close()
})

test('ranges and streams give exactly their bytes', async () => {
  const random = seededRandom(9)
  const segments = await open(new FaultyDisk())
  const bytes = random.bytes(1000)
  await segments.put(b('object'), bytes)
  await segments.put(b('empty'), new Uint8Array(0))
  for (let i = 0; i < 100; i++) {
    const at = random.integer(1001)
    const count = random.integer(1001 - at)
    assert.deepEqual(await segments.read(b('object'), { at, count }), bytes.slice(at, at + count))
    let streamed = 0
    for await (const slice of segments.stream(b('object'), { at, count })) {
      assert.deepEqual(slice, bytes.slice(at + streamed, at + streamed + slice.length))
      streamed += slice.length
    }
    assert.equal(streamed, count)
  }
  assert.deepEqual(await segments.read(b('empty')), new Uint8Array(0))
  await assert.rejects(segments.read(b('object'), { at: 1, count: 1000 }), (e) =>
    isFault(e, 'invalid'),
  )
  await assert.rejects(segments.read(b('none')), (e) => isFault(e, 'not-found'))
  await assert.rejects(segments.touch([b('none')], 1), (e) => isFault(e, 'not-found'))
  await segments.close()
})

test('a reader survives the compaction of its file', async () => {
  const random = seededRandom(2)
  const segments = await open(new FaultyDisk())
  const bytes = random.bytes(900)
  await segments.put(b('kept'), bytes)
  await segments.put(b('gone'), random.bytes(900))
  await segments.put(b('next'), random.bytes(900))
  await segments.delete([b('gone')])
  const stream = segments.stream(b('kept'))[Symbol.asyncIterator]()
  const first = await stream.next()
  const files = segments.statistics().files
  await segments.compact({ garbageRatio: 0.1 })
  await segments.delete([b('kept')])
  let count = (first.value as Uint8Array).length
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    assert.deepEqual(next.value, bytes.slice(count, count + next.value.length))
    count += next.value.length
  }
  assert.equal(count, 900)
  await segments.sync()
  assert.ok(segments.statistics().files <= files)
  await segments.close()
})

test('a full disk refuses writes whole, keeps what was there, and recovers', async () => {
  const random = seededRandom(3)
  const disk = new FaultyDisk()
  const segments = await open(disk)
  const kept = random.bytes(500)
  await segments.put(b('kept'), kept)
  for (let room = 0; room < 900; room += 60) {
    disk.bytesMax = disk.usedBytes() + room
    const results = await Promise.allSettled([
      segments.put(b('one'), random.bytes(400)),
      segments.put(b('two'), random.bytes(400)),
    ])
    for (const result of results) {
      if (result.status === 'rejected') assert.ok(isFault(result.reason, 'no-space'))
    }
    assert.ok(results.some(({ status }) => status === 'rejected'))
    assert.deepEqual(await segments.read(b('kept')), kept)
    disk.bytesMax = Number.POSITIVE_INFINITY
    await segments.put(b('after'), kept)
    assert.deepEqual(await segments.read(b('after')), kept)
    await segments.delete([b('one'), b('two'), b('after')])
  }
  await segments.close()
  const again = await open(disk.copy())
  assert.deepEqual(
    again.list(undefined, 10).map(({ key }) => new TextDecoder().decode(key)),
    ['kept'],
  )
  await again.close()
})

test('below the reserve writes fail, deletes and reads go on', async () => {
  const disk = new FaultyDisk()
  const segments = await openSegments(faultyHost(disk), { ...options, reserveBytes: 5000 })
  await segments.put(b('kept'), new Uint8Array(100))
  disk.bytesMax = disk.usedBytes() + 4000
  const host = faultyHost(disk)
  const low = await openSegments(host, { ...options, path: 'other', reserveBytes: 5000 })
  await assert.rejects(low.put(b('x'), new Uint8Array(10)), (e) => isFault(e, 'no-space'))
  await low.close()
  await segments.delete([b('kept')])
  assert.equal(segments.find(b('kept')), undefined)
  await segments.close()
})

test('a failed sync stops the node and acknowledges nothing', async () => {
  const host = faultyHost()
  const segments = await openSegments(host, options)
  host.disk.isSyncFailing = true
  let isSettled = false
  const put = segments.put(b('x'), new Uint8Array(10)).finally(() => {
    isSettled = true
  })
  await host.disk.crashed
  for (let i = 0; i < 20; i++) await null
  assert.equal(isSettled, false)
  assert.equal(host.fatal.length, 1)
  void put
})

test('the files cost little more than the objects', async () => {
  const disk = new FaultyDisk()
  const segments = await openSegments(faultyHost(disk), { path: 'seg', reserveBytes: 0 })
  for (let i = 0; i < 8; i++) await segments.put(b(`k${i}`), new Uint8Array(1024 * 1024))
  await segments.close()
  assert.ok(disk.usedBytes() < 8 * 1024 * 1024 * 1.002, `${disk.usedBytes()}`)
})
