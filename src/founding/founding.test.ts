import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, nodeId, seededRandom } from '../base/index.ts'
import type { Disk, Host } from '../host/index.ts'
import { type Alarm, type Founding, type FoundingOptions, openFounding, presets } from './index.ts'
import { decodeEnvelope } from './core/messages.ts'

/** One node's host and transport, moved by hand. */
class Bench {
  nowMs = 0
  readonly files = new Map<string, Uint8Array>()
  readonly sent: { readonly address: string; readonly message: Uint8Array }[] = []
  readonly transport = {
    send: (address: string, message: Uint8Array) => this.sent.push({ address, message }),
    onMessage: (_: Uint8Array): void => {},
    contacts: (): readonly string[] => ['a', 'b'],
  }
  /** Writes wait for this. */
  gate: Promise<void> = Promise.resolve()
  isFull = false
  tick: () => void = () => {}
  readonly host: Pick<Host, 'clock' | 'disk' | 'random' | 'journal'>

  constructor(seed: number) {
    const never = (): never => assert.fail('not used here')
    const disk = {
      exists: async (path: string) => this.files.has(path),
      read: async (path: string) => this.files.get(path) ?? never(),
      replace: async (path: string, bytes: Uint8Array) => {
        await this.gate
        if (this.isFull) throw new Fault('no-space', 'the disk is full')
        this.files.set(path, bytes)
      },
    } as Pick<Disk, 'exists' | 'read' | 'replace'> as Disk
    this.host = {
      disk,
      random: seededRandom(seed),
      clock: {
        wallMs: never,
        monotonicMs: () => this.nowMs,
        sleep: never,
        after: (_, run) => {
          this.tick = run
          return { cancel: () => {} }
        },
        soon: never,
        every: never,
      },
      journal: {
        event: () => {},
        fatal: (_, error) => {
          throw error
        },
      },
    }
  }

  open(address: string, more: Partial<FoundingOptions> = {}): Promise<Founding> {
    return openFounding(this, {
      namespace: '/raft/a',
      universe: { kind: 'size', size: 2 },
      isForced: false,
      ...presets.local,
      address,
      node: nodeId(address === 'a' ? 1 : 2),
      onJoin: () => {},
      onAlarm: (_: Alarm) => {},
      ...more,
    })
  }

  kinds(): readonly string[] {
    return this.sent.map(({ message }) => decodeEnvelope(message).body.kind)
  }
}

/** Everything that can settle has. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Passes messages between two benches for so long. */
async function run(benches: readonly Bench[], ms: number): Promise<void> {
  for (const endMs = (benches[0]?.nowMs ?? 0) + ms; (benches[0]?.nowMs ?? 0) < endMs; ) {
    for (const bench of benches) {
      bench.nowMs += 50
      bench.tick()
      await settled()
      for (const { address, message } of bench.sent.splice(0)) {
        benches[address === 'a' ? 0 : 1]?.transport.onMessage(message)
      }
      await settled()
    }
  }
}

test('two drivers found together, and remember it over a restart', async () => {
  const benches = [new Bench(1), new Bench(2)]
  const [a, b] = benches as [Bench, Bench]
  const [first, second] = [await a.open('a'), await b.open('b')]
  const waiting = first.genesis()
  await run(benches, 4_000)
  assert.equal((await waiting).clusterId, (await second.genesis()).clusterId)
  const again = await a.open('a', { isForced: true })
  assert.equal(again.id(), first.id())
  assert.equal((await again.genesis()).clusterId, (await waiting).clusterId)
  first.close()
})

test('nothing of a step is sent before its record is durable', async () => {
  const bench = new Bench(3)
  const other = new Bench(4)
  await bench.open('a')
  await other.open('b')
  await run([bench, other], 2_800)
  let open = (): void => {}
  for (const one of [bench, other]) {
    one.gate = new Promise((resolve) => {
      const before = open
      open = () => {
        before()
        resolve()
      }
    })
  }
  await run([bench, other], 1_500)
  const asked = [...bench.kinds(), ...other.kinds()]
  assert.ok(!asked.includes('prepare') && !asked.includes('report'))
  open()
  await settled()
  assert.ok([...bench.kinds(), ...other.kinds()].includes('prepare'))
})

test('on a full disk a step did not happen; it is tried again when there is space', async () => {
  const bench = new Bench(5)
  const founding = await bench.open('a', { universe: { kind: 'size', size: 1 } })
  bench.isFull = true
  await run([bench], 4_000)
  assert.notEqual(founding.standing().kind, 'member')
  bench.isFull = false
  await run([bench], 1_000)
  assert.equal(founding.standing().kind, 'member')
  bench.isFull = true
  await assert.rejects(founding.removed(nodeId(9)), (error) => isFault(error, 'no-space'))
  bench.isFull = false
  const before = founding.id()
  await founding.removed(nodeId(9))
  assert.notEqual(founding.id(), before)
  assert.equal(founding.standing().kind, 'joining')
  await founding.takenIn()
  assert.equal(founding.standing().kind, 'member')
})

test('a damaged record, and one of another node, are refused with what to do', async () => {
  const bench = new Bench(6)
  ;(await bench.open('a')).close()
  await assert.rejects(bench.open('b'), (error) => isFault(error, 'corrupt'))
  const [path, bytes] = [...bench.files][0] ?? assert.fail('no record')
  bytes[10] = (bytes[10] as number) ^ 1
  bench.files.set(path, bytes)
  await assert.rejects(
    bench.open('a'),
    (error) => isFault(error, 'corrupt') && /delete its data directory/.test(error.next ?? ''),
  )
})

test('nonsense is dropped, and waiting ends when it is closed', async () => {
  const bench = new Bench(7)
  const founding = await bench.open('a')
  for (let round = 0; round < 100; round++) {
    bench.transport.onMessage(seededRandom(round).bytes(round))
  }
  const waiting = founding.genesis()
  founding.close()
  await assert.rejects(waiting, (error) => isFault(error, 'cancelled'))
  await assert.rejects(founding.takenIn(), (error) => isFault(error, 'cancelled'))
})
