import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  concatBytes,
  groupId,
  isFault,
  nodeId,
  seededRandom,
  toHex,
  utf8Encode,
} from '../base/index.ts'
import { FaultyDisk } from '../storage/testing/faulty-host.ts'
import { generationCount } from './fence.ts'
import { Pace } from './pace.ts'
import { restorePath } from './restoring.ts'
import {
  decodeSnapshotHead,
  encodeSnapshotHead,
  headOf,
  type SnapshotHead,
  scanSnapshotFile,
  writeSnapshotFile,
} from './snapshot-file.ts'
import { shelvedSnapshots } from './snapshot-shelf.ts'
import { TestCluster } from './testing/cluster.ts'
import { TestDisk } from './testing/doubles.ts'
import { testHost, TestLoop } from './testing/loop.ts'

const head: SnapshotHead = {
  group: groupId(3),
  name: '/raft/a',
  fence: { clusterId: new Uint8Array([1, 2]), generation: 0 },
  metadata: {
    index: 9,
    term: 2,
    confState: {
      voters: [1, 2, 3],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
  },
  takenMs: 1_000,
  mark: new Uint8Array(16).fill(5),
}
const noPace = async (): Promise<void> => {}

async function written(chunks: readonly Uint8Array[]): Promise<FaultyDisk> {
  async function* all(): AsyncGenerator<Uint8Array> {
    yield* chunks
  }
  const disk = new FaultyDisk()
  const source = { chunks: all(), close() {} }
  await writeSnapshotFile(disk, 's/3/a.snapshot', { head, source, pace: noPace })
  return disk
}

test('a snapshot file keeps its bytes', async () => {
  const disk = await written([utf8Encode('one'), utf8Encode('two')])
  const bytes = disk.peek('s/3/a.snapshot') as Uint8Array
  assert.equal(
    toHex(bytes),
    '4152530100000030d24a1b4c080312072f726166742f611a020102280930023a0608010802080340e8074a100505050505050505050505050505050501000000000000032a94b2e96f6e65010000000000000352d8b3a374776f0200000000000002943c2259',
  )
  assert.deepEqual(decodeSnapshotHead(encodeSnapshotHead(head)), head)
  assert.deepEqual((await shelvedSnapshots(disk, 's'))[0]?.head, head)
})

test('whatever is cut or flipped, the scan stops at the last whole chunk before it', async () => {
  const chunks = [100, 30, 70].map((count, i) => new Uint8Array(count).fill(i + 1))
  const disk = await written(chunks)
  const whole = disk.peek('s/3/a.snapshot') as Uint8Array
  const headBytes = encodeSnapshotHead(head).length
  const ends = [0, 1, 2, 3].map((count) =>
    chunks.slice(0, count).reduce((at, chunk) => at + 12 + chunk.length, headBytes),
  )
  const random = seededRandom(1)
  for (let round = 0; round < 300; round++) {
    const at = headBytes + random.integer(whole.length - headBytes)
    const isCut = random.chance(0.5)
    const bad = isCut ? whole.slice(0, at) : whole.slice()
    if (!isCut) bad[at] = (bad[at] as number) ^ (1 << random.integer(8))
    disk.place('bad', bad)
    const given: Uint8Array[] = []
    const file = await disk.open('bad')
    const scan = await scanSnapshotFile(file, async (chunk) => void given.push(chunk))
    const before = ends.filter((end) => end <= at).at(-1) as number
    assert.equal(scan.intactBytes, before, `byte ${at}`)
    assert.equal(scan.isWhole, false)
    assert.ok(given.every((chunk, i) => toHex(chunk) === toHex(chunks[i] as Uint8Array)))
  }
  for (let round = 0; round < 300; round++) {
    disk.place('noise', random.bytes(random.integer(200)))
    assert.equal(await headOf(disk, 'noise').catch((error) => isFault(error, 'corrupt')), undefined)
  }
})

test('a broken stream goes on where it broke, also after a crash of the member', async () => {
  const snapshots = { bytesPerSecond: 1_000_000, everyMs: 0 }
  const cluster = new TestCluster({ logBytesMax: 200_000, snapshots })
  for (const id of [1, 2, 3]) await cluster.start(id)
  await cluster.electLeader()
  const lagging = cluster.leaderId() === 3 ? 2 : 3
  cluster.crash(lagging)
  const line = 'x'.repeat(40_000)
  for (let i = 0; i < 60; i++) await cluster.propose(`${i} ${line}`)
  await cluster.loop.pass(2_000)
  await cluster.start(lagging)
  await cluster.loop.until(() => cluster.network.streamedBytes > 1_000_000)
  cluster.crash(lagging)
  cluster.network.breakStreams()
  await cluster.start(lagging)
  const before = cluster.network.streamedBytes
  await cluster.loop.until(() => cluster.network.streamedBytes > before + 600_000)
  cluster.network.breakStreams()
  await cluster.loop.until(() => cluster.lines(lagging).length === 60, 60_000)
  const overhead = cluster.network.streamedBytes / 2_400_000
  assert.ok(overhead < 1.55, `${overhead} times the state was sent`)
  const { raft } = cluster.nodes.get(lagging) ?? {}
  await cluster.loop.until(() => raft?.statistics().snapshotsInstalled === 1)
  await cluster.loop.pass(100)
  assert.ok(
    !cluster.disks
      .get(lagging)
      ?.files.paths()
      .some((path) => path.endsWith('.part')),
  )
})

test('files are taken in time, the latest three stay, and the log reaches back to what is being sent', async () => {
  const snapshots = { everyMs: 800, everyEntries: 5, path: 'elsewhere/kept' }
  const cluster = new TestCluster({ snapshots })
  await cluster.start(1, [1])
  await cluster.electLeader()
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 6; i++) await cluster.propose(`${round} ${i}`)
    await cluster.loop.pass(1_000)
  }
  const files = (cluster.disks.get(1) as TestDisk).files
  const shelved = await cluster.loop.result(shelvedSnapshots(files, 'elsewhere/kept'))
  assert.equal(shelved.length, 3)
  const indices = shelved.map(({ head: { metadata } }) => metadata.index)
  assert.deepEqual(
    indices,
    [...indices].sort((a, b) => a - b),
  )
  assert.equal(indices.at(-1), cluster.group(1).status().applied)
})

test('a group whose members are all lost comes back from a file, as a new generation', async () => {
  const clusterId = new Uint8Array(16).fill(3)
  const snapshots = { everyMs: 800, everyEntries: 1 }
  const cluster = new TestCluster({ snapshots })
  for (const id of [1, 2]) await cluster.start(id, [1, 2], { clusterId })
  await cluster.electLeader()
  for (let i = 0; i < 5; i++) await cluster.propose(`${i}`)
  await cluster.loop.pass(2_000)
  for (const id of [1, 2]) cluster.crash(id)
  const files = (cluster.disks.get(1) as TestDisk).files
  const newest = (await cluster.loop.result(shelvedSnapshots(files, 'snapshots'))).at(-1)
  const bytes = files.peek(newest?.path ?? '') as Uint8Array

  const damaged = bytes.slice()
  damaged[bytes.length - 20] = (damaged[bytes.length - 20] as number) ^ 1
  const disk = new TestDisk()
  cluster.disks.set(7, disk)
  disk.files.place(`${restorePath('snapshots')}/a.snapshot`, damaged)
  await assert.rejects(cluster.start(7, [], { clusterId }), (error) => isFault(error, 'corrupt'))
  cluster.crash(7)
  disk.files.place(`${restorePath('snapshots')}/a.snapshot`, bytes)
  const other = { clusterId: new Uint8Array(16).fill(4) }
  await assert.rejects(cluster.start(7, [], other), (error) => isFault(error, 'precondition'))
  cluster.crash(7)
  await cluster.start(7, [], { clusterId })
  await cluster.electLeader()
  await cluster.propose('more')
  assert.deepEqual(cluster.lines(7), ['0', '1', '2', '3', '4', 'more'])
  const { voters, fence } = cluster.group(7).status()
  assert.deepEqual([voters, generationCount(fence?.generation ?? 0)], [[7], 1])
  await cluster.start(1, [1, 2], { clusterId })
  const joined = cluster.group(7).changeMembers({ addLearners: [nodeId(1)] })
  await cluster.loop.result(joined)
  await cluster.loop.pass(1_000)
  await assert.rejects(cluster.group(1).propose(utf8Encode('x')), (error) =>
    isFault(error, 'precondition'),
  )
})

test('the rate limit holds over any second, and a quiet time is not saved up', async () => {
  const loop = new TestLoop()
  const pace = new Pace(testHost(loop, 1, new FaultyDisk()).clock, 1_000)
  loop.nowMs = 60_000
  const passed: number[] = []
  const all = (async () => {
    for (let i = 0; i < 50; i++) {
      await pace.pass(100)
      passed.push(loop.nowMs)
    }
  })()
  await loop.result(all)
  assert.ok(loop.nowMs >= 60_000 + 4_800 && loop.nowMs <= 60_000 + 5_200, `${loop.nowMs}`)
  for (let i = 12; i < passed.length; i++) {
    assert.ok((passed[i] as number) - (passed[i - 12] as number) >= 1_000)
  }
})

test('chunks of a file join to what was given', async () => {
  const chunks = [1, 2].map((fill) => new Uint8Array(50).fill(fill))
  const disk = await written(chunks)
  const given: Uint8Array[] = []
  const file = await disk.open('s/3/a.snapshot')
  const scan = await scanSnapshotFile(file, async (chunk) => void given.push(chunk))
  assert.deepEqual([scan.isWhole, toHex(concatBytes(given))], [true, toHex(concatBytes(chunks))])
})
