import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, toHex, utf8Encode } from '../base/index.ts'
import { decodeSegmentEnds, encodeSegmentEnds } from './core/segment-ends.ts'
import { openSegments } from './open-segments.ts'
import type { Segments } from './segments.ts'
import { FaultyDisk, faultyHost } from './testing/faulty-host.ts'

const options = { path: 'seg', unitBytes: 64, fileBytesMax: 1_000_000, reserveBytes: 0 }
const segmentPath = 'seg/seg-00000001.bin'
const endsPath = 'seg/seg-ends.bin'
/** The records of the last object and the seal before them. */
const tailBytes = 200
const b = utf8Encode
const salt = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

const objects = new Map(
  ['k0', 'k1', 'k2', 'k3'].map((key) => [key, seededRandom(7).bytes(key === 'k1' ? 100 : 50)]),
)

/** A disk whose segments were closed cleanly right after their last seal. */
async function closedCleanly(): Promise<FaultyDisk> {
  const disk = new FaultyDisk()
  const segments = await openSegments(faultyHost(disk), options)
  for (const [key, bytes] of objects) await segments.put(b(key), bytes)
  await segments.close()
  return disk
}

async function openJournaled(disk: FaultyDisk) {
  const events: string[] = []
  const host = faultyHost(disk, 5)
  const journal = { ...host.journal, event: (_: string, name: string) => void events.push(name) }
  const segments = await openSegments({ ...host, journal }, options)
  return { segments, events }
}

/** Keys that are not as they were acknowledged; what is read is never anything else. */
async function lostKeys(segments: Segments): Promise<readonly string[]> {
  const lost: string[] = []
  for (const [key, bytes] of objects) {
    const state = await segments.verify(b(key))
    if (state === 'intact') assert.deepEqual(await segments.read(b(key)), bytes)
    else lost.push(`${key} ${state}`)
    if (state !== 'damaged') continue
    await assert.rejects(segments.read(b(key)), (error) => isFault(error, 'corrupt'))
  }
  return lost
}

/** New objects go on behind the damage, and a crash or a clean close leaves old and new as they are. */
async function goesOn(disk: FaultyDisk, segments: Segments, lost: readonly string[]) {
  await segments.put(b('new'), b('new value'))
  for (const next of [disk.afterCrash(seededRandom(3)), disk]) {
    if (next === disk) await segments.close()
    const { segments: again } = await openJournaled(next.copy())
    assert.deepEqual(await lostKeys(again), lost)
    assert.deepEqual(await again.read(b('new')), b('new value'))
    await again.close()
  }
}

test('after a clean close no flipped bit of a segment costs more than its object, and none is silent', async () => {
  const clean = await closedCleanly()
  const bytes = clean.peek(segmentPath) as Uint8Array
  const tailAt = bytes.length - tailBytes
  for (let bit = tailAt * 8; bit < bytes.length * 8; bit++) {
    const disk = clean.copy()
    const bad = bytes.slice()
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    disk.place(segmentPath, bad)
    const { segments, events } = await openJournaled(disk)
    const lost = await lostKeys(segments)
    assert.ok(lost.length <= 1, `bit ${bit}: ${lost}`)
    const isMissing = lost.some((state) => state.endsWith('missing'))
    if (isMissing) assert.ok(events.includes('storage.segment_damaged'), `bit ${bit}`)
    if (bit % 64 === 5) await goesOn(disk, segments, lost)
    else await segments.close()
  }
})

test('a segment that is shorter than a clean close proved is reported and takes no more records', async () => {
  const clean = await closedCleanly()
  const bytes = clean.peek(segmentPath) as Uint8Array
  let lostMost = 0
  for (let length = bytes.length - tailBytes; length < bytes.length; length++) {
    const disk = clean.copy()
    disk.place(segmentPath, bytes.slice(0, length))
    const { segments, events } = await openJournaled(disk)
    assert.ok(events.includes('storage.segment_damaged'), `${length} bytes`)
    const lost = await lostKeys(segments)
    assert.deepEqual(lost, lost.length === 1 ? ['k3 missing'] : ['k2 missing', 'k3 missing'])
    lostMost = Math.max(lostMost, lost.length)
    if (length % 16 === 3) await goesOn(disk, segments, lost)
    else await segments.close()
  }
  assert.equal(lostMost, 2)
})

test('without a clean close, an end that nothing proves is cut as torn', async () => {
  const disk = new FaultyDisk()
  const segments = await openSegments(faultyHost(disk), options)
  for (const [key, bytes] of objects) await segments.put(b(key), bytes)
  const bytes = disk.peek(segmentPath) as Uint8Array
  await segments.close()
  const torn = disk.copy()
  torn.place(segmentPath, bytes.slice(0, bytes.length - 1))
  await torn.remove(endsPath)
  const { segments: again, events } = await openJournaled(torn)
  assert.deepEqual(await lostKeys(again), ['k3 missing'])
  assert.deepEqual(events, [])
  await again.close()
})

test('a damaged proof is reported and costs nothing', async () => {
  const clean = await closedCleanly()
  const bytes = clean.peek(endsPath) as Uint8Array
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const disk = clean.copy()
    const bad = bytes.slice()
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    disk.place(endsPath, bad)
    const { segments, events } = await openJournaled(disk)
    assert.deepEqual(events, ['storage.segment_damaged'])
    assert.deepEqual(await lostKeys(segments), [])
    await segments.close()
  }
})

test('what is written after a clean close needs no new proof, and the old one stays true', async () => {
  const disk = await closedCleanly()
  const { segments } = await openJournaled(disk)
  await segments.put(b('new'), b('new value'))
  const crashed = disk.afterCrash(seededRandom(1))
  const bytes = crashed.peek(segmentPath) as Uint8Array
  bytes[bytes.length - 20] = (bytes[bytes.length - 20] as number) ^ 1
  crashed.place(segmentPath, bytes)
  const { segments: again, events } = await openJournaled(crashed)
  assert.deepEqual(await lostKeys(again), [])
  assert.equal(again.find(b('new')), undefined)
  assert.deepEqual(events, [])
  await again.close()
  await segments.close()
})

test('golden bytes of a proof; what is not one is refused', () => {
  const ends = [{ number: 7, salt, durable: 4096 }]
  const bytes = encodeSegmentEnds(ends)
  assert.equal(toHex(bytes), '4153450127edb1fc010000000000000001020304050607080700000000100000')
  assert.deepEqual(decodeSegmentEnds(bytes), ends)
  assert.deepEqual(decodeSegmentEnds(encodeSegmentEnds([])), [])
  const random = seededRandom(1)
  for (let i = 0; i < 500; i++) {
    const bad = random.chance(0.5) ? random.bytes(random.integer(64)) : bytes.slice()
    if (bad.length === bytes.length) bad[random.integer(bad.length)] = random.integer(256)
    if (toHex(bad) === toHex(bytes)) continue
    assert.throws(
      () => decodeSegmentEnds(bad),
      (error) => isFault(error, 'corrupt'),
    )
  }
})
