import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLinearizable, type RegisterOperation } from './checkers/linearizability.ts'
import { realLoop } from './main.ts'
import { runSeed, workloads } from './run-seed.ts'
import { World } from './world.ts'

async function load(name: string) {
  const workload = await workloads.get(name)?.()
  assert.ok(workload)
  return workload
}

test('consensus under faults: fixed seeds pass, twice alike', async () => {
  const workload = await load('raft')
  for (const seed of [1, 133]) {
    const options = { seed, nodes: 3, durationMs: 8_000, workload, loop: realLoop }
    const first = await runSeed(options)
    assert.equal(first.problem, undefined, `npm run sim -- --workload raft --seed ${seed}`)
    const second = await runSeed(options)
    assert.equal(first.digest, second.digest)
    assert.ok((first.counts.get('writes acknowledged') ?? 0) > 10)
  }
})

test('health of members under jitter, deaths and faults: a fixed seed passes', async () => {
  const workload = await load('health')
  const options = { seed: 1, nodes: 3, durationMs: 2_000, workload, loop: realLoop }
  const { problem, counts } = await runSeed(options)
  assert.equal(problem, undefined, 'npm run sim -- --workload health --seed 1 --seconds 2')
  assert.ok((counts.get('returns noticed') ?? 0) > 0)
})

test('ten machines become a cluster: one request each, and all hold the same settings', async () => {
  const workload = await load('formation')
  const options = { seed: 1, nodes: 10, durationMs: 0, workload, loop: realLoop }
  const { problem, counts } = await runSeed(options)
  assert.equal(problem, undefined, 'npm run sim -- --workload formation --seed 1 --nodes 10')
  assert.equal(counts.get('machines joined'), 9)
})

test('the core by itself: fixed seeds pass, twice alike', async () => {
  const workload = await load('core')
  for (let seed = 1; seed <= 20; seed++) {
    const options = { seed, nodes: 3, durationMs: 8_000, workload, loop: realLoop }
    const first = await runSeed(options)
    assert.equal(first.problem, undefined, `npm run sim -- --workload core --seed ${seed}`)
    const second = await runSeed(options)
    assert.equal(first.digest, second.digest)
  }
})

test('different seeds go different ways', async () => {
  const workload = await load('raft')
  const options = { nodes: 3, durationMs: 2_000, workload, loop: realLoop }
  const first = await runSeed({ ...options, seed: 1 })
  const second = await runSeed({ ...options, seed: 2 })
  assert.notEqual(first.digest, second.digest)
})

const write = (value: string, startMs: number, endMs: number): RegisterOperation => {
  return { kind: 'write', value, startMs, endMs }
}
const read = (value: string | undefined, startMs: number, endMs: number): RegisterOperation => {
  return { kind: 'read', value, startMs, endMs }
}

test('the checker accepts histories with an order and refuses those without', () => {
  const never = Number.POSITIVE_INFINITY
  assert.ok(isLinearizable([write('1', 0, 5), read(undefined, 1, 2), read('1', 3, 4)]))
  assert.ok(!isLinearizable([write('1', 0, 1), read(undefined, 2, 3)]), 'a lost write')
  assert.ok(
    !isLinearizable([write('1', 0, 9), read('1', 1, 2), read(undefined, 3, 4)]),
    'a write that was seen and is gone',
  )
  assert.ok(isLinearizable([write('1', 0, never), read(undefined, 2, 3), read('1', 4, 5)]))
  assert.ok(
    !isLinearizable([write('1', 0, never), read('1', 2, 3), read(undefined, 4, 5)]),
    'an unknown write takes effect once',
  )
  assert.ok(!isLinearizable([write('1', 0, 1), read('2', 2, 3)]), 'a value nobody wrote')
  const swap = { kind: 'compare-and-set', value: '2', expected: '1', startMs: 2, endMs: 3 } as const
  assert.ok(isLinearizable([write('1', 0, 1), { ...swap, isDone: true }, read('2', 4, 5)]))
  assert.ok(!isLinearizable([write('1', 0, 1), { ...swap, isDone: false }]))
})

test('loss of power keeps what was synced and of the rest only parts', async () => {
  const world = new World({ seed: 5, loop: realLoop })
  const story = async (): Promise<void> => {
    const host = world.startHost(1)
    const file = await host.disk.open('a/file', { create: true })
    await file.write(0, [new Uint8Array([1, 2, 3])])
    await file.sync()
    await host.disk.syncDirectory('a')
    await file.write(1, [new Uint8Array([9, 9, 9, 9])])
    const unnamed = await host.disk.open('b/file', { create: true })
    await unnamed.sync()
    world.crash(1, 'power')
    const again = world.startHost(1)
    const bytes = await again.disk.read('a/file', 100)
    assert.equal(bytes[0], 1)
    assert.ok(bytes.length >= 3)
    for (const [at, byte] of bytes.entries()) assert.ok([1, 2, 3, 9][at] === byte || byte === 9)
  }
  await world.run(story(), 10_000)
})

test('what a crashed node waited for never settles, and its timers never run', async () => {
  const world = new World({ seed: 6, loop: realLoop })
  let ran = 0
  const story = async (): Promise<void> => {
    const host = world.startHost(1)
    host.clock.every(10, () => ran++)
    host.clock.sleep(50).then(() => {
      ran += 1_000
    }, assert.fail)
    await world.sleep(35)
    world.crash(1, 'kill')
    const before = ran
    await world.sleep(500)
    assert.equal(ran, before)
    assert.ok(before >= 2 && before < 1_000)
  }
  await world.run(story(), 10_000)
})
