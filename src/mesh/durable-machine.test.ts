import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  groupId,
  isFault,
  logIndex,
  seededRandom,
  term,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { StateMachine } from '../raft/index.ts'
import { openMemoryStore, type Store } from '../storage/index.ts'
import { FaultyDisk, faultyHost } from '../storage/testing/faulty-host.ts'
import { createDurableMachine } from './durable-machine.ts'
import type { ClusterMachine } from './mesh.ts'
import { machinePrefix, meshTable } from './tables.ts'

const group = groupId(7)

/** The sum of all lengths, and the last payload's beginning. */
class Tally implements ClusterMachine {
  state = '0 '
  apply({ payload }: { readonly payload: Uint8Array }): Uint8Array {
    const total = Number(this.state.split(' ')[0]) + payload.length
    this.state = `${total} ${utf8Decode(payload.subarray(0, 4))}`
    return utf8Encode(String(total))
  }
  snapshot(): Uint8Array {
    return utf8Encode(this.state)
  }
  restore(state: Uint8Array): void {
    this.state = utf8Decode(state)
  }
}

const openStore = (disk: FaultyDisk): Promise<Store> =>
  openMemoryStore(faultyHost(disk), { path: 'node/store', tables: [meshTable] })

function apply(store: Store, machine: StateMachine, given: { from: number; payload: Uint8Array }) {
  const entry = { index: logIndex(given.from), term: term(1), payload: given.payload }
  return store.transaction(() => machine.apply([entry]))[0]
}

test('what was applied is there again after a restart, over many snapshots', async () => {
  const store = await openStore(new FaultyDisk())
  const random = seededRandom(11)
  let tally = new Tally()
  let machine = createDurableMachine(store, { group, machine: tally })
  let index = 1
  let rowsMax = 0
  for (let round = 0; round < 60; round++) {
    const payload = utf8Encode('x'.repeat(random.integer(90_000)))
    index += 1 + random.integer(3)
    const answer = apply(store, machine, { from: index, payload })
    assert.equal(utf8Decode(answer ?? new Uint8Array()), tally.state.split(' ')[0])
    rowsMax = Math.max(rowsMax, store.keys(meshTable, { start: new Uint8Array(0) }).length)
    if (random.chance(0.7)) continue
    const before = { state: tally.state, digest: toHex(machine.digest()) }
    tally = new Tally()
    machine = createDurableMachine(store, { group, machine: tally })
    assert.deepEqual({ state: tally.state, digest: toHex(machine.digest()) }, before)
  }
  assert.ok(rowsMax < 50, `${rowsMax} rows: snapshots replace commands`)
})

test('a snapshot replaces another replica’s state; damage anywhere in it is refused', async () => {
  const [from, to] = [await openStore(new FaultyDisk()), await openStore(new FaultyDisk())]
  const machine = createDurableMachine(from, { group, machine: new Tally() })
  apply(from, machine, { from: 5, payload: utf8Encode('five') })
  const chunks: Uint8Array[] = []
  for await (const chunk of machine.snapshot().chunks) chunks.push(chunk.slice())
  const tally = new Tally()
  const other = createDurableMachine(to, { group, machine: tally })
  apply(to, other, { from: 3, payload: utf8Encode('gone') })
  const sink = other.install()
  for (const chunk of chunks) await sink.write(chunk)
  to.transaction(() => sink.finish())
  assert.equal(tally.state, '4 five')
  assert.deepEqual(other.digest(), machine.digest())
  const again = new Tally()
  assert.deepEqual(createDurableMachine(to, { group, machine: again }).digest(), machine.digest())
  assert.equal(again.state, tally.state)
  const random = seededRandom(3)
  for (let round = 0; round < 200; round++) {
    const torn = (chunks[0] as Uint8Array).slice(0, random.integer((chunks[0]?.length ?? 0) + 1))
    const whole = torn.length === chunks[0]?.length
    if (whole) torn[random.integer(torn.length)] = 255
    const broken = other.install()
    await broken.write(torn)
    assert.throws(
      () => to.transaction(() => broken.finish()),
      (error) => isFault(error, 'corrupt'),
    )
  }
})

test('a damaged command row is refused at open', async () => {
  const store = await openStore(new FaultyDisk())
  const machine = createDurableMachine(store, { group, machine: new Tally() })
  apply(store, machine, { from: 2, payload: utf8Encode('payload') })
  const [row] = store.range(meshTable, { start: machinePrefix(group, 'e'), limit: 1 })
  assert.ok(row)
  const value = row.value.slice()
  value[6] = 0
  store.transaction(() => store.put(meshTable, row.key, value))
  assert.throws(
    () => createDurableMachine(store, { group, machine: new Tally() }),
    (error) => isFault(error, 'corrupt'),
  )
})
